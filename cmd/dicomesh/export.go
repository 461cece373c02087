package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/export"
)

// exportCommand gives Part 10 files back.
type exportCommand struct {
	Tree  string `required:"" placeholder:"DIR" help:"The archive."`
	Out   string `required:"" placeholder:"DIR" help:"Folder for the files; made if it is not there. Files of the same name are replaced."`
	Study string `placeholder:"UID" help:"Only this study."`
}

// Help is shown by dicomesh export --help.
func (exportCommand) Help() string {
	return `Writes DIR/<study>/<series>/<sop>.dcm: the files that came in, byte for byte. An instance that was received in several encodings, or that is in conflict,
is several files; the one that is shown to viewers has the plain name. Deleted instances are left out.

Exit code 1 if a file could not be given back exactly.

Examples:

    dicomesh export --tree archive --out files
    dicomesh export --tree archive --out files --study 1.2.840.113619.2.1`
}

// Run exports one study or all.
func (c *exportCommand) Run(ctx context.Context, t *terminal) error {
	fsys, err := existingTree(c.Tree)
	if err != nil {
		return err
	}
	defer fsys.Close()
	archive := export.New(fsys)
	studies, err := archive.Studies()
	if c.Study != "" {
		var uid dedup.UID
		if uid, err = studyUID("--study", c.Study); err != nil {
			return err
		}
		studies = []dedup.UID{uid}
	}
	if err != nil {
		return err
	}
	say := exportReport{terminal: t, tree: c.Tree}
	bar := t.progress("exporting", -1)
	defer bar.finish()
	for i, uid := range studies {
		bar.study(i+1, len(studies))
		err := archive.Study(ctx, uid, c.Out, func(r export.Result) {
			say.file(r)
			bar.add(r.Size)
		})
		if errors.Is(err, os.ErrNotExist) && c.Study == "" {
			continue // a folder in which nothing was finished yet
		}
		if errors.Is(err, os.ErrNotExist) {
			err = fault{code: exitFault, err: fmt.Errorf("there is no study %s in %s", uid, c.Tree), next: "leave --study out to export everything"}
		}
		if ctx.Err() != nil || c.Study != "" && err != nil {
			return err
		}
		if err != nil { // the other studies are not to wait for a bad sector in this one
			say.file(export.Result{Study: uid, Err: fmt.Errorf("study %s: %w", uid, err)})
		}
	}
	bar.finish()
	return say.summary()
}

// existingTree opens an archive that must be there.
func existingTree(dir string) (*durable.OS, error) {
	fsys, err := durable.OpenOS(dir)
	if err != nil {
		return nil, fault{code: exitUsage, err: err, next: "name the folder of an archive, which this user may read, with --tree DIR"}
	}
	return fsys, nil
}

// exportReport prints what became of the instances.
type exportReport struct {
	terminal        *terminal
	files, inexact  int
	foreign, failed int
	bytes           int64
	tree            string
	why             string // what to do about the first failure that is not the archive's
}

func (r *exportReport) file(f export.Result) {
	if f.Path != "" {
		r.files++
		r.bytes += f.Size
	}
	switch {
	case f.Path == "":
		r.failed++
		r.why = cmp.Or(r.why, remedy(f.Err))
		fmt.Fprintf(r.terminal.err, "failed   %s\n", inWords(f.Err))
	case f.Foreign:
		r.foreign++
	case !f.Exact:
		r.inexact++
		fmt.Fprintf(r.terminal.err, "inexact  %s: %v\n", f.Path, f.Err)
	}
}

// summary prints the counts.
func (r *exportReport) summary() error {
	fmt.Fprintf(r.terminal.out, "%d files, %s: %d as they came in, %d by other writers, %d inexact, %d failed\n", r.files, size(r.bytes),
		r.files-r.inexact-r.foreign, r.foreign, r.inexact, r.failed)
	if n := r.inexact + r.failed; n > 0 {
		return fault{code: exitFault, err: fmt.Errorf("%d of %d instances could not be given back exactly", n, r.files+r.failed),
			next: cmp.Or(r.why, "see what is wrong with the archive: dicomesh verify --deep --tree "+r.tree)}
	}
	return nil
}
