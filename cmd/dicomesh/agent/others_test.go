package agent

import (
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/gossip/identity"
	"github.com/dicomesh/dicomesh/gossip/roster"
)

// folderAt opens a private folder of a test.
func folderAt(t *testing.T, path string) *durable.OS {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	fsys, err := durable.OpenPrivate(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fsys.Close() })
	return fsys
}

// founded makes the state of a site of a cluster, whose other sites are those.
func founded(t *testing.T, state durable.FS, others ...string) {
	t.Helper()
	if _, err := identity.Create(state, identity.Founding{Cluster: "c", Site: "north", Addresses: []string{"127.0.0.1:1"}, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	i, err := identity.Open(state, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range others {
		public, _, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		err = i.Change(func(r roster.Roster, operator ed25519.PrivateKey) (roster.Roster, error) {
			return r.With(roster.Site{Name: name, Key: roster.Key(public), Role: roster.Full, Addresses: []string{"127.0.0.1:2"}, Status: roster.Active, By: "north"}, operator)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestOthers: whose tree it is, and who else may hold more; what cannot be told is never "nobody".
func TestOthers(t *testing.T) {
	member := north
	member.Member = true
	for _, tt := range []struct {
		name    string
		mark    *Mark
		roster  []string // nil: no identity in the state; else the other sites
		state   bool     // there is a state folder
		want    string
		refused bool
	}{
		{"a tree of nobody", nil, nil, false, "", false},
		{"a tree of nobody, indexed by hand", nil, nil, true, "", false},
		{"a site that is alone", &north, nil, true, "", false},
		{"a site that is alone, its state is elsewhere", &north, nil, false, "", false},
		{"a cluster of one", &member, []string{}, true, "", false},
		{"one of three", &member, []string{"east", "south"}, true, "east south", false},
		{"set up, and not started since", &north, []string{"south"}, true, "south", false},
		{"a member whose state is elsewhere, or lost", &member, nil, false, "", true},
		{"a member whose keys are lost", &member, nil, true, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tree := folderAt(t, filepath.Join(dir, "tree"))
			if tt.mark != nil {
				if err := tree.Mkdir(".dicomesh"); err != nil {
					t.Fatal(err)
				}
				if err := writeMark(tree, treeMark, *tt.mark); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(dir, "state")
			if tt.state {
				if state := folderAt(t, path); tt.roster != nil {
					founded(t, state, tt.roster...)
				}
			}
			got, err := Others(tree, path)
			if errors.Is(err, ErrRefused) != tt.refused || err != nil && !tt.refused || strings.Join(got.Others, " ") != tt.want {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
}

// TestPublishes: a current tree of an agent is known by its mark, which is made anew where it is of another site.
func TestPublishes(t *testing.T) {
	current := folderAt(t, filepath.Join(t.TempDir(), "current"))
	if is, err := Publishes(current); is || err != nil {
		t.Errorf("a folder of nobody: %v %v", is, err)
	}
	for _, m := range []Mark{north, north, south} {
		if err := markCurrent(current, m); err != nil {
			t.Fatal(err)
		}
		if is, err := Publishes(current); !is || err != nil {
			t.Errorf("%v %v", is, err)
		}
	}
	if m, err := readMark(current, treeMark); err != nil || *m != south {
		t.Errorf("it is marked %+v: %v", m, err)
	}
}
