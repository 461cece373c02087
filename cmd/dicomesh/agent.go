package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/agent"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
)

// agentCommand runs a site.
type agentCommand struct {
	Data          string `placeholder:"DIR" env:"DICOMESH_DATA" help:"The site's folder; made if it is not there."`
	Config        string `placeholder:"FILE" help:"The configuration (DIR/config.yaml, if it is there)."`
	Listen        string `placeholder:"ADDR" help:"UDP address for other sites (:8730, or that of the configuration)."`
	HTTP          string `name:"http" placeholder:"ADDR" help:"Address for people, viewers and monitoring (127.0.0.1:8730, or that of the configuration). With port 0 a free one is chosen; one that is not loopback needs http.tls and http.access."`
	AcceptLoss    string `enum:"state,tree," default:"" placeholder:"WHAT" help:"Start although the state, or the tree, is lost for good."`
	Existing      bool   `help:"Never make a new site: where none was set up, as on a disk that is not mounted, do not start."`
	DefaultConfig bool   `help:"Print the configuration file with every key, its default and what it means, and exit."`
}

// Help is shown by dicomesh agent --help.
func (agentCommand) Help() string {
	return `Runs one site until it is interrupted. In DIR there are

    inbox/       DICOM files that appear here are put into the archive and then
                 removed
    tree/        the archive
    current/     the DICOMweb files of each study, made when it is complete and
                 has been quiet for a moment
    quarantine/  files that were refused, each with the reason beside it
    state/       what the site knows: index, digests, events, its name
    config.yaml  what you want to be otherwise (start with: dicomesh agent
                 --default-config)

On an empty DIR a cluster of one site is made, unless --existing is given: a DIR whose disk is not mounted is empty too. A site whose tree or state is missing does not start, and says what to do.

Examples:

    dicomesh agent --data site
    dicomesh agent --data site --http 127.0.0.1:0 --log-level debug
    cp -r scans site/inbox/ && dicomesh wait --data site --settled`
}

// stopTime is how long a site may take to stop: what is being committed is finished, and nothing is lost if it is not.
const stopTime = 30 * time.Second

// Run runs the site until ctx ends.
func (c *agentCommand) Run(ctx context.Context, t *terminal) error {
	if c.DefaultConfig {
		_, err := io.WriteString(t.out, config.Annotated())
		return err
	}
	if c.Data == "" {
		return fault{code: exitUsage, err: errors.New("--data DIR is missing"), next: "see: dicomesh agent --help"}
	}
	set, err := c.load(t)
	if err != nil {
		return badConfig(err)
	}
	if c.Existing {
		err = agent.Existing(set)
	} else {
		err = os.MkdirAll(c.Data, 0o755)
	}
	if errors.Is(err, agent.ErrRefused) {
		return advised(err)
	} else if err != nil {
		return fault{code: exitFault, err: err, next: "name a folder that can be written with --data DIR"}
	}
	signal.Ignore(syscall.SIGPIPE) // who read the log has gone: no reason to end
	ended := make(chan error, 1)
	go func() {
		ended <- agent.Run(ctx, agent.Config{Config: set, Version: release(), Loss: agent.Loss(c.AcceptLoss), Log: logger(t.err, set.Log)})
	}()
	select {
	case err = <-ended:
		err = advised(err)
	case <-ctx.Done():
		signal.Reset(os.Interrupt, syscall.SIGTERM) // who asks a second time means at once
		select {
		case err = <-ended:
		case <-time.After(stopTime):
			return fault{code: exitFault, err: fmt.Errorf("the site did not stop within %v", stopTime), next: "nothing is lost by that: start it again"}
		}
	}
	return err
}

// load is the configuration with what the flags say.
func (c *agentCommand) load(t *terminal) (config.Config, error) {
	set, err := config.Load(c.Data, c.Config)
	if err != nil {
		return set, err
	}
	if c.Listen != "" {
		set.Listen = c.Listen
	}
	if c.HTTP != "" {
		set.HTTP.Address = c.HTTP
	}
	if t.level != "" {
		if err := set.Log.Level.UnmarshalText([]byte(t.level)); err != nil {
			return set, err
		}
	}
	return set, set.Check()
}

// logger is the log of an agent.
func logger(to io.Writer, c config.Log) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(to, options))
	}
	return slog.New(slog.NewTextHandler(to, options))
}

// advised says what to do about an agent that does not start.
func advised(err error) error {
	var no agent.Refusal
	switch {
	case errors.As(err, &no):
		return fault{code: exitFault, err: errors.New(no.What), next: no.Next}
	case errors.Is(err, admin.ErrFiles):
		return fault{code: exitUsage, err: err, next: "name PEM files that this user may read in config.yaml, under http.tls"}
	}
	return err
}
