package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
)

// studiesCommand lists studies.
type studiesCommand struct {
	asking
	showing
	State string `enum:"settled,published,syncing,held,incomplete,conflict," default:"" placeholder:"WORD" help:"Only those in this state (see: dicomesh status --help)."`
	Held  bool   `help:"Only those that are held back, each with the reason."`
}

// Help is shown by dicomesh studies --help.
func (studiesCommand) Help() string {
	return `Lists the studies that the site knows, those that changed last at the end. With --json a line of JSON for each. Those that are held, incomplete or in conflict have the reason below,
when they are asked for.

Examples:

    dicomesh studies --data site
    dicomesh studies --data site --held
    dicomesh studies --data site --state incomplete --json`
}

// page is how many studies are asked for at once.
const page = 1000

// Run asks page by page and prints.
func (c *studiesCommand) Run(ctx context.Context, t *terminal) error {
	switch {
	case c.Held && c.State != "" && c.State != "held":
		return fault{code: exitUsage, err: fmt.Errorf("--held and --state %s: a study is in one state", c.State), next: "leave one of them out"}
	case c.Held:
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
		for after, head := uint64(0), !how.JSON; ; head = false {
			rows, err := client.Studies(ctx, admin.Query{After: after, State: state, Limit: page})
			if err != nil {
				return a.reached(err)
			}
			if head {
				fmt.Fprintf(t.out, rowForm, "STATE", "SERIES", "INSTANCES", "BYTES", "STUDY")
			}
			for _, row := range rows {
				after = row.Change
				if how.JSON {
					err = t.encode(row)
				} else {
					_, err = io.WriteString(t.out, t.paintState(row.State)+strings.TrimPrefix(rowText(row, t.width(), state), row.State))
				}
				if err != nil {
					return err
				}
			}
			if len(rows) < page {
				return nil
			}
		}
	})
}

// rowForm is a line of a list of studies.
const rowForm = "%-10s  %6v  %9v  %8s  %s\n"

// rowText is a study in a list of those in a state ("": all), for people: its UID has a line of its own where there is no room for all of it, and so has what it waits for.
func rowText(row admin.Row, columns int, state string) string {
	const below = "    "
	line := fmt.Sprintf(rowForm, row.State, row.Series, row.Instances, size(row.Bytes), row.Study)
	if utf8.RuneCountInString(line)-1 > columns {
		line = strings.TrimRight(fmt.Sprintf(rowForm, row.State, row.Series, row.Instances, size(row.Bytes), ""), " \n") + "\n" + below + row.Study + "\n"
	}
	if row.Reason != "" && (state == "held" || state == "conflict" || state == "incomplete") {
		line += below + flow(row.Reason, columns, below) + "\n"
	}
	return line
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
