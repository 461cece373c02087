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
	return `Lists the sites of the cluster as this one knows them: whether they are up, when they were last heard, and what they have not got of what others have: how many studies,
at most how many bytes, and for how long. A site is marked for a day
after what it sent was refused: it lies, or its disk does. Then every link that is expected, each way.

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
		printSites(t, status.Site, status.Sites)
		printMarks(t, status.Sites)
		printLines(t, status.Links)
		printAlarms(t, status.Alarms)
		return nil
	})
}

// printSites prints sites for people, as the site own knows them.
func printSites(t *terminal, own string, sites []admin.Site) {
	list := t.table("SITE", "ROLE", "STATE", "LAST HEARD", "LACKS")
	narrow(list, t.columns(), len("standby"), 15, len("599 min ago"), 20)
	for _, site := range sites {
		list.AppendRow([]any{site.Name, site.Role, t.paintState(site.State) + markWord(site), heardWords(own, site), lacksWords(own, site)})
	}
	list.Render()
}

func heardWords(own string, s admin.Site) string {
	switch {
	case s.Name == own:
		return "this site"
	case s.LastSeen > 0:
		return ago(s.LastSeen) + " ago"
	}
	return "never"
}

// lacksWords is what a site has not got of what the others have. Of one that this site has no link with, or that has not been compared, nobody knows all of it.
func lacksWords(own string, s admin.Site) string {
	words := lagWords(s.Lag.Studies, s.Lag.Bytes, s.Lag.Seconds)
	switch {
	case s.Name == own:
		return words
	case s.Lag.Studies == 0 && (s.State != "up" || s.NotLevel != "" || s.LastSeen == 0):
		return "not known"
	case s.State != "up":
		return "at least " + words
	}
	return words
}

// markWord is what the state of a site that is marked ends with.
func markWord(s admin.Site) string {
	if s.Mark == nil {
		return ""
	}
	return ", marked"
}

// printMarks says of each site that is marked what it did, and until when it is.
func printMarks(t *terminal, sites []admin.Site) {
	for _, s := range sites {
		if s.Mark == nil {
			continue
		}
		said := fmt.Sprintf("%s: what it sent was refused, %s, the last time %s ago: %s", s.Name, times(s.Mark.Times), ago(s.Mark.Seconds), s.Mark.Reason)
		if s.Mark.AskedLast {
			said += "; it is asked after all others until a study comes from it"
		}
		fmt.Fprint(t.out, field("marked", said+"; the mark ends "+s.Mark.Until.Local().Format(time.DateTime), t.columns()))
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// printLines prints every link that is expected, each direction with the age of its last word.
func printLines(t *terminal, lines []admin.Line) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintln(t.out)
	list := t.table("FROM", "TO", "STATE", "LAST WORD")
	narrow(list, t.columns(), 28, len("unknown"), len("599.9 min ago"))
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
	if w.Silent >= 600 {
		return []any{w.State, ago(w.Silent) + " ago"}
	}
	return []any{w.State, fmt.Sprintf("%.1f s ago", w.Silent)}
}

// printAlarms prints what is odd about the roster: who operates the cluster must look at it.
func printAlarms(t *terminal, alarms []admin.Alarm) {
	for _, a := range alarms {
		fmt.Fprint(t.out, field("alarm", a.Site+": "+a.Reason, t.columns()))
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
	return `Says which studies another site holds otherwise than this one, since when, and what keeps them from becoming the same:

    on its way  it is being fetched, or waits for its turn
    refused     what came was not what was asked for; it is asked for again,
                later and later
    no source   none of the sites that are reached has all of it
    held back   a disk is below its watermark
    no link     what is known of the site is from before

Exit code 1 if any study differs, or if that is not known because there is no link.

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
	columns := t.columns()
	said := "no link: what is known is from before"
	switch {
	case !d.Linked:
	case d.Level && d.Total == 0:
		said = "level: it holds the same of every study"
	case d.Total == 1:
		said = "1 study differs"
	default:
		said = fmt.Sprintf("%d studies differ", d.Total)
	}
	fmt.Fprintln(t.out, flow(d.Site+"  "+said, columns, ""))
	if !d.Dated.IsZero() {
		fmt.Fprintln(t.out, flow(d.Site+"  held its index against its disk at "+d.Dated.Local().Format(time.DateTime), columns, ""))
	}
	for _, x := range d.Studies {
		fmt.Fprint(t.out, differenceText(x, columns))
	}
	if more := d.Total - len(d.Studies); more > 0 {
		fmt.Fprintf(t.out, "and %d more: --limit shows them\n", more)
	}
}

// differenceText is a study that differs, for people: it, how it differs, and why.
func differenceText(x admin.Difference, columns int) string {
	lacks := "differs"
	switch {
	case x.Lacks:
		lacks = "missing there"
	case x.Here == "nothing":
		lacks = "missing here"
	}
	const below = "    "
	return x.Study + "\n" + below + flow(fmt.Sprintf("%s for %s: %s here, %s there", lacks, ago(x.Seconds), x.Here, x.There), columns, below) + "\n" + below + flow(x.Why, columns, below) + "\n"
}
