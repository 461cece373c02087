package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
)

// studyCommand tells of one study.
type studyCommand struct {
	asking
	showing
	UID string `arg:"" name:"uid" help:"The Study Instance UID."`
}

// Help is shown by dicomesh study --help.
func (studyCommand) Help() string {
	return `Says in which state a study is and why, what is missing of it, and which sites hold it: level is the same as here, complete is everything that it
refers to, durable survives a power cut. A study is safe at a site that is all three; of every other one it says why it is not, or is not known to be.

Example:

    dicomesh study --data site 1.2.840.113619.2.1`
}

// Run asks and prints.
func (c *studyCommand) Run(ctx context.Context, t *terminal) error {
	if _, err := studyUID("<uid>", c.UID); err != nil {
		return err
	}
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
	columns := t.columns()
	fmt.Fprintln(t.out, s.Study)
	state := s.State
	if s.Provisional {
		state += ", with provisional output"
	}
	if s.Reason != "" {
		state += ": " + s.Reason
	}
	lines := [][2]string{{"state", state}, {"holds", fmt.Sprintf("%d instances of %d series, %s", s.Instances, s.Series, size(s.Bytes))}, {"leaves", s.Leaf}}
	for _, m := range s.Missing {
		lines = append(lines, [2]string{"missing", m})
	}
	if more := s.MissingCount - len(s.Missing); more > 0 {
		lines = append(lines, [2]string{"", fmt.Sprintf("and %d more", more)})
	}
	for _, f := range s.Faults {
		lines = append(lines, [2]string{"fault", f.Path + ": " + f.Reason})
	}
	lines = append(lines, [2]string{"safe", elsewhere(s)})
	for n, h := range s.Holders {
		words := safety(h)
		if n == 0 {
			words = h.Site + ": " + holderWords(h) + " (this site)"
		}
		lines = append(lines, [2]string{"at", words})
	}
	for _, l := range lines {
		fmt.Fprint(t.out, field(l[0], l[1], columns))
	}
}

// elsewhere answers whether a study is safe at another site, in a sentence. What this site holds is the first of the holders.
func elsewhere(s admin.Study) string {
	var safe, not []string
	for _, h := range s.Holders[min(1, len(s.Holders)):] {
		if h.Safe() {
			safe = append(safe, h.Site)
		} else {
			not = append(not, h.Site)
		}
	}
	switch {
	case len(safe)+len(not) == 0:
		return "at no other site: this one is alone"
	case len(safe) == 0:
		return "at no other site yet: " + strings.Join(not, ", ") + " may not hold all of it"
	case len(not) == 0:
		return "at every other site: " + strings.Join(safe, ", ")
	}
	return "at " + strings.Join(safe, ", ") + "; not known to be at " + strings.Join(not, ", ")
}

// safety answers whether a study is safe at one other site, in a sentence, and why not.
func safety(h admin.Holder) string {
	switch {
	case h.Safe():
		return h.Site + ": safe: it holds the same as this site, all of it, durably"
	case h.Waived:
		return h.Site + ": not known to be safe: " + h.Why
	case h.Why == "":
		return h.Site + ": not safe yet: " + holderWords(h)
	}
	return h.Site + ": not safe yet: " + h.Why
}

// holderWords is what a site says that it holds.
func holderWords(h admin.Holder) string {
	words := []string{}
	for _, w := range []struct {
		has      bool
		yes, not string
	}{{h.Level, "level", "not level"}, {h.Complete, "complete", "not complete"}, {h.Durable, "durable", "not durable"}} {
		if w.has {
			words = append(words, w.yes)
		} else {
			words = append(words, w.not)
		}
	}
	return strings.Join(words, ", ")
}
