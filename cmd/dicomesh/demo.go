package main

import (
	"context"
	"os"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/demo"
)

// demoCommand shows what dicomesh does.
type demoCommand struct {
	Keep bool `help:"Leave the three sites running until interrupted, to look at their pages, and their folder afterwards."`
}

// Help is shown by dicomesh demo --help.
func (demoCommand) Help() string {
	return `Runs three sites on this machine, in a folder of their own: studies are received at each of them, the hospital is cut off and comes back, and in the end it is proved
that all hold the same and give back what they took. It takes about a minute, needs no rights, and cleans up after itself.

Examples:

    dicomesh demo
    dicomesh demo --keep`
}

// Run tells the story.
func (c *demoCommand) Run(ctx context.Context, t *terminal) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	config := demo.Config{Program: program, Keep: c.Keep, Out: t.out}
	if t.shown {
		config.Live = t.out
	}
	return demo.Run(ctx, config)
}
