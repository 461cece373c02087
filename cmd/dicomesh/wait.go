package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
)

// waitCommand waits for a site.
type waitCommand struct {
	asking
	Whole   bool          `help:"Until the cluster is whole."`
	Level   bool          `help:"Until all sites hold the same."`
	Settled bool          `help:"Until all studies are settled and nothing waits in the inbox. Studies in conflict wait for a human, and nobody waits for them."`
	Study   string        `placeholder:"UID" help:"Of this study alone."`
	Timeout time.Duration `default:"60s" placeholder:"TIME" help:"How long at most (${default})."`
}

// Help is shown by dicomesh wait --help.
func (waitCommand) Help() string {
	return `Returns when everything that is asked for holds, for scripts. It also waits for an agent that is still starting.

    --whole    all expected links between the sites that are waited for work
               both ways
    --level    every site that is waited for holds the same as this one,
               complete and durable; one that is acknowledged as down is not
               waited for
    --settled  every study is published and proven to be the same everywhere,
               and nothing waits in the inbox; studies in conflict wait for a
               human, and nobody waits for them

Exit codes: 0 all of it holds, 2 nothing was asked for, 3 no agent was reached in all that time, 4 the time is over: what is wanting is said on stderr. With --timeout 0s it is a question, and answered
at once.

Examples:

    cp -r scans site/inbox/ && dicomesh wait --data site --settled
    dicomesh wait --data site --level --study 1.2.840.113619.2.1 --timeout 5m
    dicomesh wait --data site --whole --timeout 0s || echo "it is not whole"`
}

// retry is how long it takes until an agent that was not there is asked again.
const retry = 100 * time.Millisecond

// Run asks until the condition holds or the time is over.
func (c *waitCommand) Run(ctx context.Context, t *terminal) error {
	if !c.Whole && !c.Level && !c.Settled {
		return fault{code: exitUsage, err: errors.New("say what to wait for: --whole, --level or --settled"), next: "see: dicomesh wait --help"}
	}
	if c.Study != "" {
		if _, err := studyUID("--study", c.Study); err != nil {
			return err
		}
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	what, end := admin.Condition{Whole: c.Whole, Level: c.Level, Settled: c.Settled, Study: c.Study}, time.Now().Add(c.Timeout)
	for {
		answer, err := client.Wait(ctx, what, max(0, time.Until(end)))
		over := time.Now().After(end)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && answer.Holds:
			return nil
		case err == nil && over:
			return fault{code: exitInVain, err: fmt.Errorf("waited %v in vain: %s", c.Timeout, answer.Reason), next: "see: dicomesh status --data " + c.Data}
		case err != nil && (over || !errors.Is(err, admin.ErrUnreachable)):
			return c.reached(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(retry, max(0, time.Until(end)))):
		}
	}
}
