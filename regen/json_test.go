package regen_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/e2e/raced"
	"github.com/dicomesh/dicomesh/regen"
)

// checker holds the files of a current tree to PS3.18 section F.2, without any code of the archive's.
type checker struct {
	t     *testing.T
	files map[string]string
	at    string // the file
	base  string // the folder of its URL
}

// checkCurrent checks every JSON file of a current tree.
func checkCurrent(t *testing.T, files map[string]string) {
	t.Helper()
	for _, name := range names(files) {
		c := checker{t, files, name, path.Dir(name)}
		switch path.Base(name) {
		case "studies.gz":
			c.base = "."
		case "series.gz", "metadata.gz", "instances.gz":
		default:
			continue
		}
		var objects []map[string]json.RawMessage
		if err := json.Unmarshal([]byte(files[name]), &objects); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i, o := range objects {
			c.dataset(fmt.Sprint(i), o)
			c.hash(fmt.Sprint(i), files[name])
		}
	}
}

// hash checks that each object has its hash.
func (c checker) hash(_ string, text string) {
	objects, err := dedup.ParseList([]byte(text))
	if err != nil {
		c.t.Errorf("%s: %v", c.at, err)
	}
	for i, o := range objects {
		if dedup.Verify(o) != dedup.Right {
			c.t.Errorf("%s: object %d does not have its hash", c.at, i)
		}
		if _, d := dedup.Split(o); i == 0 && (len(d.Leaves) != 2 || d.Leaves[1] != regen.Version) {
			c.t.Errorf("%s: its leaves are %q", c.at, d.Leaves)
		}
	}
}

var tagName = regexp.MustCompile(`^[0-9A-F]{8}$`)

func (c checker) dataset(where string, o map[string]json.RawMessage) {
	for tag, raw := range o {
		where := where + "." + tag
		if !tagName.MatchString(tag) {
			c.t.Errorf("%s %s: not a tag", c.at, where)
		}
		var a map[string]json.RawMessage
		if err := json.Unmarshal(raw, &a); err != nil {
			c.t.Errorf("%s %s: %v", c.at, where, err)
			continue
		}
		c.attribute(where, a)
	}
}

func (c checker) attribute(where string, a map[string]json.RawMessage) {
	var vr string
	_ = json.Unmarshal(a["vr"], &vr)
	contents := 0
	for key := range a {
		switch key {
		case "vr":
		case "Value", "BulkDataURI", "InlineBinary":
			contents++
		default:
			c.t.Errorf("%s %s: key %q", c.at, where, key)
		}
	}
	if contents > 1 || len(vr) != 2 {
		c.t.Errorf("%s %s: vr %q with %d of Value, BulkDataURI and InlineBinary", c.at, where, vr, contents)
	}
	binary := strings.Contains("OB OW OF OD OL OV UN", vr)
	if raw, has := a["InlineBinary"]; has {
		var s string
		_ = json.Unmarshal(raw, &s)
		if _, err := base64.StdEncoding.DecodeString(s); err != nil || !binary {
			c.t.Errorf("%s %s: InlineBinary of %s: %v", c.at, where, vr, err)
		}
	}
	if raw, has := a["BulkDataURI"]; has {
		c.uri(where, vr, raw)
	}
	if raw, has := a["Value"]; has {
		c.values(where, vr, raw, binary)
	}
}

// uri checks that a reference is allowed and that something answers.
func (c checker) uri(where, vr string, raw json.RawMessage) {
	var uri string
	_ = json.Unmarshal(raw, &uri)
	if !slices.Contains(strings.Fields("DS FL FD IS LT OB OD OF OL OV OW SL SS ST SV UC UL UN US UT UV"), vr) {
		c.t.Errorf("%s %s: BulkDataURI of %s", c.at, where, vr)
	}
	target := path.Join(c.base, uri)
	if _, plain := c.files[target]; plain {
		return
	}
	if _, frames := c.files[target+"/1"]; !frames || path.Base(target) != "frames" {
		c.t.Errorf("%s %s: nothing answers %s", c.at, where, uri)
	}
}

func (c checker) values(where, vr string, raw json.RawMessage, binary bool) {
	var values []json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil || len(values) == 0 || binary {
		c.t.Errorf("%s %s: Value of %s: %v, %d values", c.at, where, vr, err, len(values))
	}
	for i, v := range values {
		kind := v[0]
		switch {
		case vr == "SQ":
			var item map[string]json.RawMessage
			if err := json.Unmarshal(v, &item); err != nil || kind == 'n' {
				c.t.Errorf("%s %s: item %d: %v", c.at, where, i, err)
			}
			c.dataset(fmt.Sprintf("%s[%d]", where, i), item)
		case kind == 'n': // an empty one among several
		case vr == "PN":
			c.name(where, v)
		case strings.Contains("FL FD SL SS UL US SV UV DS IS", vr):
			if kind != '-' && (kind < '0' || kind > '9') && kind != '"' {
				c.t.Errorf("%s %s: %s is no number", c.at, where, v)
			}
		case kind != '"':
			c.t.Errorf("%s %s: %s of VR %s", c.at, where, v, vr)
		}
	}
}

func (c checker) name(where string, v json.RawMessage) {
	var groups map[string]string
	if err := json.Unmarshal(v, &groups); err != nil {
		c.t.Errorf("%s %s: %v", c.at, where, err)
	}
	for group := range groups {
		if group != "Alphabetic" && group != "Ideographic" && group != "Phonetic" {
			c.t.Errorf("%s %s: component group %q", c.at, where, group)
		}
	}
}

// catalogue ingests all good cases and returns the archive.
func catalogue(t *testing.T) *crashfs.FS {
	t.Helper()
	archive := crashfs.New()
	var files [][]byte
	for n, c := range phantom.Cases() {
		if !raced.On(t) || n%4 == 0 { // nothing here runs beside anything else
			files = append(files, c.Bytes())
		}
	}
	put(t, archive, files...)
	return archive
}

// Every case of the catalogue becomes sound JSON, and its frames are those that went in.
func TestCatalogue(t *testing.T) {
	archive, current := catalogue(t), crashfs.New()
	g := regen.New(regen.Config{Archive: archive, Current: current, NoThumbnails: true})
	studies, err := g.Studies()
	must(t, err)
	for _, uid := range studies {
		if res := round(t, g, uid, noon()); res.Placeless > 0 {
			t.Errorf("%+v", res)
		}
		if res := round(t, g, uid, noon()); res.Wrote != 0 {
			t.Errorf("again: %+v", res)
		}
	}
	files := contents(t, current)
	checkCurrent(t, files)
	checked := 0
	for i, c := range phantom.Cases() {
		if strings.HasPrefix(c.Name, "same/") || c.Frames == nil || c.File.Syntax.Encapsulated() || raced.On(t) && i%4 != 0 {
			continue
		}
		for n, frame := range c.Frames {
			if got, found := frameOf(files, c, n); !found || got != string(frame) {
				t.Errorf("%s: frame %d has %d bytes, want %d", c.Name, n+1, len(got), len(frame))
			}
			checked++
		}
	}
	if checked < 20 && !raced.On(t) {
		t.Errorf("only %d frames", checked)
	}
}

// frameOf is frame n of a case, from 0.
func frameOf(files map[string]string, c phantom.Case, n int) (string, bool) {
	end := fmt.Sprintf("/instances/%s/frames/%d", sopOf(c), n+1)
	for name, content := range files {
		if strings.HasSuffix(name, end) {
			return content, true
		}
	}
	return "", false
}

// sopOf is a case's SOP Instance UID.
func sopOf(c phantom.Case) string {
	for _, e := range c.File.Elements {
		if e.Tag == 0x00080018 {
			return strings.TrimRight(string(e.Value), "\x00 ")
		}
	}
	return ""
}
