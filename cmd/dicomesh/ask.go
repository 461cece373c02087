package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/jedib0t/go-pretty/v6/table"
	"golang.org/x/term"
)

// asking is what the commands that ask a running agent have in common.
type asking struct {
	Data   string `default:"." placeholder:"DIR" env:"DICOMESH_DATA" help:"The site's folder; this one, if it is not named."`
	Config string `placeholder:"FILE" help:"The agent's configuration, if it has one elsewhere than in DIR."`
}

// client is for the agent of the folder.
func (a asking) client() (*admin.Client, error) {
	set, err := config.Load(a.Data, a.Config)
	if err != nil {
		return nil, badConfig(err)
	}
	return admin.NewClient(set.Paths.State), nil
}

// badConfig says what to do about a configuration that cannot be used.
func badConfig(err error) error {
	var file *fs.PathError
	next := "every key is explained by: dicomesh agent --default-config"
	if errors.As(err, &file) {
		next = "name the site's folder with --data DIR, or the configuration with --config FILE, and read it as the user who owns it"
	}
	return fault{code: exitUsage, err: err, next: next}
}

// reached gives an error of the client its exit code and what to do about it.
func (a asking) reached(err error) error {
	if !errors.Is(err, admin.ErrUnreachable) {
		return err
	}
	where, _, _ := strings.Cut(err.Error(), ": ")
	why, next := "it does not run", "start it: dicomesh agent --data "+a.Data
	var folder *fs.PathError
	switch {
	case errors.Is(err, fs.ErrPermission):
		why, next = "this user may not ask it", "ask as the user that it runs as, as: sudo -u dicomesh dicomesh ..."
	case errors.As(err, &folder):
		why, next = "there is no such folder", next+"; or name the folder of one that runs with --data DIR"
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED):
		return fault{code: exitUnreachable, err: err, next: "if it has ended, " + next}
	}
	return fault{code: exitUnreachable, err: fmt.Errorf("%s: %s", where, why), next: next}
}

// noticed is how long a command waits for an agent to hear what it has done.
const noticed = 5 * time.Second

// tellAgent tells the agent of a tree, if one runs, in which studies something was written: then they do not count as settled any more when the command ends. An agent that
// does not hear it notices by itself.
func tellAgent(ctx context.Context, t *terminal, tree string, studies []string) {
	state, err := index.Locate(tree, "")
	if err != nil || len(studies) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, noticed)
	defer cancel()
	if err := admin.NewClient(state).Touch(ctx, studies); err != nil {
		t.log.Debug("no agent was told, one that runs notices by itself", "error", err)
	}
}

// showing is how answers are printed.
type showing struct {
	JSON  bool `name:"json" help:"Print JSON."`
	Watch bool `help:"Again every second, until interrupted."`
}

// every shows once, or every second.
func (s showing) every(ctx context.Context, t *terminal, show func() error) error {
	for {
		if s.Watch && !s.JSON && t.shown {
			fmt.Fprint(t.out, "\x1b[H\x1b[2J") // to the top of a screen that is empty
		}
		if err := show(); err != nil || !s.Watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// encode prints a value as one line of JSON.
func (t *terminal) encode(value any) error { return json.NewEncoder(t.out).Encode(value) }

// table begins a table that is printed by its Render.
func (t *terminal) table(head ...any) table.Writer {
	w := table.NewWriter()
	w.SetOutputMirror(t.out)
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = 0
	style.Box.PaddingLeft = ""
	style.Box.PaddingRight = "  "
	w.SetStyle(style)
	w.SuppressTrailingSpaces()
	w.AppendHeader(head)
	return w
}

// width is how many columns a line may have: a terminal's; what is not looked at by people is not cut.
func (t *terminal) width() int {
	if !t.shown {
		return 1 << 20
	}
	if columns, _, err := term.GetSize(int(t.screen.Fd())); err == nil && columns > 40 {
		return columns
	}
	return 80
}

// fit shortens a UID to so many columns, in the middle: its beginning says who made it, its end which one it is.
func fit(uid string, columns int) string {
	if len(uid) <= columns || columns < 9 {
		return uid
	}
	tail := (columns - 1) * 2 / 3
	return uid[:columns-1-tail] + "…" + uid[len(uid)-tail:]
}
