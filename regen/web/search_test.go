package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/e2e/dicomweb"
	"github.com/dicomesh/dicomesh/regen/web"
	"github.com/dicomesh/dicomesh/regen/web/search"
)

// searched is a site of three studies of two series of three instances.
func searched(t *testing.T, c web.Config) *site {
	t.Helper()
	var files [][]byte
	for n := range 3 {
		more, _ := parts(t, phantom.Study{Number: n + 1, Series: 2, Instances: 3, Size: 8})
		files = append(files, more...)
	}
	return newSite(t, c, files...)
}

// uids are the values of a tag in an answer, which may have no rows.
func (s *site) uids(path, tag string) []string {
	s.t.Helper()
	r := s.get(path)
	if r.StatusCode == http.StatusNoContent {
		return nil
	}
	if r.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s", path, r.Status)
	}
	var rows []map[string]json.RawMessage
	must(s.t, json.Unmarshal(body(s.t, r), &rows))
	var out []string
	for _, o := range rows {
		out = append(out, text(s.t, o[tag]))
	}
	return out
}

// Searches at each URL give what their parameters mean: here everything is found, narrowed by what the answers themselves say, and found again.
func TestSearchLevels(t *testing.T) {
	s := searched(t, web.Config{})
	studies := s.uids("/studies", "0020000D")
	series, instances := s.uids("/series", "0020000E"), s.uids("/instances", "00080018")
	if len(studies) != 3 || len(series) != 6 || len(instances) != 18 {
		t.Fatalf("%d studies, %d series, %d instances", len(studies), len(series), len(instances))
	}
	some := s.uids("/studies/"+studies[1]+"/series", "0020000E")
	one := s.uids("/studies/"+studies[1]+"/series/"+some[0]+"/instances", "00080018")
	base := "/studies/" + studies[1] + "/series/" + some[0] + "/instances"
	for _, c := range []struct {
		path, tag string
		want      []string
	}{
		{"/series?StudyInstanceUID=" + studies[1], "0020000E", some},
		{"/series?SeriesInstanceUID=" + some[1], "0020000E", some[1:]},
		{"/series?limit=2&offset=3", "0020000E", series[3:5]},
		{"/studies/" + studies[1] + "/series?SeriesInstanceUID=" + some[1], "0020000E", some[1:]},
		{"/studies/" + studies[1] + "/series?SeriesNumber=99", "0020000E", nil},
		{"/studies/" + studies[1] + "/series?limit=1&offset=1", "0020000E", some[1:]},
		{"/studies/" + studies[1] + "/series?PatientID=nobody", "0020000E", nil},
		{"/studies/" + studies[1] + "/series?StudyInstanceUID=" + studies[0], "0020000E", nil},
		{"/instances?SOPInstanceUID=" + one[2], "00080018", one[2:]},
		{"/instances?limit=5&offset=7", "00080018", instances[7:12]},
		{"/instances?InstanceNumber=1&limit=2&offset=1", "00080018", s.uids("/instances?InstanceNumber=1", "00080018")[1:3]},
		{"/instances?SeriesInstanceUID=" + some[0] + "&InstanceNumber=2", "00080018", s.uids(base+"?InstanceNumber=2", "00080018")},
		{"/studies/" + studies[1] + "/instances?SeriesInstanceUID=" + some[0], "00080018", one},
		{"/studies/" + studies[1] + "/instances?limit=2&offset=2", "00080018", s.uids("/studies/"+studies[1]+"/instances", "00080018")[2:4]},
		{base + "?SOPInstanceUID=" + one[0] + "," + one[2], "00080018", []string{one[0], one[2]}},
		{base + "?Rows=8&Columns=8&offset=1", "00080018", one[1:]},
		{base + "?Rows=9", "00080018", nil},
		{base + "?SeriesInstanceUID=" + some[1], "00080018", nil},
	} {
		if got := s.uids(c.path, c.tag); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.path, got, c.want)
		}
	}
	for path, code := range map[string]int{"/studies/1.2.3/series?limit=1": 404, "/studies/" + studies[0] + "/series/" + some[0] + "/instances?limit=1": 404, "/studies/" + studies[0] + "/series/1.2/instances": 404,
		"/series?InstanceNumber=1": 400, "/instances?nothing=1": 400, "/instances?limit=%zz": 400, base + "?StudyDate=x": 400, "/studies/" + studies[0] + "/series?Rows=1": 400} {
		if r := s.get(path); r.StatusCode != code {
			t.Errorf("%s: %s, want %d", path, r.Status, code)
		}
	}
}

// Every kind of answer in JSON holds PS3.18's rules, and what is left out of one is said.
func TestAnswersAreDICOM(t *testing.T) {
	s := searched(t, web.Config{})
	study := s.uids("/studies", "0020000D")[0]
	series := s.uids("/studies/"+study+"/series", "0020000E")[0]
	base := "/studies/" + study + "/series/" + series
	sop := s.uids(base+"/instances", "00080018")[0]
	for path, kind := range map[string]dicomweb.Kind{
		"/studies": dicomweb.Studies, "/studies?PatientID=*&limit=2": dicomweb.Studies, "/studies/" + study: dicomweb.Studies,
		"/series": dicomweb.Series, "/studies/" + study + "/series": dicomweb.Series, "/studies/" + study + "/series?limit=1": dicomweb.Series,
		"/instances": dicomweb.Instances, "/studies/" + study + "/instances": dicomweb.Instances, base + "/instances": dicomweb.Instances, base + "/instances?limit=1": dicomweb.Instances,
		"/studies/" + study + "/metadata": dicomweb.Metadata, base + "/metadata": dicomweb.Metadata, base + "/instances/" + sop + "/metadata": dicomweb.Metadata,
	} {
		if faults := dicomweb.Check(kind, body(t, s.get(path))); len(faults) > 0 {
			t.Errorf("%s: %s", path, strings.Join(faults, "\n"))
		}
	}
	for _, o := range s.objects("/series") { // PS3.18 10.6.3.3: with the study's attributes, since the URL names no study
		if o["00100010"] == nil || o["00201208"] == nil {
			t.Error("a series of all without its patient")
		}
	}
	for _, path := range []string{"/instances", "/studies/" + study + "/instances"} {
		for _, o := range s.objects(path) {
			if o["00200011"] == nil || (o["00100010"] == nil) != (path != "/instances") {
				t.Errorf("%s: an instance without its series, or its patient", path)
			}
		}
	}
	for path, want := range map[string]string{
		"/studies?limit=1": "There are 2 additional", "/studies?limit=1&offset=2": "", "/studies?limit=0": "There are 3 additional", "/series?limit=4": "There are 2 additional", "/instances?limit=17": "There are 1 additional",
		"/instances?InstanceNumber=1&limit=1": "There are 5 additional", base + "/instances?limit=1": "There are 2 additional", "/studies/" + study + "/instances?limit=4&offset=1": "There are 1 additional",
		"/studies/" + study + "/series?limit=1": "There are 1 additional", "/studies?fuzzymatching=true": "Only literal matching has been performed", "/studies": "",
	} {
		if got := s.get(path).Header.Get("Warning"); want == "" && got != "" || !strings.Contains(got, want) || got != "" && !strings.HasPrefix(got, "299 ") {
			t.Errorf("%s: Warning %q, want %q", path, got, want)
		}
	}
}

// Whatever an answer of a search refers to is there, relative to the URL of that answer.
func TestSearchReferences(t *testing.T) {
	var files [][]byte
	for n, c := range phantom.Cases() {
		if !strings.HasPrefix(c.Name, "same/") && n%8 == 0 {
			files = append(files, c.Bytes())
		}
	}
	s := newSite(t, web.Config{}, files...)
	checked := map[string]int{}
	for _, path := range []string{"/studies", "/series", "/instances"} {
		for _, o := range s.objects(path) {
			s.references(path, o, checked)
		}
	}
	if checked["retrieve"] < 30 {
		t.Errorf("checked only %v", checked)
	}
}

// With Rows a search finds what whoever publishes has put there: not what lies in the tree.
func TestRows(t *testing.T) {
	table := new(search.Table)
	s := searched(t, web.Config{Rows: table})
	if got := s.uids("/studies", "0020000D"); got != nil {
		t.Errorf("not published yet: %v", got)
	}
	f := web.Follower{Current: s.current, Table: table}
	must(t, f.Look(t.Context()))
	all := s.uids("/studies", "0020000D")
	if len(all) != 3 {
		t.Fatalf("%v", all)
	}
	gone, err := dedup.ParseUID(all[0])
	must(t, err)
	must(t, s.current.Remove("studies/"+all[0]+"/status.gz"))
	for _, path := range []string{"/series", "/instances"} { // the row is there, the study is not
		if got := s.uids(path, "0020000D"); slices.Contains(got, all[0]) || len(got) < 4 {
			t.Errorf("%s: %v", path, got)
		}
	}
	must(t, f.Study(gone))
	if got := s.uids("/studies", "0020000D"); !slices.Equal(got, all[1:]) {
		t.Errorf("%v, want %v", got, all[1:])
	}
	hidden := web.New(web.Config{Current: s.current, Rows: table, Published: func(u dedup.UID) bool { return u.String() != all[1] }})
	s.handler = http.StripPrefix("/dicomweb", hidden)
	if got := s.uids("/studies", "0020000D"); !slices.Equal(got, all[2:]) {
		t.Errorf("one may not be shown: %v", got)
	}
}

// A search that would read too much is refused, before it has.
func TestBroadSearch(t *testing.T) {
	s := searched(t, web.Config{})
	if got := s.uids("/instances?SOPInstanceUID=1.2.3", "00080018"); got != nil {
		t.Errorf("%v", got)
	}
	if r := s.get("/studies?" + strings.Repeat("PatientID=x&", 200) + fmt.Sprintf("x%d=1", 1)); r.StatusCode != http.StatusBadRequest {
		t.Errorf("%s", r.Status)
	}
}
