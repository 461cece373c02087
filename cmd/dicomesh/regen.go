package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/agent"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/regen"
)

// regenCommand makes the current tree.
type regenCommand struct {
	Tree         string `required:"" placeholder:"DIR" help:"The archive."`
	Current      string `required:"" placeholder:"DIR" help:"Folder for the DICOMweb files; made if it is not there."`
	Study        string `placeholder:"UID" help:"Only this study."`
	NoThumbnails bool   `help:"Leave thumbnails out, and remove those that are there."`
	Provisional  bool   `help:"Make it although other sites may hold more: into a folder that no agent publishes to."`
	State        string `placeholder:"DIR" help:"Folder of the archive's state, if it is not where it usually is."`
	JSON         bool   `name:"json" help:"Print the counts as one JSON object."`
}

// Help is shown by dicomesh regen --help.
func (regenCommand) Help() string {
	return `Does one round: compares the DICOMweb files of each study with what the archive says they should be, and writes those that differ. A second round writes
nothing. Frames share their blocks with the archive where both are on one file system. Files that nothing refers to any more are
removed by the first round that comes 10 minutes later, because a reader may be under way.

A study of which something is missing or damaged is left as it is, and reported: exit code 1.

The tree of a site that is one of several is refused: whether the others hold more of a study only the running agent can ask, which publishes by itself. With --provisional
what is here is made all the same, in a folder of its own.

Examples:

    dicomesh regen --tree archive --current current
    dicomesh regen --tree site/tree --current what-is-here --provisional
    dicomesh regen --tree archive --current current --study 1.2.840.113619.2.1`
}

// Run does one round for one study or all.
func (c *regenCommand) Run(ctx context.Context, t *terminal) error {
	tree, err := existingTree(c.Tree)
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := os.MkdirAll(c.Current, 0o755); err != nil {
		return fault{code: exitFault, err: err, next: "name a folder that can be written with --current DIR"}
	}
	current, err := durable.OpenOS(c.Current)
	if err != nil {
		return fault{code: exitFault, err: err, next: "name a folder that can be written with --current DIR"}
	}
	defer current.Close()
	if err := c.allowed(tree, current); err != nil {
		return err
	}
	g := regen.New(regen.Config{Archive: tree, Current: current, NoThumbnails: c.NoThumbnails,
		Share: func(from, to string) error { return durable.Share(tree, from, current, to) }})
	studies, err := c.studies(g)
	if err != nil {
		return err
	}
	return c.round(ctx, t, g, studies)
}

// allowed is the gate: nil where no other site can hold more, or where the operator asks for what is here, apart from what an agent publishes.
func (c *regenCommand) allowed(tree, current durable.Reader) error {
	reason, err := apart(tree, c.Tree, c.State)
	switch {
	case err != nil && !c.Provisional:
		return fault{code: exitFault, err: err, next: "name the state folder with --state DIR, or make what may be out of date, in a folder of its own: --provisional"}
	case err == nil && reason == "":
		return nil
	case !c.Provisional:
		return fault{code: exitFault, err: errors.New(reason), next: "let it publish: dicomesh agent --data DIR. What is here now, in a folder of its own: --provisional"}
	}
	published, err := agent.Publishes(current)
	if err == nil && published {
		err = fmt.Errorf("an agent publishes to %s, and what is made now may be out of date", c.Current)
	}
	if err != nil {
		return fault{code: exitFault, err: err, next: "name another folder with --current DIR"}
	}
	return nil
}

// studies are those that are asked for.
func (c *regenCommand) studies(g *regen.Generator) ([]dedup.UID, error) {
	if c.Study == "" {
		return g.Studies()
	}
	uid, err := studyUID("--study", c.Study)
	if err != nil {
		return nil, err
	}
	return []dedup.UID{uid}, nil
}

// regenCounts is what regen --json prints.
type regenCounts struct {
	Studies int `json:"studies"`
	Written int `json:"written"`
	Removed int `json:"removed"`
	Failed  int `json:"failed"`
}

// round regenerates study by study. What is wrong with one does not keep the others.
func (c *regenCommand) round(ctx context.Context, t *terminal, g *regen.Generator, studies []dedup.UID) error {
	var n regenCounts
	bar := t.progress("regenerating", -1)
	defer bar.finish()
	for i, uid := range studies {
		bar.study(i+1, len(studies))
		res, err := g.Study(ctx, uid, time.Now())
		bar.add(res.Bytes)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist) && c.Study == "":
			continue // a folder in which nothing was finished yet
		case errors.Is(err, fs.ErrNotExist):
			return fault{code: exitFault, err: fmt.Errorf("there is no study %s in %s", uid, c.Tree), next: "leave --study out to regenerate everything"}
		case durable.IsFull(err):
			return fault{code: exitFault, err: fmt.Errorf("the disk of %s is full", c.Current), next: "make room for " + c.Current + " and regenerate again: what is there is whole"}
		case err != nil:
			n.Failed++
			fmt.Fprintf(t.err, "failed   %v\n", err)
			continue
		}
		n.Studies++
		n.Written += res.Wrote
		n.Removed += res.Removed
		if res.Placeless > 0 {
			fmt.Fprintf(t.err, "left out %d instances of %s: nothing tells their series\n", res.Placeless, uid)
		}
	}
	bar.finish()
	return c.summary(t, n)
}

// summary prints the counts.
func (c *regenCommand) summary(t *terminal, n regenCounts) error {
	if c.JSON {
		if err := json.NewEncoder(t.out).Encode(n); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(t.out, "%d studies: wrote %d files, %d are not wanted any more\n", n.Studies, n.Written, n.Removed)
	}
	if n.Failed > 0 {
		return fault{code: exitFault, err: fmt.Errorf("%d studies could not be regenerated", n.Failed),
			next: "see what is wrong with the archive: dicomesh verify --tree " + c.Tree}
	}
	return nil
}
