package admin

import (
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// socketHost is what a request through the socket calls the agent.
const socketHost = "agent.dicomesh"

// hosts lets requests pass that ask for this machine by a name that it has. A web page whose name was made to mean 127.0.0.1 (DNS rebinding) asks
// for its own name, and gets nothing. Where everybody has to show who he is this is not needed: such a page has nothing to show.
func hosts(next http.Handler, hosts []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !known(r.Host, hosts) {
			http.Error(w, "this agent is not asked for under that name: use 127.0.0.1 or localhost, or add the name to http.hosts in config.yaml", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// paced gives each piece of a request and of its answer its own time.
func paced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		control := http.NewResponseController(w)
		r.Body = body{ReadCloser: r.Body, control: control}
		next.ServeHTTP(patient{ResponseWriter: w, control: control}, r)
	})
}

// known reports whether a Host header means this agent: a loopback address, localhost, or one of hosts, with whatever port.
func known(host string, hosts []string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if addr, err := netip.ParseAddr(name); err == nil && addr.IsLoopback() {
		return true
	}
	return name == "localhost" || slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

// patience is how long a client may take to accept one piece of an answer, or to send one of its question.
const patience = 30 * time.Second

// patient gives each piece of an answer its own time, so that a large answer may take long and a client that has gone may not.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

// Unwrap is for http.ResponseController.
func (p patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p patient) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(patience)) // a connection without deadlines is one that a test made
	return p.ResponseWriter.Write(b)
}

// ReadFrom lets files go from their pages to the socket, piece by piece. The system does that for a limited file, but not for a limit of a limit.
func (p patient) ReadFrom(r io.Reader) (n int64, err error) {
	all, limited := r.(*io.LimitedReader)
	if !limited {
		all = &io.LimitedReader{R: r, N: math.MaxInt64}
	}
	for all.N > 0 {
		_ = p.control.SetWriteDeadline(time.Now().Add(patience))
		size := min(all.N, piece)
		sent, err := io.Copy(p.ResponseWriter, &io.LimitedReader{R: all.R, N: size})
		n, all.N = n+sent, all.N-sent
		if err != nil || sent < size {
			return n, err
		}
	}
	return n, nil
}

// piece is what is handed to the system with one deadline.
const piece = 256 << 10

// body gives each piece of a request its own time. At its end, or at an error, there is no deadline any more: a connection that is only listened to for its end,
// while an answer takes long, would be taken for dead.
type body struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b body) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(patience))
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
