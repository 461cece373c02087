package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/gossip/identity"
	"github.com/dicomesh/dicomesh/gossip/roster"
	"github.com/dicomesh/dicomesh/syncer/link"
)

// joinCommand makes a folder that of a site of a cluster.
type joinCommand struct {
	setUp
	DialOnly bool   `help:"Nobody can dial this site: it dials the others, and is a full member all the same."`
	Token    string `arg:"" help:"What dicomesh token printed at a site of the cluster."`
}

// Help is shown by dicomesh join --help.
func (joinCommand) Help() string {
	return `Asks the site that made the token for this site's certificate and the roster. That site's agent must run, and its UDP port be reachable from here.
If the answer was lost, the same command can be typed again. What is in DIR/tree stays, and the other sites get it.

Examples:

    dicomesh join --data site --site b --listen 192.0.2.8:8730 dicomesh-join-...
    dicomesh join --data site --site c --dial-only dicomesh-join-...`
}

// joinTime is how long joining may take: some addresses of a token may be dark.
const joinTime = 2 * time.Minute

// Run joins.
func (c *joinCommand) Run(ctx context.Context, t *terminal) error {
	token, err := identity.ParseToken(c.Token)
	if err != nil {
		return fault{code: exitUsage, err: err, next: "make one at a site of the cluster: dicomesh token --data DIR"}
	}
	if token.Site != "" && token.Site != c.Site {
		return fault{code: exitUsage, err: fmt.Errorf("--site: the token is for a site named %s, not %s", token.Site, c.Site), next: "join as that: --site " + token.Site +
			"; or have another one made at site " + token.Issuer + ": dicomesh token --data DIR --site " + c.Site}
	}
	if c.DialOnly && len(c.Address) > 0 {
		return fault{code: exitUsage, err: errors.New("--dial-only with --address: either others can dial this site or they cannot")}
	}
	fsys, addresses, err := c.open()
	if err != nil {
		return err
	}
	defer fsys.Close()
	if c.DialOnly {
		addresses = nil
	}
	applicant, err := identity.Apply(fsys, token, c.Site, c.Listen, addresses)
	if err != nil {
		return c.cannot(err)
	}
	answer, err := ask(ctx, token, applicant)
	if err == nil {
		err = applicant.Accept(answer)
	}
	if err != nil {
		return refused(err, token)
	}
	fmt.Fprintf(t.err, "Site %s has joined cluster %s at site %s.\n", c.Site, token.Cluster, token.Issuer)
	c.next(t.err, "")
	return nil
}

// ask sends the request from a port of its own.
func ask(ctx context.Context, token identity.Token, a *identity.Applicant) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	port, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, fmt.Errorf("open a UDP port: %w", err)
	}
	defer port.Close()
	return link.Join(ctx, port, token.Key[:], token.Addresses, a.Request)
}

// refused says what to do when joining failed. The site's own words end with that.
func refused(err error, token identity.Token) error {
	if !errors.Is(err, link.ErrRefused) && !errors.Is(err, roster.ErrOtherCluster) {
		return fault{code: exitFault, err: err, next: fmt.Sprintf("see that the agent of site %s runs, and that UDP reaches it at %s; then type the same again", token.Issuer,
			strings.Join(token.Addresses, " or "))}
	}
	what := err.Error()
	if _, words, is := strings.Cut(what, link.ErrRefused.Error()+": "); is {
		what = words
	}
	if before, next, is := strings.Cut(what, ": choose "); is {
		return fault{code: exitFault, err: errors.New(before), next: "choose " + next}
	}
	for _, end := range []string{": make a new one with dicomesh token", "; make a new one with dicomesh token"} {
		what = strings.TrimSuffix(what, end)
	}
	return fault{code: exitFault, err: errors.New(what), next: "have a new one made at site " + token.Issuer + ": dicomesh token --data DIR"}
}
