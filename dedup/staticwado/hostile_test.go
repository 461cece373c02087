package staticwado

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// Whatever a source says, nothing is written but under well-formed names, and good instances beside bad ones come over.
func TestHostileRecords(t *testing.T) {
	evil := "../../../../tmp/evil"
	for _, test := range []struct {
		name, want string
		prepare    func(w *wado)
	}{
		{"a URI that leads out", "failed", func(w *wado) {
			w.instanceFile(w.instance("1.2.3.4.5", object{"00111001": attribute{"vr": "OB", "BulkDataURI": evil}}))
		}},
		{"a URI that leads out of bulkdata", "failed", func(w *wado) {
			w.instanceFile(w.instance("1.2.3.4.5", object{"00111001": attribute{"vr": "OB", "BulkDataURI": "bulkdata/../" + evil}}))
		}},
		{"frames elsewhere", "incomplete: missing: its frames", func(w *wado) {
			w.instanceFile(w.instance("1.2.3.4.5", object{"7FE00010": attribute{"vr": "OW", "BulkDataURI": evil + "/frames"}}))
		}},
		{"a thousand million frames", "incomplete: its number of frames makes no sense", func(w *wado) {
			w.instanceFile(w.image("1.2.3.4.5", 1, object{"00280008": values("IS", "1000000000")}))
		}},
		{"another study's", "failed: its Study Instance UID", func(w *wado) {
			w.instanceFile(w.instance("1.2.3.4.5", object{"0020000D": values("UI", "1.2.4")}))
		}},
		{"a series that is no UID", "failed: its UID (0020000E)", func(w *wado) {
			w.instanceFile(w.instance("1.2.3.4.5", object{"0020000E": values("UI", evil)}))
		}},
		{"an attribute of the wrong kind", "failed", func(w *wado) {
			w.instanceFile(w.instance("1.2.3.4.5", object{"00181050": attribute{"vr": "DS", "Value": "none"}}))
		}},
		{"a number that is none", "failed", func(w *wado) {
			w.instanceFile(w.instance("1.2.3.4.5", object{"00280012": values("US", "many")}))
		}},
		{"extracts that refer to each other", "imported", func(w *wado) {
			o := w.instance("1.2.3.4.5", nil)
			h := strings.Repeat("e", 64)
			w.file(w.dir("studies")+bulkPath(h)+".json.gz", zipped(w.text(w.mark(object{"00080050": values("SH", "A")}, h, "study", h))))
			w.mark(o, "", "", append(refsOf(o), h)...)
			o["00091011"] = values("LO", strings.Repeat("f", 64))
			w.instanceFile(o)
		}},
	} {
		w := newWado(t, "today")
		w.instanceFile(w.image("1.2.3.4.4", 1, nil))
		test.prepare(w)
		tree := crashfs.New()
		o := imported(t, tree, w.fs)
		if len(o.results) != 2 || o.results[0].Status != Imported {
			t.Errorf("%s: %s", test.name, o)
			continue
		}
		if got := string(o.results[1].Status) + ": " + o.results[1].Reason; !strings.HasPrefix(got, test.want) || strings.Contains(got, "evil") {
			t.Errorf("%s: %s", test.name, got)
		}
		checkWellFormed(t, tree)
		if again := imported(t, tree, w.fs); again.Files != 0 {
			t.Errorf("%s, again: %s", test.name, again)
		}
	}
}

func checkWellFormed(t *testing.T, tree durable.Reader) {
	t.Helper()
	for name := range contents(t, tree) {
		if _, err := dedup.ParseRef(strings.TrimPrefix(name, "studies/"+testStudy+"/")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Damaged and hostile files are said and skipped; links are not followed, not even in a circle; nothing of the source changes.
func TestHostileFiles(t *testing.T) {
	w := newWado(t, "today")
	w.instanceFile(w.image("1.2.3.4.4", 1, nil))
	bomb := zipped(append([]byte("["), bytes.Repeat([]byte(" "), 64<<20)...))
	name := func(n int) string { return fmt.Sprintf("%064x", n) }
	for path, data := range map[string][]byte{
		w.dir("instances") + name(1) + ".gz":                        zipped([]byte("no JSON")),
		w.dir("instances") + name(2) + ".gz":                        zipped([]byte("[]"))[:10],
		w.dir("instances") + name(3) + ".gz":                        bomb,
		w.dir("deduplicated") + name(4) + ".gz":                     zipped([]byte(strings.Repeat("[", 100000))),
		w.dir("deduplicated") + "no-hash.gz":                        zipped([]byte("[]")),
		w.dir("studies") + bulkPath(name(5)) + ".json.gz":           zipped([]byte(`{"vr":`)),
		w.dir("studies") + bulkPath(name(6)) + ".gz":                zipped(make([]byte, 100))[:20],
		w.dir("studies") + bulkPath(name(7)) + ".raw":               []byte("not its name"),
		w.dir("studies") + bulkPath(name(8)):                        []byte("a value that is named in a way of its own"),
		w.dir("studies") + "bulkdata/short":                         []byte("x"),
		w.dir("studies") + "..\\evil":                               []byte("x"),
		"studies/1.2.99/series/1.2/instances/1.2/frames/1.mht":      []byte("a study that nothing speaks of"),
		"studies/not a study/deduplicated/" + name(9) + ".gz":       zipped([]byte("[]")),
		w.dir("studies") + "tempFile-123":                           []byte("unfinished"),
		w.dir("studies") + "series/1.2/instances/1.2/frames/01.mht": []byte("no number of a frame"),
	} {
		w.file(path, data)
	}
	dir := t.TempDir()
	toDisk(t, w.fs, dir)
	for link, target := range map[string]string{
		"studies/1.2.3/deduplicated/" + name(10) + ".gz": "/etc/passwd", "studies/1.2.3/series/loop": "..", "studies/1.2.77": "1.2.3",
		"studies/1.2.3/bulkdata/aaa": "../../..",
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o755))
		must(t, os.Symlink(target, filepath.Join(dir, link)))
	}
	must(t, syscall.Mkfifo(filepath.Join(dir, "studies/1.2.3/pipe"), 0o644))
	before := listing(t, dir)
	tree := crashfs.New()
	o := imported(t, tree, openSource(t, dir))
	if o.counts() != "1 imported, 0 present, 0 deleted, 0 conflict, 0 incomplete, 0 failed" {
		t.Error(o)
	}
	said := o.String()
	for _, path := range []string{name(1), name(2), name(3), name(4), "no-hash", name(5)[5:] + ".json.gz", name(6)[5:] + ".gz", name(7)[5:] + ".raw", "bulkdata/short", `..\evil`,
		"1.2.99", "not a study", name(10), "series/loop", "studies/1.2.77", "bulkdata/aaa", "studies/1.2.3/pipe"} {
		if !strings.Contains(said, path) {
			t.Errorf("nothing is said of %s", path)
		}
	}
	if strings.Contains(said, "tempFile") || o.Skipped != len(o.findings) || o.Skipped != 17 {
		t.Errorf("%d skipped: %s", o.Skipped, o)
	}
	checkWellFormed(t, tree)
	if _, err := tree.Lstat("studies/1.2.3/" + bulkPath(name(8))); err != nil {
		t.Error("a value whose name cannot be told did not come over as it was")
	}
	if after := listing(t, dir); after != before {
		t.Error("the source has changed")
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// toDisk writes a tree in memory to a folder.
func toDisk(t testing.TB, from durable.Reader, dir string) {
	t.Helper()
	var walk func(name string)
	walk = func(name string) {
		entries, err := from.ReadDir(name)
		must(t, err)
		for _, e := range entries {
			p := filepath.Join(name, e.Name())
			if e.IsDir() {
				must(t, os.MkdirAll(filepath.Join(dir, p), 0o755))
				walk(p)
			} else {
				must(t, os.WriteFile(filepath.Join(dir, p), raw(t, from, p), 0o644))
			}
		}
	}
	walk(".")
}

// listing is every name in a folder with its size and times.
func listing(t testing.TB, dir string) string {
	t.Helper()
	var out strings.Builder
	must(t, filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintln(&out, p, info.Mode(), info.Size(), info.ModTime())
		}
		return err
	}))
	return out.String()
}
