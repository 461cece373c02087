package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
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

// dropped is how many packets the counting rules of a site's namespace have met.
func (n *netspaces) dropped(name string) (packets int) {
	n.t.Helper()
	out, err := exec.Command("ip", "netns", "exec", n.prefix+name, "nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		n.t.Fatalf("nft list ruleset: %v: %s", err, out)
	}
	for _, m := range regexp.MustCompile(`counter packets (\d+)`).FindAllSubmatch(out, -1) {
		k, err := strconv.Atoi(string(m[1]))
		if err != nil {
			n.t.Fatal(err)
		}
		packets += k
	}
	return packets
}

// cluster makes sites that are each in a namespace of its own, the first one founding the cluster. It returns their addresses.
func (n *netspaces) cluster(names ...string) (c *cluster, addresses map[string]string) {
	n.t.Helper()
	c, addresses = &cluster{t: n.t, sites: map[string]*member{}}, map[string]string{}
	for _, name := range names {
		addresses[name] = n.site(name)
		at := addresses[name] + ":4242"
		s := c.add(name)
		s.space = n.prefix + name
		args := []string{"join", "--site", name}
		if name == names[0] {
			args = []string{"init", "--cluster", "test", "--site", name}
		}
		args = append(args, "--data", s.dir, "--listen", at, "--address", at)
		if name != names[0] {
			args = append(args, c.token(names[0]))
		}
		n.run("ip", append([]string{"netns", "exec", s.space, filepath.Join(binDir(), "dicomesh")}, args...)...)
		s.run()
	}
	return c, addresses
}

// TestClusterNetspaces has three sites in network namespaces of their own, and lets the kernel's own filter at one of them cut it off in full, cut the way to it from one of the others, cut it
// from one of them altogether, lose 5 % of its packets, and give it a line of 4 Mbit/s, while two of the three get new studies. Each time the filter has dropped packets, the sites say what
// the cluster is, and all are level by themselves.
func TestClusterNetspaces(t *testing.T) {
	t.Parallel()
	n := newNetspaces(t)
	c, addresses := n.cluster("a", "b", "c")
	c.whole()
	const table, in, out = "add table inet t", "add chain inet t in { type filter hook input priority 0 ; }", "add chain inet t out { type filter hook output priority 0 ; }"
	from, to := "add rule inet t in ip saddr "+addresses["a"]+" meta l4proto udp counter drop", "add rule inet t out ip daddr "+addresses["a"]+" meta l4proto udp counter drop"
	const rate = 500_000 // bytes a second
	var given []string
	studies := 0
	for i, tt := range []struct {
		name  string
		rules []string
		says  string // what all three say that the cluster is; "" where nothing is cut
		slow  bool
	}{
		{"c is cut off", []string{"add rule inet t in meta l4proto udp counter drop", "add rule inet t out meta l4proto udp counter drop"}, "split", false},
		{"a is not heard at c", []string{from}, "partial", false},
		{"a and c are cut from each other", []string{from, to}, "partial", false},
		{"c loses 5 %", []string{"add rule inet t in meta l4proto udp numgen random mod 100 < 5 counter drop"}, "", false},
		{"c has 4 Mbit/s", []string{fmt.Sprintf("add rule inet t in meta l4proto udp limit rate over %d bytes/second burst %d bytes counter drop", rate, rate/5)}, "", true},
	} {
		n.rules("c", append([]string{table, in, out}, tt.rules...)...)
		one, other := noisy(t, "--studies", "1", "--series", "1", "--instances", fmt.Sprint(9+2*i), "--size", "256"), sampled(t, "--studies", "1", "--instances", fmt.Sprint(6+2*i))
		given = append(given, one, other)
		studies += 2
		began := time.Now()
		c.sites["a"].drop(one)
		c.sites["c"].drop(other)
		if tt.says != "" {
			for _, s := range c.all() {
				eventually(t, time.Minute, s.name+" says that the cluster is "+tt.says+": "+tt.name, func() bool { return s.now().State == tt.says })
			}
		}
		if tt.says != "split" {
			c.level(time.Minute, studies)
			eventually(t, time.Minute, "c has all of what a has", func() bool { return c.sites["c"].holdsOf(c.sites["a"], 9+2*i) })
		}
		took := time.Since(began)
		eventually(t, time.Minute, tt.name+": the filter has dropped packets", func() bool { return n.dropped("c") > 0 })
		dropped := n.dropped("c")
		n.rules("c")
		t.Logf("%s: level after %v, %d packets dropped, level %v after the end of it", tt.name, took.Round(time.Millisecond), dropped, c.level(time.Minute, studies).Round(time.Millisecond))
		c.whole() // else the next cut would be taken for noticed
		// The kernel lets a second's worth and the burst through at once.
		if least := time.Duration(float64(weightOf(t, one)-rate-rate/5) / rate * float64(time.Second)); tt.slow && took < least {
			t.Errorf("%s: %v for what takes %v at that rate", tt.name, took, least)
		}
	}
	c.whole()
	c.settledAll() // a study may be level before all of it has come
	c.level(time.Minute, studies)
	c.sound(sums(t, given...))
	c.equal()
}
