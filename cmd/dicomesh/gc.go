package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/combine"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
)

// gcCommand collects lists and instance files that are superfluous.
type gcCommand struct {
	tending
	State string `placeholder:"DIR" help:"Folder of the archive's state, if it is not where it usually is."`
}

// Help is shown by dicomesh gc --help.
func (gcCommand) Help() string {
	return `Removes the instance files, and the lists, of each study that others account for by content. A list has to have been replaced for 24 hours of running time, counted
from the first gc that saw it so, at most an hour between one gc and the next: an agent, which does this by itself, counts all the time. Frames and values are never removed, nor is anything of a study of which
something is missing.

Exports, and other programs that have begun to read the archive, should be finished: they may have listed instance files that go.

Examples:

    dicomesh gc --tree archive -n
    dicomesh gc --tree archive`
}

// gcLine is what gc --json prints of a study.
type gcLine struct {
	Study     string     `json:"study"`
	Dry       bool       `json:"dry_run,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	Instances int        `json:"instance_files"` // removed
	Lists     int        `json:"lists"`          // likewise
	Removed   []string   `json:"removed,omitempty"`
	Kept      []keptLine `json:"kept,omitempty"`
}

// Run collects in one study or all.
func (c *gcCommand) Run(ctx context.Context, t *terminal) error {
	tree, err := existingTree(c.Tree)
	if err != nil {
		return err
	}
	defer tree.Close()
	gone, done, err := c.index(ctx, t)
	if err != nil {
		return err
	}
	defer done()
	bar := t.progress("collecting", -1)
	combiner := combine.New(combine.Config{Tree: tree, Advance: bar.add, Gone: gone})
	do := combiner.Collect
	if c.Dry {
		do = combiner.Collection
	}
	return c.tend(ctx, bar, combiner, func(uid dedup.UID) error {
		plan, err := do(ctx, uid)
		if err != nil && len(plan.Remove) == 0 {
			return err
		}
		return errors.Join(err, c.tell(t, uid, plan))
	})
}

// index opens the archive's index, if there is one that no agent has: an agent notices by itself what went. What is done in the end closes it.
func (c *gcCommand) index(ctx context.Context, t *terminal) (gone func(context.Context, dedup.UID, []string) error, done func(), err error) {
	nothing := func() {}
	dir, err := index.Locate(c.Tree, c.State)
	if err != nil {
		return nil, nothing, fault{code: exitFault, err: err, next: "name the state folder with --state DIR"}
	}
	if _, err := os.Stat(filepath.Join(dir, "index.db")); err != nil || c.Dry {
		if c.State != "" && err != nil {
			return nil, nothing, fault{code: exitUsage, err: err, next: "name the folder that holds index.db with --state DIR"}
		}
		return nil, nothing, nil
	}
	x, err := index.Open(ctx, dir)
	switch {
	case errors.Is(err, durable.ErrLocked):
		t.log.Debug("another process has the index, and notices what goes")
		return nil, nothing, nil
	case err != nil:
		return nil, nothing, fault{code: exitFault, err: err, next: "name the state folder with --state DIR"}
	}
	gone = func(ctx context.Context, study dedup.UID, paths []string) error {
		if _, has, err := x.Study(ctx, study); err != nil || !has {
			return err
		}
		_, err := x.Update(ctx, study, index.Change{Gone: paths})
		return err
	}
	return gone, func() {
		if err := x.Close(); err != nil {
			t.log.Warn("the index could not be closed; it is only a cache", "error", err)
		}
	}, nil
}

// tell prints what became of a study. Of one in which nothing was superfluous there is nothing to say.
func (c *gcCommand) tell(t *terminal, uid dedup.UID, plan combine.Collection) error {
	line := gcLine{Study: uid.String(), Dry: c.Dry, Reason: plan.Reason, Kept: keptLines(plan.Kept)}
	for _, r := range plan.Remove {
		if line.Removed = append(line.Removed, r.File.Ref.Path()); r.File.Ref.Class == dedup.List {
			line.Lists++
		} else {
			line.Instances++
		}
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(line)
	}
	if len(plan.Remove)+len(plan.Kept) == 0 && plan.Reason == "" {
		return nil
	}
	did := "removed"
	if c.Dry {
		did = "would remove"
	}
	what := plan.Reason
	if what == "" {
		what = fmt.Sprintf("%d instance files and %d lists", line.Instances, line.Lists)
	}
	return t.item(did, line.Study, append([]string{what}, keptWords("kept", line.Kept)...)...)
}
