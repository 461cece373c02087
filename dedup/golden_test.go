package dedup

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// golden is the folder of trees that other writers made. It lies beside the checkout and is no part of the project.
func golden(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../shared/data/golden")
	if err == nil {
		_, err = os.Stat(dir)
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("the golden trees are not here:", err)
		}
		t.Skip("the golden trees are not here:", err)
	}
	return dir
}

// gunzip reads a file with the standard library, not with what is tested.
func gunzip(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil && strings.HasSuffix(path, ".gz") {
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(data)); err == nil {
			data, err = io.ReadAll(r)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// walkGolden calls f for the files of all trees.
func walkGolden(t *testing.T, f func(path string)) {
	t.Helper()
	err := filepath.WalkDir(golden(t), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			f(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNodeHashVectors(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(golden(t), "hash-vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Canonical, SHA256 string
		Object                  json.RawMessage
	}
	if err := json.Unmarshal(data, &vectors); err != nil || len(vectors) < 13 {
		t.Fatal(len(vectors), err)
	}
	for _, v := range vectors {
		text, err := canonical(v.Object)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		if got := string(appendNode(nil, text)); got != v.Canonical {
			t.Errorf("%s: %s; want %s", v.Name, got, v.Canonical)
		}
		if got := nodeHash(text).String(); got != v.SHA256 {
			t.Errorf("%s: %s; want %s", v.Name, got, v.SHA256)
		}
	}
}

// Every object of the archive that the current reference wrote checks as right, none of the one from 2021 does, and all split and seal.
func TestGoldenObjects(t *testing.T) {
	right, untold := 0, 0
	walkGolden(t, func(path string) {
		inArchive := strings.Contains(path, "/deduplicated/1.") || strings.Contains(path, "/instances/1.") && strings.Count(path, "/series/") == 0
		if !inArchive && !strings.Contains(path, "/bulkdata/") || !strings.Contains(path, "json") && !inArchive || !strings.HasSuffix(path, ".gz") {
			return
		}
		list, err := ParseList(gunzip(t, path))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, o := range list {
			checkGoldenObject(t, path, o)
			_, d := Split(o)
			switch answer := Verify(o); {
			case d.Type == TypeInfo || strings.Contains(path, "seed-dialect"):
				untold++
				if answer != CannotTell {
					t.Errorf("%s: %s object is %s", path, d.Type, answer)
				}
			default:
				right++
				if answer != Right {
					t.Errorf("%s: %s object is %s", path, d.Type, answer)
				}
			}
		}
	})
	if right < 300 || untold < 20 {
		t.Errorf("only %d objects were right and %d not told", right, untold)
	}
}

func checkGoldenObject(t *testing.T, path string, o Object) {
	t.Helper()
	checkObject(t, o)
	content, d := Split(o)
	if d.Type == "" && !strings.Contains(path, "seed-dialect") {
		t.Errorf("%s: an object without a type", path)
	}
	if _, again := Split(content); again.Type != "" {
		t.Errorf("%s: a second block is left", path)
	}
	sealed, h, err := Seal(content, d)
	if answer := Verify(sealed); err != nil || answer != Right && d.Type != TypeInfo {
		t.Errorf("%s: %s, %v", path, answer, err)
	}
	content2, d2 := Split(sealed)
	if !bytes.Equal(content2.AppendJSON(nil), content.AppendJSON(nil)) || d2.Hash != h || d2.Type != d.Type || len(d2.Refs) != len(d.Refs) {
		t.Errorf("%s: sealing changed %+v to %+v", path, d, d2)
	}
	for _, e := range content {
		if _, err := e.Attribute(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// In the GE study of the golden trees group 0009 is the scanner's, and the archive's block is at 11.
func TestGoldenGE(t *testing.T) {
	seen := 0
	walkGolden(t, func(path string) {
		if !strings.Contains(path, "ct-ge-private/stage1-instance/instances/") {
			return
		}
		list, err := ParseList(gunzip(t, path))
		if err != nil {
			t.Fatal(err)
		}
		seen++
		content, d := Split(list[0])
		if list[0].block() != 0x11 || len(d.Refs) != 4 || d.Hash.String()+".gz" != filepath.Base(path) || d.Type != TypeInstance {
			t.Errorf("block %x: %+v", list[0].block(), d)
		}
		if content.Text(0x00090010) != "GEMS_IDEN_01" || content.Text(0x00091001) != "GE_GENESIS_FF" || content.block() != 0 {
			t.Error("the scanner's private elements are gone, or ours are left")
		}
	})
	if seen == 0 {
		t.Error("the case is not there")
	}
}
