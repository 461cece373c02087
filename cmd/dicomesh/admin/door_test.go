package admin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/access"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// visitor asks a server as one browser or program does.
type visitor struct {
	t      *testing.T
	client *http.Client
	base   string
	head   http.Header
}

// ask returns the status and the text of an answer.
func (v visitor) ask(method, path, body string) (int, string, http.Header) {
	v.t.Helper()
	request, err := http.NewRequestWithContext(v.t.Context(), method, v.base+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	request.Header = v.head.Clone()
	answer, err := v.client.Do(request)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer.StatusCode, string(text), answer.Header
}

func (v visitor) with(name, value string) visitor {
	v.head = v.head.Clone()
	v.head.Set(name, value)
	return v
}

// browser keeps cookies, and follows no redirect by itself.
func browser(t *testing.T, base string) visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(client.CloseIdleConnections)
	return visitor{t: t, client: client, base: base, head: http.Header{}}
}

// grant makes a token beside the running server.
func grant(t *testing.T, server *Server, name string, role access.Role) string {
	t.Helper()
	token, err := access.Add(server.config.Tokens.(durable.FS), access.Permit{Name: name, Role: role, TTL: time.Hour, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// questions are all paths that say something of the site.
var questions = []string{"/", "/api/v1/status", "/api/v1/sites", "/api/v1/studies", "/api/v1/studies/1.2", "/api/v1/conflicts", "/api/v1/events", "/api/v1/events?follow=true", "/api/v1/live",
	"/api/v1/session", "/api/v1/wait?whole=true", "/api/v1/diff?site=x", "/metrics", "/readyz", "/dicomweb/studies", "/dicomweb/studies/1.2", "/nothing"}

// TestClosed holds that who shows nothing, or something wrong, learns nothing but that the agent lives, and can change nothing.
func TestClosed(t *testing.T) {
	s := whole()
	client, server, _ := serve(t, s, Access{Required: true})
	stranger := browser(t, "http://"+server.Address)
	wrong := stranger.with("Authorization", "Bearer dicomesh-http-x")
	basic := stranger.with("Authorization", "Basic eDp5")
	cookie := stranger.with("Cookie", "dicomesh=abc")
	for _, v := range []visitor{stranger, wrong, basic, cookie} {
		for _, path := range questions {
			code, text, _ := v.ask("GET", path, "")
			if code != 401 && (path != "/" || code != 303) || strings.Contains(text, "north") || strings.Contains(text, "web /") {
				t.Errorf("%v: %s answers %d %s", v.head, path, code, text)
			}
		}
		for _, path := range []string{"/api/v1/touch", "/api/v1/ack-down?site=x", "/api/v1/remove?site=x", "/dicomweb/studies"} {
			if code, text, _ := v.ask("POST", path, `["1.2"]`); code != 401 {
				t.Errorf("%v: POST %s answers %d %s", v.head, path, code, text)
			}
		}
	}
	if len(s.touched) > 0 {
		t.Error("a stranger gave orders")
	}
	for path, want := range map[string]string{"/healthz": "ok", "/login": "Access token", "/page/login.js": "/session"} {
		if code, text, _ := stranger.ask("GET", path, ""); code != 200 || !strings.Contains(text, want) {
			t.Errorf("%s answers %d %s", path, code, text)
		}
	}
	if _, text, _ := wrong.ask("GET", "/api/v1/status", ""); !strings.Contains(text, "not known here") || !strings.Contains(text, "dicomesh access add") {
		t.Errorf("a wrong token hears: %s", text)
	}
	if status, err := client.Status(t.Context()); err != nil || status.Site != "north" {
		t.Errorf("commands get through no more: %v", err)
	}
}

// TestPreflight holds that a browser's question whether a page may ask is let through to where http.origins is known, and tells nothing else.
func TestPreflight(t *testing.T) {
	_, server, _ := serve(t, whole(), Access{Required: true})
	v := browser(t, "http://"+server.Address)
	if code, _, _ := v.ask("OPTIONS", "/api/v1/status", ""); code != 401 {
		t.Errorf("OPTIONS alone: %d", code)
	}
	if code, text, _ := v.with("Access-Control-Request-Method", "GET").ask("OPTIONS", "/api/v1/status", ""); code != 405 || strings.Contains(text, "north") {
		t.Errorf("a preflight is answered %d %s", code, text)
	}
}

// TestRoles holds what each role may do.
func TestRoles(t *testing.T) {
	s := whole()
	_, server, _ := serve(t, s, Access{Required: true})
	v := browser(t, "http://"+server.Address)
	reader := v.with("Authorization", "Bearer "+grant(t, server, "wall", access.Read))
	operator := v.with("Authorization", "bearer "+grant(t, server, "desk", access.Operate))
	for _, who := range []visitor{reader, operator} {
		for _, path := range []string{"/", "/api/v1/status", "/metrics", "/dicomweb/studies", "/readyz"} {
			if code, _, _ := who.ask("GET", path, ""); code != 200 {
				t.Errorf("%s answers %d", path, code)
			}
		}
	}
	for _, path := range []string{"/api/v1/touch", "/dicomweb/studies"} {
		if code, text, _ := reader.ask("POST", path, `["1.2"]`); code != 403 || !strings.Contains(text, "wall may read and not operate") {
			t.Errorf("a reader posts to %s: %d %s", path, code, text)
		}
		if code, text, _ := operator.ask("POST", path, `["1.2"]`); code >= 300 {
			t.Errorf("an operator posts to %s: %d %s", path, code, text)
		}
	}
	if len(s.touched) != 1 {
		t.Errorf("touched: %v", s.touched)
	}
	if err := access.Remove(server.config.Tokens.(durable.FS), "wall"); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := reader.ask("GET", "/api/v1/status", ""); code != 401 {
		t.Errorf("a token that was taken back: %d", code)
	}
}

// TestSession holds that a browser signs in with a token, that its cookie is out of reach of scripts and of other sites, and that it ends when it should.
func TestSession(t *testing.T) {
	_, server, _ := serve(t, whole(), Access{Required: true})
	v := browser(t, "http://"+server.Address)
	if code, _, head := v.ask("GET", "/", ""); code != 303 || head.Get("Location") != "/login" {
		t.Errorf("the page: %d %s", code, head.Get("Location"))
	}
	if code, text, _ := v.ask("POST", "/session", `{"token":"dicomesh-http-x"}`); code != 401 {
		t.Errorf("a wrong token: %d %s", code, text)
	}
	token := grant(t, server, "desk", access.Operate)
	if code, text, _ := v.with("Sec-Fetch-Site", "cross-site").ask("POST", "/session", `{"token":"`+token+`"}`); code != 403 {
		t.Errorf("another site's page signs in: %d %s", code, text)
	}
	code, _, head := v.ask("POST", "/session", `{"token":"`+token+`"}`)
	if c := head.Get("Set-Cookie"); code != 204 || !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Strict") || strings.Contains(c, token) {
		t.Errorf("signed in: %d, %s", code, c)
	}
	if code, text, _ := v.ask("GET", "/api/v1/session", ""); code != 200 || !strings.Contains(text, `"name":"desk","role":"operate","ends":true`) {
		t.Errorf("%d %s", code, text)
	}
	if code, _, _ := v.with("Sec-Fetch-Site", "same-origin").ask("POST", "/api/v1/touch", `["1.2"]`); code != 204 {
		t.Errorf("the site's own page: %d", code)
	}
	for _, header := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
		if code, _, _ := v.with(header[0], header[1]).ask("POST", "/api/v1/touch", `["1.2"]`); code != 403 {
			t.Errorf("a page of another site speaks for whoever is signed in: %v: %d", header, code)
		}
	}
	if code, _, _ := v.ask("DELETE", "/session", ""); code != 204 {
		t.Errorf("signing out: %d", code)
	}
	if code, _, _ := v.ask("GET", "/api/v1/session", ""); code != 401 {
		t.Errorf("signed out: %d", code)
	}
}

// TestSessionEnds holds that a session is worth what its token is worth, has an end of its own, and that there are not too many.
func TestSessionEnds(t *testing.T) {
	_, server, _ := serve(t, whole(), Access{Required: true})
	store := server.config.Tokens.(durable.FS)
	now := time.Now()
	keys := access.Keys{State: store, Now: func() time.Time { return now }}
	all := newSessions(keys, Access{})
	begin := func(name string, role access.Role) *http.Request {
		t.Helper()
		token, err := access.Add(store, access.Permit{Name: name, Role: role, TTL: 30 * 24 * time.Hour, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		g, err := keys.Check(token)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.AddCookie(all.begin(g))
		return r
	}
	r := begin("wall", access.Read)
	if g, shown, err := all.find(r); err != nil || !shown || g.Name != "wall" {
		t.Errorf("%+v, %v", g, err)
	}
	for range 3 { // a page on a wall
		now = now.Add(sessionTime - time.Minute)
		if c := all.prolong(r); c == nil || c.MaxAge != int(sessionTime/time.Second) || r.Header.Get("Cookie") != c.Name+"="+c.Value {
			t.Fatalf("it does not go on: %v", c)
		}
	}
	if _, _, err := all.find(r); err != nil {
		t.Errorf("it went on: %v", err)
	}
	now = now.Add(sessionTime)
	if c := all.prolong(r); c != nil {
		t.Error("one that is over goes on")
	}
	if _, shown, err := all.find(r); !errors.Is(err, errSession) || !shown {
		t.Errorf("after its time: %v", err)
	}
	r = begin("operator", access.Operate)
	if c := all.prolong(r); c != nil {
		t.Error("one that operates goes on")
	}
	r = begin("desk", access.Read)
	if err := access.Remove(store, "desk"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := all.find(r); !errors.Is(err, errSession) {
		t.Errorf("after its token: %v", err)
	}
	for range mostSessions + 10 {
		all.begin(access.Grant{})
	}
	if len(all.open) != mostSessions {
		t.Errorf("%d sessions are open", len(all.open))
	}
	if c := newSessions(keys, Access{TLS: &KeyPair{}}).begin(access.Grant{}); !c.Secure || !strings.HasPrefix(c.Name, "__Host-") {
		t.Errorf("with TLS the cookie is %v", c)
	}
}

// authority signs certificates for a test, and writes them as PEM files.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	dir  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("authority", time.Now().Add(24*time.Hour))
	return a
}

// issue makes NAME.pem and NAME-key.pem.
func (a *authority) issue(name string, until time.Time) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(until.UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: until, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: a.cert == nil, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	parent, signer := c, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + "-key.pem": {Type: "PRIVATE KEY", Bytes: private}, name + ".pem": {Type: "CERTIFICATE", Bytes: der}} {
		whole := filepath.Join(a.dir, file)
		if err := os.WriteFile(whole+".new", pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
		if err := os.Rename(whole+".new", whole); err != nil {
			a.t.Fatal(err)
		}
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// client trusts the authority, and shows a certificate if it is given a name.
func (a *authority) client(name string) *http.Client {
	a.t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	c := &tls.Config{RootCAs: roots, ServerName: "localhost"}
	if name != "" {
		pair, err := tls.LoadX509KeyPair(a.file(name+".pem"), a.file(name+"-key.pem"))
		if err != nil {
			a.t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: c}}
	a.t.Cleanup(client.CloseIdleConnections)
	return client
}

// TestCertificates holds that a client's certificate is as good as a token, with the role that the configuration gives it, and that one of another authority is not.
func TestCertificates(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	ca.issue("server", time.Now().Add(time.Hour))
	ca.issue("viewer", time.Now().Add(time.Hour))
	ca.issue("ops", time.Now().Add(time.Hour))
	other.issue("ops", time.Now().Add(time.Hour))
	pair, err := OpenKeyPair(ca.file("server.pem"), ca.file("server-key.pem"), ca.file("authority.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s := whole()
	_, server, _ := serve(t, s, Access{Required: true, TLS: pair, Operators: []string{"ops"}})
	as := func(client *http.Client) visitor {
		return visitor{t, client, "https://" + server.Address, http.Header{}}
	}
	for name, want := range map[string][2]int{"": {401, 401}, "viewer": {200, 403}, "ops": {200, 204}} {
		v := as(ca.client(name))
		if code, text, _ := v.ask("GET", "/api/v1/status", ""); code != want[0] {
			t.Errorf("%q reads: %d %s", name, code, text)
		}
		if code, text, _ := v.ask("POST", "/api/v1/touch", `["1.2"]`); code != want[1] {
			t.Errorf("%q operates: %d %s", name, code, text)
		}
	}
	foreign := ca.client("")
	chain, err := tls.LoadX509KeyPair(other.file("ops.pem"), other.file("ops-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	settings := foreign.Transport.(*http.Transport).TLSClientConfig
	settings.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &chain, nil }
	if answer, err := foreign.Get("https://" + server.Address + "/healthz"); err == nil {
		_ = answer.Body.Close()
		t.Errorf("a certificate of another authority is taken: %s", answer.Status)
	}
	if len(s.touched) != 1 {
		t.Errorf("touched: %v", s.touched)
	}
}

// TestForms holds that files in forms in which authorities give them out are refused with what turns them into such that can be used.
func TestForms(t *testing.T) {
	ca := newAuthority(t)
	cert, _ := ca.issue("server", time.Now().Add(time.Hour))
	for name, text := range map[string][]byte{"server.der": cert.Raw, "locked.pem": []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n")} {
		if err := os.WriteFile(ca.file(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, form := range []struct{ certificate, key, says string }{{"server.der", "server-key.pem", "openssl x509 -inform der"}, {"server.pem", "locked.pem", "openssl pkey -in"},
		{"authority.pem", "server-key.pem", "private key does not match"}} {
		if _, err := OpenKeyPair(ca.file(form.certificate), ca.file(form.key), ""); !errors.Is(err, ErrFiles) || !strings.Contains(err.Error(), form.says) {
			t.Errorf("%s with %s: %v", form.certificate, form.key, err)
		}
	}
}

// TestRenewal holds that a renewed certificate is used at once, and that one that cannot be read leaves the old one in use.
func TestRenewal(t *testing.T) {
	ca := newAuthority(t)
	first, second := time.Now().Add(time.Hour).Truncate(time.Second).UTC(), time.Now().Add(2*time.Hour).Truncate(time.Second).UTC()
	if _, err := OpenKeyPair(ca.file("server.pem"), ca.file("server-key.pem"), ""); err == nil {
		t.Error("files that are not there were taken")
	}
	ca.issue("server", first)
	pair, err := OpenKeyPair(ca.file("server.pem"), ca.file("server-key.pem"), "")
	if err != nil || !pair.Until().Equal(first) {
		t.Fatalf("%v, %v", pair.Until(), err)
	}
	if err := os.WriteFile(ca.file("torn"), []byte("-----BEGIN CERT"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(ca.file("torn"), ca.file("server.pem")); err != nil {
		t.Fatal(err)
	}
	if !pair.Until().Equal(first) {
		t.Error("half a file put the certificate out of use")
	}
	ca.issue("server", second)
	if !pair.Until().Equal(second) {
		t.Errorf("after the renewal it ends at %v", pair.Until())
	}
	for after, says := range map[time.Duration]string{-24 * time.Hour: "see which of both is wrong", time.Hour: "ends on", 3 * time.Hour: "ended on"} {
		if got := pair.Ending(time.Now().Add(after)); !strings.Contains(got, says) {
			t.Errorf("%v from now: %q", after, got)
		}
	}
	ca.issue("server", time.Now().Add(30*24*time.Hour))
	if got := pair.Ending(time.Now()); got != "" || (*KeyPair)(nil).Ending(time.Now()) != "" {
		t.Errorf("with a month left: %q", got)
	}
	if _, err := OpenKeyPair(ca.file("server.pem"), ca.file("server-key.pem"), ca.file("server-key.pem")); err == nil || !strings.Contains(err.Error(), "no certificate in PEM form") {
		t.Errorf("a key as authority: %v", err)
	}
}
