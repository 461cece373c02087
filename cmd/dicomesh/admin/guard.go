package admin

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/dicomesh/dicomesh/regen/web"
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
	patient := web.Patient(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		patient.ServeHTTP(w, r)
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
