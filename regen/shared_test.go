package regen_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/e2e/raced"
	"github.com/dicomesh/dicomesh/e2e/shareddata"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/regen/thumbnail"
)

// facts is what another reader, pydicom, found in a file.
type facts struct {
	JSON  map[string]theirs `json:"json"`
	Pixel struct {
		Tag          string   `json:"tag"`
		Encapsulated bool     `json:"encapsulated"`
		SHA256       string   `json:"sha256"`
		FrameSHA256  []string `json:"frame_sha256"`
	} `json:"pixel"`
}

// theirs is one attribute as the oracle has it: BulkDataURI is sha256:<hex>;length=<bytes>.
type theirs struct {
	VR           string            `json:"vr"`
	Value        []json.RawMessage `json:"Value"`
	InlineBinary string            `json:"InlineBinary"`
	BulkDataURI  string            `json:"BulkDataURI"`
}

// real are the good files of the corpus in a folder below data/dicom, by their names.
func real(t *testing.T, dirs ...string) map[string][]byte {
	t.Helper()
	root := shareddata.Dir(t, "data", "dicom")
	out := map[string][]byte{}
	for _, dir := range dirs {
		must(t, filepath.WalkDir(filepath.Join(root, dir), func(p string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			name, err := filepath.Rel(root, p)
			if _, known := shareddata.Find("data", "dicom", "oracle", filepath.ToSlash(name)+".json.gz"); err != nil || !known {
				return err
			}
			out[filepath.ToSlash(name)], err = os.ReadFile(p)
			return err
		}))
	}
	return out
}

func oracle(t *testing.T, name string) facts {
	t.Helper()
	f, err := os.Open(shareddata.Dir(t, "data", "dicom", "oracle", name+".json.gz"))
	must(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(t, err)
	text, err := io.ReadAll(z)
	must(t, err)
	text = regexp.MustCompile(`([\[,])(NaN|-?Infinity)\b`).ReplaceAll(text, []byte(`$1"$2"`))
	var out facts
	must(t, json.Unmarshal(text, &out))
	return out
}

// published makes the current tree of files and returns all its files.
func published(t *testing.T, files map[string][]byte, thumbnails bool) map[string]string {
	t.Helper()
	archive, current := crashfs.New(), crashfs.New()
	var all [][]byte
	for _, name := range names(files) {
		all = append(all, files[name])
	}
	put(t, archive, all...)
	g := regen.New(regen.Config{Archive: archive, Current: current, NoThumbnails: !thumbnails})
	studies, err := g.Studies()
	must(t, err)
	for _, uid := range studies {
		round(t, g, uid, noon())
		if res := round(t, g, uid, noon()); res.Wrote > 0 {
			t.Errorf("%s: a second round: %+v", uid, res)
		}
	}
	return contents(t, current)
}

// instanceOf finds an instance's metadata and its folder.
func instanceOf(t *testing.T, files map[string]string, sop string) (o map[string]theirs, dir string) {
	t.Helper()
	for name, text := range files {
		if path.Base(name) != "metadata.gz" || !strings.Contains(text, `"`+sop+`"`) {
			continue
		}
		var objects []map[string]theirs
		must(t, json.Unmarshal([]byte(text), &objects))
		for _, o := range objects {
			if string(o["00080018"].Value[0]) == `"`+sop+`"` {
				return o, path.Dir(name)
			}
		}
	}
	return nil, ""
}

// TestOracle compares metadata and frames of real multi-series studies with another reader's.
func TestOracle(t *testing.T) {
	studies := []string{"dicomdirtests", "rt_phantom", "nih_ge_fmri", "highdicom_sm", "nih_siemens", "pet_acrin", "qa_readout", "same_uid_rewritten"}
	if raced.On(t) {
		studies = studies[:2] // nothing here runs beside anything else
	}
	for _, study := range studies {
		t.Run(study, func(t *testing.T) {
			in := real(t, "study/"+study)
			files := published(t, in, false)
			checkCurrent(t, files)
			times := map[string]int{}
			for _, name := range names(in) {
				if sop := oracle(t, name).JSON["00080018"].Value; len(sop) > 0 {
					times[string(sop[0])]++
				}
			}
			for _, name := range names(in) {
				if sop := oracle(t, name).JSON["00080018"].Value; len(sop) == 0 || times[string(sop[0])] > 1 {
					continue
				}
				compareWithOracle(t, name, in[name], files)
			}
			for _, name := range names(in) {
				// Files that share their SOP Instance UID are a conflict, or encodings of one: each is looked at by itself.
				if sop := oracle(t, name).JSON["00080018"].Value; len(sop) > 0 && times[string(sop[0])] > 1 {
					compareWithOracle(t, name, in[name], published(t, map[string][]byte{name: in[name]}, false))
				}
			}
		})
	}
}

// TestOracleAlone does the same with the rest of the corpus, each file a study of its own.
func TestOracleAlone(t *testing.T) {
	if raced.On(t) {
		t.Skip("nothing here runs beside anything else")
	}
	in, compared := real(t, "charset", "colour", "multiframe", "objects", "pixels", "structure", "ts"), 0
	for _, name := range names(in) {
		if !taken(t, in[name]) {
			continue
		}
		files := published(t, map[string][]byte{name: in[name]}, false)
		checkCurrent(t, files)
		compareWithOracle(t, name, in[name], files)
		compared++
	}
	if compared < 60 {
		t.Errorf("only %d files were compared", compared)
	}
}

// compareWithOracle compares the metadata and the frames of one file.
func compareWithOracle(t *testing.T, name string, file []byte, files map[string]string) {
	t.Helper()
	want := oracle(t, name)
	if len(want.JSON["00080018"].Value) == 0 {
		return
	}
	sop, err := strconv.Unquote(string(want.JSON["00080018"].Value[0]))
	must(t, err)
	o, dir := instanceOf(t, files, sop)
	if o == nil {
		t.Errorf("%s is not published", name)
		return
	}
	c := comparison{t, files, dir}
	c.dataset(name, o, want.JSON, 0)
	c.frames(name, sop, want, file)
}

type comparison struct {
	t     *testing.T
	files map[string]string
	dir   string
}

// dataset compares all that the oracle has, and holds that there is nothing else but what regen adds at the root.
func (c comparison) dataset(where string, ours, want map[string]theirs, depth int) {
	for tag, w := range want {
		at := where + " " + tag
		if o, has := ours[tag]; has {
			c.attribute(at, tag, o, w, depth)
		} else if !strings.HasSuffix(tag, "0000") && tag != "FFFCFFFC" {
			c.t.Errorf("%s is missing", at)
		}
	}
	for tag := range ours {
		if where == "structure/edge_values_ele.dcm" && tag == "00081060" {
			continue // pydicom cannot read the name
		}
		if _, has := want[tag]; !has && !(depth == 0 && (tag == "00083002" || strings.HasPrefix(tag, "0009"))) {
			c.t.Errorf("%s %s is not the oracle's", where, tag)
		}
	}
}

func (c comparison) attribute(at, tag string, o, w theirs, depth int) {
	switch {
	case depth == 0 && strings.HasPrefix(tag, "7FE0"):
		return // frames
	case w.VR == "UN" && o.VR != "UN":
		return // a VR of the dictionary: package part10 compares the bytes
	case o.VR != w.VR:
		c.t.Errorf("%s: VR %s, want %s", at, o.VR, w.VR)
	case o.VR == "UT" && o.BulkDataURI != "" && len(w.Value) == 1: // a long text is a file
		text, err := strconv.Unquote(string(w.Value[0]))
		if err != nil {
			must(c.t, json.Unmarshal(w.Value[0], &text))
		}
		if got := string(c.bytes(o)); strings.TrimRight(got, " ") != strings.TrimRight(text, " ") {
			c.t.Errorf("%s: a text of %d bytes, want %d", at, len(got), len(text))
		}
	case w.BulkDataURI != "" || w.InlineBinary != "":
		data := c.bytes(o)
		sum := sha256.Sum256(data)
		if w.BulkDataURI != fmt.Sprintf("sha256:%x;length=%d", sum, len(data)) && w.InlineBinary != base64.StdEncoding.EncodeToString(data) {
			c.t.Errorf("%s: other bytes", at)
		}
	case len(o.Value) != len(w.Value):
		c.t.Errorf("%s: %d values, want %d", at, len(o.Value), len(w.Value))
	case o.VR == "SQ":
		for i := range o.Value {
			var a, b map[string]theirs
			must(c.t, json.Unmarshal(o.Value[i], &a))
			must(c.t, json.Unmarshal(w.Value[i], &b))
			c.dataset(fmt.Sprintf("%s[%d]", at, i), a, b, depth+1)
		}
	default:
		for i := range o.Value {
			if !sameValue(o.Value[i], w.Value[i]) {
				c.t.Errorf("%s: %s, want %s", at, o.Value[i], w.Value[i])
			}
		}
	}
}

// bytes is a binary value.
func (c comparison) bytes(o theirs) []byte {
	if o.BulkDataURI != "" {
		return []byte(c.files[path.Join(c.dir, o.BulkDataURI)])
	}
	data, err := base64.StdEncoding.DecodeString(o.InlineBinary)
	must(c.t, err)
	return data
}

// sameValue is the equivalences of package part10's comparison in short: null is an empty text; numbers may be texts, and single precision.
func sameValue(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) || string(a) == "null" && string(b) == `""` {
		return true
	}
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	f, err := strconv.ParseFloat(strings.Trim(string(a), `" `), 64)
	g, err2 := strconv.ParseFloat(strings.Trim(string(b), `" `), 64)
	return bytes.Equal(p, q) || err == nil && err2 == nil && (f == g || float32(f) == float32(g))
}

// frames compares the frames' digests. Behind native frames there may be a byte of padding, the last of the file, which is not always zero.
func (c comparison) frames(name, sop string, want facts, file []byte) {
	if want.Pixel.Tag == "" {
		return
	}
	var all []byte
	var sums []string
	for n := 1; ; n++ {
		frame, has := c.files[path.Join(c.dir, "instances", sop, "frames", strconv.Itoa(n))]
		if stream, video := c.files[path.Join(c.dir, "instances", sop, "pixeldata")]; video && n == 1 {
			frame, has = stream, true
		}
		if !has {
			break
		}
		sum := sha256.Sum256([]byte(frame))
		all, sums = append(all, frame...), append(sums, hex.EncodeToString(sum[:]))
	}
	if want.Pixel.Encapsulated {
		if strings.Join(sums, " ") != strings.Join(want.Pixel.FrameSHA256, " ") {
			c.t.Errorf("%s: other frames than the oracle's %d", name, len(want.Pixel.FrameSHA256))
		}
		return
	}
	if name == "colour/MR_small_padded.dcm" {
		if !bytes.Contains(file, all) || len(all) != c.bits(want)/8 {
			c.t.Errorf("%s: other pixels", name)
		}
		return // the oracle's digest is also of what follows the frame
	}
	if bits := c.bits(want); bits%8 != 0 {
		all = joinBits(all, len(sums), bits)
	}
	sum, padded := sha256.Sum256(all), sha256.Sum256(append(all, file[len(file)-1]))
	if got := want.Pixel.SHA256; got != hex.EncodeToString(sum[:]) && got != hex.EncodeToString(padded[:]) {
		c.t.Errorf("%s: other pixels: %d frames, %d bytes, %d bits a frame", name, len(sums), len(all), c.bits(want))
	}
}

// bits is how many there are in a frame.
func (c comparison) bits(want facts) int {
	n := 1
	for _, tag := range []string{"00280002", "00280010", "00280011", "00280100"} {
		if v := want.JSON[tag].Value; len(v) == 1 {
			m, err := strconv.Atoi(string(v[0]))
			must(c.t, err)
			n *= m
		}
	}
	return n
}

// joinBits puts frames that begin on bytes one behind the other.
func joinBits(all []byte, frames, bits int) []byte {
	out := make([]byte, (frames*bits+7)/8)
	size := (bits + 7) / 8
	for n := range frames {
		for b := range bits {
			to := n*bits + b
			out[to/8] |= all[n*size+b/8] >> (b % 8) & 1 << (to % 8)
		}
	}
	return out
}

// TestThumbnails compares the thumbnails of all real files with what pydicom and numpy show, but for those of which there is none: they are in
// testdata/neutral.txt.
func TestThumbnails(t *testing.T) {
	if raced.On(t) {
		t.Skip("nothing here runs beside anything else")
	}
	in := real(t, "charset", "colour", "multiframe", "objects", "pixels", "structure", "study", "ts")
	root := shareddata.Dir(t, "data", "dicom")
	card, err := thumbnail.Neutral()
	must(t, err)
	var neutral []string
	var lines bytes.Buffer
	out := t.TempDir()
	for n, name := range names(in) {
		if !taken(t, in[name]) {
			continue
		}
		files := published(t, map[string][]byte{name: in[name]}, true)
		for at, picture := range files {
			if !strings.HasSuffix(at, "/thumbnail") || !strings.Contains(at, "/instances/") {
				continue
			}
			if picture == string(card) {
				neutral = append(neutral, name)
				continue
			}
			jpg := filepath.Join(out, strconv.Itoa(n)+".jpg")
			must(t, os.WriteFile(jpg, []byte(picture), 0o600))
			fmt.Fprintf(&lines, "%s\t%s\t%s\n", name, filepath.Join(root, name), jpg)
		}
	}
	want, err := os.ReadFile("testdata/neutral.txt")
	must(t, err)
	if got := strings.Join(neutral, "\n") + "\n"; got != string(want) {
		t.Errorf("neutral pictures are of\n%swant\n%s", got, want)
	}
	compareThumbnails(t, &lines)
}

// taken reports whether the archive takes a file: some of the corpus have no UIDs.
func taken(t *testing.T, file []byte) bool {
	t.Helper()
	a, err := ingest.Open(crashfs.New())
	must(t, err)
	defer a.Close()
	b, err := a.OpenBatch()
	must(t, err)
	defer b.Discard()
	res, done := b.Add("", bytes.NewReader(file), int64(len(file)))
	return !done || res.Status != ingest.Refused
}

// compareThumbnails runs the judge.
func compareThumbnails(t *testing.T, lines io.Reader) {
	t.Helper()
	const python = "/usr/bin/python3"
	if exec.Command(python, "-c", "import pydicom, numpy, PIL").Run() != nil {
		const lacking = "pydicom, numpy and PIL are not there: apt-get install python3-pydicom python3-numpy python3-pil"
		if os.Getenv("CI") == "true" {
			t.Fatal(lacking) // the skip that is allowed is that under the race detector
		}
		t.Skip(lacking)
	}
	judge := exec.Command(python, "testdata/windowing.py")
	judge.Stdin, judge.Stderr = lines, os.Stderr
	answer, err := judge.Output()
	must(t, err)
	compared := 0
	for line := range strings.Lines(string(answer)) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), "\t")
		difference, err := strconv.ParseFloat(text, 64)
		switch {
		case err != nil:
			t.Logf("%s: the judge cannot decode it: %s", name, text)
		case difference > 4:
			t.Errorf("%s: a mean difference of %s", name, text)
		default:
			compared++
		}
	}
	t.Logf("%d thumbnails compared", compared)
	if compared < 40 {
		t.Errorf("only %d thumbnails were compared", compared)
	}
}
