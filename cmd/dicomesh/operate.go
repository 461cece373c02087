package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/gossip/identity"
	"github.com/dicomesh/dicomesh/gossip/roster"
)

// ackDownCommand takes a site that is down out of the count.
type ackDownCommand struct {
	asking
	recovering
	Site   string        `arg:"" name:"site" help:"The site that is down."`
	For    time.Duration `default:"24h" placeholder:"TIME" help:"For how long (${default})."`
	Until  time.Time     `format:"2006-01-02T15:04" placeholder:"TIME" help:"Until when, local time, as 2026-01-31T18:00; instead of --for."`
	Cancel bool          `help:"Wait for the site again."`
}

// Help is shown by dicomesh ack-down --help.
func (ackDownCommand) Help() string {
	return `Says that a site is known to be down, so that the others do not wait for it: until then the cluster counts as whole without it, and studies settle. That is visible in
status and in every certificate. When the time is over the others wait for it again. When it comes back it is brought level before it counts.

Examples:

    dicomesh ack-down --data site hospital-b --for 72h
    dicomesh ack-down --data site hospital-b --cancel
    dicomesh ack-down --data site hospital-b --recovery key.txt`
}

// Run tells the agent.
func (c *ackDownCommand) Run(ctx context.Context, t *terminal) error {
	until := time.Now().Add(c.For)
	if !c.Until.IsZero() {
		until = time.Date(c.Until.Year(), c.Until.Month(), c.Until.Day(), c.Until.Hour(), c.Until.Minute(), 0, 0, time.Local)
	}
	if !c.Cancel && !until.After(time.Now()) {
		return fault{code: exitUsage, err: fmt.Errorf("%s is over already", until.Format(time.DateTime)), next: "name a time that is to come, or --cancel"}
	}
	if !c.Cancel && until.After(time.Now().Add(roster.MaxDown)) {
		return fault{code: exitUsage, err: fmt.Errorf("%s is more than %.0f days ahead", until.Format(time.DateTime), roster.MaxDown.Hours()/24), next: "name a time that is nearer, and another one when it has come"}
	}
	if c.Cancel {
		until = time.Time{}
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	key, err := c.key()
	if err != nil {
		return err
	}
	if err := c.operated(c.Site, client.AckDown(ctx, admin.Order{Site: c.Site, Until: until, Recovery: key})); err != nil {
		return err
	}
	if c.Cancel {
		fmt.Fprintf(t.out, "%s is waited for again\n", c.Site)
		return nil
	}
	fmt.Fprintf(t.out, "%s is not waited for until %s\n", c.Site, until.Local().Format(time.DateTime))
	return nil
}

// removeCommand takes a site out of the cluster for ever.
type removeCommand struct {
	asking
	recovering
	Site string `arg:"" name:"site" help:"The site to remove."`
	Yes  bool   `help:"Do it: without this the command says what it would do."`
}

// Help is shown by dicomesh remove --help.
func (removeCommand) Help() string {
	return `Takes a site out of the cluster for ever: its links are closed, nobody waits for it any more, and its key is not taken again. What it holds stays where it is. A site
that is only down for some days is better acknowledged: dicomesh ack-down.

Examples:

    dicomesh remove --data site hospital-b --yes
    dicomesh remove --data site hospital-b --yes --recovery -`
}

// Run tells the agent.
func (c *removeCommand) Run(ctx context.Context, t *terminal) error {
	if !c.Yes {
		return fault{code: exitUsage, err: fmt.Errorf("%s would be removed for ever", c.Site), next: "if that is meant: dicomesh remove --data " + c.Data + " " + c.Site + " --yes"}
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	key, err := c.key()
	if err != nil {
		return err
	}
	if err := c.operated(c.Site, client.Remove(ctx, admin.Order{Site: c.Site, Recovery: key})); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "%s was removed from the cluster\n", c.Site)
	return nil
}

// recovering is for when no site is left that may sign for operators.
type recovering struct {
	Recovery string `placeholder:"FILE" help:"File with the recovery key that dicomesh init printed (- for the terminal or a pipe): where no operator credential is left."`
}

// key is the recovery key, "" where none is given. It is read from a file and never from the command line, which others on this machine can see.
func (r recovering) key() (string, error) {
	if r.Recovery == "" {
		return "", nil
	}
	text, err := os.ReadFile(r.Recovery)
	if r.Recovery == "-" {
		text, err = io.ReadAll(io.LimitReader(os.Stdin, 1<<10))
	}
	if err == nil {
		_, err = identity.ParseRecovery(string(text))
	}
	if err != nil {
		return "", fault{code: exitUsage, err: fmt.Errorf("--recovery: %w", err), next: "name the file that holds it, or - to type it"}
	}
	return strings.TrimSpace(string(text)), nil
}

// operated gives an error of an order its exit code and what to do about it.
func (a asking) operated(site string, err error) error {
	switch {
	case errors.Is(err, admin.ErrUnknown):
		return fault{code: exitFault, err: fmt.Errorf("there is no other site %s in this cluster", site), next: "see which there are: dicomesh sites --data " + a.Data}
	case errors.Is(err, admin.ErrUnreachable):
		return a.reached(err)
	case err != nil:
		return fault{code: exitFault, err: err, next: "see how the cluster is: dicomesh sites --data " + a.Data}
	}
	return nil
}
