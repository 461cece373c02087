package access

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func state(t *testing.T) (string, *durable.OS) {
	t.Helper()
	dir := t.TempDir()
	fsys, err := durable.OpenPrivate(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fsys.Close() })
	return dir, fsys
}

func add(t *testing.T, fsys durable.FS, name string, role Role) string {
	t.Helper()
	token, err := Add(fsys, Permit{Name: name, Role: role, TTL: time.Hour, Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestTokens holds that a token opens what its role says, to its last second, until it is taken back, and that no other word does.
func TestTokens(t *testing.T) {
	_, fsys := state(t)
	now := noon
	keys := Keys{State: fsys, Now: func() time.Time { return now }}
	if _, err := keys.Check("dicomesh-http-x"); !errors.Is(err, ErrUnknown) {
		t.Errorf("before there is any token: %v", err)
	}
	one, two := add(t, fsys, "wall", Read), add(t, fsys, "desk", Operate)
	if one == two {
		t.Fatal("two tokens are one")
	}
	g, err := keys.Check(one)
	if err != nil || g.Name != "wall" || g.Role != Read {
		t.Errorf("%+v, %v", g, err)
	}
	if d, err := keys.Check(two); err != nil || d.Role != Operate {
		t.Errorf("%+v, %v", d, err)
	}
	for _, wrong := range []string{"", "x", one[:len(one)-1], one + "A", strings.ToUpper(one), hash(one), g.Hash} {
		if _, err := keys.Check(wrong); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	now = noon.Add(time.Hour - time.Second)
	if !keys.Stands(g) {
		t.Error("it ends too early")
	}
	now = noon.Add(time.Hour)
	if _, err := keys.Check(one); !errors.Is(err, ErrExpired) || keys.Stands(g) {
		t.Errorf("after its end: %v", err)
	}
	now = noon
	if err := Remove(fsys, "wall"); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Check(one); !errors.Is(err, ErrUnknown) || keys.Stands(g) {
		t.Errorf("taken back: %v", err)
	}
	if err := Remove(fsys, "wall"); !errors.Is(err, ErrNone) {
		t.Errorf("taken back twice: %v", err)
	}
}

// TestNames holds that one name is one token, that one that has ended may be made anew, and what is no name.
func TestNames(t *testing.T) {
	_, fsys := state(t)
	add(t, fsys, "wall", Read)
	if _, err := Add(fsys, Permit{Name: "wall", Role: Read, TTL: time.Hour, Now: noon}); !errors.Is(err, ErrTaken) {
		t.Errorf("twice: %v", err)
	}
	if _, err := Add(fsys, Permit{Name: "wall", Role: Read, TTL: time.Hour, Now: noon.Add(2 * time.Hour)}); err != nil {
		t.Errorf("after its end: %v", err)
	}
	for _, bad := range []string{"", "../x", "a b", ".x", strings.Repeat("x", 65), "a\n"} {
		if _, err := Add(fsys, Permit{Name: bad, Role: Read, TTL: time.Hour, Now: noon}); err == nil {
			t.Errorf("%q is a name", bad)
		}
	}
	if _, err := Add(fsys, Permit{Name: "late", Role: Read, Now: noon}); err == nil {
		t.Error("a token that is valid for no time was made")
	}
}

// TestKept holds that the token's text is not in the file, that others cannot read it, and that a file that is torn lets nobody in.
func TestKept(t *testing.T) {
	dir, fsys := state(t)
	token := add(t, fsys, "wall", Read)
	path := filepath.Join(dir, fileName)
	text, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(text), strings.TrimPrefix(token, prefix)) || !strings.Contains(string(text), hash(token)) {
		t.Errorf("%s, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (Keys{State: fsys, Now: func() time.Time { return noon }}).Check(token); err == nil {
		t.Error("half a file lets people in")
	}
	if _, err := Add(fsys, Permit{Name: "b", Role: Read, TTL: time.Hour, Now: noon}); err == nil {
		t.Error("half a file was written over")
	}
}

// TestRoles holds what covers what.
func TestRoles(t *testing.T) {
	for _, c := range []struct {
		has, need Role
		may       bool
	}{{Read, Read, true}, {Operate, Read, true}, {Operate, Operate, true}, {Read, Operate, false}, {"", Read, false}, {"", Operate, false}, {"root", Read, false}} {
		if c.has.Covers(c.need) != c.may {
			t.Errorf("%q covers %q: %v", c.has, c.need, !c.may)
		}
	}
	if _, err := ParseRole("admin"); err == nil {
		t.Error("admin is a role")
	}
}
