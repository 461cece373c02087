package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
)

// Config is how the demo is run.
type Config struct {
	Program string // the dicomesh to run: the agents are processes of it
	Keep    bool   // leave the sites running in the end, until ctx ends, and their folder afterwards
	Out     io.Writer
	Live    io.Writer // a terminal, on which one line tells how far the sites are while they work; nil: Out gets such a line every five seconds
	// Next is taken from before each part of the story but the first, so that there is time to look at the pages; closed, it goes on by itself. nil: it never waits.
	Next <-chan struct{}
}

// demo is one run.
type demo struct {
	config Config
	folder string
	cuts   *cuts
	sites  []*site // hospital, centre, standby
	began  time.Time
	paused time.Duration // for whoever looks on
	told   time.Time     // when a line last told how far the sites are
	took   []measured
}

// measured is one line of the table in the end.
type measured struct {
	what string
	time time.Duration
}

// limit is how long one step may take on a slow machine.
const limit = 90 * time.Second

// Run tells the story. When it returns, nothing of it runs any more.
func Run(ctx context.Context, c Config) (err error) {
	folder, err := os.MkdirTemp("", "dicomesh-demo-")
	if err != nil {
		return err
	}
	d := &demo{config: c, folder: folder, cuts: newCuts(), began: time.Now()}
	defer func() { err = errors.Join(err, d.cleanUp(err != nil && ctx.Err() == nil)) }()
	if err := d.join(ctx); err != nil {
		return err
	}
	for _, part := range []struct {
		next string
		tell func(context.Context) error
	}{
		{"a study is received at each site", d.receive}, {"the hospital is cut off", d.cut}, {"the cut is mended", d.heal}, {"the proof", d.prove},
	} {
		if err := d.pause(ctx, part.next); err != nil {
			return err
		}
		if err := part.tell(ctx); err != nil {
			return err
		}
	}
	return d.end(ctx)
}

// pause waits until whoever looks on has seen enough, if they asked for that.
func (d *demo) pause(ctx context.Context, next string) error {
	if d.config.Next == nil {
		return nil
	}
	d.say("\n  Look at the pages. Press Enter to go on: %s.", next)
	began := time.Now()
	defer func() { d.paused += time.Since(began) }()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-d.config.Next:
		return nil
	}
}

// cleanUp ends everything and removes the folder, unless something failed that somebody may want to look into, or it is to be kept.
func (d *demo) cleanUp(failed bool) error {
	var stopped sync.WaitGroup
	for _, s := range d.sites {
		stopped.Go(s.stop)
	}
	stopped.Wait()
	for _, s := range d.sites {
		s.relay.close()
	}
	if failed || d.config.Keep {
		d.say("\nthe folder is left: %s", d.folder)
		return nil
	}
	return os.RemoveAll(d.folder)
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.config.Out, format+"\n", args...) }

func (d *demo) heading(title string) {
	d.say("\n%s", title)
	d.say("%s", strings.Repeat("-", len(title)))
}

// measure says what a step took, and keeps it for the table.
func (d *demo) measure(what string, took time.Duration) {
	d.took = append(d.took, measured{what, took})
	d.say("  %s: %.1f s", what, took.Seconds())
}

// join makes the cluster.
func (d *demo) join(ctx context.Context) error {
	d.heading("Three sites: a hospital, a centre, and one that stands by")
	for _, name := range []string{"hospital", "centre", "standby"} {
		s, err := newSite(d.folder, name, d.cuts)
		if err != nil {
			return err
		}
		d.sites = append(d.sites, s)
	}
	began := time.Now()
	first := d.sites[0]
	if _, err := run(ctx, d.config.Program, "init", "--data", first.data, "--cluster", "demo", "--site", first.name,
		"--listen", first.listen.String(), "--address", first.relay.address()); err != nil {
		return err
	}
	if err := first.start(d.config.Program); err != nil {
		return err
	}
	if _, err := first.until(ctx, limit, running); err != nil {
		return err
	}
	for _, s := range d.sites[1:] {
		role := "full"
		if s.name == "standby" {
			role = "standby"
		}
		token, err := run(ctx, d.config.Program, "token", "--data", first.data, "--role", role)
		if err != nil {
			return err
		}
		words := strings.Fields(token)
		if _, err := run(ctx, d.config.Program, "join", "--data", s.data, "--site", s.name, "--listen", s.listen.String(),
			"--address", s.relay.address(), words[len(words)-1]); err != nil {
			return err
		}
		if err := s.start(d.config.Program); err != nil {
			return err
		}
	}
	err := d.all(ctx, func(x admin.Status) (string, bool) {
		return x.State, running(x) && x.State == "whole" && len(x.Sites) == len(d.sites)
	})
	if err != nil {
		return err
	}
	d.measure("a cluster made, two sites joined by tokens, all linked: whole", time.Since(began))
	return d.pages(ctx)
}

// pages says where the sites' pages are.
func (d *demo) pages(ctx context.Context) error {
	for _, s := range d.sites {
		status, err := s.client.Status(ctx)
		if err != nil {
			return err
		}
		d.say("  %-9s has its page at http://%s/", s.name, status.HTTP)
	}
	return nil
}

func running(s admin.Status) bool { return s.Agent == admin.Running }

func (d *demo) samples() string { return filepath.Join(d.folder, "samples") }

// send puts sample studies into the inboxes of sites, the n-th study into that of the n-th site.
func (d *demo) send(ctx context.Context, first int, to ...*site) error {
	studies, err := filepath.Glob(filepath.Join(d.samples(), "study*"))
	if err != nil || len(studies) < first+len(to) {
		return fmt.Errorf("%d sample studies: %w", len(studies), err)
	}
	for i, s := range to {
		from := studies[first+i]
		files, bytes, err := weight(from)
		if err != nil {
			return err
		}
		d.say("  %s is received at the %s: %d files, %.1f MB", filepath.Base(from), s.name, files, float64(bytes)/1e6)
		if err := os.CopyFS(filepath.Join(s.data, "inbox", filepath.Base(from)), os.DirFS(from)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// receive has a study received at each site, and waits until all have all.
func (d *demo) receive(ctx context.Context) error {
	d.heading("A study is received at each of them: CT, MR, ultrasound")
	if _, err := run(ctx, d.config.Program, "sample", "--out", d.samples(), "--studies", "5", "--series", "3", "--instances", "12", "--size", "256"); err != nil {
		return err
	}
	began := time.Now()
	if err := d.send(ctx, 0, d.sites...); err != nil {
		return err
	}
	return d.settled(ctx, 3, "all three copied to all sites, published there, and settled", began)
}

// settled waits until all sites say that so many studies are settled.
func (d *demo) settled(ctx context.Context, studies int, what string, began time.Time) error {
	err := d.all(ctx, func(x admin.Status) (string, bool) {
		return fmt.Sprintf("%d of %d settled", x.Studies.Settled, studies),
			x.State == "whole" && x.Studies.Settled == studies && x.Studies.Total == studies && x.Inbox.Waiting == 0
	})
	if err == nil {
		d.measure(what, time.Since(began))
	}
	return err
}

// all waits until every site is as wanted, and tells meanwhile how far each is, in the words of how.
func (d *demo) all(ctx context.Context, how func(admin.Status) (words string, wanted bool)) error {
	words := make([]string, len(d.sites))
	for i := range d.sites {
		words[i] = "..."
	}
	d.told = time.Now()
	for i, s := range d.sites {
		_, err := s.until(ctx, limit, func(x admin.Status) bool {
			now, wanted := how(x)
			words[i] = now
			for j, other := range d.sites[i+1:] { // those behind are only looked at
				if status, err := other.client.Status(ctx); err == nil {
					words[i+1+j], _ = how(status)
				}
			}
			d.live(words)
			return wanted
		})
		if err != nil {
			d.live(nil)
			return err
		}
	}
	d.live(nil)
	return nil
}

// between are the lines that tell how far the sites are, where there is no terminal.
const between = 5 * time.Second

// live tells how far the sites are: on a terminal over the line of before, which no words take away, elsewhere in a line now and then.
func (d *demo) live(words []string) {
	line := ""
	for i, w := range words {
		line += fmt.Sprintf("  %s: %s", d.sites[i].name, w)
	}
	switch {
	case d.config.Live != nil:
		_, _ = io.WriteString(d.config.Live, "\r\x1b[K"+line) // a terminal that is gone is no reason to fail
	case line != "" && time.Since(d.told) >= between:
		d.told = time.Now()
		d.say("  ...%s", line)
	}
}

// cut cuts the hospital off, and has a study received on each side.
func (d *demo) cut(ctx context.Context) error {
	d.heading("The hospital is cut off")
	hospital, centre := d.sites[0], d.sites[1]
	began := time.Now()
	for _, s := range d.sites[1:] {
		d.cuts.set(hospital.name, s.name, true)
	}
	if err := d.all(ctx, func(x admin.Status) (string, bool) { return x.State, x.State == "split" }); err != nil {
		return err
	}
	d.measure("the cut noticed at all sites", time.Since(began))
	for _, s := range d.sites {
		status, err := s.client.Status(ctx)
		if err != nil {
			return err
		}
		d.say("  %-9s says: %s; %s", s.name, status.State, status.Reason)
	}
	began = time.Now()
	if err := d.send(ctx, 3, hospital, centre); err != nil {
		return err
	}
	err := d.all(ctx, func(x admin.Status) (string, bool) {
		return fmt.Sprintf("%d held", x.Studies.Held), x.Studies.Held == 1 && x.Studies.Settled == 3
	})
	if err != nil {
		return err
	}
	d.measure("both held, and the centre's copied as far as links allow", time.Since(began))
	d.say("  Nothing half true is shown: what changes now waits, and says why.")
	d.say("  What was settled before stays published, and has not changed.")
	return nil
}

// heal mends the cut.
func (d *demo) heal(ctx context.Context) error {
	d.heading("The cut is mended")
	began := time.Now()
	for _, s := range d.sites[1:] {
		d.cuts.set(d.sites[0].name, s.name, false)
	}
	return d.settled(ctx, 5, "linked again, level and settled, by themselves", began)
}

// end prints what was measured, and waits if the sites are to be kept.
func (d *demo) end(ctx context.Context) error {
	d.heading("Measured")
	for _, m := range d.took {
		d.say("%6.1f s  %s", m.time.Seconds(), m.what)
	}
	d.say("%6.1f s  altogether", (time.Since(d.began) - d.paused).Seconds())
	if !d.config.Keep {
		d.say("\nEverything is removed again. With --step it waits before each part, so that you")
		d.say("can look at the sites' pages; with --keep the sites go on in the end.")
		return nil
	}
	d.say("\nThe sites go on until you interrupt this (Ctrl-C):")
	for _, s := range d.sites {
		status, err := s.client.Status(ctx)
		if err != nil {
			return err
		}
		d.say("  %-9s http://%s/    dicomesh status --data %s", s.name, status.HTTP, s.data)
	}
	<-ctx.Done()
	return nil
}
