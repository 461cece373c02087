package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/staticwado"
)

// importCommand takes over an archive that another program wrote.
type importCommand struct {
	Tree       string `required:"" placeholder:"DIR" help:"The archive; made if it is not there."`
	StaticWado string `required:"" name:"static-wado" placeholder:"DIR" help:"The folder in which static-wado keeps studies/. It is only read."`
	State      string `placeholder:"DIR" help:"Folder of the archive's state, if it is not where it usually is."`
	DryRun     bool   `short:"n" help:"Say what would be done, and change nothing."`
	Verbose    bool   `short:"v" help:"A line for each instance, not only for those with something to say."`
	JSON       bool   `help:"One line of JSON for each instance."`
}

// Help is shown by dicomesh import --help.
func (importCommand) Help() string {
	return `Lists, instance files and bulkdata come over as they are; for each instance a record of dicomesh's own replaces the foreign one, so that it is exported as a Part 10
file and checked like any other. Instances of which the whole file was kept come back byte for byte. Queries, metadata and thumbnails are derived from all
this, and are left. The source is never written to, and may grow: another run adds what is new.

    imported    it is in the archive now
    present     it was
    deleted     it was rejected in the source, and stays so
    conflict    the source has several contents of it; all are kept
    incomplete  something of it is missing or damaged in the source; another run
                completes it
    failed      its record cannot be understood; it is kept as it is

Exit code 1 if anything is incomplete, failed or was skipped.

Examples:

    dicomesh import --tree archive --static-wado dicomweb -n
    dicomesh import --tree archive --static-wado dicomweb`
}

// Run imports a static-wado archive.
func (c *importCommand) Run(ctx context.Context, t *terminal) error {
	source, err := durable.OpenOS(c.StaticWado)
	if err != nil {
		return fault{code: exitUsage, err: err, next: "name the folder that holds studies/ with --static-wado DIR"}
	}
	defer source.Close()
	tree, closeTree, err := c.open()
	if err != nil {
		return err
	}
	defer closeTree()
	say := &importReport{command: c, terminal: t, bar: t.progress("importing", -1)}
	log, closeLog, err := c.digests(ctx, tree, t)
	if err != nil {
		return err
	}
	defer closeLog()
	summary, err := staticwado.Import(ctx, tree, source, staticwado.Config{
		DryRun: c.DryRun, Report: say.instance, Skip: say.skip, Advance: say.bar.add, Record: log,
	})
	say.bar.finish()
	if err != nil {
		return err
	}
	return say.summary(summary)
}

// open opens the tree. A dry run makes no folder.
func (c *importCommand) open() (durable.FS, func(), error) {
	if c.DryRun {
		if tree, err := durable.OpenOS(c.Tree); err == nil {
			return tree, func() { tree.Close() }, nil
		}
		return noTree{}, func() {}, nil
	}
	tree, err := openTree(c.Tree)
	if err != nil {
		return nil, nil, err
	}
	return tree, func() { tree.Close() }, nil
}

// noTree is a tree that is not there.
type noTree struct{ durable.FS }

func (noTree) Open(name string) (durable.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (noTree) ReadDir(name string) ([]fs.DirEntry, error) {
	return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
}

func (noTree) Lstat(name string) (fs.FileInfo, error) {
	return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist}
}

// digests opens the digest log. Where an agent has it, the agent takes the digests when it sees the files.
func (c *importCommand) digests(ctx context.Context, tree durable.FS, t *terminal) (func(dedup.UID, []dedup.Held) error, func(), error) {
	if c.DryRun {
		return nil, func() {}, nil
	}
	dir, err := index.Locate(c.Tree, c.State)
	if err != nil {
		return nil, nil, err
	}
	state, err := index.Open(ctx, dir)
	if errors.Is(err, durable.ErrLocked) {
		t.log.Info("an agent has the state of the archive, and will take the digests")
		return nil, func() {}, nil
	}
	if err != nil {
		return nil, nil, fault{code: exitFault, err: err, next: "name a folder that can be written with --state DIR"}
	}
	record := func(study dedup.UID, files []dedup.Held) error {
		return state.Digests.Record(tree, study, files)
	}
	return record, func() { state.Close() }, nil
}

// importReport prints what became of the instances.
type importReport struct {
	command  *importCommand
	terminal *terminal
	bar      *progress
	err      error
}

// importLine is the JSON of one instance.
type importLine struct {
	Study  string `json:"study"`
	Series string `json:"series"`
	SOP    string `json:"sop"`
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

func (r *importReport) instance(i staticwado.Result) {
	switch {
	case r.command.JSON:
		r.err = errors.Join(r.err, json.NewEncoder(r.terminal.out).Encode(importLine{
			i.Study.String(), i.Series.String(), i.SOP.String(), string(i.Status), i.Reason}))
	case r.command.Verbose || i.Reason != "":
		reason := ""
		if i.Reason != "" {
			reason = ": " + i.Reason
		}
		fmt.Fprintf(r.terminal.out, "%-10s %s%s\n", i.Status, i.SOP, reason)
	}
}

func (r *importReport) skip(f dedup.Finding) {
	fmt.Fprintf(r.terminal.err, "skipped    %s: %s\n", f.Path, f.Reason)
}

// summary prints the counts.
func (r *importReport) summary(s staticwado.Summary) error {
	if r.err != nil {
		return r.err
	}
	n, bad := 0, s.Instances[staticwado.Incomplete]+s.Instances[staticwado.Failed]
	for _, c := range s.Instances {
		n += c
	}
	if !r.command.JSON {
		fmt.Fprintf(r.terminal.out, "%d studies, %d instances: %d imported, %d present, %d deleted, %d conflict, %d incomplete, %d failed\n", s.Studies, n,
			s.Instances[staticwado.Imported], s.Instances[staticwado.Present], s.Instances[staticwado.Deleted], s.Instances[staticwado.Conflict],
			s.Instances[staticwado.Incomplete], s.Instances[staticwado.Failed])
		if r.command.DryRun {
			fmt.Fprintf(r.terminal.out, "nothing was written; %d derived files (queries, metadata, thumbnails) would be left, %d files skipped\n", s.Derived, s.Skipped)
		} else {
			fmt.Fprintf(r.terminal.out, "%d files written, %s; %d derived files (queries, metadata, thumbnails) left, %d files skipped\n",
				s.Files, size(s.Bytes), s.Derived, s.Skipped)
		}
	}
	if s.Studies == 0 && n == 0 {
		return fault{code: exitUsage, err: fmt.Errorf("there are no studies of static-wado in %s", r.command.StaticWado), next: "name the folder that holds studies/ with --static-wado DIR"}
	}
	if bad+s.Skipped > 0 {
		return fault{code: exitFault, err: fmt.Errorf("%d of %d instances are not taken over, %d files were skipped", bad, n, s.Skipped),
			next: "everything else is in the archive; mend the source and import again"}
	}
	return nil
}
