package main

import (
	"bufio"
	"context"
	"os"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/demo"
)

// demoCommand shows what dicomesh does.
type demoCommand struct {
	Step bool `help:"Wait for Enter before each part of it, so that there is time to look at the sites' pages."`
	Keep bool `help:"Leave the three sites running until interrupted, to look at their pages, and their folder afterwards."`
}

// Help is shown by dicomesh demo --help.
func (demoCommand) Help() string {
	return `Runs three sites on this machine, in a folder of their own: studies are received at each of them, the hospital is cut off and comes back, and in the end it is proved
that all hold the same and give back what they took. It takes about a minute, needs no rights, and cleans up after itself.

Examples:

    dicomesh demo
    dicomesh demo --step
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
	if c.Step {
		config.Next = enters(ctx)
	}
	return demo.Run(ctx, config)
}

// enters is sent a value for each line that is typed, and closed when nobody types any more. Reading a terminal cannot be interrupted: it ends with the program.
func enters(ctx context.Context) <-chan struct{} {
	typed := make(chan struct{})
	go func() {
		defer close(typed)
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			select {
			case typed <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return typed
}
