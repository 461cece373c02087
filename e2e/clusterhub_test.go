package e2e

import (
	"testing"
	"time"
)

// TestClusterHub holds that hub and spoke is a whole cluster: two sites that can only dial out have no link with each other, and a study that one of them receives is settled at all three all the same.
func TestClusterHub(t *testing.T) {
	t.Parallel()
	c := foundCluster(t, "hub")
	for _, name := range []string{"spoke1", "spoke2"} {
		c.joinDialOnly(name, "hub")
	}
	folder := noisy(t, "--studies", "1", "--instances", "4", "--size", "64")
	c.sites["spoke1"].drop(folder)
	c.level(time.Minute, 1)
	c.settledAll()
	c.equal()
}
