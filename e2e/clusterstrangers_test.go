package e2e

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestClusterStranger has a site of another cluster, which bears the names of this one, dial a site: it is refused before any byte of data, and that is said.
func TestClusterStranger(t *testing.T) {
	c := newCluster(t, "a", "b")
	folder := sampled(t, "--studies", "1", "--instances", "2")
	c.sites["a"].drop(folder)
	c.level(time.Minute, 1)

	other := newCluster(t, "a") // of the same name, with a root of its own
	thief := other.join("b", "a")
	thief.drop(sampled(t, "--studies", "1", "--instances", "3"))
	other.level(time.Minute, 1)
	thief.kill()
	other.net.redirect("a", c.net.listens("a"))
	thief.run()
	c.sites["a"].event("stranger", "of another one")
	thief.event("link", "a failed")

	junk, err := net.Dial("udp", c.net.listens("a").String())
	if err != nil {
		t.Fatal(err)
	}
	defer junk.Close()
	for n := range 2000 {
		if _, err := junk.Write(make([]byte, n%1300+1)); err != nil {
			t.Fatal(err)
		}
	}
	c.sites["b"].drop(sampled(t, "--studies", "1", "--instances", "4"))
	c.level(time.Minute, 2)
	if d := thief.digests(); len(d) != 1 {
		t.Errorf("the stranger has %d studies", len(d))
	}
}

// TestClusterRemoved removes a site: its link ends at once, it is refused from then on and that is said, and nothing new reaches it or comes from it.
func TestClusterRemoved(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.sites["a"].drop(sampled(t, "--studies", "1", "--instances", "2"))
	c.level(time.Minute, 1)
	c.whole()
	removed := c.sites["c"]
	c.sites["a"].command("remove", "c", "--yes")
	c.sites["a"].event("stranger", "it was removed from the roster")
	c.sites["b"].event("stranger", "it was removed from the roster")
	removed.kill()
	removed.begin() // it may refuse to start
	removed.drop(sampled(t, "--studies", "1", "--instances", "3"))
	c.sites["b"].drop(sampled(t, "--studies", "1", "--instances", "4"))
	delete(c.sites, "c")
	c.level(time.Minute, 2)
	c.settledAll()
	if n := len(parts(t, removed.in("tree", "studies"))); n > 2 {
		t.Errorf("the removed site has %d studies", n)
	}
}

// redirect sends those who come to a site's door elsewhere.
func (n *network) redirect(site string, to netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range n.doors {
		if d.site == site {
			d.real = to
			for from, s := range d.sessions {
				_ = s.Close()
				delete(d.sessions, from)
			}
		}
	}
}

// listens is where a site really listens.
func (n *network) listens(site string) netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range n.doors {
		if d.site == site {
			return d.real
		}
	}
	return netip.AddrPort{}
}
