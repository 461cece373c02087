package identity

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/gossip/roster"
)

var now = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

func founding() Founding {
	return Founding{Cluster: "test", Site: "a", Listen: "127.0.0.1:7001", Addresses: []string{"127.0.0.1:7001"}, Now: now}
}

// founded is the state folder of the first site, and the recovery key.
func founded(t *testing.T) (durable.FS, string) {
	t.Helper()
	fsys := crashfs.New()
	recovery, err := Create(fsys, founding())
	if err != nil {
		t.Fatal(err)
	}
	return fsys, recovery
}

func opened(t *testing.T, fsys durable.FS, changed func(roster.Roster)) *Identity {
	t.Helper()
	i, err := Open(fsys, changed)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func token(t *testing.T, fsys durable.FS, change func(*Permit)) Token {
	t.Helper()
	p := Permit{Role: roster.Full, TTL: time.Hour, Now: now}
	if change != nil {
		change(&p)
	}
	text, err := NewToken(fsys, p)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func bindingOf(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

func names(r roster.Roster) string {
	var all []string
	for _, s := range r.Sites() {
		all = append(all, s.Name)
	}
	return strings.Join(all, " ")
}

func TestCreateAndOpen(t *testing.T) {
	fsys, recovery := founded(t)
	i := opened(t, fsys, nil)
	if i.Cluster != "test" || i.Name != "a" || i.Listen != "127.0.0.1:7001" || names(i.Roster()) != "a" || len(i.Certificate.Certificate) != 1 {
		t.Errorf("%+v", i)
	}
	again := opened(t, fsys, nil)
	if again.Boot <= i.Boot {
		t.Errorf("boot %d after %d", again.Boot, i.Boot)
	}
	if _, err := Create(fsys, founding()); !errors.Is(err, ErrIs) {
		t.Errorf("a second cluster in the folder: %v", err)
	}
	root, err := ParseRecovery(strings.ToLower(recovery[:30]) + " \n " + recovery[30:])
	if err != nil {
		t.Fatal(err)
	}
	if _, want := i.Roster().Cluster(); roster.KeyOf(root) != want {
		t.Error("the recovery key is not the cluster's root")
	}
	if _, err := ParseRecovery(recovery[:len(recovery)-1] + map[bool]string{true: "B", false: "A"}[recovery[len(recovery)-1] == 'A']); err == nil {
		t.Error("a typing error was not seen")
	}
	if _, err := Open(crashfs.New(), nil); !errors.Is(err, ErrNone) {
		t.Errorf("an empty folder: %v", err)
	}
}

// TestFilesArePrivate holds that nobody but the owner reads keys and tokens, on a real file system.
func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	fsys, err := durable.OpenPrivate(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	if _, err := Create(fsys, founding()); err != nil {
		t.Fatal(err)
	}
	token(t, fsys, nil)
	opened(t, fsys, nil)
	files := 0
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		info, _ := d.Info()
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
		files++
		return nil
	})
	if files < 9 {
		t.Errorf("%d files", files)
	}
}

// TestJoin: a token, a request, an answer, and then both know both; the one who did not hear the answer asks again.
func TestJoin(t *testing.T) {
	at, _ := founded(t)
	var told []string
	issuer := opened(t, at, func(r roster.Roster) { told = append(told, names(r)) })
	tok := token(t, at, nil)
	fsys := crashfs.New()
	var answer []byte
	for n := byte(1); n <= 2; n++ { // the second time it starts anew, after a crash
		a, err := Apply(fsys, tok, "b", ":7002", []string{"127.0.0.1:7002"})
		if err != nil {
			t.Fatal(err)
		}
		asked, err := a.Request(bindingOf(n))
		if err != nil {
			t.Fatal(err)
		}
		if answer, err = issuer.Admit(bindingOf(n), asked, now); err != nil {
			t.Fatal(err)
		}
		if n == 2 {
			if err := a.Accept(answer); err != nil {
				t.Fatal(err)
			}
		}
	}
	b := opened(t, fsys, nil)
	if names(b.Roster()) != "a b" || b.Roster().Epoch() != issuer.Roster().Epoch() || b.Listen != ":7002" || strings.Join(told, ",") != "a b" {
		t.Errorf("%s here, %s there, told %v", names(b.Roster()), names(issuer.Roster()), told)
	}
	// No site is special: b admits c, and a hears of it by a merge.
	c, err := Apply(crashfs.New(), token(t, fsys, func(p *Permit) { p.Site, p.Role = "c", roster.Standby }), "c", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	asked, _ := c.Request(bindingOf(3))
	answer, err = b.Admit(bindingOf(3), asked, now)
	if err = errors.Join(err, c.Accept(answer)); err != nil {
		t.Fatal(err)
	}
	if news, err := issuer.Merge(b.Roster().Encode()); !news || err != nil || names(issuer.Roster()) != "a b c" {
		t.Errorf("%v %v %s", news, err, names(issuer.Roster()))
	}
	if news, err := issuer.Merge(b.Roster().Encode()); news || err != nil {
		t.Errorf("the same again: %v %v", news, err)
	}
	if names(opened(t, at, nil).Roster()) != "a b c" {
		t.Error("the merge is not on disk")
	}
	if s, _ := issuer.Roster().Site("c"); s.Role != roster.Standby || !s.DialOnly() || s.By != "b" {
		t.Errorf("%+v", s)
	}
}

// TestJoinRefused: what a stranger may try with and without a token.
func TestJoinRefused(t *testing.T) {
	at, _ := founded(t)
	issuer := opened(t, at, nil)
	ask := func(tok Token, name string, spoil func([]byte) []byte, when time.Time) error {
		a, err := Apply(crashfs.New(), tok, name, "", nil)
		if err != nil {
			return err
		}
		asked, err := a.Request(bindingOf(1))
		if err != nil {
			return err
		}
		if spoil != nil {
			asked = spoil(asked)
		}
		_, err = issuer.Admit(bindingOf(1), asked, when)
		return err
	}
	expect := func(what string, err error, says string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	tok := token(t, at, nil)
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 1; return b }
	}
	expect("another id", ask(tok, "b", flip(0), now), "no such token")
	expect("another proof", ask(tok, "b", flip(idSize), now), "no such token")
	expect("another body", ask(tok, "b", flip(idSize+proofSize+3), now), "no such token")
	expect("cut off", ask(tok, "b", func(b []byte) []byte { return b[:20] }, now), "no such token")
	guess := tok
	guess.secret[0] ^= 1
	expect("another secret", ask(guess, "b", nil, now), "no such token")
	a, _ := Apply(crashfs.New(), tok, "b", "", nil)
	asked, _ := a.Request(bindingOf(1))
	_, err := issuer.Admit(bindingOf(2), asked, now)
	expect("a request that was recorded on another connection", err, "no such token")
	expect("too late", ask(tok, "b", nil, now.Add(time.Hour+2*time.Second)), "was valid until")
	expect("a name that is taken", ask(tok, "a", nil, now), "with another key")
	if names(issuer.Roster()) != "a" {
		t.Fatal(names(issuer.Roster()))
	}
	if err := ask(tok, "b", nil, now); err != nil {
		t.Fatal(err)
	}
	expect("a second machine with the token", ask(tok, "c", nil, now), "has been used")
	named := token(t, at, func(p *Permit) { p.Site = "d" })
	expect("a token for another name", ask(named, "e", nil, now), "for a site named d")
	if err := ask(named, "d", nil, now); err != nil {
		t.Error(err)
	}
	for what, p := range map[string]Permit{"edge": {Role: "edge", TTL: time.Hour, Now: now}, "for ever": {Role: roster.Full, TTL: 1000 * time.Hour, Now: now},
		"taken": {Role: roster.Full, TTL: time.Hour, Now: now, Site: "b"}, "no time": {Role: roster.Full, Now: now}} {
		if _, err := NewToken(at, p); err == nil {
			t.Errorf("a token: %s", what)
		}
	}
}

// TestAcceptRefuses: what answers must be of the cluster that the token names, and about this site.
func TestAcceptRefuses(t *testing.T) {
	at, _ := founded(t)
	other := crashfs.New()
	if _, err := Create(other, founding()); err != nil {
		t.Fatal(err)
	}
	tok := token(t, at, nil)
	apply := func(tok Token, name string) (*Applicant, []byte) {
		a, err := Apply(crashfs.New(), tok, name, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		asked, _ := a.Request(bindingOf(1))
		return a, asked
	}
	b, _ := apply(tok, "b")
	_, asked := apply(token(t, other, nil), "b")
	foreign, err := opened(t, other, nil).Admit(bindingOf(1), asked, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Accept(foreign); !errors.Is(err, roster.ErrOtherCluster) {
		t.Errorf("another cluster's answer: %v", err)
	}
	d, asked := apply(tok, "d")
	others, err := opened(t, at, nil).Admit(bindingOf(1), asked, now)
	if err != nil {
		t.Fatal(err)
	}
	for what, answer := range map[string][]byte{"another site's": others, "nothing": nil, "nonsense": []byte("{}"), "cut": others[:len(others)/2]} {
		if err := b.Accept(answer); err == nil {
			t.Errorf("an answer was taken: %s", what)
		}
		if err := Check(b.fsys); err != nil {
			t.Errorf("%s left an identity: %v", what, err)
		}
	}
	if err := d.Accept(others); err != nil {
		t.Error(err)
	}
}

// TestOperatorAway: a site whose operator credential was taken away goes on, and signs nothing.
func TestOperatorAway(t *testing.T) {
	fsys, recovery := founded(t)
	tok := token(t, fsys, nil)
	if err := fsys.Remove(operatorFile); err != nil {
		t.Fatal(err)
	}
	i := opened(t, fsys, nil)
	if err := i.Change(func(r roster.Roster, _ ed25519.PrivateKey) (roster.Roster, error) { return r, nil }); !errors.Is(err, ErrNoOperator) {
		t.Error(err)
	}
	if _, err := NewToken(fsys, Permit{Role: roster.Full, TTL: time.Hour, Now: now}); !errors.Is(err, ErrNoOperator) {
		t.Error(err)
	}
	a, _ := Apply(crashfs.New(), tok, "b", "", nil)
	asked, _ := a.Request(bindingOf(1))
	if _, err := i.Admit(bindingOf(1), asked, now); err == nil {
		t.Error("it admitted somebody")
	}
	root, err := ParseRecovery(recovery) // with it everything can still be signed
	if err != nil {
		t.Fatal(err)
	}
	r, err := i.Roster().Change("a", root, func(s *roster.Site) { s.Addresses = []string{"a.example:1"} })
	if err != nil {
		t.Fatal(err)
	}
	if news, err := i.Merge(r.Encode()); !news || err != nil {
		t.Error(news, err)
	}
}

// TestCrash: whatever the moment at which the power goes, founding and joining leave nothing or everything, and can be done again; a token that was
// used stays used, and its machine is answered.
func TestCrash(t *testing.T) {
	at, _ := founded(t)
	frozen := at.(*crashfs.FS).Crash(rand.New(rand.NewPCG(0, 0)))
	tok := token(t, frozen, nil)
	for k, done := 0, false; !done; k++ {
		issuerFS, joinerFS, newFS := crashfs.New(), crashfs.New(), crashfs.New()
		copyAll(t, frozen, issuerFS)
		for _, f := range []*crashfs.FS{joinerFS, newFS} {
			f.Hook = crashfs.CrashAt(k)
		}
		_, foundErr := Create(newFS, founding())
		joinErr := join(t, issuerFS, joinerFS, tok, func() { issuerFS.Hook = crashfs.CrashAt(issuerFS.Ops() + k) })
		done = foundErr == nil && joinErr == nil
		left := [3]*crashfs.FS{}
		for n, f := range []*crashfs.FS{newFS, joinerFS, issuerFS} {
			left[n] = f.Crash(rand.New(rand.NewPCG(uint64(k), uint64(n))))
		}
		if _, err := Create(left[0], founding()); err != nil && !errors.Is(err, ErrIs) {
			t.Fatalf("crash at %d: founding again: %v", k, err)
		}
		opened(t, left[0], nil)
		if err := join(t, left[2], left[1], tok, nil); err != nil && !errors.Is(err, ErrIs) {
			t.Fatalf("crash at %d: joining again: %v", k, err)
		}
		if b := opened(t, left[1], nil); names(b.Roster()) != "a b" || names(opened(t, left[2], nil).Roster()) != "a b" {
			t.Fatalf("crash at %d: %s here", k, names(b.Roster()))
		}
	}
}

// join has b join at the site of issuerFS.
func join(t *testing.T, issuerFS, joinerFS durable.FS, tok Token, asked func()) error {
	t.Helper()
	issuer := opened(t, issuerFS, nil)
	a, err := Apply(joinerFS, tok, "b", "", nil)
	if err != nil {
		return err
	}
	request, err := a.Request(bindingOf(1))
	if err != nil {
		return err
	}
	if asked != nil {
		asked()
	}
	answer, err := issuer.Admit(bindingOf(1), request, now)
	if err != nil {
		return err
	}
	return a.Accept(answer)
}

// copyAll copies a folder with all in it.
func copyAll(t *testing.T, from, to durable.FS) {
	t.Helper()
	for _, dir := range []string{folder, tokenFolder} {
		if err := makeFolder(to, dir); err != nil {
			t.Fatal(err)
		}
		entries, err := from.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() {
				continue
			}
			b, err := read(from, dir+"/"+e.Name())
			if err == nil {
				err = durable.WriteFile(to, dir+"/"+e.Name(), b)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestDamage: each file that is damaged is named, and nothing is taken for what it is not.
func TestDamage(t *testing.T) {
	for _, name := range []string{identityFile, siteKeyFile, operatorFile, certFile, rosterFile} {
		fsys, _ := founded(t)
		if err := durable.ReplaceFile(fsys, name, []byte("damaged")); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(fsys, nil); err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), filepath.Base(name)) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Create(fsys, founding()); !errors.Is(err, ErrIs) {
			t.Errorf("%s: founded again: %v", name, err)
		}
	}
	fsys, _ := founded(t)
	fsys.Remove(siteKeyFile)
	if _, err := ensureKey(fsys, siteKeyFile); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(fsys, nil); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("another site's key: %v", err)
	}
}

func TestTokensAreSwept(t *testing.T) {
	fsys, _ := founded(t)
	for range 3 {
		token(t, fsys, nil)
	}
	token(t, fsys, func(p *Permit) { p.Now = now.Add(2 * time.Hour) })
	entries, err := fsys.ReadDir(tokenFolder)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d tokens, %v", len(entries), err)
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(Token{Cluster: "c", Issuer: "a", Addresses: []string{"a.example:1"}}.String())
	f.Add(tokenPrefix)
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := ParseToken(text)
		if err != nil {
			if !errors.Is(err, ErrToken) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if again, err := ParseToken(tok.String()); err != nil || again.String() != tok.String() {
			t.Fatalf("%v is read back as %v, %v", tok, again, err)
		}
	})
}

// FuzzAdmit feeds what strangers may send.
func FuzzAdmit(f *testing.F) {
	fsys := crashfs.New()
	if _, err := Create(fsys, founding()); err != nil {
		f.Fatal(err)
	}
	i, err := Open(fsys, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("short"))
	f.Add(bytes.Repeat([]byte{1}, 100))
	f.Fuzz(func(t *testing.T, asked []byte) {
		if _, err := i.Admit(bindingOf(1), asked, now); err == nil {
			t.Fatal("a stranger was admitted")
		}
	})
}

// TestRecover holds that the recovery key does what an operator's would where none is left, and that another cluster's does nothing.
func TestRecover(t *testing.T) {
	fsys, recovery := founded(t)
	_, other := founded(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(fsys.Remove(operatorFile))
	i := opened(t, fsys, nil)
	role := func(r roster.Roster, key ed25519.PrivateKey) (roster.Roster, error) {
		return r.Change(i.Name, key, func(s *roster.Site) { s.Role = roster.Standby })
	}
	if err := i.Change(role); !errors.Is(err, ErrNoOperator) {
		t.Errorf("without a credential: %v", err)
	}
	for text, want := range map[string]error{other: ErrOtherKey, "nonsense": nil} {
		if err := i.Recover(text, role); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("with another key: %v", err)
		}
	}
	before := i.Roster().Epoch()
	must(i.Recover(" "+recovery+"\n", role))
	again := opened(t, fsys, nil)
	if s, err := again.Roster().Site(i.Name); err != nil || s.Role != roster.Standby || again.Roster().Epoch() == before {
		t.Errorf("%+v, %v", s, err)
	}
}
