package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
)

// sitesCommand lists the members of the cluster.
type sitesCommand struct {
	asking
	showing
}

// Help is shown by dicomesh sites --help.
func (sitesCommand) Help() string {
	return `Lists the sites of the cluster as this one knows them: whether they are up, when they were last heard, and what they lack or have that this site has not.

Examples:

    dicomesh sites --data site
    dicomesh sites --data site --json`
}

// Run asks and prints.
func (c *sitesCommand) Run(ctx context.Context, t *terminal) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return c.every(ctx, t, func() error {
		status, err := client.Status(ctx)
		switch {
		case err != nil:
			return c.reached(err)
		case c.JSON:
			return t.encode(status.Sites)
		}
		printSites(t, status.Sites)
		printLines(t, status.Links)
		printAlarms(t, status.Alarms)
		return nil
	})
}

// printSites prints sites for people.
func printSites(t *terminal, sites []admin.Site) {
	list := t.table("SITE", "ROLE", "STATE", "LAST HEARD", "DIFFERS IN")
	for i, site := range sites {
		heard, differs := "", "nothing"
		switch {
		case i == 0 && site.LastSeen == 0 && len(site.Links) == 0, site.LastSeen == 0 && site.State == "up" && len(site.Links) == 0:
			differs = ""
		case site.LastSeen > 0:
			heard = fmt.Sprintf("%.0f s ago", site.LastSeen)
		default:
			heard, differs = "never", "not known"
		}
		if n := site.Lag.Studies; n > 0 {
			differs = fmt.Sprintf("%d studies, %s, for %.0f s", n, size(site.Lag.Bytes), site.Lag.Seconds)
		}
		list.AppendRow([]any{site.Name, site.Role, site.State, heard, differs})
	}
	list.Render()
}

// printLines prints every link that is expected, each direction with the age of its last word.
func printLines(t *terminal, lines []admin.Line) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintln(t.out)
	list := t.table("FROM", "TO", "STATE", "LAST WORD")
	for _, l := range lines {
		list.AppendRow(append([]any{l.A, l.B}, wayWords(l.There)...))
		list.AppendRow(append([]any{l.B, l.A}, wayWords(l.Back)...))
	}
	list.Render()
}

func wayWords(w admin.Way) []any {
	if w.Silent < 0 {
		return []any{w.State, "none yet"}
	}
	return []any{w.State, fmt.Sprintf("%.1f s ago", w.Silent)}
}

// printAlarms prints what is odd about the roster: who operates the cluster must look at it.
func printAlarms(t *terminal, alarms []admin.Alarm) {
	for _, a := range alarms {
		fmt.Fprintf(t.out, "%-9s %s: %s\n", "alarm", a.Site, a.Reason)
	}
}

// diffCommand says what another site holds otherwise.
type diffCommand struct {
	asking
	showing
	Site  string `arg:"" name:"site" help:"The other site."`
	Limit int    `default:"100" placeholder:"N" help:"Studies to list (${default})."`
}

// Help is shown by dicomesh diff --help.
func (diffCommand) Help() string {
	return `Says which studies another site holds otherwise than this one, since when, and what keeps them from becoming the same. Exit code 1 if any differs, or if that
is not known because there is no link.

Example:

    dicomesh diff --data site hospital-b`
}

// Run asks and prints.
func (c *diffCommand) Run(ctx context.Context, t *terminal) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	var d admin.Diff
	err = c.every(ctx, t, func() error {
		d, err = client.Diff(ctx, c.Site, c.Limit)
		switch {
		case errors.Is(err, admin.ErrUnknown):
			return fault{code: exitFault, err: fmt.Errorf("there is no other site %s in this cluster", c.Site), next: "see which there are: dicomesh sites --data " + c.Data}
		case err != nil:
			return c.reached(err)
		case c.JSON:
			return t.encode(d)
		}
		printDiff(t, d)
		return nil
	})
	if err == nil && (d.Total > 0 || !d.Level) {
		return fault{code: exitFault, err: fmt.Errorf("%s is not level with this site", c.Site)}
	}
	return err
}

// printDiff prints a difference for people.
func printDiff(t *terminal, d admin.Diff) {
	switch {
	case !d.Linked:
		fmt.Fprintf(t.out, "%s  no link: what is known is from before\n", d.Site)
	case d.Level && d.Total == 0:
		fmt.Fprintf(t.out, "%s  level: it holds the same of every study\n", d.Site)
	default:
		fmt.Fprintf(t.out, "%s  %d studies differ\n", d.Site, d.Total)
	}
	if !d.Dated.IsZero() {
		fmt.Fprintf(t.out, "%s  held its index against its disk at %s\n", d.Site, d.Dated.Local().Format(time.DateTime))
	}
	if len(d.Studies) == 0 {
		return
	}
	list := t.table("STUDY", "HERE", "THERE", "SINCE", "WHY")
	columns := max(t.width()-len("incomplete  incomplete  1,000 s  it lacks something that is here  "), 16)
	for _, x := range d.Studies {
		list.AppendRow([]any{fit(x.Study, columns), x.Here, x.There, fmt.Sprintf("%.0f s", x.Seconds), x.Why})
	}
	list.Render()
}
