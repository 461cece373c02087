package staticwado

import (
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
)

// object is a DICOM JSON object, and attribute one of its attributes.
type (
	object    = map[string]any
	attribute = map[string]any
)

func values(vr string, v ...any) attribute { return attribute{"vr": vr, "Value": v} }

// wado writes small trees as static-wado does, with none of the code that is tested.
type wado struct {
	t     testing.TB
	fs    *crashfs.FS
	study string
	// dialect is "today" (SHA-256, folders of lists and instance files beside studies/), "2021" (SHA-1, inside) or "java" (base 36).
	dialect string
	// levels stand between a root and its studies with --hash-study-uid-path, such as "abc/def/".
	levels string
	// plain leaves out gzip where a reader has to cope without.
	plain bool
}

const testStudy = "1.2.3"

func newWado(t testing.TB, dialect string) *wado {
	return &wado{t: t, fs: crashfs.New(), study: testStudy, dialect: dialect}
}

func (w *wado) file(name string, data []byte) { put(w.t, w.fs, name, data) }

func (w *wado) dir(root string) string { return root + "/" + w.levels + w.study + "/" }

func zipped(data []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(data)
	_ = z.Close()
	return out.Bytes()
}

func (w *wado) text(v any) []byte {
	w.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		w.t.Fatal(err)
	}
	return data
}

// name is the hash by which the dialect calls something.
func (w *wado) name(data []byte) string {
	switch w.dialect {
	case "2021":
		sum := sha1.Sum(data)
		return hex.EncodeToString(sum[:])
	case "java":
		sum := sha1.Sum(data)
		return new(big.Int).SetBytes(sum[:]).Text(36)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// hash is the hash of an object: today's is node-object-hash.
func (w *wado) hash(v any) string {
	if w.dialect != "today" {
		return w.name(w.text(v))
	}
	return w.name([]byte(node(v)))
}

// node is the text that node-object-hash hashes.
func node(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, key+":"+node(v[key]))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = node(v[i])
		}
		slices.Sort(parts)
		return "[" + strings.Join(parts, ",") + "]"
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

func bulkPath(hash string) string { return "bulkdata/" + hash[:3] + "/" + hash[3:5] + "/" + hash[5:] }

// mark adds the archive's elements.
func (w *wado) mark(o object, hash, kind string, refs ...string) object {
	vr := "LO"
	if w.dialect == "2021" {
		vr = "CS"
	}
	block := "10"
	if c, ok := o["00090010"].(attribute); ok && w.dialect != "2021" && fmt.Sprint(c["Value"]) != "[dedupped]" {
		block = "11"
	}
	o["000900"+block] = values("CS", "dedupped")
	if len(refs) > 0 {
		var all []any
		for _, r := range refs {
			all = append(all, r)
		}
		o["0009"+block+"10"] = values(vr, all...)
	}
	if hash != "" {
		o["0009"+block+"11"] = values(vr, hash)
		o["0009"+block+"12"] = values(vr, kind)
	}
	return o
}

// extract writes an extract and returns its hash.
func (w *wado) extract(kind string, o object) string {
	h := w.hash(o)
	text := w.text(w.mark(maps.Clone(o), h, kind))
	if w.plain {
		w.file(w.dir("studies")+bulkPath(h)+".json", text)
	} else {
		w.file(w.dir("studies")+bulkPath(h)+".json.gz", zipped(text))
	}
	return h
}

// raw writes a value and returns its URI.
func (w *wado) raw(data []byte) string {
	h := w.name(data)
	if w.dialect == "2021" {
		h = w.name(append([]byte("buffer:"), data...))
		w.file(w.dir("studies")+bulkPath(h)+".raw.gz", zipped(data))
		return bulkPath(h) + ".raw"
	}
	if len(data) > 1024 {
		w.file(w.dir("studies")+bulkPath(h)+".gz", zipped(envelope("application/octet-stream", data)))
	} else {
		w.file(w.dir("studies")+bulkPath(h), envelope("application/octet-stream", data))
	}
	return bulkPath(h)
}

func envelope(mediaType string, data []byte) []byte {
	const boundary = "BOUNDARY_3f3a1c5e-0001-4a4b-9d0d-000000000000"
	return slices.Concat([]byte("--"+boundary+"\r\nContent-Type: "+mediaType+"\r\n\r\n"), data, []byte("\r\n--"+boundary+"--"))
}

// frame writes a frame of an instance.
func (w *wado) frame(sop string, n int, syntax string, data []byte) {
	kind := "application/octet-stream;transfer-syntax=" + syntax
	name := fmt.Sprintf("%sseries/1.2.3.4/instances/%s/frames/%d.mht", w.dir("studies"), sop, n)
	if w.dialect == "2021" {
		w.file(strings.TrimSuffix(name, ".mht")+".gz", zipped(envelope(kind, data)))
		return
	}
	w.file(name+".gz", zipped(envelope(kind, data)))
}

// instance makes a record with an extract of each kind; more are attributes that it has besides.
func (w *wado) instance(sop string, more object) object {
	refs := []string{
		w.extract("patient", object{"00100010": values("PN", attribute{"Alphabetic": "Test^Patient"}), "00100020": values("LO", "P1")}),
		w.extract("study", object{"0020000D": values("UI", w.study), "00080020": values("DA", "20240102")}),
		w.extract("series", object{"0020000E": values("UI", "1.2.3.4"), "00080060": values("CS", "OT")}),
	}
	o := object{"00080018": values("UI", sop), "0020000E": values("UI", "1.2.3.4"), "00080016": values("UI", "1.2.840.10008.5.1.4.1.1.7"),
		"00083002": values("UI", "1.2.840.10008.1.2.1")}
	maps.Copy(o, more)
	w.mark(o, "", "", refs...)
	return w.mark(o, w.hash(o), "instance")
}

// image makes a record of a native image of four by two pixels, and writes its frames.
func (w *wado) image(sop string, frames int, more object) object {
	o := object{"00280002": values("US", 1), "00280004": values("CS", "MONOCHROME2"), "00280008": values("IS", frames), "00280010": values("US", 2),
		"00280011": values("US", 4), "00280100": values("US", 16), "00280101": values("US", 16), "00280102": values("US", 15), "00280103": values("US", 0),
		"7FE00010": attribute{"vr": "OW", "BulkDataURI": "instances/" + sop + "/frames"}}
	maps.Copy(o, more)
	for n := 1; n <= frames; n++ {
		w.frame(sop, n, "1.2.840.10008.1.2.1", pixelsOf(sop, n))
	}
	return w.instance(sop, o)
}

// pixelsOf are the bytes of a frame.
func pixelsOf(sop string, n int) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s frame %d", sop, n))
	return sum[:16]
}

func hashOf(o object) string {
	for _, block := range []string{"11", "10"} {
		if a, ok := o["0009"+block+"11"].(attribute); ok {
			return a["Value"].([]any)[0].(string)
		}
	}
	return ""
}

// instanceFile writes an instance file.
func (w *wado) instanceFile(o object) {
	name := hashOf(o) + ".gz"
	if w.dialect == "2021" {
		w.file(w.dir("studies")+"deduplicated/instances/"+name, zipped(w.text([]any{o})))
		return
	}
	w.file(w.dir("instances")+name, zipped(w.text([]any{o})))
}

// list writes a list that supersedes what refs name, and returns its name.
func (w *wado) list(refs []string, records ...object) string {
	var all []any
	for _, r := range records {
		all = append(all, r)
	}
	name := w.hash(all)
	info := w.mark(object{}, name, "info", append(slices.Clone(refs), hashesOf(records)...)...)
	text := zipped(w.text(append([]any{info}, all...)))
	if w.dialect == "2021" {
		w.file(w.dir("studies")+"deduplicated/"+name+".gz", text)
	} else {
		w.file(w.dir("deduplicated")+name+".gz", text)
	}
	return name
}

func hashesOf(records []object) (hashes []string) {
	for _, r := range records {
		hashes = append(hashes, hashOf(r))
	}
	return hashes
}

// rejected is a record as a rejection has it: of another type, with the same hash.
func (w *wado) rejected(o object) object {
	o = maps.Clone(o)
	for _, block := range []string{"11", "10"} {
		if _, ok := o["0009"+block+"12"]; ok {
			o["0009"+block+"12"] = values("LO", "deleted")
			break
		}
	}
	return o
}

func testUID(t testing.TB, s string) dedup.UID {
	t.Helper()
	u, err := dedup.ParseUID(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// live is the first live record of an instance, merged.
func live(t testing.TB, tree *crashfs.FS, sop string) (dedup.Object, dedup.Record, []byte) {
	t.Helper()
	s, bulk := resolved(t, tree, testUID(t, testStudy))
	i, ok := s.Instance(testUID(t, sop))
	if !ok || len(i.Records) == 0 {
		t.Fatalf("%s is not live", sop)
	}
	return s.Merge(i.Records[0]), i.Records[0], exported(t, s, bulk, i.Records[0])
}
