package ingest_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest"
)

// batch adds files to an archive that stays open, as an agent's does.
func batch(t testing.TB, a *ingest.Archive, files ...file) map[string]ingest.Result {
	t.Helper()
	b, err := a.OpenBatch()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Discard()
	out := map[string]ingest.Result{}
	for _, f := range files {
		if r, done := b.Add(f.name, bytes.NewReader(f.data), int64(len(f.data))); done {
			out[f.name] = r
		}
	}
	for _, r := range b.Commit() {
		out[r.Path] = r
	}
	return out
}

func open(t testing.TB, fsys durable.FS) *ingest.Archive {
	t.Helper()
	a, err := ingest.Open(fsys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func TestResendMendsInOneProcess(t *testing.T) {
	f := pick(t, "same/original")
	whole := crashfs.New()
	mustAdd(t, whole, f)
	want := contents(t, whole)
	for name := range want {
		for _, damage := range []string{"gone", "flipped"} {
			fsys := crashfs.New()
			a := open(t, fsys)
			batch(t, a, f)
			spoil(t, fsys, name, damage)
			for n := range 2 {
				r := batch(t, a, f)[f.name]
				if r.Status == ingest.Refused {
					t.Errorf("%s %s, resend %d: refused: %s", name, damage, n, r.Reason)
				} else if len(contentsLoose(fsys)) != len(want) || !sameAs(t, fsys, want) {
					t.Errorf("%s %s, resend %d: answered %s %q, but not mended", name, damage, n, r.Status, r.Reason)
				}
			}
		}
	}
}

func contentsLoose(fsys durable.FS) (names []string) {
	var walk func(string)
	walk = func(dir string) {
		es, _ := fsys.ReadDir(dir)
		for _, e := range es {
			if e.IsDir() {
				walk(dir + "/" + e.Name())
			} else {
				names = append(names, dir+"/"+e.Name())
			}
		}
	}
	walk("studies")
	return
}

func sameAs(t testing.TB, fsys durable.FS, want map[string]string) bool {
	for name, w := range want {
		f, err := fsys.Open(name)
		if err != nil {
			return false
		}
		var b bytes.Buffer
		b.ReadFrom(f)
		f.Close()
		c := b.Bytes()
		if strings.HasSuffix(name, ".gz") {
			h, _ := dedup.ParseRef("deduplicated/instances/1.2.gz")
			_ = h
			z, err := gunz(c)
			if err != nil {
				return false
			}
			c = z
		}
		if string(c) != w {
			return false
		}
	}
	return true
}

func deletion(t testing.TB, r ingest.Result, record dedup.Record, others ...dedup.Object) (string, []byte) {
	gone, _, err := dedup.Seal(dedup.Object{mustFind(t, record.Object, 0x00080018)},
		dedup.Dedup{Type: dedup.TypeInstance, Delete: true, Replace: []dedup.Hash{record.Dedup.Hash, record.Dedup.Content}})
	if err != nil {
		t.Fatal(err)
	}
	name, text := dedup.ComposeList(dedup.Dedup{}, nil, append(others, gone))
	return name.String(), dedup.Compress(nil, text)
}

// A deleted instance that is sent again stages nothing, but its objects are taken for stored.
func TestRemovedIsNotLearned(t *testing.T) {
	original, rival := pick(t, "same/original"), pick(t, "same/other-value")
	other := crashfs.New()
	r := mustAdd(t, other, original)[original.name]
	state, _, _ := study(other, r.Study)
	name, text := deletion(t, r, state.Instances[0].Records[0])
	fsys := crashfs.New() // this site has the deletion alone
	list := dedup.Ref{Class: dedup.List, Name: name}.In(r.Study)
	durable.MkdirAll(fsys, filepath.Dir(list))
	if err := durable.WriteFile(fsys, list, text); err != nil {
		t.Fatal(err)
	}
	a := open(t, fsys)
	t.Log(batch(t, a, original)[original.name])
	for range 2 {
		r := batch(t, a, rival)[rival.name]
		if r.Status == ingest.Refused {
			t.Errorf("refused: %s", r.Reason)
		}
	}
}

// One instance that cannot be arranged after the commit makes the answers of all others wrong.
func TestOneArrangementFails(t *testing.T) {
	original, rival := pick(t, "same/original"), pick(t, "same/other-value")
	fsys := crashfs.New()
	mustAdd(t, fsys, original)
	fsys.Hook = crashfs.FailFrom(0, syscall.EMLINK, "link")
	files := append([]file{rival}, twenty(t)...)
	out := mustAdd(t, fsys, files...)
	fsys.Hook = nil
	got := exported(t, fsys)
	n := 0
	for _, f := range files {
		if out[f.name].Status == ingest.Refused && got[string(f.data)] > 0 {
			n++
			if n == 2 {
				t.Log(out[f.name].Reason)
			}
		}
	}
	if n > 0 {
		t.Errorf("%d of %d were called refused and are in the tree, durable", n, len(files))
	}
}

// A fifo among the paths holds up everything.
func TestFifo(t *testing.T) {
	dir := t.TempDir()
	p := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(p, 0o600); err != nil {
		t.Fatal(err)
	}
	a := open(t, crashfs.New())
	done := make(chan struct{})
	go func() {
		a.Run(t.Context(), ingest.Config{}, slices.Values([]string{p}), func(r ingest.Result) { t.Log(r.Status, r.Reason) })
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		w, _ := os.OpenFile(p, os.O_WRONLY, 0)
		w.Close()
		<-done
		t.Error("it waited for the writer of a fifo")
	}
}

// The SHA-256 that is reported is that of the bytes that were stored.
func TestSHA256(t *testing.T) {
	f := pick(t, "same/original")
	p := filepath.Join(t.TempDir(), "a.dcm")
	os.WriteFile(p, f.data, 0o600)
	a := open(t, crashfs.New())
	var sums []string
	for _, swap := range []bool{false, true} {
		paths := func(yield func(string) bool) {
			if yield(p) && swap {
				os.WriteFile(p, []byte("something else"), 0o600)
			}
		}
		a.Run(t.Context(), ingest.Config{Workers: 1, SHA256: true}, paths, func(r ingest.Result) { sums = append(sums, string(r.Status)+r.SHA256) })
	}
	if sums[0][len(sums[0])-64:] != sums[1][len(sums[1])-64:] {
		t.Errorf("%v", sums)
	}
}

// A deletion counts wherever the layout lets lists stand.
func TestListsOfOtherLayouts(t *testing.T) {
	original := pick(t, "same/original")
	other := crashfs.New()
	r := mustAdd(t, other, original)[original.name]
	state, _, _ := study(other, r.Study)
	name, text := deletion(t, r, state.Instances[0].Records[0])
	for _, at := range []string{"deduplicated/" + r.Study.String(), hashed("studies", r.Study) + "/deduplicated", hashed("deduplicated", r.Study)} {
		fsys := crashfs.New()
		if err := durable.MkdirAll(fsys, at); err != nil {
			t.Fatal(err)
		}
		if err := durable.WriteFile(fsys, at+"/"+name+".gz", text); err != nil {
			t.Fatal(err)
		}
		got := mustAdd(t, fsys, original)[original.name]
		s, _, _ := study(fsys, r.Study)
		if got.Status != ingest.Duplicate && s.Instances[0].Deleted {
			t.Errorf("%s: answered %s, and the study has it as deleted: it is not exported", at, got.Status)
		}
	}
}

// What readers do not believe is no reason to drop a file.
func TestRemovedByAListThatIsNotCommitted(t *testing.T) {
	files := twenty(t)[:2]
	other := crashfs.New()
	out := mustAdd(t, other, files...)
	uid := out[files[0].name].Study
	state, _, _ := study(other, uid)
	var mine, rest dedup.Record
	for _, i := range state.Instances {
		if i.SOP == out[files[0].name].SOP {
			mine = i.Records[0]
		} else {
			rest = i.Records[0]
		}
	}
	name, text := deletion(t, out[files[0].name], mine, rest.Object)
	fsys := crashfs.New() // has the list, and not (any more) the bulkdata of its other record
	list := dedup.Ref{Class: dedup.List, Name: name}.In(uid)
	durable.MkdirAll(fsys, filepath.Dir(list))
	durable.WriteFile(fsys, list, text)
	// with the instance file: does the study show it?
	shows := crashfs.New()
	mustAdd(t, shows, files[0])
	durable.WriteFile(shows, list, text)
	s, _, _ := study(shows, uid)
	i, _ := s.Instance(mine.SOP)
	t.Logf("with its file there, deleted: %v, conflict %v, records %d", i.Deleted, i.Conflict, len(i.Records))
	r := mustAdd(t, fsys, files[0])[files[0].name]
	t.Logf("answer: %s %q; tree has %d files", r.Status, r.Reason, len(contentsLoose(fsys)))
	if r.Status != ingest.Refused && !i.Deleted && len(contentsLoose(fsys)) == 1 {
		t.Error("acknowledged, and not in the tree, though the study would show it")
	}
}

// Bulkdata on a sector that cannot be read holds up nobody, and is mended.
func TestUnreadableSector(t *testing.T) {
	f := pick(t, "same/original")
	fsys := crashfs.New()
	mustAdd(t, fsys, f)
	var bad string
	for _, n := range contentsLoose(fsys) {
		if strings.Contains(n, "/bulkdata/") {
			bad = n
		}
	}
	fsys.Hook = func(o crashfs.Op) (bool, error) {
		if o.Name == bad && (o.Kind == "read" || o.Kind == "readat") {
			return false, syscall.EIO
		}
		return true, nil
	}
	files := append([]file{f}, twenty(t)...)
	for n, r := range mustAdd(t, fsys, files...) {
		if r.Status == ingest.Refused {
			t.Errorf("%s: %s", n, r.Reason)
		}
	}
}

// A damaged folder of one study does not refuse another's files.
func TestBrokenStudy(t *testing.T) {
	f := pick(t, "same/original")
	fsys := crashfs.New()
	other := crashfs.New()
	uid := mustAdd(t, other, f)[f.name].Study
	durable.MkdirAll(fsys, "studies/"+uid.String())
	durable.WriteFile(fsys, "studies/"+uid.String()+"/bulkdata", []byte("x"))
	dir := t.TempDir()
	var paths []string
	for i, f := range append([]file{f}, twenty(t)...) {
		paths = append(paths, filepath.Join(dir, fmt.Sprint(i)))
		if err := os.WriteFile(paths[i], f.data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var refused []string
	err := open(t, fsys).Run(t.Context(), ingest.Config{}, slices.Values(paths), func(r ingest.Result) {
		if r.Status == ingest.Refused {
			refused = append(refused, r.Path)
		}
	})
	if err != nil || len(refused) != 1 || refused[0] != paths[0] {
		t.Errorf("%d refused for one: %v", len(refused), err)
	}
}

// A refused file leaves nothing.
func TestRefusedLeavesNothing(t *testing.T) {
	files := twenty(t)[:1]
	rival := pick(t, "same/original")
	clean := crashfs.New()
	mustAdd(t, clean, rival)
	// the disk has no room for the last staged file of the first one, then there is room again
	bad := 0
	for k := 0; k < 60; k++ {
		fsys := crashfs.New()
		a := open(t, fsys)
		n := 0
		fsys.Hook = func(o crashfs.Op) (bool, error) {
			if o.Kind == "create" {
				if n++; n == k+1 {
					return false, syscall.ENOSPC
				}
			}
			return true, nil
		}
		out := batch(t, a, rival, files[0])
		fsys.Hook = nil
		if r := out[rival.name]; r.Status == ingest.Refused && out[files[0].name].Status == ingest.Stored {
			left := 0
			uid := mustAdd(t, clean, rival)[rival.name].Study
			for _, name := range contentsLoose(fsys) {
				if strings.Contains(name, uid.String()) {
					left++
				}
			}
			if left > 0 {
				bad++
				t.Logf("create %d: refused %q, %d of its files are in the tree", k, r.Reason, left)
			}
		}
	}
	if bad > 0 {
		t.Error("refused files left parts")
	}
}

// Two hard links, one inode: canonical and variant are damaged together.
func TestVariantAndCanonicalDamaged(t *testing.T) {
	original, rival := pick(t, "same/original"), pick(t, "same/other-value")
	whole := crashfs.New()
	mustAdd(t, whole, original)
	mustAdd(t, whole, rival)
	want := contents(t, whole)
	for name := range want {
		if !strings.Contains(name, "instances") && !strings.Contains(name, "variants") {
			continue
		}
		for twin := range want {
			if twin <= name || want[twin] != want[name] {
				continue
			}
			fsys := crashfs.New()
			mustAdd(t, fsys, original)
			mustAdd(t, fsys, rival)
			spoil(t, fsys, name, "flipped")
			spoil(t, fsys, twin, "flipped")
			for range 2 {
				for _, f := range []file{original, rival} {
					r := mustAdd(t, fsys, f)[f.name]
					t.Log(f.name, r.Status, r.Reason)
				}
			}
			if !sameAs(t, fsys, want) {
				t.Errorf("%s and %s: not mended", name, twin)
			}
		}
	}
}
