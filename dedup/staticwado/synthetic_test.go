package staticwado

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
)

// Each dialect in each layout: an image of two frames with a value out of line, superseded lists, a rejected instance.
func TestDialects(t *testing.T) {
	for _, dialect := range []string{"today", "2021", "java"} {
		for _, levels := range []string{"", "hashed"} {
			for _, plain := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/%v", dialect, levels, plain), func(t *testing.T) {
					w := newWado(t, dialect)
					w.plain = plain
					if levels != "" {
						w.levels = hashLevels
					}
					testDialect(t, w)
				})
			}
		}
	}
}

// hashLevels are what --hash-study-uid-path puts above the test's study; package dedup's own tests know the hash.
const hashLevels = "286/943/"

func testDialect(t *testing.T, w *wado) {
	value := bytes.Repeat([]byte("private "), 200)
	kept := w.image("1.2.3.4.5", 2, object{"00110010": values("LO", "ACME"), "00111001": attribute{"vr": "OB", "BulkDataURI": w.raw(value)},
		"00111002": attribute{"vr": "OB", "BulkDataURI": w.raw([]byte("a short value, of forty two bytes in all.."))}})
	gone := w.image("1.2.3.4.6", 1, nil)
	first := w.list(nil, kept, gone)
	w.list([]string{first}, kept, w.rejected(gone))
	w.instanceFile(w.image("1.2.3.4.7", 1, nil))

	tree := crashfs.New()
	o := imported(t, tree, w.fs)
	if o.counts() != "2 imported, 0 present, 1 deleted, 0 conflict, 0 incomplete, 0 failed" || len(o.findings) > 0 {
		t.Fatal(o)
	}
	checkSame(t, tree, w.fs, o)
	checkOneLeaf(t, tree)
	merged, r, file := live(t, tree, "1.2.3.4.5")
	if merged.Text(0x0020000D) != testStudy || merged.Text(0x00100010) != "Test^Patient" || merged.Text(0x00083002) != "" || r.Dedup.Version != dedup.Version {
		t.Errorf("%s", merged.AppendJSON(nil))
	}
	for _, want := range [][]byte{value, pixelsOf("1.2.3.4.5", 1), pixelsOf("1.2.3.4.5", 2), []byte("a short value")} {
		if !bytes.Contains(file, want) {
			t.Errorf("the file lacks %.20q", want)
		}
	}
	e, _ := merged.Find(0x7FE00010)
	if a, err := e.Attribute(); err != nil || len(a.Fragments) != 2 || a.Fragments[0].String() != sum(pixelsOf("1.2.3.4.5", 1)) || a.Ext != ".raw" {
		t.Errorf("%v %s", err, e.JSON)
	}
	for name := range contents(t, tree) {
		if strings.Contains(name, "/frames/") || strings.HasSuffix(name, "/0") {
			t.Errorf("%s is left over", name)
		}
	}
	if again := imported(t, tree, w.fs); again.Files != 0 || again.Instances[Present] != 2 || again.Instances[Deleted] != 1 {
		t.Errorf("once more: %s", again)
	}
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// Values of today's dialect leave their envelope and can then be checked by their names; all others are for the digest log, and nothing is there that claims
// a name which it has not.
func TestNames(t *testing.T) {
	for dialect, logged := range map[string][]string{"today": {"instances/"}, "2021": {".raw", ".json.gz", "instances/"}} {
		w := newWado(t, dialect)
		w.instanceFile(w.instance("1.2.3.4.5", object{"00110010": values("LO", "ACME"),
			"00111001": attribute{"vr": "OB", "BulkDataURI": w.raw(bytes.Repeat([]byte("x"), 2000))}}))
		tree := crashfs.New()
		o := imported(t, tree, w.fs)
		var paths []string
		for _, h := range o.recorded {
			paths = append(paths, h.Path)
		}
		all := strings.Join(paths, "\n")
		for _, part := range logged {
			if !strings.Contains(all, part) {
				t.Errorf("%s: no %s in\n%s", dialect, part, all)
			}
		}
		for name, text := range contents(t, tree) {
			ref, err := dedup.ParseRef(strings.TrimPrefix(name, "studies/"+testStudy+"/"))
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			own := ref.Ext == ".raw" && len(ref.Name) == 64
			if own && sum([]byte(text)) != ref.Name || own && strings.Contains(all, name) {
				t.Errorf("%s: %s", dialect, name)
			}
		}
		if dialect == "today" && strings.Contains(all, ".raw") {
			t.Errorf("a value that can be checked is in the log:\n%s", all)
		}
	}
}

// What the writer did to attributes is undone where that is certain.
func TestAttributes(t *testing.T) {
	w := newWado(t, "today")
	numbers := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 7), 0xFFFFFFFF)
	w.instanceFile(w.instance("1.2.3.4.5", object{
		"00080008": values("CS", `ORIGINAL\PRIMARY\AXIAL`),
		"00090010": values("LO", "GEMS_IDEN_01"), "00091001": values("LO", "GE"),
		"00091011": values("LO", strings.Repeat("ab", 32)), "00091012": values("LO", "patient"),
		"00186020": attribute{"vr": "SL", "InlineBinary": base64.StdEncoding.EncodeToString(numbers)},
		"FFFCFFFC": attribute{"vr": "OB", "InlineBinary": "AAAA"},
		"00180050": values("DS", 1.5),
	}))
	tree := crashfs.New()
	if o := imported(t, tree, w.fs); o.Instances[Imported] != 1 {
		t.Fatal(o)
	}
	merged, _, _ := live(t, tree, "1.2.3.4.5")
	for tag, want := range map[dedup.Tag]string{
		0x00080008: `{"Value":["ORIGINAL","PRIMARY","AXIAL"],"vr":"CS"}`, 0x00090010: `{"Value":["GEMS_IDEN_01"],"vr":"LO"}`, 0x00091001: `{"Value":["GE"],"vr":"LO"}`,
		0x00091011: "", 0x00091012: "", 0x00186020: `{"Value":[7,-1],"vr":"SL"}`, 0xFFFCFFFC: "", 0x00180050: `{"Value":[1.5],"vr":"DS"}`, 0x00083002: "",
		0x0020000D: `{"Value":["1.2.3"],"vr":"UI"}`,
	} {
		e, _ := merged.Find(tag)
		if string(e.JSON) != want {
			t.Errorf("%s is %s, want %s", tag, e.JSON, want)
		}
	}
}

// bytesAs is text as the writer leaves it that takes each byte for a character.
func bytesAs(b string) string {
	var out strings.Builder
	for i := 0; i < len(b); i++ {
		out.WriteRune(rune(b[i]))
	}
	return out.String()
}

func TestTexts(t *testing.T) {
	const cyrillic, japanese = "\xbb\xee\xda\x63\x65\xdc\x79\x70\x67", "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"
	for _, test := range []struct {
		name, set, vr, text string
		want                string // the first value, "" where the instance fails
		component           string
	}{
		{"latin 1, as it is", "ISO_IR 100", "LO", "Jörg", "Jörg", ""},
		{"cyrillic as bytes", "ISO_IR 144", "LO", bytesAs(cyrillic), "Люкceмypg", ""},
		{"a name as bytes", "ISO_IR 144", "PN", bytesAs(cyrillic), "Люкceмypg", ""},
		{"a name in UTF-8 as bytes", "ISO_IR 192", "PN", bytesAs("Wang^XiaoDong=王^小东"), "Wang^XiaoDong", "王^小东"},
		{"another text in UTF-8 is decoded", "ISO_IR 192", "LO", "Jörg", "Jörg", ""},
		{"a name in UTF-8 that is no UTF-8 as bytes", "ISO_IR 192", "PN", "Jörg", "Jörg", ""},
		{"escapes", `\ISO 2022 IR 87`, "PN", bytesAs(japanese), "Yamada^Tarou", "山田^太郎"},
		{"decoded by another writer", "ISO_IR 100", "LO", "Люка", "Люка", ""},
		{"ASCII", "ISO_IR 144", "LO", "plain", "plain", ""},
	} {
		w := newWado(t, "today")
		v := values(test.vr, test.text)
		if test.vr == "PN" {
			v = values("PN", attribute{"Alphabetic": test.text})
		}
		w.instanceFile(w.instance("1.2.3.4.5", object{"00080005": values("CS", test.set), "00102160": v, "00321060": v,
			"00400275": values("SQ", object{"00400007": v})}))
		tree := crashfs.New()
		if o := imported(t, tree, w.fs); o.Instances[Imported] != 1 {
			t.Errorf("%s: %s", test.name, o)
			continue
		}
		merged, _, _ := live(t, tree, "1.2.3.4.5")
		e, _ := merged.Find(0x00102160)
		if got := merged.Text(0x00102160); got != test.want || !strings.Contains(string(e.JSON), test.component) {
			t.Errorf("%s: %s, want %s", test.name, e.JSON, test.want)
		}
		item, _ := merged.Find(0x00400275)
		if !strings.Contains(string(item.JSON), test.want) {
			t.Errorf("%s: in an item %s, want %s", test.name, item.JSON, test.want)
		}
	}
}

// Frames of a big endian file are words in another order; what does not fit together is said.
func TestFrames(t *testing.T) {
	native, rle := "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
	for _, test := range []struct {
		name, want string
		prepare    func(w *wado)
	}{
		{"big endian", "", func(w *wado) {
			for n := 1; n <= 2; n++ {
				b := pixelsOf("1.2.3.4.5", n)
				for i := 0; i < len(b); i += 2 {
					b[i], b[i+1] = b[i+1], b[i]
				}
				w.frame("1.2.3.4.5", n, "1.2.840.10008.1.2.2", b)
			}
		}},
		{"one is missing", "incomplete: missing: frame 2 of 2", func(w *wado) { w.remove("2.mht.gz") }},
		{"all are missing", "incomplete: missing: its frames", func(w *wado) { w.remove("1.mht.gz"); w.remove("2.mht.gz") }},
		{"one is damaged", "incomplete: frame 2: damaged", func(w *wado) { w.file(w.framePath("2.mht.gz"), zipped(pixelsOf("x", 1))[:20]) }},
		{"an envelope that does not close", "incomplete: frame 2: damaged", func(w *wado) {
			w.file(w.framePath("2.mht.gz"), zipped(bytes.TrimSuffix(envelope("x/y", pixelsOf("x", 1)), []byte("--"))))
		}},
		{"an empty one", "incomplete: frame 1: it is empty", func(w *wado) { w.frame("1.2.3.4.5", 1, native, nil) }},
		{"another syntax", "failed: frame 2 has another transfer syntax", func(w *wado) { w.frame("1.2.3.4.5", 2, rle, pixelsOf("x", 1)) }},
		{"another size", "failed: frame 2 has another transfer syntax or size", func(w *wado) { w.frame("1.2.3.4.5", 2, native, make([]byte, 8)) }},
	} {
		w := newWado(t, "today")
		w.instanceFile(w.image("1.2.3.4.5", 2, nil))
		test.prepare(w)
		tree := crashfs.New()
		o := imported(t, tree, w.fs)
		if len(o.results) != 1 {
			t.Fatal(o)
		}
		if got := string(o.results[0].Status) + ": " + o.results[0].Reason; test.want != "" && !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %s", test.name, got)
			continue
		}
		if test.want == "" {
			if _, _, file := live(t, tree, "1.2.3.4.5"); !bytes.Contains(file, pixelsOf("1.2.3.4.5", 2)) {
				t.Errorf("%s: other pixels", test.name)
			}
			continue
		}
		s, _ := resolved(t, tree, testUID(t, testStudy))
		if i := s.Instances[0]; i.Deleted || i.Records[0].Dedup.Version != "" {
			t.Errorf("%s: the foreign record does not stand any more", test.name)
		}
		for _, n := range []string{"1.mht.gz", "2.mht.gz"} {
			_, err := w.fs.Lstat(w.framePath(n))
			if _, err2 := tree.Lstat(w.framePath(n)); (err == nil) != (err2 == nil) {
				t.Errorf("%s: %s: in the source %v, in the tree %v", test.name, n, err, err2)
			}
		}
	}
}

func (w *wado) framePath(name string) string {
	return w.dir("studies") + "series/1.2.3.4/instances/1.2.3.4.5/frames/" + name
}

func (w *wado) remove(frame string) {
	if err := w.fs.Remove(w.framePath(frame)); err != nil {
		w.t.Fatal(err)
	}
}

// A missing extract leaves the instance what it was; the others of the study come over.
func TestMissingExtract(t *testing.T) {
	w := newWado(t, "today")
	whole, half := w.image("1.2.3.4.5", 1, nil), w.image("1.2.3.4.6", 1, nil)
	lost := w.extract("image", object{"00200062": values("CS", "L")})
	w.mark(half, "", "", append(refsOf(half), lost)...)
	half["00091011"] = values("LO", strings.Repeat("cd", 32))
	w.list(nil, whole, half)
	name := w.dir("studies") + bulkPath(lost) + ".json.gz"
	text := raw(t, w.fs, name)
	if err := w.fs.Remove(name); err != nil {
		t.Fatal(err)
	}
	tree := crashfs.New()
	o := imported(t, tree, w.fs)
	if o.counts() != "1 imported, 0 present, 0 deleted, 0 conflict, 1 incomplete, 0 failed" || !strings.Contains(o.String(), lost[5:]) {
		t.Error(o)
	}
	checkSame(t, tree, w.fs, o)
	if s, _ := resolved(t, tree, testUID(t, testStudy)); s.Complete() {
		t.Error("the study is said to be complete")
	}
	w.file(name, text)
	if o = imported(t, tree, w.fs); o.counts() != "1 imported, 1 present, 0 deleted, 0 conflict, 0 incomplete, 0 failed" {
		t.Error(o)
	}
	checkOneLeaf(t, tree)
}

func refsOf(o object) (refs []string) {
	for _, v := range o["00091010"].(attribute)["Value"].([]any) {
		refs = append(refs, v.(string))
	}
	return refs
}

// The whole file comes back byte for byte, unless it is not the one that the record speaks of. A rejection that comes later removes it.
func TestWhole(t *testing.T) {
	w := newWado(t, "today")
	report := w.instance("1.2.3.4.5", object{"00400275": values("SQ", object{"00400007": values("LO", "text")})})
	w.instanceFile(report)
	tree := crashfs.New()
	imported(t, tree, w.fs)
	_, _, file := live(t, tree, "1.2.3.4.5")
	file[0] = 'x' // of the preamble: nobody would write it so
	w.file(w.dir("studies")+"series/1.2.3.4/instances/1.2.3.4.5/index.mht.gz", zipped(envelope("application/dicom", file)))
	tree = crashfs.New()
	imported(t, tree, w.fs)
	_, r, back := live(t, tree, "1.2.3.4.5")
	if !bytes.Equal(back, file) || r.Dedup.FileSize != int64(len(file)) || len(r.Dedup.Replace) > 0 {
		t.Errorf("%d bytes of %d came back; replaces %v", len(back), len(file), r.Dedup.Replace)
	}
	_, parts := takenApart(t, file)
	if parts.Hash != r.Dedup.Hash {
		t.Error("it is not the record that ingest makes")
	}
	checkOneLeaf(t, tree)

	w.list(nil, w.rejected(report))
	o := imported(t, tree, w.fs)
	if o.counts() != "0 imported, 0 present, 1 deleted, 0 conflict, 0 incomplete, 0 failed" {
		t.Error(o)
	}
	if again := imported(t, tree, w.fs); again.Files != 0 {
		t.Error(again)
	}

	other := newWado(t, "today")
	other.instanceFile(other.instance("1.2.3.4.5", object{"00100030": values("DA", "19700101")}))
	other.file(other.dir("studies")+"series/1.2.3.4/instances/1.2.3.4.5/index.mht.gz", zipped(envelope("application/dicom", file)))
	tree = crashfs.New()
	imported(t, tree, other.fs)
	if merged, r, _ := live(t, tree, "1.2.3.4.5"); r.Dedup.FileSize != 0 || merged.Text(0x00100030) != "19700101" {
		t.Errorf("the file of another content was taken: %s", merged.AppendJSON(nil))
	}
}

// What is not static-wado's stays at its path; what is derived does not come; a dry run writes nothing.
func TestOthers(t *testing.T) {
	w := newWado(t, "today")
	w.instanceFile(w.image("1.2.3.4.5", 1, nil))
	for name, text := range map[string]string{
		"index.json.gz": "[]", "series/index.json.gz": "[]", "series/1.2.3.4/metadata.gz": "[]", "series/1.2.3.4/instances/1.2.3.4.5/thumbnail": "jpeg",
		"deduplicated/index.json.gz": "[]", "attachments/note.txt": "a note", "series/1.2.3.4/instances/1.2.3.4.5/frames/1.jls": "another copy",
		"series/1.2.3.4/instances/1.2.3.4.9/frames/1.mht": "nobody's frame",
	} {
		w.file(w.dir("studies")+name, []byte(text))
	}
	tree := crashfs.New()
	o, err := run1(t, tree, w.fs, Config{DryRun: true})
	if err != nil || o.counts() != "1 imported, 0 present, 0 deleted, 0 conflict, 0 incomplete, 0 failed" || len(contents(t, tree)) > 0 {
		t.Error(o, err)
	}
	o = imported(t, tree, w.fs)
	if o.Derived != 4 || len(o.findings) > 0 {
		t.Error(o)
	}
	var kept []string
	for _, name := range sortedKeys(contents(t, tree)) {
		if !strings.Contains(name, "/bulkdata/") && !strings.Contains(name, "/deduplicated/") {
			kept = append(kept, strings.TrimPrefix(name, "studies/1.2.3/"))
		}
	}
	if got := strings.Join(kept, " "); got != "attachments/note.txt series/1.2.3.4/instances/1.2.3.4.9/frames/1.mht" {
		t.Errorf("kept: %s", got)
	}
}

// A rejection that comes when the frames are gone removes what was made of them when they were there.
func TestRejectedWithoutFrames(t *testing.T) {
	w := newWado(t, "today")
	image := w.image("1.2.3.4.5", 1, nil)
	w.list(nil, image)
	tree := crashfs.New()
	imported(t, tree, w.fs)
	w.remove("1.mht.gz")
	w.list(nil, w.rejected(image))
	if o := imported(t, tree, w.fs); o.Instances[Deleted] != 1 {
		t.Error(o)
	}
	s, _ := resolved(t, tree, testUID(t, testStudy))
	if i := s.Instances[0]; !i.Deleted || len(s.Leaves) != 1 {
		t.Errorf("deleted: %v, leaves %v", i.Deleted, s.Leaves)
	}
}

// Our list accounts for each foreign file by itself: a site that holds only one of them beside it sees no more of that one.
func TestClosure(t *testing.T) {
	source := smallSource(t, "today").fs
	if err := source.Remove("instances/1.2.3/" + instanceWithoutFrame(t, source) + ".gz"); err != nil {
		t.Fatal(err)
	}
	tree := crashfs.New()
	imported(t, tree, source)
	s, bulk := resolved(t, tree, testUID(t, testStudy))
	if len(s.Leaves) != 1 {
		t.Fatal(s.Leaves)
	}
	read := func(id dedup.FileID) dedup.File {
		return dedup.ParseFile(id.Ref, readFile(t, tree, id.Ref.In(testUID(t, testStudy))))
	}
	for _, id := range s.Dominated {
		if pair := dedup.Resolve([]dedup.File{read(s.Leaves[0]), read(id)}, bulk); len(pair.Leaves) != 1 {
			t.Errorf("beside our list alone %s is a leaf", id.Ref)
		}
	}
	if len(s.Dominated) < 5 {
		t.Errorf("only %d files of the history", len(s.Dominated))
	}
}

// instanceWithoutFrame is the name of the source's instance file that nothing can be made of.
func instanceWithoutFrame(t *testing.T, source *crashfs.FS) string {
	t.Helper()
	s, _ := resolved(t, source, testUID(t, testStudy))
	i, _ := s.Instance(testUID(t, "1.2.3.4.9"))
	return i.Records[0].Dedup.Hash.String()
}

// Of a conflict both sides come over or none: else the one that is here would look like the truth.
func TestHalfOfAConflict(t *testing.T) {
	w := newWado(t, "today")
	w.instanceFile(w.image("1.2.3.4.5", 1, object{"00200013": values("IS", 1)}))
	w.instanceFile(w.image("1.2.3.4.5", 1, object{"00200013": values("IS", 2), "00280012": values("US", "many")}))
	tree := crashfs.New()
	o := imported(t, tree, w.fs)
	if o.Instances[Failed] != 1 {
		t.Error(o)
	}
	s, _ := resolved(t, tree, testUID(t, testStudy))
	if i := s.Instances[0]; !i.Conflict || len(i.Records) != 2 || i.Records[0].Dedup.Version+i.Records[1].Dedup.Version != "" {
		t.Errorf("conflict: %v, %d records", i.Conflict, len(i.Records))
	}
}
