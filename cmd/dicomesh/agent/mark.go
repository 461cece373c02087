package agent

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/gossip/identity"
)

// Mark says whose a folder is. The tree has one (.dicomesh/site.json) and the state has one (site.json); they were written together, and a site starts only when it finds
// both, equal. So a mount that vanished, or a state that was lost, never looks like a site that is new and alone.
type Mark struct {
	Version int    `json:"version"` // markVersion
	Cluster string `json:"cluster"`
	Site    string `json:"site"`
	Member  bool   `json:"member,omitempty"` // it was set up with init or join, so its state has keys
	ID      string `json:"id"`               // drawn when the two were written: names may repeat
	// Begun is true in a state whose tree may not be marked yet: the process that was to do it may have died between the two.
	Begun bool `json:"begun,omitempty"`
}

// Where marks are.
const (
	markVersion = 1
	treeMark    = ".dicomesh/site.json"
	stateMark   = "site.json"
	largestMark = 64 << 10
)

// Loss is what an operator said is lost for good.
type Loss string

// The losses.
const (
	NoLoss    Loss = ""
	StateLost Loss = "state" // the tree is there, the state is not
	TreeLost  Loss = "tree"  // the state is there, the tree is not, or is another one
)

// ErrRefused says that a site does not start as it is: the operator has to do something, and the error says what.
var ErrRefused = errors.New("refused")

// Existing returns nil where a site was set up: its tree has a marker, or its state has one, or the keys that init and join make. Else it is an ErrRefused. It makes nothing.
func Existing(c config.Config) error {
	for _, name := range []string{filepath.Join(c.Paths.Tree, treeMark), filepath.Join(c.Paths.State, stateMark)} {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	state, err := durable.OpenPrivate(c.Paths.State)
	if err == nil {
		_, _, _, err = identity.Describe(state)
		err = errors.Join(err, state.Close())
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, identity.ErrNone) {
		return refuse("mount it and start again. If the site is to be new: dicomesh init or dicomesh join first, or start without --existing",
			"no site was ever set up in %s and %s: the file system that holds them is probably not mounted", c.Paths.Tree, c.Paths.State)
	}
	return err
}

// found is what there is in the folders of a site before it starts.
type found struct {
	tree, state *Mark // nil: there is none
	archive     bool  // the tree has studies
	known       bool  // the state knows studies
}

// plan is what is to be done about the marks before a site starts: write them where they are missing.
type plan struct {
	mark  Mark
	tree  bool   // write the tree's
	state bool   // write the state's
	said  string // what an operator should know; "" if nothing
}

// judge decides whether a site starts. fresh is the mark of a site that would be new.
func judge(f found, loss Loss, fresh Mark) (plan, error) {
	switch {
	case f.tree != nil && f.state != nil:
		return both(*f.tree, *f.state)
	case f.state != nil && f.state.Begun:
		return plan{mark: f.state.done(), tree: true, state: true}, nil
	case f.state != nil && loss == TreeLost:
		return plan{mark: *f.state, tree: true, said: "the tree was lost: this one is the site's from now on"}, nil
	case f.state != nil:
		return plan{}, refuse("mount it and start again. Only if the tree is lost for good: dicomesh agent --accept-loss tree",
			"the state is that of site %s, but the tree has no marker of it (%s): the file system that holds the tree is probably not mounted", f.state.Site, treeMark)
	case f.tree != nil && loss == StateLost:
		return plan{mark: *f.tree, state: true, said: "the state was lost: it is begun anew, and files of other writers cannot be checked against what they were"}, nil
	case f.tree != nil:
		return plan{}, refuse("put it back from a backup, or name it with paths.state in config.yaml. Only if it is lost for good: dicomesh agent --accept-loss state",
			"the tree is that of site %s, but there is no state of it (%s): it is lost, or lies elsewhere", f.tree.Site, stateMark)
	case f.known && !f.archive:
		return plan{}, refuse("mount it and start again. If the state is of another tree, put it away",
			"the state knows studies, but the tree has none: the file system that holds the tree is probably not mounted")
	}
	p := plan{mark: fresh, tree: true, state: true}
	if f.archive {
		p.said = "the tree had no site yet: it is this one's from now on"
	}
	return p, nil
}

// named is judge for a site that may have been set up with init or join, in this state: then its names are those. A site that was alone is given them when it is first started
// as a member, and keeps its tree.
func named(f found, loss Loss, fresh Mark, state durable.FS) (plan, error) {
	cluster, name, _, err := identity.Describe(state)
	switch {
	case errors.Is(err, identity.ErrNone):
		if f.tree != nil && f.tree.Member && f.state == nil {
			return plan{}, refuse("put it back from a backup, or name it with paths.state in config.yaml. Only if it is lost for good: another site takes this one out of the cluster "+
				"(dicomesh remove "+f.tree.Site+") and makes a token (dicomesh token); join with that here, under another name (dicomesh join), and start again with --accept-loss state",
				"the tree is that of site %s, a member of cluster %s, but there is no state of it (%s), in which its keys are", f.tree.Site, f.tree.Cluster, stateMark)
		}
		return judge(f, loss, fresh)
	case err != nil:
		return plan{}, fmt.Errorf("read who this site is: %w", err)
	}
	fresh.Cluster, fresh.Site, fresh.Member = cluster, name, true
	p, err := judge(f, loss, fresh)
	if err != nil {
		return p, err
	}
	if p.mark.Cluster != cluster || p.mark.Site != name || !p.mark.Member {
		p.mark.Cluster, p.mark.Site, p.mark.Member = cluster, name, true
		p.tree, p.state = true, true
	}
	return p, nil
}

// both is the usual case: a site that has run before.
func both(tree, state Mark) (plan, error) {
	if tree.ID != state.ID {
		return plan{}, refuse("look at paths.tree and paths.state in config.yaml, or at what was mounted or put back there",
			"the tree is that of site %s of cluster %s (%s), the state that of site %s of cluster %s (%s): they do not belong together", tree.Site, tree.Cluster, tree.ID, state.Site, state.Cluster, state.ID)
	}
	return plan{mark: state.done(), state: state.Begun}, nil
}

// done is a mark of which both halves are there.
func (m Mark) done() Mark {
	m.Begun = false
	return m
}

// Refusal is why a site does not start as it is, and what its operator has to do before it can. It is an ErrRefused.
type Refusal struct{ What, Next string }

func (r Refusal) Error() string { return r.What + "; " + r.Next }
func (r Refusal) Unwrap() error { return ErrRefused }

func refuse(next, format string, args ...any) error {
	return Refusal{What: fmt.Sprintf(format, args...), Next: next}
}

// readMark reads a mark; nil if there is none. A mark that cannot be read is never taken for one that is not there.
func readMark(fsys durable.Reader, name string) (*Mark, error) {
	file, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the marker %s: %w", name, err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, largestMark))
	if err != nil {
		return nil, fmt.Errorf("read the marker %s: %w", name, err)
	}
	var m Mark
	switch err := json.Unmarshal(text, &m); {
	case err != nil || m.Site == "" || m.ID == "":
		return nil, refuse("put it back from a backup, or copy the other one: the tree's and the state's are equal", "the marker %s is damaged", name)
	case m.Version > markVersion:
		return nil, refuse("use that one, or a newer one still", "the marker %s was written by a newer dicomesh (version %d)", name, m.Version)
	}
	return &m, nil
}

// freshMark is the mark of a new site on this machine.
func freshMark(host string) Mark {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // it never fails
	name := siteName(host)
	return Mark{Version: markVersion, Cluster: name, Site: name, ID: hex.EncodeToString(id)}
}

// longestName is what a site's name may have, because gossip sends it in every packet.
const longestName = 63

// siteName makes a name for a site from that of its machine: letters, digits and dashes.
func siteName(host string) string {
	host, _, _ = strings.Cut(strings.ToLower(host), ".")
	name := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, host), "-")
	if name == "" {
		return "site"
	}
	return strings.TrimRight(name[:min(len(name), longestName)], "-")
}

// writeMarks carries a plan out. The state's comes first, as begun, so that a crash between the two is finished by the next start.
func writeMarks(p plan, tree, state durable.FS) error {
	if p.state && p.tree {
		begun := p.mark
		begun.Begun = true // until both are there
		if err := writeMark(state, stateMark, begun); err != nil {
			return err
		}
	}
	if p.tree {
		if err := durable.MkdirAll(tree, ".dicomesh"); err != nil {
			return err
		}
		if err := tree.SyncDir("."); err != nil {
			return err
		}
		if err := writeMark(tree, treeMark, p.mark); err != nil {
			return err
		}
	}
	if p.state {
		return writeMark(state, stateMark, p.mark)
	}
	return nil
}

// markCurrent marks a current tree, so that nothing is put into it by hand that was not agreed upon with other sites. It is a cache, so nothing rests on the mark being there.
func markCurrent(current durable.FS, m Mark) error {
	if was, err := readMark(current, treeMark); err == nil && was != nil && *was == m {
		return nil
	}
	if err := durable.MkdirAll(current, ".dicomesh"); err != nil {
		return err
	}
	return writeMark(current, treeMark, m)
}

func writeMark(fsys durable.FS, name string, m Mark) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = durable.ReplaceFile(fsys, name, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the marker %s: %w", name, err)
	}
	return nil
}
