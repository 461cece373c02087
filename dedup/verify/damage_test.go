package verify_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/staticwado"
	"github.com/dicomesh/dicomesh/dedup/verify"
	"github.com/dicomesh/dicomesh/e2e/raced"
	"github.com/dicomesh/dicomesh/e2e/shareddata"
)

// harm is something that happens to a file of an archive, and what is to be found: kind and path, one a line.
type harm struct {
	name string
	do   func(a tree, h, other dedup.Held)
	want func(h, other dedup.Held) []string
}

func one(k verify.Kind) func(h, other dedup.Held) []string {
	return func(h, _ dedup.Held) []string { return []string{string(k) + " " + h.Path} }
}

var harms = []harm{
	{"removed", func(a tree, h, _ dedup.Held) { must(a.t, os.Remove(a.path(h.Path))) }, one(verify.Missing)},
	{"cut short", func(a tree, h, _ dedup.Held) { b := a.read(h.Path); a.write(h.Path, b[:len(b)-1]) }, one(verify.Corrupt)},
	{"cut to half", func(a tree, h, _ dedup.Held) { b := a.read(h.Path); a.write(h.Path, b[:len(b)/2]) }, one(verify.Corrupt)},
	{"emptied", func(a tree, h, _ dedup.Held) { a.write(h.Path, nil) }, one(verify.Corrupt)},
	{"zeros", func(a tree, h, _ dedup.Held) { a.write(h.Path, make([]byte, len(a.read(h.Path)))) }, one(verify.Corrupt)},
	{"longer", func(a tree, h, _ dedup.Held) { a.write(h.Path, append(a.read(h.Path), 0)) }, one(verify.Corrupt)},
	{"twice", func(a tree, h, _ dedup.Held) { b := a.read(h.Path); a.write(h.Path, append(b, b...)) }, one(verify.Corrupt)},
	{"a link", func(a tree, h, other dedup.Held) {
		must(a.t, os.Remove(a.path(h.Path)))
		must(a.t, os.Symlink(a.path(other.Path), a.path(h.Path)))
	}, one(verify.Unexpected)},
	{"a fifo", func(a tree, h, _ dedup.Held) {
		must(a.t, os.Remove(a.path(h.Path)))
		must(a.t, syscall.Mkfifo(a.path(h.Path), 0o600))
	}, one(verify.Unexpected)},
	{"a folder", func(a tree, h, _ dedup.Held) {
		must(a.t, os.Remove(a.path(h.Path)))
		must(a.t, os.Mkdir(a.path(h.Path), 0o700))
	}, one(verify.Missing)},
	{"swapped", func(a tree, h, other dedup.Held) {
		b, c := a.read(h.Path), a.read(other.Path)
		a.write(h.Path, c)
		a.write(other.Path, b)
	}, func(h, other dedup.Held) []string { return []string{"corrupt " + h.Path, "corrupt " + other.Path} }},
}

// TestHarm does to each kind of file whatever happens to files, and holds that this is found and nothing else; without an index too, but for what only an index
// can know: that a file was there to which nothing refers.
func TestHarm(t *testing.T) {
	a, kinds := ownArchive(t)
	before := a.recorded()
	for name, h := range kinds {
		other := sibling(t, a, h)
		for n, harm := range harms {
			if (n+len(name))%raced.Pick(t, 1, 9) > 0 {
				continue
			}
			t.Run(name+" "+harm.name, func(t *testing.T) {
				good, otherGood := a.read(h.Path), a.read(other.Path)
				if bytes.Equal(good, otherGood) {
					t.Fatal("the two files are one")
				}
				defer a.write(h.Path, good)
				defer a.write(other.Path, otherGood)
				harm.do(a, h, other)
				states := map[string]*index.Index{"no index": nil}
				if harm.name == "removed" || harm.name == "a link" || harm.name == "swapped" {
					states["an index"] = before
				}
				for state, x := range states {
					faults, _ := a.study(t, h, verify.Config{Deep: true, Index: x})
					var got []string
					for _, f := range faults {
						got = append(got, string(f.Kind)+" "+f.Path)
					}
					want := harm.want(h, other)
					slices.Sort(got)
					slices.Sort(want)
					unseen := x == nil && (harm.name == "removed" || harm.name == "a folder") && h.Ref.Class != dedup.Bulkdata && len(got) == 0
					if !unseen && !slices.Equal(got, want) {
						t.Errorf("with %s found is\n%swant\n%s", state, lines(faults), strings.Join(want, "\n"))
					}
				}
			})
		}
	}
}

// sibling is another file of the same study with other content: of the same class and form if there is one, else like it in being compressed or not.
func sibling(t *testing.T, a tree, h dedup.Held) dedup.Held {
	t.Helper()
	var second []dedup.Held
	for _, o := range a.all() {
		sameStudy := strings.Split(o.Path, "/")[1] == strings.Split(h.Path, "/")[1]
		if !sameStudy || o.Path == h.Path || path.Ext(o.Path) != path.Ext(h.Path) && h.Ref.Ext == ".json.gz" || bytes.Equal(a.read(o.Path), a.read(h.Path)) || len(a.read(o.Path)) == 0 {
			continue
		}
		if o.Ref.Class == h.Ref.Class && o.Ref.Ext == h.Ref.Ext && (o.Ref.Variant == "") == (h.Ref.Variant == "") {
			return o
		}
		if (path.Ext(o.Path) == ".gz") == (path.Ext(h.Path) == ".gz") && o.Ref.Variant == "" {
			second = append(second, o)
		}
	}
	if len(second) == 0 {
		t.Fatalf("%s is alone", h.Path)
	}
	return second[len(second)-1]
}

// TestStrays holds that what has no business in an archive is named, and what other writers have not finished is not.
func TestStrays(t *testing.T) {
	a := newTree(t)
	a.ingest("ts/2")
	study := "studies/" + a.studies()[0].String()
	a.write(study+"/bulkdata/tempFile-1234", []byte("unfinished"))
	a.write(study+"/deduplicated/temp-99", []byte("unfinished"))
	a.write("studies/index.json.gz", []byte("all studies"))
	if faults, _, _ := a.verify(verify.Config{Deep: true}); len(faults) > 0 {
		t.Errorf("false alarms:\n%s", lines(faults))
	}
	a.write(study+"/bulkdata/readme.txt", []byte("what is this"))
	a.write(study+"/.hidden", []byte("and this"))
	a.write("studies/not-a-study/x", []byte("nor this"))
	must(t, os.Symlink("/etc", a.path("studies/1.2.3")))
	a.write(study+"/notes/report.pdf", []byte("an attachment is class other"))
	faults, others, _ := a.verify(verify.Config{Deep: true})
	var got []string
	for _, f := range append(faults, others...) {
		got = append(got, string(f.Kind)+" "+strings.TrimPrefix(f.Path, study))
	}
	slices.Sort(got)
	want := []string{"cannot tell /notes/report.pdf", "unexpected /.hidden", "unexpected /bulkdata/readme.txt", "unexpected studies/1.2.3", "unexpected studies/not-a-study"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestOtherFiles holds what index and log are for: a study that vanished, an attachment that did, and that recording launders nothing.
func TestOtherFiles(t *testing.T) {
	a := newTree(t)
	a.ingest("ts/2", "sequence/large")
	first := a.studies()[0]
	note := "studies/" + first.String() + "/notes.txt"
	a.write(note, []byte("an attachment"))
	x := a.recorded()
	if _, others, s := a.verify(verify.Config{Deep: true, Index: x}); s.Right != s.Files {
		t.Errorf("after recording: %+v\n%s", s, lines(others))
	}
	a.write(note, []byte("an attachmenT"))
	for range 2 {
		faults, _, _ := a.verify(verify.Config{Deep: true, Index: x, Record: verify.Keep{Index: x}})
		if len(faults) != 1 || faults[0].Path != note || faults[0].Kind != verify.Corrupt {
			t.Errorf("a changed attachment: %s", lines(faults))
		}
	}
	must(t, os.Remove(a.path(note)))
	must(t, x.Refresh(t.Context(), a.fs, nil)) // the index follows the tree, the log does not
	if faults, _, _ := a.verify(verify.Config{Index: x}); len(faults) != 1 || faults[0].Path != note || faults[0].Kind != verify.Missing {
		t.Errorf("a vanished attachment: %s", lines(faults))
	}
	a.write(note, []byte("an attachment"))
	must(t, x.Refresh(t.Context(), a.fs, nil))
	second := a.studies()[1]
	must(t, os.RemoveAll(a.path("studies/"+second.String())))
	faults, _, _ := a.verify(verify.Config{Index: x})
	if len(faults) != 1 || faults[0].Path != "studies/"+second.String() || faults[0].Kind != verify.Missing {
		t.Errorf("a vanished study: %s", lines(faults))
	}
}

// TestImported flips bytes of an archive that an import made: our list stands for foreign records whose frames are not kept as they were, and while it cannot
// be read it alone is named.
func TestImported(t *testing.T) {
	source, a := newTree(t), newTree(t)
	source.copyFrom(shareddata.Dir(t, "data", "golden", "ct-ge-private", "stage1-instance"))
	_, err := staticwado.Import(t.Context(), a.fs, source.fs, staticwado.Config{})
	must(t, err)
	if faults, _, s := a.verify(verify.Config{Deep: true}); len(faults) > 0 || s.Right == 0 {
		t.Fatalf("%+v\n%s", s, lines(faults))
	}
	for _, h := range a.all() {
		good := a.read(h.Path)
		for _, at := range places(len(good), rand.New(rand.NewPCG(9, 10))) {
			flipped := slices.Clone(good)
			flipped[at] ^= 1 << (at % 8)
			a.write(h.Path, flipped)
			faults, _ := a.study(t, h, verify.Config{Deep: true})
			if len(faults) != 1 || faults[0].Path != h.Path {
				t.Errorf("%s: byte %d of %d from %02x to %02x:\n%s", h.Path, at, len(good), good[at], flipped[at], lines(faults))
			}
		}
		a.write(h.Path, good)
	}
}

// TestIndexAlone holds that damage which only an index can see is seen again however often it is recorded, and not after it was deleted.
func TestIndexAlone(t *testing.T) {
	a := newTree(t)
	a.ingest("ts/2")
	value := []byte("a value of another writer, in a gzip envelope that may look as it likes")
	sum := fmt.Sprintf("%x", sha256.Sum256(value))
	name := "studies/" + a.studies()[0].String() + "/bulkdata/" + sum[:3] + "/" + sum[3:5] + "/" + sum[5:] + ".gz"
	good := dedup.Compress(nil, value)
	a.write(name, good)
	x := a.recorded()
	a.write(name, append([]byte{0x1f, 0x8b, 8, 0, 1}, good[5:]...)) // another time in the header
	for range 2 {
		faults, _, _ := a.verify(verify.Config{Deep: true, Index: x, Record: verify.Keep{Index: x}})
		if len(faults) != 1 || faults[0].Path != name || !strings.Contains(faults[0].What, "the index alone") {
			t.Errorf("found is %s", lines(faults))
		}
	}
	if faults, _, _ := a.verify(verify.Config{Deep: true}); len(faults) > 0 {
		t.Errorf("without an index found is %s", lines(faults))
	}
}

// TestBomb holds that a file which expands further than any reader takes it is not called right, whatever hash it has.
func TestBomb(t *testing.T) {
	a := newTree(t)
	a.ingest("ts/2")
	text := append([]byte(`{"Value":["`), bytes.Repeat([]byte{'a'}, 4<<20)...)
	o, h, err := dedup.Seal(dedup.Object{{Tag: 0x00104000, JSON: append(text, `"],"vr":"UT"}`...)}}, dedup.Dedup{Type: dedup.TypePatient})
	must(t, err)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err = z.Write(o.AppendJSON(nil))
	must(t, errors.Join(err, z.Close()))
	r := dedup.Ref{Class: dedup.Bulkdata, Name: h.String(), Ext: ".json.gz"}
	a.write(r.In(a.studies()[0]), packed.Bytes())
	_, others, _ := a.verify(verify.Config{Deep: true})
	if !slices.ContainsFunc(others, func(f verify.Finding) bool { return f.Kind == verify.CannotTell && f.Path == r.In(a.studies()[0]) }) {
		t.Errorf("found is %s", lines(others))
	}
}

// TestNames holds what is checked without reading everything: the gzip header of dicomesh's own, that an object has the name of its file, sizes against
// the index.
func TestNames(t *testing.T) {
	a, kinds := ownArchive(t)
	x := a.recorded()
	object, raw := kinds["bulkdata .json.gz patient"], kinds["bulkdata .raw"]
	good := a.read(object.Path)
	a.write(object.Path, append(append([]byte{}, good[:9]...), append([]byte{3}, good[10:]...)...))
	if faults, _, _ := a.verify(verify.Config{}); len(faults) != 1 || faults[0].Path != object.Path {
		t.Errorf("of a gzip header found is %s", lines(faults))
	}
	other := dedup.Ref{Class: dedup.Bulkdata, Name: strings.Repeat("ab", 32), Ext: ".json.gz"}.Path()
	study := strings.Join(strings.Split(object.Path, "/")[:2], "/")
	a.write(study+"/"+other, good)
	a.write(raw.Path, append(a.read(raw.Path), 0))
	faults, _, _ := a.verify(verify.Config{Index: x})
	got := map[string]bool{}
	for _, f := range faults {
		got[f.Path] = f.Kind == verify.Corrupt
	}
	if len(got) != 3 || !got[object.Path] || !got[study+"/"+other] || !got[raw.Path] {
		t.Errorf("found is\n%s", lines(faults))
	}
}

// TestFrames holds that frames of another writer's record are missed one by one, and all together in one line.
func TestFrames(t *testing.T) {
	a := newTree(t)
	study, series, sop := "1.2.3", "1.2.3.4", "1.2.3.4.5"
	record := `[{"00080018":{"vr":"UI","Value":["` + sop + `"]},"0020000E":{"vr":"UI","Value":["` + series + `"]},"00280008":{"vr":"IS","Value":[3]},
		"7FE00010":{"vr":"OW","BulkDataURI":"instances/` + sop + `/frames"}}]`
	a.write("instances/"+study+"/"+strings.Repeat("ab", 32)+".gz", dedup.Compress(nil, []byte(record)))
	frames := "studies/" + study + "/series/" + series + "/instances/" + sop + "/frames"
	for n, c := range []struct{ have, want string }{
		{"1.mht 2.mht 3.mht", ""},
		{"1.mht.gz 2.jls 3", ""},
		{"1.mht 3.mht", frames + "/2"},
		{"", frames},
	} {
		must(t, os.RemoveAll(a.path(frames)))
		for _, name := range strings.Fields(c.have) {
			data := []byte("a frame")
			if strings.HasSuffix(name, ".gz") {
				data = dedup.Compress(nil, data)
			}
			a.write(frames+"/"+name, data)
		}
		a.write("studies/"+study+"/index.json.gz", dedup.Compress(nil, nil))
		faults, _, _ := a.verify(verify.Config{Deep: true})
		if c.want == "" && len(faults) > 0 || c.want != "" && (len(faults) != 1 || faults[0].Path != c.want || faults[0].Kind != verify.Missing) {
			t.Errorf("case %d: %s", n, lines(faults))
		}
	}
}

// TestSummary holds the counts, and that progress ends where it said it would.
func TestSummary(t *testing.T) {
	a, _ := ownArchive(t)
	var last verify.Progress
	for _, deep := range []bool{false, true} {
		_, _, s := a.verify(verify.Config{Deep: deep, Report: func(p verify.Progress) {
			if p.Files > 1 && p.Files != last.Files+1 || p.Bytes > p.BytesTotal {
				t.Fatalf("progress %+v after %+v", p, last)
			}
			last = p
		}})
		if last.Files != last.FilesTotal || last.Bytes != last.BytesTotal || last.Files != s.Files || last.Bytes != s.Bytes {
			t.Errorf("progress ends at %+v, the summary is %+v", last, s)
		}
		if s.Right+s.Unread != s.Files || deep && s.Read != s.Bytes || s.Studies != len(a.studies()) || s.Variants == 0 || s.Conflicts == 0 || s.Instances == 0 {
			t.Errorf("deep %v: %+v", deep, s)
		}
	}
}
