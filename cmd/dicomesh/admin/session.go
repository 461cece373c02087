package admin

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/access"
)

// A browser cannot send a token with everything that it asks for, so whoever signs in gets a cookie for it. It is worth what the token is worth: when that is
// taken back or ends, so does the session. Sessions are in memory alone, and end with the agent. That of who may only read goes on while its page is open, as on a wall: the page
// asks for that every hour. Who may operate signs in again.
const (
	sessionTime  = 12 * time.Hour
	mostSessions = 1000
)

// errSession says that a cookie opens nothing any more.
var errSession = errors.New("the session is over: sign in again")

// session is one that was begun.
type session struct {
	grant access.Grant
	until time.Time
}

// sessions are those that are open, by the SHA-256 of what the cookie says.
type sessions struct {
	keys   access.Keys
	secure bool // the port has TLS

	mu   sync.Mutex
	open map[[sha256.Size]byte]session
}

func newSessions(keys access.Keys, port Access) *sessions {
	return &sessions{keys: keys, secure: port.TLS != nil, open: map[[sha256.Size]byte]session{}}
}

// cookie is the session's, without its value. Scripts cannot read it, other sites' pages cannot have it sent, and with TLS no other name or path can set it.
func (s *sessions) cookie() http.Cookie {
	c := http.Cookie{Name: "dicomesh", Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if s.secure {
		c.Name, c.Secure = "__Host-dicomesh", true
	}
	return c
}

// begin opens a session for a grant, and returns its cookie. Where there are too many, the one that ends first makes room.
func (s *sessions) begin(g access.Grant) *http.Cookie {
	var secret [32]byte
	rand.Read(secret[:])
	c := s.cookie()
	c.Value = base64.RawURLEncoding.EncodeToString(secret[:])
	c.MaxAge = int(sessionTime / time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= mostSessions {
		s.shed()
	}
	s.open[sha256.Sum256([]byte(c.Value))] = session{g, s.keys.Now().Add(sessionTime)}
	return &c
}

// shed ends the session that would end first. The caller holds the lock.
func (s *sessions) shed() {
	var all [][sha256.Size]byte
	for key := range s.open {
		all = append(all, key)
	}
	delete(s.open, slices.MinFunc(all, func(a, b [sha256.Size]byte) int {
		return cmp.Compare(s.open[a].until.UnixNano(), s.open[b].until.UnixNano())
	}))
}

// prolong begins the time of a session anew that a request shows, if its token only reads. It returns the cookie that goes on as long, nil where there is none.
func (s *sessions) prolong(r *http.Request) *http.Cookie {
	shown, err := r.Cookie(s.cookie().Name)
	if err != nil {
		return nil
	}
	key := sha256.Sum256([]byte(shown.Value))
	s.mu.Lock()
	defer s.mu.Unlock()
	found, known := s.open[key]
	if !known || found.grant.Role != access.Read || !s.keys.Now().Before(found.until) {
		return nil
	}
	found.until = s.keys.Now().Add(sessionTime)
	s.open[key] = found
	c := s.cookie()
	c.Value, c.MaxAge = shown.Value, int(sessionTime/time.Second)
	return &c
}

// find is whose session a request shows, if it shows one. It is looked up by its hash, so that how long that takes says nothing of others.
func (s *sessions) find(r *http.Request) (g access.Grant, shown bool, err error) {
	c, err := r.Cookie(s.cookie().Name)
	if err != nil {
		return g, false, nil
	}
	key := sha256.Sum256([]byte(c.Value))
	s.mu.Lock()
	found, known := s.open[key]
	s.mu.Unlock()
	if known && s.keys.Now().Before(found.until) && s.keys.Stands(found.grant) {
		return found.grant, true, nil
	}
	s.end(r)
	return g, true, errSession
}

// end closes the session that a request shows.
func (s *sessions) end(r *http.Request) {
	if c, err := r.Cookie(s.cookie().Name); err == nil {
		s.mu.Lock()
		delete(s.open, sha256.Sum256([]byte(c.Value)))
		s.mu.Unlock()
	}
}

// largestLogin bounds what is read of whoever signs in.
const largestLogin = 4 << 10

// signIn begins a session for a token.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request) {
	var shown struct{ Token string }
	if s.door.origins.Check(r) != nil {
		http.Error(w, "sign in on this site's own page", http.StatusForbidden)
		return
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, largestLogin)).Decode(&shown); err != nil {
		http.Error(w, `a token is wanted, as {"token": "..."}`, http.StatusBadRequest)
		return
	}
	g, err := s.door.keys.Check(shown.Token)
	if err != nil {
		s.door.refused.Add(1)
		http.Error(w, reason(err), http.StatusUnauthorized)
		return
	}
	http.SetCookie(w, s.door.sessions.begin(g))
	w.WriteHeader(http.StatusNoContent)
}

// signOut ends a session.
func (s *Server) signOut(w http.ResponseWriter, r *http.Request) {
	if s.door.origins.Check(r) != nil {
		http.Error(w, "sign out on this site's own page", http.StatusForbidden)
		return
	}
	s.door.sessions.end(r)
	over := s.door.sessions.cookie()
	over.MaxAge = -1
	http.SetCookie(w, &over)
	w.WriteHeader(http.StatusNoContent)
}

// Session is who the page is shown to.
type Session struct {
	Name       string      `json:"name"`
	Role       access.Role `json:"role"`
	Ends       bool        `json:"ends"`        // there is something to sign out of
	StudyNames string      `json:"study_names"` // what studies are called on the page: short or uid
}

// session says who asks, and lets a session that only reads go on.
func (s *Server) session(w http.ResponseWriter, r *http.Request) {
	c := callerOf(r)
	if c.session {
		if again := s.door.sessions.prolong(r); again != nil {
			http.SetCookie(w, again)
		}
	}
	answer(w, Session{Name: c.name, Role: c.role, Ends: c.session, StudyNames: s.config.StudyNames})
}
