package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/audit"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/verify"
)

// verifyCommand says whether an archive is sound.
type verifyCommand struct {
	Tree    string `required:"" placeholder:"DIR" help:"The archive, whoever wrote it."`
	Deep    bool   `help:"Read every byte, and hold it against names and digests."`
	Study   string `placeholder:"UID" help:"Only this study."`
	State   string `placeholder:"DIR" help:"Folder of the archive's state, if it is not where it usually is."`
	Index   bool   `help:"Take down what is new: the files in the index, and digests of those whose names say nothing. Reads every byte."`
	Workers int    `default:"0" help:"Files that are read at the same time; 0: one for each processor."`
	Verbose bool   `short:"v" help:"A line for what is no fault as well: conflicts, variants, files of which nobody can tell."`
	JSON    bool   `help:"One line of JSON for each finding, faults and others, and one for the summary."`
}

// Help is shown by dicomesh verify --help.
func (verifyCommand) Help() string {
	return `Without --deep: names, sizes, everything that is JSON, and that what it refers to is there. With --deep: every byte. Nothing is written without --index.

    corrupt      the file is not what was written
    missing      something refers to the file, or knows it, and it is not there
    unexpected   it has no place in an archive: a symbolic link, a device, a
                 strange name
    cannot tell  no fault: another writer's name says nothing, and no digest was
                 taken when the file was first seen

The state folder, if there is one, knows more: the digest log what files were whose names say nothing, the index every file as it was stored. It is the
folder state beside a tree that is named tree, else .dicomesh/state in the tree. --index makes or completes both; what they knew already they keep, so that a
damaged file stays a damaged file.

Exit code 1 if there is any fault.

Examples:

    dicomesh verify --tree archive
    dicomesh verify --tree archive --deep
    dicomesh verify --tree archive --index`
}

// Run verifies the tree.
func (c *verifyCommand) Run(ctx context.Context, t *terminal) error {
	tree, err := durable.OpenOS(c.Tree)
	if err != nil {
		return fault{code: exitUsage, err: err, next: "name the folder of an archive, which this user may read, with --tree DIR"}
	}
	defer tree.Close()
	state, err := c.state(ctx, t)
	if err != nil {
		return err
	}
	defer state.Close()
	config := verify.Config{Tree: tree, Index: state, Deep: c.Deep || c.Index, Workers: c.Workers}
	if c.Index {
		config.Record = verify.Keep{Index: state}
	}
	say := &verifyReport{command: c, terminal: t}
	if !c.JSON {
		config.Report = say.progress
	}
	summary, err := c.check(ctx, verify.New(config), tree, say)
	say.finish()
	if err == nil && c.Index && c.Study == "" {
		err = state.Complete(ctx)
	}
	if err != nil {
		return err
	}
	chain, err := c.audit()
	if err != nil {
		return err
	}
	if err := errors.Join(say.summary(summary), say.chain(chain)); err != nil {
		return err
	}
	return nil
}

// audit holds the audit log of the state, if there is one, to its chain.
func (c *verifyCommand) audit() (audit.Report, error) {
	dir, err := index.Locate(c.Tree, c.State)
	if err != nil {
		return audit.Report{}, err
	}
	if _, err := os.Stat(dir); err != nil {
		return audit.Report{}, nil
	}
	state, err := durable.OpenOS(dir)
	if err != nil {
		return audit.Report{}, err
	}
	defer state.Close()
	return audit.Verify(state)
}

// chain says what is wrong with the audit log.
func (r *verifyReport) chain(report audit.Report) error {
	for _, f := range report.Faults {
		fmt.Fprintf(r.terminal.err, "audit      %s\n", f)
	}
	if report.Newer > 0 && r.command.Verbose {
		fmt.Fprintf(r.terminal.err, "audit      no fault: the last %d entries were written right before a crash, which the next start notes\n", report.Newer)
	}
	if len(report.Faults) == 0 {
		return nil
	}
	return fault{code: exitFault, err: fmt.Errorf("the audit log is not as it was written, in %d places", len(report.Faults)),
		next: "somebody changed it, or a disk did: compare it with a backup of the state folder"}
}

// check verifies everything, or the one study that was asked for.
func (c *verifyCommand) check(ctx context.Context, checker *verify.Checker, tree durable.Reader, say *verifyReport) (verify.Summary, error) {
	if c.Study == "" {
		return checker.Run(ctx, say.finding)
	}
	uid, err := studyUID("--study", c.Study)
	if err != nil {
		return verify.Summary{}, err
	}
	summary, err := checker.Study(ctx, uid, say.finding)
	if err == nil && summary.Files == 0 && summary.Faults() == 0 {
		err = fault{code: exitFault, err: fmt.Errorf("there is no study %s in %s", uid, c.Tree), next: "leave --study out for all studies"}
	}
	return summary, err
}

// state opens the state folder: to write only if it is asked to.
func (c *verifyCommand) state(ctx context.Context, t *terminal) (*index.Index, error) {
	dir, err := index.Locate(c.Tree, c.State)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); err != nil && c.State != "" && !c.Index {
		return nil, fault{code: exitUsage, err: err, next: "name a folder that is there with --state DIR, or make it with --index"}
	}
	open := index.OpenReader
	if c.Index {
		open = index.Open
	}
	state, err := open(ctx, dir)
	switch {
	case errors.Is(err, durable.ErrLocked):
		return nil, fault{code: exitFault, err: errors.New("another process has the state folder, and keeps the index itself"), next: "leave --index out"}
	case err != nil:
		return nil, fault{code: exitFault, err: err, next: cmp.Or(remedy(err), "name the state folder with --state DIR")}
	}
	if state.SetAside != nil {
		t.log.Warn("the index could not be used; it is only a cache", "error", state.SetAside)
	}
	if state.Digests.Cut > 0 {
		t.log.Warn("cut off what a crash had left unfinished in the digest log", "bytes", state.Digests.Cut)
	}
	return state, nil
}

// verifyReport prints what is found.
type verifyReport struct {
	command  *verifyCommand
	terminal *terminal
	bar      *progress
	done     int64
	err      error
}

func (r *verifyReport) progress(p verify.Progress) {
	if r.bar == nil {
		r.bar = r.terminal.progress("verifying", p.BytesTotal)
	}
	r.bar.add(p.Bytes - r.done)
	r.done = p.Bytes
}

func (r *verifyReport) finish() {
	if r.bar != nil {
		r.bar.finish()
	}
}

func (r *verifyReport) finding(f verify.Finding) {
	switch {
	case r.command.JSON:
		r.err = errors.Join(r.err, json.NewEncoder(r.terminal.out).Encode(f))
	case f.Kind.Fault() || r.command.Verbose:
		_, err := fmt.Fprintln(r.terminal.out, f)
		r.err = errors.Join(r.err, err)
	}
}

// summary prints the counts. Any fault makes the exit code 1.
func (r *verifyReport) summary(s verify.Summary) error {
	if r.command.JSON {
		r.err = errors.Join(r.err, json.NewEncoder(r.terminal.out).Encode(struct {
			Kind string `json:"kind"`
			verify.Summary
		}{"summary", s}))
	} else {
		r.err = errors.Join(r.err, r.table(s))
	}
	switch n := s.Faults(); {
	case r.err != nil:
		return r.err
	case n == 1:
		return fault{code: exitFault, err: errors.New("1 fault"), next: r.advice()}
	case n > 0:
		return fault{code: exitFault, err: fmt.Errorf("%d faults", n), next: r.advice()}
	}
	return nil
}

func (r *verifyReport) advice() string {
	return "ingest the files again from where they came, or fetch them from another site: what is damaged or missing is then put right"
}

// table prints the summary for a person.
func (r *verifyReport) table(s verify.Summary) error {
	w := tabwriter.NewWriter(r.terminal.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "studies\t%d\n", s.Studies)
	fmt.Fprintf(w, "instances\t%d\n", s.Instances)
	fmt.Fprintf(w, "files\t%d\t%s\n", s.Files, size(s.Bytes))
	fmt.Fprintf(w, "right\t%d\n", s.Right)
	fmt.Fprintf(w, "corrupt\t%d\n", s.Corrupt)
	fmt.Fprintf(w, "missing\t%d\n", s.Missing)
	fmt.Fprintf(w, "unexpected\t%d\n", s.Unexpected)
	for _, line := range []struct {
		name string
		n    int64
		note string
	}{
		{"not read", s.Unread, "name and size alone: --deep reads them"}, {"cannot tell", s.CannotTell, "another writer's names; --index takes their digests"},
		{"conflicts", s.Conflicts, "several contents of an instance, all kept: a correction decides"}, {"variants", s.Variants, "several contents of a name, all kept"},
		{"recorded", s.Recorded, "digests of files whose names say nothing"},
	} {
		if line.n > 0 {
			fmt.Fprintf(w, "%s\t%d\t%s\n", line.name, line.n, line.note)
		}
	}
	return w.Flush()
}
