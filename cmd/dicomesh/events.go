package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
)

// eventsCommand tells what happened.
type eventsCommand struct {
	asking
	JSON   bool `name:"json" help:"A line of JSON for each."`
	Follow bool `aliases:"watch" short:"f" help:"Go on with what happens next, until interrupted."`
	All    bool `help:"Of all sites of the cluster, by time, each with its site."`
	Last   int  `short:"n" default:"50" placeholder:"N" help:"How many of the last ones (${default})."`
}

// Help is shown by dicomesh events --help.
func (eventsCommand) Help() string {
	return `Tells what an operator should know, oldest first: files that were refused and why, files of the archive that do not count, studies that miss something, are in conflict,
published or settled, a disk that is full, a tree that is not there. Older ones are in the state folder, in events/. With --all the other sites are asked as well; exit code 1 if one could not be.

Examples:

    dicomesh events --data site
    dicomesh events --data site --all
    dicomesh events --data site --follow --json`
}

// Run asks and prints.
func (c *eventsCommand) Run(ctx context.Context, t *terminal) error {
	if c.Last < 1 {
		return fault{code: exitUsage, err: fmt.Errorf("--last: %d is less than one", c.Last)}
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	if c.All {
		return c.everywhere(ctx, t, client)
	}
	show := func(e events.Event) error {
		if c.JSON {
			return t.encode(e)
		}
		_, err := io.WriteString(t.out, eventText(e, t.width()))
		return err
	}
	if c.Follow {
		if err := client.Follow(ctx, c.Last, show); err != nil && ctx.Err() == nil {
			return c.reached(err)
		}
		return nil
	}
	list, err := client.Events(ctx, c.Last)
	if err != nil {
		return c.reached(err)
	}
	for _, e := range list {
		if err := show(e); err != nil {
			return err
		}
	}
	return nil
}

// eventText is an event for people: one line where it has room, else what it is about and why below it.
func eventText(e events.Event, columns int) string {
	head := e.Time.Local().Format(time.DateTime) + "  " + fmt.Sprintf("%-10s", e.Kind)
	words := append([]string{head}, slices.DeleteFunc([]string{e.Study, e.Reason}, func(w string) bool { return w == "" })...)
	if line := strings.TrimRight(strings.Join(words, "  "), " "); utf8.RuneCountInString(line) <= columns {
		return line + "\n"
	}
	for i, w := range words[1:] {
		words[i+1] = hang + fold(w, columns-len(hang))
	}
	return strings.TrimRight(words[0], " ") + "\n" + strings.Join(words[1:], "\n") + "\n"
}
