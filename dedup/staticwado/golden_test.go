package staticwado

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/e2e/raced"
	"github.com/dicomesh/dicomesh/e2e/shareddata"
)

// gunzip uses the standard library, not what is tested.
func gunzip(t testing.TB, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err == nil {
		data, err = io.ReadAll(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// shuffled is a copy of folders, united, with file times that have nothing to do with when the files were written.
func shuffled(t testing.TB, from ...string) string {
	t.Helper()
	to := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, dir := range from {
		err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			rel, err2 := filepath.Rel(dir, p)
			if err != nil || err2 != nil {
				return fmt.Errorf("%w %w", err, err2)
			}
			name := filepath.Join(to, rel)
			if d.IsDir() {
				return os.MkdirAll(name, 0o755)
			}
			data, err := os.ReadFile(p)
			if err == nil {
				err = os.WriteFile(name, data, 0o644)
			}
			if err != nil {
				return err
			}
			at := time.Unix(1e9+rng.Int64N(1e8), 0)
			return os.Chtimes(name, at, at)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// inputs are the files of a case, by SOP Instance UID.
func inputs(t testing.TB, name string) map[dedup.UID]string {
	t.Helper()
	files := make(map[dedup.UID]string)
	err := filepath.WalkDir(shareddata.Dir(t, "data", "golden", name, "input"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		if err == nil {
			_, parts := takenApart(t, data)
			files[parts.SOP] = p
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var goldenCases = []struct {
	name               string
	studies, instances int
}{
	{"ct-ge-private", 1, 1}, {"ct-cr-two-studies", 2, 7}, {"suyash-1-2-3", 3, 3}, {"sc-rle-2frame", 1, 1}, {"sr-rtstruct", 1, 1}, {"us-palette", 1, 1},
}

// Each case in each of its stages: all instances come over, with the attributes and the frames of the file that once went in, whatever the frames were converted
// to; a second run writes nothing; the tree shows what the source shows.
func TestGolden(t *testing.T) {
	for n, c := range goldenCases {
		files := inputs(t, c.name)
		for m, stage := range []string{"stage1-instance", "stage2-group", "stage3-metadata", "create-default", "seed-dialect-2021"} {
			dir, found := shareddata.Find("data", "golden", c.name, stage)
			if !found || raced.On(t) && (n+m)%3 != 0 {
				continue
			}
			t.Run(c.name+"/"+stage, func(t *testing.T) {
				dirs := []string{dir}
				if stage == "stage2-group" { // it has the lists alone; the rest is as it was
					dirs = append(dirs, filepath.Join(shareddata.Dir(t, "data", "golden", c.name, "stage1-instance"), "studies"))
					dirs[1] = under(t, dirs[1], "studies")
				}
				source := openSource(t, shuffled(t, dirs...))
				tree := crashfs.New()
				o := imported(t, tree, source)
				want := fmt.Sprintf("%d imported, 0 present, 0 deleted, 0 conflict, 0 incomplete, 0 failed", c.instances)
				if o.Studies != c.studies || o.counts() != want || len(o.findings) > 0 {
					t.Fatalf("%d studies, %s", o.Studies, o)
				}
				checkSame(t, tree, source, o)
				checkOneLeaf(t, tree)
				checkInstances(t, tree, files, stage)
				again := imported(t, tree, source)
				if again.Files != 0 || again.Instances[Present] != c.instances {
					t.Errorf("the second run: %s", again)
				}
				other := crashfs.New()
				imported(t, other, source)
				sameTree(t, tree, other)
			})
		}
	}
}

// under is a folder that has a copy of dir under a name.
func under(t testing.TB, dir, name string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.Rename(shuffled(t, dir), filepath.Join(to, name)); err != nil {
		t.Fatal(err)
	}
	return to
}

// checkOneLeaf checks that each study's only leaf is a list of ours, and that nothing is missing.
func checkOneLeaf(t testing.TB, tree durable.Reader) {
	t.Helper()
	for _, u := range studies(t, tree) {
		s, _ := resolved(t, tree, u)
		if len(s.Leaves) != 1 || s.Leaves[0].Ref.Class != dedup.List || !s.Complete() || s.Conflict() {
			t.Errorf("study %s has leaves %v of %d files, complete: %v, conflict: %v", u, s.Leaves, len(s.Leaves)+len(s.Dominated), s.Complete(), s.Conflict())
		}
	}
}

// checkInstances compares each instance of a tree with the file that it once was.
func checkInstances(t *testing.T, tree durable.Reader, files map[dedup.UID]string, stage string) {
	before, after := t.TempDir(), t.TempDir()
	for _, u := range studies(t, tree) {
		s, bulk := resolved(t, tree, u)
		for _, i := range s.Instances {
			original, err := os.ReadFile(files[i.SOP])
			if err != nil {
				t.Fatal(err)
			}
			r := i.Records[0]
			file := exported(t, s, bulk, r)
			if whole := strings.Contains(files[i.SOP], "test-SR"); whole && !bytes.Equal(file, original) {
				t.Errorf("%s was kept as a whole, and does not come back", i.SOP)
			}
			want, _ := takenApart(t, original)
			compare(t, want, s.Merge(r), stage)
			again, parts := takenApart(t, file)
			compare(t, want, again, stage)
			if parts.Content != r.Dedup.Content {
				t.Errorf("%s: the exported file has another content than the record", i.SOP)
			}
			for dir, data := range map[string][]byte{before: original, after: file} {
				if err := os.WriteFile(filepath.Join(dir, i.SOP.String()), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	judged(t, before, after, stage)
}

// compare compares an imported instance with the original. Only these may differ: the text of a decimal or integer string, as long as its number is the same;
// minus zero, which became zero; the creator in (0009,0010), where the writer from 2021 put its own; and how frames are stored, though not what they show.
func compare(t testing.TB, want, got dedup.Object, stage string) {
	t.Helper()
	var tags []dedup.Tag
	for _, e := range want {
		tags = append(tags, e.Tag)
		other, has := got.Find(e.Tag)
		if !has {
			if !(stage == "seed-dialect-2021" && e.Tag == 0x00090010) {
				t.Errorf("attribute %s is lost", e.Tag)
			}
			continue
		}
		if a, b := loosened(t, e.JSON), loosened(t, other.JSON); a != b {
			t.Errorf("attribute %s is %.300s, it was %.300s", e.Tag, b, a)
		}
	}
	for _, e := range got {
		if !slices.Contains(tags, e.Tag) {
			t.Errorf("attribute %s is new: %.100s", e.Tag, e.JSON)
		}
	}
}

// loosened is an attribute without what may differ.
func loosened(t testing.TB, attribute []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(attribute, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(loosen(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func loosen(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = loosen(v[i])
		}
	case map[string]any:
		for _, key := range []string{"DeduppedExt", "DeduppedStreams", "DeduppedBytes"} {
			delete(v, key)
		}
		if _, pixels := v["Fragments"]; pixels {
			delete(v, "vr") // of encapsulated Pixel Data it is always OB
		}
		values, _ := v["Value"].([]any)
		for i, text := range values {
			s, isText := text.(string)
			switch v["vr"] {
			case "DS", "IS", "FL", "FD":
				if n, err := strconv.ParseFloat(strings.TrimSpace(s), 64); isText && err == nil {
					values[i] = n + 0
				}
				if n, is := values[i].(float64); is && n == 0 {
					values[i] = 0 // also minus zero
				}
			}
		}
		for key := range v {
			v[key] = loosen(v[key])
		}
	}
	return v
}

// judge asks readers that are none of ours: dcmtk whether a file is one, pydicom what is in it.
const judge = `
import os, sys
sys.path.insert(0, sys.argv[1])
import oracle
before, after, native = sys.argv[2], sys.argv[3], sys.argv[4] == "native"
for name in sorted(os.listdir(before)):
    for line in oracle.diff(os.path.join(before, name), os.path.join(after, name), lenient=True):
        vr = line.split()[1] if len(line.split()) > 1 else ""
        if vr in ("DS", "IS", "FL", "FD") or not native and ("7FE0" in line or "0002,0010" in line) or "(0009,0010)" in line and "seed" in sys.argv[4]:
            continue
        print(name, line)
`

func judged(t *testing.T, before, after, stage string) {
	for _, tool := range []string{"dcmdump", "/usr/bin/python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not there, and CI=true", tool)
			}
			t.Logf("%s is not there: no outside judge", tool)
			return
		}
	}
	files, err := filepath.Glob(filepath.Join(after, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(len(files), err)
	}
	for _, f := range files {
		if out, err := exec.Command("dcmdump", "-q", f).CombinedOutput(); err != nil {
			t.Errorf("dcmdump: %v: %.500s", err, out)
		}
	}
	kind := "native"
	if stage == "create-default" {
		kind = "converted"
	} else if stage == "seed-dialect-2021" {
		kind = "seed"
	}
	out, err := exec.Command("/usr/bin/python3", "-c", judge, filepath.Dir(shareddata.Dir(t, "data", "oracle.py")), before, after, kind).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%.4000s", err, out)
	}
}
