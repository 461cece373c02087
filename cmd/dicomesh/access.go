package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/access"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// accessCommand has the tokens of the HTTP port.
type accessCommand struct {
	Add    accessAdd    `cmd:"" help:"Make a token."`
	List   accessList   `cmd:"" help:"List the tokens, without what opens the port."`
	Remove accessRemove `cmd:"" help:"Take a token back."`
}

// Help is shown by dicomesh access --help.
func (accessCommand) Help() string {
	return `Says who may use a site's HTTP port where its configuration has http.access: required. A token reads (the page, the API, metrics, DICOMweb), or operates:
it may also post instances, acknowledge that a site is down, and remove one. The agent need not run; one that does knows at once.

Examples:

    dicomesh access add --data site wall-monitor
    dicomesh access add --data site router --role operate --ttl 2160h
    dicomesh access list --data site
    dicomesh access remove --data site wall-monitor`
}

// inState is what the commands about tokens have in common.
type inState struct {
	Data   string `default:"." placeholder:"DIR" env:"DICOMESH_DATA" help:"The site's folder; this one, if it is not named."`
	Config string `placeholder:"FILE" help:"The agent's configuration, if it has one elsewhere than in DIR."`
}

// existing opens the state folder of a site that is there. Close it.
func (s inState) existing() (*durable.OS, error) {
	set, err := config.Load(s.Data, s.Config)
	if err != nil {
		return nil, badConfig(err)
	}
	state, err := durable.OpenPrivate(set.Paths.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault{code: exitUsage, err: err, next: "name the folder of a site with --data DIR"}
	}
	return state, err
}

// open opens the state folder, making it where the site has never run. Close it.
func (s inState) open() (*durable.OS, config.Config, error) {
	set, err := config.Load(s.Data, s.Config)
	if err != nil {
		return nil, set, badConfig(err)
	}
	if err := os.MkdirAll(set.Paths.State, 0o700); err != nil {
		return nil, set, fault{code: exitFault, err: err, next: "name a folder that can be written with --data DIR"}
	}
	state, err := durable.OpenPrivate(set.Paths.State)
	return state, set, err
}

// accessAdd makes a token.
type accessAdd struct {
	inState
	Name string        `arg:"" name:"name" help:"What it is called: who has it, or what for."`
	Role string        `default:"read" words:"read,operate" placeholder:"ROLE" help:"read or operate (${default})."`
	TTL  time.Duration `name:"ttl" default:"8760h" placeholder:"TIME" help:"How long it is valid (${default}, a year)."`
}

// Run makes it and prints it, once.
func (c *accessAdd) Run(_ context.Context, t *terminal) error {
	role, err := access.ParseRole(c.Role)
	if err != nil {
		return fault{code: exitUsage, err: fmt.Errorf("--role: %w", err)}
	}
	state, set, err := c.open()
	if err != nil {
		return err
	}
	defer state.Close()
	token, err := access.Add(state, access.Permit{Name: c.Name, Role: role, TTL: c.TTL, Now: time.Now()})
	switch {
	case errors.Is(err, access.ErrTaken):
		return fault{code: exitFault, err: err, next: "take it back first: dicomesh access remove --data " + c.Data + " " + c.Name}
	case errors.Is(err, access.ErrPermit):
		return fault{code: exitUsage, err: err}
	case err != nil:
		return err
	}
	fmt.Fprintln(t.out, token)
	until := time.DateOnly
	if c.TTL < 48*time.Hour {
		until = "2006-01-02 15:04"
	}
	fmt.Fprintf(t.err, "It is shown this once, and cannot be read again. Valid until %s.\n", time.Now().Add(c.TTL).Format(until))
	if set.HTTP.Access != config.Required {
		fmt.Fprintln(t.err, "This site asks nobody for it yet: set http.access to required in config.yaml,\nand start the agent again.")
	}
	return nil
}

// Help is shown by dicomesh access add --help.
func (accessAdd) Help() string {
	return `Prints the token, once: it cannot be read again. Whoever sends it with a request, as "Authorization: Bearer TOKEN", or types it into the page, may read; with --role operate also
post instances, acknowledge that a site is down, and remove one. An agent that runs knows it at once.

Examples:

    dicomesh access add --data site wall-monitor
    dicomesh access add --data site router --role operate --ttl 2160h`
}

// accessList lists tokens.
type accessList struct {
	inState
	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints them.
func (c *accessList) Run(_ context.Context, t *terminal) error {
	state, err := c.existing()
	if err != nil {
		return err
	}
	defer state.Close()
	all, err := access.List(state)
	if err != nil {
		return err
	}
	if c.JSON {
		return t.encode(append([]access.Grant{}, all...))
	}
	list := t.table("NAME", "ROLE", "MADE", "UNTIL", "")
	for _, g := range all {
		note := ""
		if !time.Now().Before(g.Until) {
			note = "expired"
		}
		list.AppendRow([]any{fit(g.Name, max(t.width()-len("operate  2006-01-02  2006-01-02  expired  "), 16)), g.Role, g.Made.Local().Format(time.DateOnly), g.Until.Local().Format(time.DateOnly), note})
	}
	list.Render()
	return nil
}

// Help is shown by dicomesh access list --help.
func (accessList) Help() string {
	return `Lists who has a token, what it allows, when it was made and until when it is valid. The tokens themselves are kept nowhere.

Examples:

    dicomesh access list --data site
    dicomesh access list --data site --json`
}

// accessRemove takes a token back.
type accessRemove struct {
	inState
	Name string `arg:"" name:"name" help:"The token's name."`
}

// Run removes it. An agent that runs lets it in no more from now on.
func (c *accessRemove) Run(_ context.Context, _ *terminal) error {
	state, err := c.existing()
	if err != nil {
		return err
	}
	defer state.Close()
	err = access.Remove(state, c.Name)
	if errors.Is(err, access.ErrNone) {
		return fault{code: exitFault, err: err, next: "see which there are: dicomesh access list --data " + c.Data}
	}
	return err
}

// Help is shown by dicomesh access remove --help.
func (accessRemove) Help() string {
	return `Takes a token back: it opens nothing from now on, also where the agent runs.

Example:

    dicomesh access remove --data site wall-monitor`
}
