package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/combine"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// tending is what combine and gc have in common.
type tending struct {
	Tree  string `required:"" placeholder:"DIR" help:"The archive. It may be that of a running agent, which notices."`
	Study string `placeholder:"UID" help:"Only this study."`
	Dry   bool   `name:"dry-run" short:"n" help:"Say what would be done, and change nothing."`
	JSON  bool   `name:"json" help:"One line of JSON for each study."`
}

// studies are those that are asked for.
func (c *tending) studies(combiner *combine.Combiner) ([]dedup.UID, error) {
	if c.Study == "" {
		return combiner.Studies()
	}
	uid, err := studyUID("--study", c.Study)
	if err != nil {
		return nil, err
	}
	return []dedup.UID{uid}, nil
}

// tend does something to study after study, and shows how far it is. What is wrong with one does not keep the others.
func (c *tending) tend(ctx context.Context, bar *progress, combiner *combine.Combiner, do func(dedup.UID) error) error {
	studies, err := c.studies(combiner)
	if err != nil {
		return err
	}
	failed := 0
	defer bar.finish()
	for i, uid := range studies {
		bar.study(i+1, len(studies))
		err := do(uid)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, durable.ErrNotStored) && c.Study != "":
			return fault{code: exitFault, err: fmt.Errorf("there is no study %s in %s", uid, c.Tree), next: "leave --study out for all studies"}
		case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, durable.ErrNotStored):
			// A folder in which nothing was finished yet.
		case durable.IsFull(err):
			return fault{code: exitFault, err: err, next: "make room for " + c.Tree + " and do it again: nothing was lost"}
		case err != nil:
			failed++
			fmt.Fprintf(bar.terminal.err, "failed   %v\n", err)
		}
	}
	if failed > 0 {
		return fault{code: exitFault, err: fmt.Errorf("%d studies failed", failed), next: "do it again; if they fail again: dicomesh verify --tree " + c.Tree}
	}
	return nil
}

// combineCommand combines lists and instance files.
type combineCommand struct{ tending }

// Help is shown by dicomesh combine --help.
func (combineCommand) Help() string {
	return `Writes the instance files and lists of each study that count once more, as one list. What the study shows stays the same, and so do all files: gc removes
those that the list has made superfluous. Two sites that combine the same write the same. An agent does this by itself when a study has come to rest.

Left alone is what would say something else in company: lists of static-wado that name what they supersede, and whatever lies where another writer keeps it. A study of which
something is missing is left as it is.

Examples:

    dicomesh combine --tree archive -n
    dicomesh combine --tree archive --study 1.2.840.113619.2.1`
}

// combinedLine is what combine --json prints of a study.
type combinedLine struct {
	Study     string     `json:"study"`
	Status    string     `json:"status"` // combined, planned or unchanged
	Reason    string     `json:"reason,omitempty"`
	List      string     `json:"list,omitempty"`
	Instances int        `json:"instance_files"`
	Lists     int        `json:"lists"`
	Records   int        `json:"records"`
	Bytes     int        `json:"bytes"` // decompressed
	Apart     []keptLine `json:"apart,omitempty"`
}

// keptLine is a file that stays what it is.
type keptLine struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
	Left   int64  `json:"left_s,omitempty"`
}

// Run combines one study or all.
func (c *combineCommand) Run(ctx context.Context, t *terminal) error {
	tree, err := existingTree(c.Tree)
	if err != nil {
		return err
	}
	defer tree.Close()
	bar := t.progress("combining", -1)
	combiner := combine.New(combine.Config{Tree: tree, Advance: bar.add})
	do, did := combiner.Study, "combined"
	if c.Dry {
		do, did = combiner.Combination, "planned"
	}
	return c.tend(ctx, bar, combiner, func(uid dedup.UID) error {
		plan, err := do(ctx, uid)
		if err != nil {
			return err
		}
		line := combinedLineOf(uid, plan, did)
		if c.JSON {
			return json.NewEncoder(t.out).Encode(line)
		}
		return line.print(t)
	})
}

func combinedLineOf(uid dedup.UID, plan combine.Combination, did string) combinedLine {
	line := combinedLine{Study: uid.String(), Status: "unchanged", Reason: plan.Reason, Records: plan.Records, Bytes: len(plan.Content), Apart: keptLines(plan.Apart)}
	if plan.List != (dedup.FileID{}) {
		line.Status, line.List = did, plan.List.Ref.Path()
	}
	for _, id := range plan.Inputs {
		if id.Ref.Class == dedup.List {
			line.Lists++
		} else {
			line.Instances++
		}
	}
	return line
}

func keptLines(kept []combine.Kept) (lines []keptLine) {
	for _, k := range kept {
		lines = append(lines, keptLine{File: k.File.Ref.Path(), Reason: k.Reason, Left: int64(k.Left.Seconds())})
	}
	return lines
}

// print prints the study, and below it what is done and each reason to leave files alone.
func (l combinedLine) print(t *terminal) error {
	what := l.Reason
	if l.List != "" {
		what = fmt.Sprintf("%d instance files and %d lists into %s: %d records, %s", l.Instances, l.Lists, l.List, l.Records, size(int64(l.Bytes)))
	}
	return t.item(l.Status, l.Study, append([]string{what}, keptWords("left alone", l.Apart)...)...)
}

// keptWords says each reason once, with how many files it is about and the first of them.
func keptWords(title string, kept []keptLine) (lines []string) {
	var reasons []string
	files := map[string][]keptLine{}
	for _, k := range kept {
		if files[k.Reason] == nil {
			reasons = append(reasons, k.Reason)
		}
		files[k.Reason] = append(files[k.Reason], k)
	}
	for _, r := range reasons {
		first, more := files[r][0], ""
		if n := len(files[r]) - 1; n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		lines = append(lines, fmt.Sprintf("%s: %s%s: %s", title, first.File, more, r+leftWords(first.Left)))
	}
	return lines
}

// leftWords says how long something is still kept.
func leftWords(seconds int64) string {
	switch {
	case seconds == 0:
		return ""
	case seconds < 3600:
		return fmt.Sprintf(" (for %d more minutes)", (seconds+59)/60)
	}
	return fmt.Sprintf(" (for %d more hours)", (seconds+3599)/3600)
}
