package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/access"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/page"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/prometheus/client_golang/prometheus"
)

// Source is what the agent can be asked. Its methods are called from many goroutines.
type Source interface {
	// Status must not wait for a disk or another site.
	Status() Status
	// Studies returns a page: up to Limit rows with Change above After, in that order; or below Before, in the opposite one.
	Studies(context.Context, Query) ([]Row, error)
	// Study returns what is known of one; ErrUnknown.
	Study(context.Context, dedup.UID) (Study, error)
	// Touch hears of studies in which a command has written something. When it returns they do not count as settled any more.
	Touch([]dedup.UID)
}

// Query asks for a page of the list of studies.
type Query struct {
	After  uint64
	Before uint64               // not 0: those with a Change below it, in the opposite order, and After does not count
	State  string               // "" is every state
	Match  func(dedup.UID) bool // nil: every study
	Limit  int
}

// Pass moves the page on behind a row.
func (q *Query) Pass(change uint64) {
	if q.Before > 0 {
		q.Before = change
		return
	}
	q.After = change
}

// Config is what a Server serves.
type Config struct {
	State   string   // folder of the socket; the caller owns it
	Address string   // of the HTTP port
	Access  Access   // to it
	Hosts   []string // under which it may be asked for besides loopback's, where nobody has to show who he is
	// StudyNames is what the page calls studies, short or uid, and NameKey what short names are made with: the same at every site of the cluster.
	StudyNames string
	NameKey    []byte
	Source     Source
	Empty      func() (bool, error) // looks, now, whether nothing waits in the inbox
	// Diff says what another site holds otherwise than this one, up to so many studies; ErrUnknown.
	Diff func(ctx context.Context, site string, most int) (Diff, error)
	// Everywhere are the last events of all sites of the cluster, up to so many.
	Everywhere func(ctx context.Context, most int) Everywhere
	// AckDown and Remove change the cluster, on the socket alone; ErrUnknown, or why not, in words for the operator.
	AckDown  func(ctx context.Context, o Order) error
	Remove   func(ctx context.Context, o Order) error
	Events   *events.Log
	Tokens   durable.Reader       // the state folder, with the tokens of those who may come in
	DICOMweb http.Handler         // gets paths as /studies/...
	Metrics  *prometheus.Registry // the Server adds its own
	Log      *slog.Logger
}

// Server has both doors open. Run it, or Close it.
type Server struct {
	// Address is where the HTTP port listens, with the number that a port 0 became.
	Address string

	config         Config
	socket, port   net.Listener
	inside, beyond http.Handler // behind the socket, and behind the port
	door           *doorman     // nil: nobody is asked who he is
	names          namer
	watching       atomic.Int32 // pages that are kept current
}

// Open opens the doors: from now on they can be knocked at, and Run answers.
func Open(c Config) (*Server, error) {
	port, err := net.Listen("tcp", c.Address)
	if err != nil {
		return nil, fmt.Errorf("listen on http.address: %w", err)
	}
	socket, err := listenSocket(c.State)
	if err != nil {
		return nil, errors.Join(err, port.Close())
	}
	if c.Access.TLS != nil {
		port = tls.NewListener(port, c.Access.TLS.config())
	}
	s := &Server{Address: port.Addr().String(), config: c, socket: socket, port: port, names: c.NameKey}
	questions, inside, beyond := s.routes(), http.NewServeMux(), http.NewServeMux()
	s.orders(inside)
	inside.Handle("/", questions)
	beyond.Handle("/", questions)
	if c.Access.Required {
		keys := access.Keys{State: c.Tokens, Now: time.Now}
		s.door = &doorman{keys: keys, sessions: newSessions(keys, c.Access), operators: c.Access.Operators, origins: http.NewCrossOriginProtection()}
		s.orders(beyond)
		beyond.Handle("GET /login", page.Handler())
		beyond.HandleFunc("POST /session", s.signIn)
		beyond.HandleFunc("DELETE /session", s.signOut)
		s.beyond = s.door.guard(beyond)
	} else {
		s.beyond = hosts(unlocked(beyond), c.Hosts)
	}
	s.inside, s.beyond = paced(hosts(inside, []string{socketHost})), paced(s.beyond)
	c.Metrics.MustRegister(newCollector(c.Source), doorCollector{s})
	return s, nil
}

// orders are the routes that change something: on the socket, and on the port for whoever may operate.
func (s *Server) orders(mux *http.ServeMux) {
	mux.HandleFunc("POST /api/v1/touch", s.touch)
	mux.HandleFunc("POST /api/v1/ack-down", s.ackDown)
	mux.HandleFunc("POST /api/v1/remove", s.remove)
}

// Close shuts the doors of a Server that never ran.
func (s *Server) Close() error {
	return errors.Join(s.port.Close(), s.socket.Close(), os.Remove(filepath.Join(s.config.State, socketName)))
}

// leave is how long answers under way may take when the Server ends.
const leave = 5 * time.Second

// Run answers until ctx ends; requests that wait or follow are then told so, others get a few seconds to finish.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 2)
	servers := []*http.Server{s.server(ctx, s.inside), s.server(ctx, s.beyond)}
	var wg sync.WaitGroup
	for i, l := range []net.Listener{s.socket, s.port} {
		wg.Go(func() {
			if err := servers[i].Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	wg.Go(func() { s.keepSocket(ctx, func(l net.Listener) { wg.Go(func() { _ = servers[0].Serve(l) }) }) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stop()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), leave)
	defer cancel()
	for _, server := range servers {
		wg.Go(func() {
			if server.Shutdown(ending) != nil {
				_ = server.Close() // whoever reads so slowly is cut off
			}
		})
	}
	wg.Wait()
	_ = os.Remove(filepath.Join(s.config.State, socketName)) // the next owner of the folder removes it otherwise
	return err
}

// looking is how often it is looked whether the socket is still there.
const looking = time.Second

// keepSocket opens the socket anew when somebody has removed it, until ctx ends: else no command would reach this agent, and none would say that it runs.
func (s *Server) keepSocket(ctx context.Context, serve func(net.Listener)) {
	tick := time.NewTicker(looking)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, err := os.Lstat(filepath.Join(s.config.State, socketName)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if l, err := listenSocket(s.config.State); err == nil { // else the folder is not there either, of which others tell
			s.config.Log.Warn("the socket for commands was removed, and is opened anew")
			serve(l)
		}
	}
}

// server is one door. Headers have a limit of time as a whole; bodies and answers have one for each piece (patient), because they may be large.
func (s *Server) server(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
}
