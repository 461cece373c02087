package dedup

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// testTree makes a tree of files; names that end in .gz are compressed.
func testTree(t *testing.T, files map[string]string) (Tree, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		data := []byte(text)
		if strings.HasSuffix(name, ".gz") {
			data = Compress(nil, data)
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return openTree(t, dir), dir
}

func openTree(t *testing.T, dir string) Tree {
	t.Helper()
	fsys, err := durable.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	return NewTree(fsys)
}

func TestMurmur3(t *testing.T) {
	for s, want := range map[string]uint32{
		"": 0, "a": 0x3c2569b2, "ab": 0x9bbfd75f, "abc": 0xb3dd93fa, "hello": 0x248bfa47, "The quick brown fox jumps over the lazy dog": 0x2e4ff723,
		"1.2.840.113619.2.5.1762583153": 0xc6bb8733, "1.3.6.1.4.1.5962.1.1.0.0.0.1196530851.28319.0.1": 0x4a23ece5,
	} {
		if got := murmur3(s); got != want {
			t.Errorf("%q: %08x, want %08x", s, got, want)
		}
	}
}

// One study in each layout, and what each layout's files are called.
func TestLayouts(t *testing.T) {
	const own, today, hashed, old = "1.2.1", "1.2.2", "1.2.840.113619.2.5.1762583153", "1.2.4"
	bulk := "bulkdata/abc/de/" + sha[5:]
	tree, _ := testTree(t, map[string]string{
		"studies/" + own + "/" + bulk + ".json.gz":                       "{}",
		"studies/" + own + "/deduplicated/" + sha + ".gz":                "[]",
		"studies/" + own + "/deduplicated/instances/1.5.gz":              "[]",
		"studies/" + own + "/variants/instances/1.5." + sha + ".gz":      "[]",
		"studies/" + own + "/variants/lists/" + sha1 + "." + sha + ".gz": "[]",
		"studies/" + own + "/letter.pdf":                                 "x",
		"studies/index.json.gz":                                          "[]",
		"studies/" + today + "/" + bulk + ".gz":                          "x",
		"studies/" + today + "/deduplicated/index.json.gz":               "[]",
		"studies/" + today + "/deduplicated/tempFile-123":                "[]",
		"studies/" + today + "/series/1.3/instances/1.5/frames/1.mht":    "x",
		"deduplicated/" + today + "/" + sha + ".gz":                      "[]",
		"deduplicated/" + today + "/tempFile-9":                          "",
		"instances/" + today + "/" + sha + ".gz":                         "[]",
		"studies/c6b/b87/" + hashed + "/" + bulk:                         "x",
		"deduplicated/c6b/b87/" + hashed + "/" + sha:                     "[]",
		"instances/c6b/b87/" + hashed + "/" + sha + ".gz":                "[]",
		"studies/" + old + "/deduplicated/" + sha1 + ".gz":               "[]",
		"studies/" + old + "/deduplicated/isntances/" + sha1 + ".gz":     "[]",
		"studies/123/deduplicated/" + sha + ".gz":                        "[]",
		"instances/1.2.9/" + sha + ".gz":                                 "[]",
		".dicomesh/tmp/0/1":                                              "x",
		"studies/not a study/x":                                          "x",
		"deduplicated/notes/x":                                           "x",
		"studies/" + own + "/deduplicated/x":                             "x",
		"studies/" + own + "/bulkdata/abc/de/" + sha[5:] + ".exe":        "x",
	})
	uids, findings, err := tree.Studies()
	if err != nil || len(findings) != 2 {
		t.Errorf("findings %v, %v", findings, err)
	}
	if got, want := join(uids), "1.2.1 1.2.2 1.2.4 1.2.840.113619.2.5.1762583153 1.2.9 123"; got != want {
		t.Errorf("studies %s, want %s", got, want)
	}
	for study, want := range map[string]string{
		own:    bulk + ".json.gz deduplicated/instances/1.5.gz variants/instances/1.5." + sha + ".gz variants/lists/" + sha1 + "." + sha + ".gz deduplicated/" + sha + ".gz letter.pdf",
		today:  bulk + ".gz deduplicated/instances/" + sha + ".gz deduplicated/" + sha + ".gz series/1.3/instances/1.5/frames/1.mht",
		hashed: bulk + " deduplicated/instances/" + sha + ".gz deduplicated/" + sha + ".gz",
		old:    "deduplicated/instances/" + sha1 + ".gz deduplicated/" + sha1 + ".gz",
		"123":  "deduplicated/" + sha + ".gz",
		"1.9":  "",
	} {
		checkStudy(t, tree, study, want)
	}
}

// checkStudy holds which files a study has, and that each can be found and read by its Ref.
func checkStudy(t *testing.T, tree Tree, study, want string) {
	t.Helper()
	u, _ := ParseUID(study)
	f, err := tree.Study(u)
	if err != nil {
		t.Fatal(err)
	}
	held, _, err := f.Files()
	if err != nil {
		t.Fatal(err)
	}
	var refs []Ref
	for _, h := range held {
		refs = append(refs, h.Ref)
		found, size, err := f.Find(h.Ref)
		if err != nil || found != h || size == 0 {
			t.Errorf("%s: found %+v, %v", h.Path, found, err)
		}
		r, err := f.Open(h.Ref, 2)
		if err != nil {
			t.Errorf("%s: %v", h.Path, err)
			continue
		}
		if err := errors.Join(iotest.TestReader(r, []byte(map[bool]string{true: "[]", false: "x"}[h.Ref.Class == List || h.Ref.Class == Instance])), r.Close()); err != nil && !strings.Contains(h.Path, ".json") {
			t.Errorf("%s: %v", h.Path, err)
		}
	}
	if got := join(refs); got != want {
		t.Errorf("study %s: %s, want %s", study, got, want)
	}
}

func join[T interface{ String() string }](items []T) string {
	var texts []string
	for _, i := range items {
		texts = append(texts, i.String())
	}
	return strings.Join(texts, " ")
}

func TestFindings(t *testing.T) {
	tree, dir := testTree(t, map[string]string{"studies/1.2/deduplicated/" + sha + ".gz": "[]", "secret": "x"})
	study := filepath.Join(dir, "studies/1.2")
	err := errors.Join(
		os.Symlink("../../secret", filepath.Join(study, "a link")),
		os.Symlink("../../../secret", filepath.Join(study, "deduplicated", sha1+".gz")),
		os.Symlink("..", filepath.Join(study, "series")),
		os.Symlink("1.2", filepath.Join(dir, "studies/1.3")),
		syscall.Mkfifo(filepath.Join(study, "a fifo"), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	uids, findings, err := tree.Studies()
	if err != nil || join(uids) != "1.2" || len(findings) != 1 || findings[0] != (Finding{"studies/1.3", findingLink}) {
		t.Errorf("%v, %v, %v", uids, findings, err)
	}
	f, err := tree.Study(UID{"1.2"})
	if err != nil {
		t.Fatal(err)
	}
	held, findings, err := f.Files()
	if err != nil || len(held) != 1 || len(findings) != 4 || findings[0] != (Finding{"studies/1.2/a fifo", findingSpecial}) || findings[1] != (Finding{"studies/1.2/a link", findingLink}) {
		t.Errorf("%v, %v, %v", held, findings, err)
	}
	for _, r := range []Ref{{Class: List, Name: sha1}, {Class: Other, Name: "a link"}, {Class: Other, Name: "a fifo"}, {Class: Other, Name: "series/1.2"}, {Class: Other, Name: "../../secret"}, {}} {
		if _, err := f.Open(r, 100); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, durable.ErrNotRegular) {
			t.Errorf("%+v opens: %v", r, err)
		}
	}
	if linked, err := tree.Study(UID{"1.3"}); err != nil || len(linked.studies) != 0 {
		t.Errorf("a linked study is probed: %v", err)
	}
}

// References do not say what is compressed.
func TestFindSpellings(t *testing.T) {
	tree, _ := testTree(t, map[string]string{"studies/1.2/bulkdata/abc/de/" + sha[5:] + ".raw.gz": "x", "studies/1.2/bulkdata/abc/de/" + sha1[5:]: "x"})
	f, err := tree.Study(UID{"1.2"})
	if err != nil {
		t.Fatal(err)
	}
	for uri, ext := range map[string]string{"bulkdata/abc/de/" + sha[5:] + ".raw": ".raw.gz", "bulkdata/abc/de/" + sha1[5:]: ""} {
		r, err := ParseBulkURI(uri)
		if err != nil {
			t.Fatal(err)
		}
		h, _, err := f.Find(r)
		if data, err2 := f.Read(h, 1); err != nil || err2 != nil || h.Ref.Ext != ext || string(data) != "x" {
			t.Errorf("%s: %+v, %v, %v", uri, h, err, err2)
		}
	}
}

// dense is content compressed as far as gzip goes.
func dense(content []byte) []byte {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	_, _ = z.Write(content)
	_ = z.Close()
	return out.Bytes()
}

func TestOpenLimits(t *testing.T) {
	const json, raw = "bulkdata/abc/de/0000000000000000000.json.gz", "bulkdata/abc/de/0000000000000000000.raw.gz"
	zeros := strings.Repeat("0", 10<<20)
	tree, dir := testTree(t, map[string]string{"studies/1.2/" + json: zeros, "studies/1.2/" + raw: zeros, "studies/1.2/note": "12345"})
	for _, name := range []string{json, raw} { // our own writer does not compress so far
		if err := os.WriteFile(filepath.Join(dir, "studies/1.2", name), dense([]byte(zeros)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := tree.Study(UID{"1.2"})
	if err != nil {
		t.Fatal(err)
	}
	read := func(path string, limit int64) (int, error) {
		r, err := f.Open(mustRef(t, path), limit)
		if err != nil {
			return 0, err
		}
		defer r.Close()
		n, err := io.Copy(io.Discard, r)
		return int(n), err
	}
	for _, test := range []struct {
		path  string
		limit int64
		n     int
		err   error
	}{
		{"note", 5, 5, nil}, {"note", 4, 4, ErrTooLarge}, {raw, 10 << 20, 10 << 20, nil}, {raw, 10<<20 - 1, 10<<20 - 1, ErrTooLarge},
		{json, 1 << 30, 10 << 20, ErrTooLarge}, // 1,000 : 1 is no JSON
		{json, 1 << 19, 1 << 19, ErrTooLarge},
	} {
		n, err := read(test.path, test.limit)
		if n > test.n || !errors.Is(err, test.err) || test.err == nil && n != test.n {
			t.Errorf("%s, limit %d: %d bytes, %v", test.path, test.limit, n, err)
		}
	}
	// Whatever is cut off or changed is noticed, or changes nothing.
	p := filepath.Join(dir, "studies/1.2", raw)
	whole := Compress(nil, []byte("some content that is worth keeping"))
	for i := range whole {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 0x10
		for _, data := range [][]byte{whole[:i], flipped} {
			if err := os.WriteFile(p, data, 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := f.Read(Held{mustRef(t, raw), "studies/1.2/" + raw}, 1000)
			if err == nil && string(got) != "some content that is worth keeping" || err != nil && !errors.Is(err, ErrDamaged) {
				t.Errorf("byte %d of %d bytes: %q, %v", i, len(data), got, err)
			}
		}
	}
}

// A Compressor writes the same bytes however often it is used, and the header says nothing.
func TestCompressor(t *testing.T) {
	var c Compressor
	for _, text := range []string{"", "x", strings.Repeat("abc", 1<<20), "x", strings.Repeat("01234567", shortContent/8), strings.Repeat("x", shortContent+1)} {
		data := c.Append([]byte("head"), []byte(text))
		if !bytes.Equal(data, Compress([]byte("head"), []byte(text))) || !bytes.HasPrefix(data[4:], []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0}) {
			t.Errorf("%d bytes become %x", len(text), data[:min(len(data), 20)])
		}
		r, err := gzip.NewReader(bytes.NewReader(data[4:]))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := io.ReadAll(r); err != nil || string(back) != text {
			t.Errorf("%d bytes come back as %d, %v", len(text), len(back), err)
		}
	}
}

func mustRef(t *testing.T, path string) Ref {
	t.Helper()
	r, err := ParseRef(path)
	if err != nil {
		t.Fatal(path, err)
	}
	return r
}

func TestUnwrap(t *testing.T) {
	const boundary = "BOUNDARY_0d6ad1b9-8b1e-4c57-9f30-0a3d0f9f5a11"
	wrap := func(body string) string {
		return "--" + boundary + "\r\nContent-Type: image/jls;transfer-syntax=1.2\r\n\r\n" + body + "\r\n--" + boundary + "--"
	}
	for _, body := range []string{"", "x", "\r\n", "\r\n--" + boundary, "--", strings.Repeat("0123456789", 1000), strings.Repeat("\r\n", 5000)} {
		for _, tail := range []string{"", "\r\n"} {
			r, media, err := Unwrap(iotest.HalfReader(strings.NewReader(wrap(body) + tail)))
			if err != nil || media != "image/jls;transfer-syntax=1.2" {
				t.Fatal(media, err)
			}
			got, err := io.ReadAll(iotest.OneByteReader(r))
			if err != nil || string(got) != body {
				t.Errorf("%d bytes become %d: %v", len(body), len(got), err)
			}
		}
	}
	for _, plain := range []string{"", "x", "--", "--x\r\n\r\n", "--x\r\nContent-Length: 5\r\n\r\nx", strings.Repeat("y", 10000)} {
		r, media, err := Unwrap(strings.NewReader(plain))
		if got, err2 := io.ReadAll(r); err != nil || err2 != nil || string(got) != plain || media != "" {
			t.Errorf("%.20q becomes %.20q, %s, %v, %v", plain, got, media, err, err2)
		}
	}
	for _, cut := range []int{1, 10, 40, 60} {
		text := wrap(strings.Repeat("x", 9000))
		r, _, err := Unwrap(strings.NewReader(text[:len(text)-cut]))
		if got, err2 := io.ReadAll(r); err != nil || !errors.Is(err2, ErrDamaged) {
			t.Errorf("%d bytes short: %d bytes, %v", cut, len(got), err2)
		}
	}
}

// Every file of the golden trees has a place in the format or is known not to.
func TestGoldenFiles(t *testing.T) {
	files := 0
	walkGoldenTrees(t, func(path string, tree Tree) {
		uids, findings, err := tree.Studies()
		if err != nil || len(uids) == 0 || len(findings) > 0 {
			t.Errorf("%s: %d studies, %v, %v", path, len(uids), findings, err)
		}
		for _, u := range uids {
			f, err := tree.Study(u)
			if err != nil {
				t.Fatal(err)
			}
			held, findings, err := f.Files()
			if err != nil || len(findings) > 0 {
				t.Errorf("%s: %v, %v", path, findings, err)
			}
			for _, h := range held {
				files++
				if _, err := f.Read(h, 1<<30); err != nil {
					t.Errorf("%s: %v", h.Path, err)
				}
			}
		}
	})
	if files < 400 {
		t.Errorf("only %d files", files)
	}
}

// walkGoldenTrees calls f for each golden tree: each folder with studies or lists in it.
func walkGoldenTrees(t *testing.T, f func(path string, tree Tree)) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(golden(t), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		for _, root := range []string{studiesRoot, listRoot, instanceRoot} {
			if info, err := os.Stat(filepath.Join(path, root)); err == nil && info.IsDir() {
				seen++
				f(path, openTree(t, path))
				return fs.SkipDir
			}
		}
		return nil
	})
	if err != nil || seen < 20 {
		t.Fatal(seen, err)
	}
}
