package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// cluster is a few sites on this machine with a network between them.
type cluster struct {
	t     *testing.T
	net   *network
	sites map[string]*member
}

// member is a site of a cluster.
type member struct {
	*agentSite
	name string
}

// newCluster makes a cluster of one site, and has the others join it one after another. All of them run.
func newCluster(t *testing.T, first string, others ...string) *cluster {
	t.Helper()
	c := foundCluster(t, first)
	for _, name := range others {
		c.join(name, first)
	}
	return c
}

// foundCluster makes a cluster of one site, which runs.
func foundCluster(t *testing.T, first string) *cluster {
	t.Helper()
	c := &cluster{t: t, net: newNetwork(t), sites: map[string]*member{}}
	s := c.add(first)
	listen, address := c.net.site(first)
	s.command("init", "--cluster", "test", "--site", first, "--listen", listen, "--address", address)
	s.run()
	return c
}

// add makes the folder of a site.
func (c *cluster) add(name string) *member {
	c.t.Helper()
	s := &member{newSite(c.t, quick), name}
	c.sites[name] = s
	return s
}

// join has a site join at another one, and runs it.
func (c *cluster) join(name, at string) *member {
	c.t.Helper()
	s := c.add(name)
	listen, address := c.net.site(name)
	s.command("join", "--site", name, "--listen", listen, "--address", address, c.token(at))
	s.run()
	return s
}

// joinDialOnly has a site join that nobody can dial, and runs it.
func (c *cluster) joinDialOnly(name, at string) *member {
	c.t.Helper()
	s := c.add(name)
	listen, _ := c.net.site(name)
	s.command("join", "--site", name, "--listen", listen, "--dial-only", c.token(at))
	s.run()
	return s
}

// token makes a join token at a site.
func (c *cluster) token(at string, args ...string) string {
	c.t.Helper()
	words := strings.Fields(c.sites[at].command("token", args...))
	return words[len(words)-1]
}

// command runs a command on the site's folder, which has to end well.
func (s *member) command(name string, args ...string) string {
	s.t.Helper()
	out, code := dicomesh(s.t, append([]string{name, "--data", s.dir}, args...)...)
	if code != 0 {
		s.t.Fatalf("dicomesh %s at %s: exit code %d: %s", name, s.name, code, out)
	}
	return out
}

// run starts the agent, and returns when it answers: the cluster need not be whole.
func (s *member) run() {
	s.t.Helper()
	s.begin()
	eventually(s.t, time.Minute, s.name+" runs", func() bool {
		out, code := dicomesh(s.t, "status", "--json", "--data", s.dir)
		return code == 0 && strings.Contains(out, `"agent":"running"`)
	})
}

// all are the sites by name.
func (c *cluster) all() []*member {
	var all []*member
	for _, name := range slices.Sorted(maps.Keys(c.sites)) {
		all = append(all, c.sites[name])
	}
	return all
}

// eventually waits for a condition. The limit is what a machine of its own would need with ease; one that is shared may take three times as long.
func eventually(t *testing.T, limit time.Duration, what string, holds func() bool) (took time.Duration) {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ; !holds(); <-tick.C {
		if time.Since(began) > 3*limit {
			t.Fatalf("it did not come to this in %v: %s", limit, what)
		}
	}
	return time.Since(began)
}

// digests are the leaf digests of all studies of a site, as its agent has them.
func (s *member) digests() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(s.ask("studies", "--json")) {
		var row struct {
			Study, State string
			Leaf         string `json:"leaf_digest"`
			Instances    int
		}
		s.decode(line, &row)
		all[row.Study] = fmt.Sprint(row.Leaf, " ", row.Instances)
		if row.State == "incomplete" {
			all[row.Study] = "incomplete at " + s.name
		}
	}
	return all
}

// level waits until all sites have so many studies and the same of each, and returns how long that took.
func (c *cluster) level(limit time.Duration, studies int) time.Duration {
	c.t.Helper()
	said := ""
	defer func() {
		if c.t.Failed() {
			c.t.Log(said)
		}
	}()
	return eventually(c.t, limit, fmt.Sprintf("all sites hold the same %d studies", studies), func() bool {
		var first map[string]string
		for _, s := range c.all() {
			if n := s.status().Inbox.Waiting; n > 0 {
				said = fmt.Sprintf("%d files wait at %s", n, s.name)
				return false
			}
			d := s.digests()
			if len(d) != studies || first != nil && !maps.Equal(d, first) {
				said = fmt.Sprintf("%s holds %v\nanother %v", s.name, d, first)
				return false
			}
			first = d
		}
		return true
	})
}

// given are the sums of the files in folders that ingest takes, and how many studies they are of.
func given(t *testing.T, folders ...string) (files map[string]bool, studies int) {
	t.Helper()
	files, tree := map[string]bool{}, t.TempDir()
	for _, folder := range folders {
		out, _ := dicomesh(t, "ingest", "--tree", tree, "--json", folder)
		for line := range strings.Lines(out) {
			var i ingested
			if err := json.Unmarshal([]byte(line), &i); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			if i.Status != "refused" {
				files[i.SHA256] = true
			}
		}
	}
	return files, len(parts(t, filepath.Join(tree, "studies")))
}

// whole waits until every site says that the cluster is.
func (c *cluster) whole() {
	c.t.Helper()
	for _, s := range c.all() {
		s.ask("wait", "--whole", "--timeout", "60s")
	}
}

// settledAll waits until all sites have settled everything.
func (c *cluster) settledAll() {
	c.t.Helper()
	for _, s := range c.all() {
		s.settled()
	}
}

// sound holds that the trees of all sites are without fault, and give back exactly these files.
func (c *cluster) sound(want map[string]bool) {
	c.t.Helper()
	for _, s := range c.all() {
		if out, code := dicomesh(c.t, "verify", "--tree", s.in("tree"), "--deep"); code != 0 {
			c.t.Errorf("verify at %s: %s", s.name, out)
		}
		gives(c.t, s.in("tree"), want)
	}
}

// equal holds that all sites have the same archive files, byte for byte.
func (c *cluster) equal() {
	c.t.Helper()
	all := c.all()
	first := archived(c.t, all[0].in("tree"))
	for _, s := range all[1:] {
		other := archived(c.t, s.in("tree"))
		for path, sum := range first {
			if other[path] != sum {
				c.t.Errorf("%s has another %s than %s has", s.name, path, all[0].name)
			}
		}
		for path := range other {
			if _, has := first[path]; !has {
				c.t.Errorf("%s has %s, which %s has not", s.name, path, all[0].name)
			}
		}
	}
}

// archived are the sums of a tree's files, by their paths in it.
func archived(t *testing.T, tree string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for path, sum := range regular(t, filepath.Join(tree, "studies")) {
		rel, err := filepath.Rel(tree, path)
		if err != nil {
			t.Fatal(err)
		}
		files[rel] = sum
	}
	return files
}

// weight is how many bytes the files of a tree's studies have.
func weight(t *testing.T, tree string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(tree, "studies"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return bytes
}

// parts are the folders of a folder: sample writes one for each study.
func parts(t *testing.T, folder string) (folders []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		folders = append(folders, filepath.Join(folder, e.Name()))
	}
	return folders
}

// names are the regular files below a folder, which may not be there.
func names(t *testing.T, folder string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			found[path] = true
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

// noisy writes synthetic studies whose pixels are noise, so that what travels is what is stored: nothing compresses it.
func noisy(t *testing.T, args ...string) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), strings.Trim(strings.Join(args, ""), "-")) // its own name, for it may share an inbox with others
	if err := os.Rename(sampled(t, args...), folder); err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	for path := range names(t, folder) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.LastIndex(text, []byte("\xe0\x7f\x10\x00OW\x00\x00"))
		if at < 0 {
			t.Fatalf("%s has no native Pixel Data", path)
		}
		pixels := text[at+12:][:binary.LittleEndian.Uint32(text[at+8:])]
		if _, err := random.Read(pixels); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}
