package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/gossip/identity"
	"github.com/dicomesh/dicomesh/gossip/roster"
)

// tokenCommand makes a join token.
type tokenCommand struct {
	Data   string        `default:"." placeholder:"DIR" env:"DICOMESH_DATA" help:"The site's folder; this one, if it is not named."`
	Config string        `placeholder:"FILE" help:"The configuration (DIR/config.yaml, if it is there)."`
	Site   string        `placeholder:"NAME" help:"The site that it is for (any name that is free)."`
	Role   string        `default:"full" words:"full,standby" placeholder:"ROLE" help:"full or standby: both hold everything, a standby is where clients are sent when the others are gone."`
	TTL    time.Duration `name:"ttl" default:"1h" placeholder:"1h" help:"How long it is valid, up to 720h."`
}

// Help is shown by dicomesh token --help.
func (tokenCommand) Help() string {
	return `Prints one join token, as its last word. It is good for one site, once; whoever has it can join in its place, so send it as you would a password.
The agent of this site answers the one who joins, so it must run then.

Example:

    dicomesh join --data other --site hospital-b "$(dicomesh token --data site)"`
}

// Run makes the token. It is written beside the running agent, which reads it when somebody asks.
func (c *tokenCommand) Run(ctx context.Context, t *terminal) error {
	role, err := roster.ParseRole(c.Role)
	if err != nil {
		return fault{code: exitUsage, err: fmt.Errorf("--role: %w", err)}
	}
	if err := roster.CheckName(c.Site); c.Site != "" && err != nil {
		return fault{code: exitUsage, err: fmt.Errorf("--site: %w", err)}
	}
	if c.TTL <= 0 || c.TTL > identity.MaxTTL {
		return fault{code: exitUsage, err: fmt.Errorf("--ttl: a token is valid for up to %.0fh, not %v", identity.MaxTTL.Hours(), c.TTL)}
	}
	set, err := config.Load(c.Data, c.Config)
	if err != nil {
		return badConfig(err)
	}
	token, err := newToken(set.Paths.State, identity.Permit{Site: c.Site, Role: role, TTL: c.TTL, Now: time.Now()})
	switch {
	case errors.Is(err, identity.ErrNone), errors.Is(err, fs.ErrNotExist):
		return fault{code: exitFault, err: errors.New("this site is alone: it belongs to no cluster that others could join"),
			next: "make one: dicomesh init --data " + c.Data + " --cluster NAME --site NAME"}
	case errors.Is(err, roster.ErrTaken):
		return fault{code: exitFault, err: err, next: "choose another name, or remove the old one first: dicomesh remove --data " + c.Data + " " + c.Site}
	case errors.Is(err, fs.ErrPermission):
		return err
	case err != nil:
		return fault{code: exitFault, err: err, next: "make it at another site of the cluster; which there are: dicomesh sites --data " + c.Data}
	}
	if warning := unready(ctx, set.Paths.State); warning != "" {
		fmt.Fprintln(t.err, flow(warning, usual, ""))
	}
	fmt.Fprintln(t.out, token)
	return nil
}

// unready is why nobody who joins with a token of this site would be answered now, and what to do; "" when its agent runs as a member.
func unready(ctx context.Context, state string) string {
	ctx, cancel := context.WithTimeout(ctx, noticed)
	defer cancel()
	status, err := admin.NewClient(state).Status(ctx)
	if errors.Is(err, admin.ErrUnreachable) {
		return "The agent of this site does not run. Start it before the other site joins: it answers there."
	}
	if err != nil {
		return ""
	}
	fsys, err := durable.OpenPrivate(state)
	if err != nil {
		return ""
	}
	defer fsys.Close()
	if cluster, _, _, err := identity.Describe(fsys); err != nil || cluster == status.Cluster {
		return ""
	}
	return "The agent of this site runs since before the cluster was made, and knows nothing of it. Stop it and start it again before the other site joins."
}

// newToken makes a token in a state folder, which must be there.
func newToken(folder string, p identity.Permit) (string, error) {
	fsys, err := durable.OpenPrivate(folder)
	if err != nil {
		return "", err
	}
	defer fsys.Close()
	return identity.NewToken(fsys, p)
}
