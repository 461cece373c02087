package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
)

// everywhere tells what happened at all sites of the cluster.
func (c *eventsCommand) everywhere(ctx context.Context, t *terminal, client *admin.Client) error {
	if c.Follow {
		return fault{code: exitUsage, err: errors.New("--follow goes on with what happens at this site alone"), next: "leave out --all, or --follow"}
	}
	all, err := client.Everywhere(ctx, c.Last)
	if err != nil {
		return c.reached(err)
	}
	for _, e := range all.Events {
		if c.JSON {
			err = t.encode(e)
		} else {
			_, err = io.WriteString(t.out, happenedText(e, t.width()))
		}
		if err != nil {
			return err
		}
	}
	if len(all.Silent) == 0 {
		return nil
	}
	var words []string
	for _, s := range all.Silent {
		words = append(words, s.Site+": "+s.Reason)
	}
	return fault{code: exitFault, err: fmt.Errorf("not all sites could be asked (%s)", strings.Join(words, "; ")), next: "see: dicomesh sites --data " + c.Data}
}

// happenedText is an event of any site, for people: one line where it has room, else what it is about and why below it.
func happenedText(e events.Event, columns int) string {
	const below = "    "
	head := fmt.Sprintf("%s  %-12s  %-10s", e.Time.Local().Format(time.DateTime), e.Site, e.Kind)
	rest := slices.DeleteFunc([]string{e.Study, e.Reason}, func(w string) bool { return w == "" })
	if line := strings.TrimRight(strings.Join(append([]string{head}, rest...), "  "), " "); len([]rune(line)) <= columns {
		return line + "\n"
	}
	text := flow(head, columns, below) + "\n"
	for _, w := range rest {
		text += below + flow(w, columns, below) + "\n"
	}
	return text
}
