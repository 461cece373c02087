package admin

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/access"
)

// caller is who asks, as the door has found out.
type caller struct {
	name     string
	role     access.Role
	grant    access.Grant // of a token; zero for a certificate, and where nobody is asked
	session  bool         // shown as a cookie, which a browser sends by itself
	unlocked bool         // nobody is asked who they are
}

// doorman lets requests through the port where somebody has to show who they are.
type doorman struct {
	keys      access.Keys
	sessions  *sessions
	operators []string // common names of certificates that may operate
	origins   *http.CrossOriginProtection
	refused   atomic.Uint64 // requests of callers who showed something that does not open
}

// callerKey is the caller's place in the context of a request.
type callerKey struct{}

func withCaller(r *http.Request, c caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
}

// callerOf is who asks.
func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}

// unlocked is the door where nobody is asked: whoever reaches it may look. The DICOMweb handler takes what is posted, as it always did on loopback.
func unlocked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, withCaller(r, caller{name: "everybody on this machine", role: access.Read, unlocked: true}))
	})
}

// public are the paths that are answered to everybody: whether the agent lives, and what is needed to sign in. None says anything of the site.
func public(r *http.Request) bool {
	switch r.URL.Path {
	case "/healthz", "/login", "/session":
		return true
	}
	// A browser asks without credentials whether a page of another origin may ask: http.origins answers that, and nothing else is in the answer.
	preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	return preflight || strings.HasPrefix(r.URL.Path, "/page/")
}

// guard asks who is there before next answers. What changes something needs the role to operate.
func (d *doorman) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if public(r) {
			next.ServeHTTP(w, r)
			return
		}
		c, err := d.who(r)
		if err != nil {
			d.turnAway(w, r, err)
			return
		}
		need := access.Operate
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			need = access.Read
		}
		switch {
		case !c.role.Covers(need):
			http.Error(w, c.name+" may read and not operate: show a token that may, made with dicomesh access add NAME --role operate", http.StatusForbidden)
		case c.session && d.origins.Check(r) != nil:
			http.Error(w, "this was sent by a page of another site, which cannot speak for whoever is signed in here", http.StatusForbidden)
		default:
			next.ServeHTTP(w, withCaller(r, c))
		}
	})
}

// errNothing says that somebody showed nothing at all.
var errNothing = errors.New("show a token: Authorization: Bearer TOKEN")

// who finds out who asks: by a token, a session, or a certificate. The first that is shown decides.
func (d *doorman) who(r *http.Request) (caller, error) {
	if shown := r.Header.Get("Authorization"); shown != "" {
		scheme, token, _ := strings.Cut(shown, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return caller{}, errNothing
		}
		g, err := d.keys.Check(strings.TrimSpace(token))
		return caller{name: g.Name, role: g.Role, grant: g}, err
	}
	if g, shown, err := d.sessions.find(r); shown {
		return caller{name: g.Name, role: g.Role, grant: g, session: true}, err
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return d.certified(r.TLS.VerifiedChains[0][0]), nil
	}
	return caller{}, errNothing
}

// certified is who has a certificate of an authority that was named.
func (d *doorman) certified(c *x509.Certificate) caller {
	role := access.Read
	if slices.Contains(d.operators, c.Subject.CommonName) {
		role = access.Operate
	}
	return caller{name: c.Subject.CommonName, role: role}
}

// stands reports whether a caller who was let in, and whose answer goes on for ever, may still be there.
func (d *doorman) stands(c caller) bool {
	return d == nil || c.grant.Hash == "" || d.keys.Stands(c.grant)
}

// turnAway answers who may not come in: people are sent to where they sign in, programs hear what to do.
func (d *doorman) turnAway(w http.ResponseWriter, r *http.Request, why error) {
	if !errors.Is(why, errNothing) {
		d.refused.Add(1)
	}
	if r.URL.Path == "/" && r.Method == http.MethodGet {
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="dicomesh"`)
	http.Error(w, reason(why)+"; one is made at the site with: dicomesh access add NAME", http.StatusUnauthorized)
}

// reason is what a stranger hears: of a token what is wrong with it, of anything else no more than that.
func reason(err error) string {
	if errors.Is(err, access.ErrUnknown) || errors.Is(err, access.ErrExpired) || errors.Is(err, errNothing) || errors.Is(err, errSession) {
		return err.Error()
	}
	return "the agent cannot read its tokens; its log says why"
}
