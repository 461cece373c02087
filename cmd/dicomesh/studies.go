package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
)

// studiesCommand lists studies.
type studiesCommand struct {
	asking
	showing
	State string `enum:"settled,published,syncing,held,incomplete,conflict," default:"" xor:"state" placeholder:"WORD" help:"Only those in this state (see: dicomesh status --help)."`
	Held  bool   `xor:"state" help:"Only those that are held back, each with the reason."`
}

// Help is shown by dicomesh studies --help.
func (studiesCommand) Help() string {
	return `Lists the studies that the site knows, those that changed last at the end. With --json a line of JSON for each.

Examples:

    dicomesh studies --data site
    dicomesh studies --data site --held
    dicomesh studies --data site --state incomplete --json`
}

// page is how many studies are asked for at once.
const page = 1000

// Run asks page by page and prints.
func (c *studiesCommand) Run(ctx context.Context, t *terminal) error {
	if c.Held {
		c.State = "held"
	}
	return c.list(ctx, t, c.showing, c.State)
}

// list prints the studies in a state ("": all), page by page. Of those that wait for something it says for what.
func (a asking) list(ctx context.Context, t *terminal, how showing, state string) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	return how.every(ctx, t, func() error {
		list := t.table("STATE", "SERIES", "INSTANCES", "BYTES", "STUDY")
		columns := max(t.width()-len("incomplete  SERIES  INSTANCES  999.9 MB  "), 20)
		for after := uint64(0); ; {
			rows, err := client.Studies(ctx, admin.Query{After: after, State: state, Limit: page})
			if err != nil {
				return a.reached(err)
			}
			for _, row := range rows {
				after = row.Change
				if how.JSON {
					if err := t.encode(row); err != nil {
						return err
					}
					continue
				}
				list.AppendRow([]any{row.State, row.Series, row.Instances, size(row.Bytes), fit(row.Study, columns)})
				if row.Reason != "" && (state == "held" || state == "conflict") {
					list.AppendRow([]any{"", "", "", "", fit(row.Reason, columns)})
				}
			}
			if len(rows) == page {
				continue
			}
			if !how.JSON {
				list.Render()
			}
			return nil
		}
	})
}

// conflictsCommand lists what waits for a human.
type conflictsCommand struct {
	asking
	showing
}

// Help is shown by dicomesh conflicts --help.
func (conflictsCommand) Help() string {
	return `Lists the studies that wait for a human: two objects of one instance that say different things, or variants of one file. Both are kept, every site shows the same one, and a
correction resolves it. With --json a line of JSON for each.

Example:

    dicomesh conflicts --data site`
}

// Run asks and prints.
func (c *conflictsCommand) Run(ctx context.Context, t *terminal) error {
	return c.list(ctx, t, c.showing, "conflict")
}

// studyCommand tells of one study.
type studyCommand struct {
	asking
	showing
	UID string `arg:"" name:"uid" help:"The Study Instance UID."`
}

// Help is shown by dicomesh study --help.
func (studyCommand) Help() string {
	return `Says in which state a study is and why, what is missing of it, and which sites hold it: level is the same as here, complete is everything that it
refers to, durable survives a power cut.

Example:

    dicomesh study --data site 1.2.840.113619.2.1`
}

// Run asks and prints.
func (c *studyCommand) Run(ctx context.Context, t *terminal) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return c.every(ctx, t, func() error {
		study, err := client.Study(ctx, c.UID)
		switch {
		case errors.Is(err, admin.ErrUnknown):
			return fault{code: exitFault, err: fmt.Errorf("nothing is known of study %s", c.UID), next: "see what there is: dicomesh studies --data " + c.Data}
		case err != nil:
			return c.reached(err)
		case c.JSON:
			return t.encode(study)
		}
		printStudy(t, study)
		return nil
	})
}

// printStudy prints a study for people.
func printStudy(t *terminal, s admin.Study) {
	fmt.Fprintf(t.out, "%s\n", s.Study)
	state := s.State
	if s.Provisional {
		state += ", with provisional output"
	}
	if s.Reason != "" {
		state += ": " + s.Reason
	}
	fmt.Fprintf(t.out, "state     %s\nholds     %d instances of %d series, %s\nleaves    %s\n", state, s.Instances, s.Series, size(s.Bytes), s.Leaf)
	for _, m := range s.Missing {
		fmt.Fprintf(t.out, "missing   %s\n", m)
	}
	if more := s.MissingCount - len(s.Missing); more > 0 {
		fmt.Fprintf(t.out, "          and %d more\n", more)
	}
	for _, f := range s.Faults {
		fmt.Fprintf(t.out, "fault     %s: %s\n", f.Path, f.Reason)
	}
	fmt.Fprintln(t.out, elsewhere(s))
	for _, h := range s.Holders {
		fmt.Fprintf(t.out, "at        %s\n", strings.Join(append([]string{h.Site + ":"}, holderWords(h)...), " "))
	}
}

// elsewhere answers whether a study is safe at another site, in a sentence. What this site holds is the first of the holders.
func elsewhere(s admin.Study) string {
	var safe, not []string
	for _, h := range s.Holders[min(1, len(s.Holders)):] {
		if h.Level && h.Complete && h.Durable {
			safe = append(safe, h.Site)
		} else {
			not = append(not, h.Site)
		}
	}
	switch {
	case len(safe)+len(not) == 0:
		return "safe      at no other site: this one is alone"
	case len(safe) == 0:
		return "safe      at no other site yet: " + strings.Join(not, ", ") + " may not hold all of it"
	case len(not) == 0:
		return "safe      at every other site: " + strings.Join(safe, ", ")
	}
	return "safe      at " + strings.Join(safe, ", ") + "; not known to be at " + strings.Join(not, ", ")
}

func holderWords(h admin.Holder) []string {
	words := []string{}
	for _, w := range []struct {
		has      bool
		yes, not string
	}{{h.Level, "level,", "not level,"}, {h.Complete, "complete,", "not complete,"}, {h.Durable, "durable", "not durable"}} {
		if w.has {
			words = append(words, w.yes)
		} else {
			words = append(words, w.not)
		}
	}
	return words
}
