package e2e

import (
	"testing"
	"time"
)

// TestWholeHub is a hub and hospitals that nobody can dial, and that owe each other no link: they are a whole cluster, which settles what is received at any of them.
func TestWholeHub(t *testing.T) {
	t.Parallel()
	c := foundCluster(t, "hub")
	c.joinDialOnly("east", "hub")
	c.joinDialOnly("west", "hub")
	c.whole()
	c.judged()
	studies := parts(t, sampled(t, "--studies", "3", "--series", "2", "--instances", "2"))
	for n, s := range c.all() {
		s.drop(studies[n])
	}
	t.Logf("settled at all three after %v", c.within(30*time.Second, 3).Round(10*time.Millisecond))
	c.sound(sums(t, studies...))
	c.alike()
}
