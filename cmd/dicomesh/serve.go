package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/export"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/regen/web"
	"github.com/dicomesh/dicomesh/regen/web/search"
)

// serveCommand answers DICOMweb clients.
type serveCommand struct {
	Current string `required:"" placeholder:"DIR" help:"The DICOMweb files, as regen made them."`
	Tree    string `placeholder:"DIR" help:"The archive: studies that have no DICOMweb files are made when they are asked for, and instances that are posted are stored."`
	doorFlags
}

// Help is shown by dicomesh serve --help.
func (serveCommand) Help() string {
	return `Answers DICOMweb clients below /dicomweb/ from the files in DIR, without a cluster and without an agent, until it is interrupted. On loopback nobody is asked who
they are, unless --tokens or --tls-clients is given; any other address needs TLS, and one of these. Tokens read, or operate: only those may post.

Studies that no regeneration has finished are not listed. With --tree one that is asked for by its UID is made first, and Part 10 files are given as well; in the tree of a site that
is one of several it is held back instead, because its agent alone can ask the others. What others change in DIR
is noticed within seconds.

With --tree instances that are posted (STOW-RS) are stored in the archive, and in the DICOMweb files of their study a second after the last one. If serve is killed before, or power
is lost, they are in the archive: dicomesh regen makes the files. In the tree of a site that is one of several nothing is taken: its agent takes what is posted to it.

Examples:

    dicomesh serve --current current
    curl http://127.0.0.1:8730/dicomweb/studies
    dicomesh access add --data who viewer
    dicomesh serve --current current --http 192.0.2.7:443 --tokens who \
        --tls-certificate cert.pem --tls-key key.pem`
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, t *terminal) error {
	entry, tokens, done, err := c.doorFlags.open()
	if err != nil {
		return err
	}
	defer done()
	current, err := durable.OpenOS(c.Current)
	if err != nil {
		return fault{code: exitUsage, err: err, next: "name a folder that this user may read, or make the files first: dicomesh regen --tree DIR --current " + c.Current}
	}
	defer current.Close()
	config := web.Config{Current: current, Log: t.log, Rows: new(search.Table), Origins: c.CORS}
	rows := &web.Follower{Current: current, Table: config.Rows}
	p := &posted{generate: func(context.Context, dedup.UID) error { return nil }, log: t.log, last: map[dedup.UID]time.Time{}}
	if c.Tree != "" {
		tree, err := existingTree(c.Tree)
		if err != nil {
			return err
		}
		defer tree.Close()
		p.generate = generateFrom(tree, current, rows)
		closeArchive, err := c.archive(&config, tree, p)
		if err != nil {
			return err
		}
		defer closeArchive()
	}
	if err := rows.Look(ctx); err != nil && ctx.Err() == nil {
		t.log.Warn("studies of the current tree cannot be read", "error", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.HTTP)
	if err != nil {
		return fault{code: exitFault, err: err, next: "choose another address with --http HOST:PORT; port 0 takes a free one"}
	}
	scheme := "http"
	if entry.TLS != nil {
		scheme = "https"
	}
	fmt.Fprintf(t.out, "%s://%s/dicomweb/studies\n", scheme, listener.Addr())
	following, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { follow(following, rows, t.log) })
	wg.Go(func() { p.run(following) })
	defer wg.Wait()
	defer stop()
	below := behind(web.Patient(web.New(config)), entry, tokens)
	return serve(ctx, entry.Listener(listener), below, t.log)
}

// archive has studies made and given from the archive, and takes what is posted, where that is allowed. What is done in the end closes it.
func (c *serveCommand) archive(config *web.Config, tree *durable.OS, p *posted) (done func(), err error) {
	done = func() {}
	if err := c.lazily(config, tree, p.generate); err != nil {
		return done, err
	}
	config.Archive = export.New(tree)
	if config.Generate == nil {
		return done, nil
	}
	archive, err := ingest.Open(tree)
	if err != nil {
		p.log.Warn("nothing is taken: the archive cannot be written", "error", err)
		return done, nil
	}
	config.Store = p.door(archive, c.Tree)
	return func() { _ = archive.Close() }, nil // what was stored is durable
}

// behind puts the door before what is below /dicomweb/. Nothing else is there.
func behind(dicomweb http.Handler, entry admin.Access, tokens durable.Reader) http.Handler {
	below := http.StripPrefix("/dicomweb", dicomweb) // no ServeMux: it would redirect paths that are not in their plain form
	guarded := admin.Guarded(below, entry, tokens)
	if !entry.Required {
		guarded = ownNames(below)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/dicomweb/") {
			http.NotFound(w, r)
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// lazily has studies made when they are asked for, where no other site can hold more of them; else those that are here and not published are held back.
func (c *serveCommand) lazily(config *web.Config, tree *durable.OS, generate func(context.Context, dedup.UID) error) error {
	reason, err := apart(tree, c.Tree, "")
	switch {
	case err != nil:
		return fault{code: exitFault, err: err, next: "leave --tree out: what is published is served all the same"}
	case reason == "":
		config.Generate = generate
		return nil
	}
	config.Held = func(study dedup.UID) (string, bool) {
		folder, err := dedup.NewTree(tree).Study(study)
		if err != nil {
			return "", false
		}
		heads, err := folder.Heads()
		return reason, err == nil && len(heads) > 0
	}
	return nil
}

// followEvery is how often the current tree is looked at; a large one less often, so that looking takes a twentieth of the time at most.
const followEvery = 2 * time.Second

// follow keeps rows as the current tree is, until ctx ends.
func follow(ctx context.Context, rows *web.Follower, log *slog.Logger) {
	for pause := followEvery; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		began := time.Now()
		if err := rows.Look(ctx); err != nil && ctx.Err() == nil {
			log.Warn("studies of the current tree cannot be read", "error", err)
		}
		pause = max(followEvery, 20*time.Since(began))
	}
}

// generateFrom makes studies of tree in current, and enters them into rows.
func generateFrom(tree, current *durable.OS, rows *web.Follower) func(context.Context, dedup.UID) error {
	g := regen.New(regen.Config{Archive: tree, Current: current,
		Share: func(from, to string) error { return durable.Share(tree, from, current, to) }})
	return func(ctx context.Context, study dedup.UID) error {
		if _, err := g.Study(ctx, study, time.Now()); err != nil {
			return err
		}
		return rows.Study(study)
	}
}

// stopping is how long requests under way may take when the server is stopped.
const stopping = 10 * time.Second

// serve answers on a listener, which it closes, until ctx ends. Then requests under way are finished.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	last, done := context.WithTimeout(context.WithoutCancel(ctx), stopping)
	defer done()
	err := server.Shutdown(last)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close() // whoever is still reading has had their time
	}
	<-served
	return err
}

// ownNames refuses requests for names that are not this machine's own: a page from elsewhere that a browser here shows could otherwise read studies, by giving its own name a
// loopback address (DNS rebinding).
func ownNames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && host != "localhost" {
			http.Error(w, "ask for localhost, or for the address by its number", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
