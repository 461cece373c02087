package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// netspaces are network namespaces of a test, one for each site, joined by a bridge in one of its own: nothing of the machine's network is touched.
type netspaces struct {
	t      *testing.T
	prefix string
	sites  int
}

// newNetspaces makes the bridge. What cannot make namespaces skips the test, which CI does not allow.
func newNetspaces(t *testing.T) *netspaces {
	t.Helper()
	for _, program := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(program); err != nil || os.Getuid() != 0 {
			t.Skip("network namespaces need root, iproute2 and nftables")
		}
	}
	n := &netspaces{t: t, prefix: fmt.Sprintf("dicomesh-%d-", os.Getpid())}
	n.add("bridge")
	n.run("ip", "-n", n.prefix+"bridge", "link", "add", "br0", "type", "bridge")
	n.run("ip", "-n", n.prefix+"bridge", "link", "set", "br0", "up")
	return n
}

// add makes a namespace that goes with the test.
func (n *netspaces) add(name string) {
	n.t.Helper()
	n.run("ip", "netns", "add", n.prefix+name)
	n.t.Cleanup(func() { n.run("ip", "netns", "delete", n.prefix+name) })
	n.run("ip", "-n", n.prefix+name, "link", "set", "lo", "up")
}

// site makes the namespace of a site, and returns its address.
func (n *netspaces) site(name string) string {
	n.t.Helper()
	n.add(name)
	n.sites++
	address := fmt.Sprintf("10.77.0.%d", n.sites)
	n.run("ip", "-n", n.prefix+"bridge", "link", "add", "to-"+name, "type", "veth", "peer", "name", "eth0", "netns", n.prefix+name)
	n.run("ip", "-n", n.prefix+"bridge", "link", "set", "to-"+name, "master", "br0", "up")
	n.run("ip", "-n", n.prefix+name, "address", "add", address+"/24", "dev", "eth0")
	n.run("ip", "-n", n.prefix+name, "link", "set", "eth0", "up")
	return address
}

// rules replaces what a site's namespace does to packets.
func (n *netspaces) rules(name string, rules ...string) {
	n.t.Helper()
	n.run("ip", "netns", "exec", n.prefix+name, "nft", "flush", "ruleset")
	for _, rule := range rules {
		n.run("ip", append([]string{"netns", "exec", n.prefix + name, "nft"}, strings.Fields(rule)...)...)
	}
}

func (n *netspaces) run(name string, args ...string) {
	n.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// TestClusterNetspaces has two sites in network namespaces of their own, cuts the line between them in full, then one way, then has it lose 5 % of its packets, by the kernel's own
// filter, while both get new studies. After each they are level by themselves.
func TestClusterNetspaces(t *testing.T) {
	t.Parallel()
	n := newNetspaces(t)
	c := &cluster{t: t, sites: map[string]*member{}}
	for _, name := range []string{"a", "b"} {
		address := n.site(name) + ":4242"
		s := c.add(name)
		s.space = n.prefix + name
		args := []string{"join", "--site", name}
		if name == "a" {
			args = []string{"init", "--cluster", "test", "--site", name}
		}
		args = append(args, "--data", s.dir, "--listen", address, "--address", address)
		if name == "b" {
			args = append(args, c.token("a"))
		}
		n.run("ip", append([]string{"netns", "exec", s.space, filepath.Join(binDir(), "dicomesh")}, args...)...)
		s.run()
	}
	c.whole()
	const table, in, out = "add table inet t", "add chain inet t in { type filter hook input priority 0 ; }", "add chain inet t out { type filter hook output priority 0 ; }"
	a, b, studies := c.sites["a"], c.sites["b"], 0
	var given []string
	for i, tt := range []struct {
		name  string
		rules []string
		cut   bool
	}{
		{"a full cut", []string{table, in, out, "add rule inet t in meta l4proto udp drop", "add rule inet t out meta l4proto udp drop"}, true},
		{"a cut of one way", []string{table, in, "add rule inet t in udp dport 4242 drop"}, true},
		{"5 % lost", []string{table, in, "add rule inet t in meta l4proto udp numgen random mod 100 < 5 drop"}, false},
	} {
		n.rules("b", tt.rules...)
		one := sampled(t, "--studies", "1", "--instances", fmt.Sprint(5+2*i))
		other := sampled(t, "--studies", "1", "--instances", fmt.Sprint(6+2*i))
		given = append(given, one, other)
		a.drop(one)
		b.drop(other)
		if tt.cut {
			for _, s := range c.all() {
				eventually(t, time.Minute, s.name+" says that the cluster is split: "+tt.name, func() bool { return s.status().State == "split" })
			}
			n.rules("b")
		}
		studies += 2
		t.Logf("%s: level after %v", tt.name, c.level(time.Minute, studies).Round(time.Millisecond))
	}
	c.settledAll() // a study may be level before all of it has come
	c.level(time.Minute, studies)
	c.sound(sums(t, given...))
	c.equal()
}
