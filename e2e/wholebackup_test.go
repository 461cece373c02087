package e2e

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// TestWholeBackup puts an old backup of a site's whole folder back, after it and others have gone on: studies came, one grew, an instance was deleted, another study's files were
// combined. What the backup lacks comes back from the others, what was deleted stays deleted, and what the site had received itself is not lost.
func TestWholeBackup(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b", "c")
	c.whole()
	j := c.judged()
	a, b := c.sites["a"], c.sites["b"]
	studies := parts(t, sampled(t, "--studies", "5", "--series", "2", "--instances", "3"))
	first, rest := halves(t, studies[0])
	a.drop(first)
	b.drop(studies[1], studies[2])
	c.within(time.Minute, 3)

	b.kill()
	backup := filepath.Join(t.TempDir(), "backup")
	copyAll(t, b.dir, backup)
	b.run()
	a.drop(rest, studies[3])
	b.drop(studies[4]) // acknowledged by the one whose memory of it will be lost
	deleted := c.sites["c"].deletes(studyOf(t, studies[1]))
	if out, code := dicomesh(t, "combine", "--tree", a.in("tree"), "--study", studyOf(t, studies[2])); code != 0 {
		t.Fatal(out)
	}
	c.within(time.Minute, 5)
	want := sums(t, studies...)
	delete(want, fileOf(t, studies[1], deleted))
	c.sound(want)
	before := c.leaves()

	j.look()
	b.kill()
	if err := os.RemoveAll(b.dir); err != nil {
		t.Fatal(err)
	}
	copyAll(t, backup, b.dir)
	b.run()
	t.Logf("settled at all three %v after the backup was put back", c.within(time.Minute, 5).Round(10*time.Millisecond))
	c.sound(want)
	c.alike()
	if after := c.leaves(); !maps.Equal(before, after) {
		t.Errorf("the leaves of the studies were %v, and are %v", before, after)
	}
}

// halves puts the files of a folder into two others.
func halves(t *testing.T, folder string) (first, second string) {
	t.Helper()
	files := slices.Sorted(maps.Keys(names(t, folder)))
	into := []string{filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")}
	for n, path := range files {
		to := filepath.Join(into[n%2], filepath.Base(filepath.Dir(path))+"-"+filepath.Base(path))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return into[0], into[1]
}

// copyAll copies a folder as it is.
func copyAll(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
}

// leaves are the leaf digests of all studies, as all sites have them.
func (c *cluster) leaves() map[string]string {
	c.t.Helper()
	all := c.all()
	first := all[0].digests()
	for _, s := range all[1:] {
		if other := s.digests(); !maps.Equal(first, other) {
			c.t.Errorf("%s holds %v, %s %v", all[0].name, first, s.name, other)
		}
	}
	return first
}

// deletes writes a list into the site's tree that deletes the first instance of a study, as a correction does, and returns the UID of that instance.
func (s *member) deletes(study string) (instance string) {
	s.t.Helper()
	uid, err := dedup.ParseUID(study)
	if err != nil {
		s.t.Fatal(err)
	}
	p, err := readPast(s.in("tree"), uid)
	if err != nil {
		s.t.Fatal(err)
	}
	defer p.close()
	gone := dedup.Resolve(p.files, p.source).Instances[0]
	known := gone.Records[0].Dedup
	content, err := dedup.ParseObject([]byte(`{"00080018":{"vr":"UI","Value":["` + gone.SOP.String() + `"]}}`))
	if err != nil {
		s.t.Fatal(err)
	}
	removal, _, err := dedup.Seal(content, dedup.Dedup{Type: dedup.TypeInstance, Delete: true, Replace: []dedup.Hash{known.Hash, known.Content}})
	if err != nil {
		s.t.Fatal(err)
	}
	name, text := dedup.ComposeList(dedup.Dedup{}, nil, []dedup.Object{removal})
	folder := s.in("tree", "studies", study, "deduplicated")
	temp := filepath.Join(folder, "tempFile-1") // as other writers do
	if err := os.WriteFile(temp, dedup.Compress(nil, text), 0o444); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(temp, filepath.Join(folder, name.String()+".gz")); err != nil {
		s.t.Fatal(err)
	}
	return gone.SOP.String()
}

// fileOf is the sum of the file in a folder that has an instance.
func fileOf(t *testing.T, folder, instance string) (sum string) {
	t.Helper()
	for path, of := range regular(t, folder) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(instance)) {
			sum = of
		}
	}
	if sum == "" {
		t.Fatalf("no file has instance %s", instance)
	}
	return sum
}
