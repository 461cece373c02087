package agent

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/gossip/identity"
)

// Membership is whose a tree is, and which other sites hold the same.
type Membership struct {
	Cluster, Site string
	Others        []string // in the roster, by name: those that are down too; none: the site is alone, or the tree is nobody's
}

// Others says which other sites are in the roster of the site whose tree this is; state is the path of its state folder, which need not be there. It is for commands that
// work on a tree without an agent: nobody but a running agent can ask these sites whether they hold more of a study. ErrRefused for a member's tree whose
// roster cannot be read: then nobody can tell, which is not the same as being alone.
func Others(tree durable.Reader, state string) (Membership, error) {
	m, err := readMark(tree, treeMark)
	if err != nil {
		return Membership{}, err
	}
	var of Membership
	if m != nil {
		of.Cluster, of.Site = m.Cluster, m.Site
	}
	folder, err := durable.OpenPrivate(state)
	if err == nil {
		defer folder.Close()
		return of.read(folder, m)
	}
	if !errors.Is(err, fs.ErrNotExist) || m != nil && m.Member {
		return of, refuse("name the state folder, and read it as the user who owns it", "the tree is that of site %s of cluster %s, and its roster cannot be read (%v)", of.Site, of.Cluster, err)
	}
	return of, nil
}

// read reads the roster in a state folder. A site that was set up with init or join, and has not been started since, has a roster, and a mark that does not say so yet.
func (of Membership) read(state durable.FS, m *Mark) (Membership, error) {
	cluster, site, r, err := identity.Describe(state)
	switch {
	case errors.Is(err, identity.ErrNone) && (m == nil || !m.Member):
		return of, nil
	case err != nil:
		return of, refuse("name the state folder, and read it as the user who owns it", "the tree is that of site %s of cluster %s, and its roster cannot be read (%v)", of.Site, of.Cluster, err)
	}
	of.Cluster, of.Site = cluster, site
	for _, s := range r.Sites() {
		if s.Name != site {
			of.Others = append(of.Others, s.Name)
		}
	}
	return of, nil
}

// Publishes reports whether an agent publishes into a current tree: what is made by hand, without asking the other sites, has no place there.
func Publishes(current durable.Reader) (bool, error) {
	m, err := readMark(current, treeMark)
	if err != nil {
		return false, fmt.Errorf("whose current tree it is: %w", err)
	}
	return m != nil, nil
}
