package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
)

// statusCommand says how a site and its cluster are.
type statusCommand struct {
	asking
	showing
}

// Help is shown by dicomesh status --help.
func (statusCommand) Help() string {
	return `Says whether the cluster is whole, how many studies are in which state, what waits in the inbox, and how much room there is.

    settled     published, the same at every site, and nothing changes any more
    published   the DICOMweb files are those of what is held; not settled yet
    syncing     something changed, or is on its way
    held        may not be published, because the cluster is not whole
    incomplete  something that the study refers to is missing
    conflict    published, and waits for a human

Examples:

    dicomesh status --data site
    dicomesh status --data site --json --watch`
}

// Run asks and prints.
func (c *statusCommand) Run(ctx context.Context, t *terminal) error {
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
			return t.encode(status)
		}
		return printStatus(t, status)
	})
}

// printStatus prints a status for people, in lines of 80 columns where names allow.
func printStatus(t *terminal, s admin.Status) error {
	columns := t.columns()
	head := flow(fmt.Sprintf("%s is %s since %s", s.Site, s.State, s.Since.Local().Format(time.DateTime)), columns, "")
	fmt.Fprintln(t.out, strings.Replace(head, s.State+" since", t.paintState(s.State)+" since", 1))
	for _, line := range []struct{ name, text string }{
		{"agent", unless(s.Agent, admin.Running)}, {"reason", s.Reason}, {"cluster", s.Cluster}, {"tree", s.Watch.Unreachable}, {"studies", studyWords(s.Studies)}, {"inbox", inboxWords(s.Inbox)},
		{"lists", combinedWords(s.Combining)},
		{"disk", diskWords(s.Disk)}, {"files", rescanWords(s.Watch)}, {"watching", s.Watch.Limited}, {"page", s.Page},
		{"port", s.Certificate},
	} {
		fmt.Fprint(t.out, field(line.name, line.text, columns))
	}
	printAlarms(t, s.Alarms)
	printMarks(t, s.Sites)
	fmt.Fprint(t.out, field("removed", strings.Join(s.Removed, ", "), columns))
	if len(s.Sites) < 2 {
		return nil
	}
	printSites(t, s.Site, s.Sites)
	return nil
}

func unless(word, usual string) string {
	if word == usual {
		return ""
	}
	return word
}

// studyWords counts studies by state, leaving out the states that none is in.
func studyWords(s admin.Studies) string {
	words := []string{}
	for _, c := range []struct {
		n    int
		word string
	}{{s.Settled, "settled"}, {s.Published, "published"}, {s.Syncing, "syncing"}, {s.Held, "held"}, {s.Incomplete, "incomplete"}, {s.Conflict, "in conflict"}} {
		if c.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	if len(words) == 0 {
		return "none yet"
	}
	text := wrap(fmt.Sprintf("%d:", s.Total), words)
	if s.Provisional > 0 {
		text += fmt.Sprintf("\n%sprovisional output is shown of %d", indent, s.Provisional)
	}
	return text
}

// wrap joins words after a beginning, in lines that fit.
func wrap(text string, words []string) string {
	const room = 80 - len(indent) + 1
	column := len(text)
	for i, word := range words {
		if i+1 < len(words) {
			word += ","
		}
		if column += 1 + len(word); column >= room {
			text, column = text+"\n"+indent[1:], len(word)+1
		}
		text += " " + word
	}
	return text
}

// indent is what the lines of a value begin with, behind its name.
const indent = "          "

func inboxWords(b admin.Inbox) string {
	words := []string{fmt.Sprintf("%d stored", b.Stored), fmt.Sprintf("%d duplicate", b.Duplicate)}
	if b.Conflict > 0 {
		words = append(words, fmt.Sprintf("%d in conflict", b.Conflict))
	}
	if b.Refused > 0 {
		words = append(words, fmt.Sprintf("%d refused", b.Refused))
	}
	text := wrap(fmt.Sprintf("%d waiting; since the start", b.Waiting), words)
	if b.Stuck > 0 {
		text += fmt.Sprintf("\n%s%d stuck: %s", indent, b.Stuck, b.StuckWhy)
	}
	if b.LeftAlone > 0 {
		text += fmt.Sprintf("\n%s%d left alone, by name not finished (.NAME, NAME.part, NAME.tmp)", indent, b.LeftAlone)
	}
	if b.Paused != "" {
		text += "\n" + indent + "nothing is taken: " + b.Paused
	}
	return text
}

// rescanWords says how far what the index says can be believed.
func rescanWords(w admin.Watch) string {
	if w.Rescanned.IsZero() {
		return "not all held against the index since the start of the agent"
	}
	return "all held against the index at " + w.Rescanned.Local().Format(time.DateTime)
}

// combinedWords says what was done to keep the archive small; nothing where there was nothing to do.
func combinedWords(c admin.Combining) string {
	switch {
	case !c.On:
		return "not combined: turned off by combine.enabled"
	case c.Reason != "":
		return "not combined, tried again: " + c.Reason
	case c.Lists+c.Collected == 0:
		return ""
	}
	return wrap(fmt.Sprintf("since the start %d made", c.Lists), []string{fmt.Sprintf("of %d files", c.Inputs), fmt.Sprintf("%d files removed", c.Collected)})
}

func diskWords(d admin.Disk) string {
	text := fmt.Sprintf("%s of %s free", size(int64(d.Free)), size(int64(d.Size)))
	if d.Reason != "" {
		text += "\n" + indent + d.State + ": " + d.Reason
	}
	return text
}
