package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/e2e/dicomweb"
	"github.com/dicomesh/dicomesh/e2e/shareddata"
)

// python runs a script of testdata with Debian's Python, which has pydicom.
func python(t *testing.T, script string, args ...string) string {
	t.Helper()
	if err := exec.Command("/usr/bin/python3", "-c", "import pydicom, numpy, PIL").Run(); err != nil {
		missing(t, "python3-pydicom, python3-numpy or python3-pil")
	}
	out, err := exec.Command("/usr/bin/python3", append([]string{filepath.Join("testdata", "dicomweb", script)}, args...)...).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v:\n%s", script, err, out)
	}
	return string(out)
}

// dicomweb is the URL of an agent's service.
func (s *agentSite) dicomweb() string { return "http://" + s.status().HTTP + "/dicomweb" }

// dicomFiles are the files below folders.
func dicomFiles(t *testing.T, folders ...string) (out []string) {
	t.Helper()
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				out = append(out, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(out)
	return out
}

// TestDICOMwebStudies stores real studies of several series through STOW-RS and asks for all of it again, with a client that is pydicom's: each search, metadata, frame and picture is what
// pydicom reads of the files, and each file comes back with its SHA-256. After a restart searches find the same.
func TestDICOMwebStudies(t *testing.T) {
	corpus := shareddata.Dir(t, "data", "dicom", "study")
	var folders []string
	for _, name := range []string{"nih_ge_fmri", "highdicom_sm", "dicomdirtests", "nih_siemens", "pet_acrin", "qa_readout", "rt_phantom", "same_uid_rewritten"} {
		folders = append(folders, filepath.Join(corpus, name))
	}
	files := dicomFiles(t, folders...)
	s := newSite(t, quick)
	s.start()
	python(t, "client.py", append([]string{"store", s.dicomweb()}, files...)...)
	s.settled()
	t.Log(strings.TrimSpace(python(t, "client.py", append([]string{"check", s.dicomweb()}, files...)...)))
	gives(t, s.in("tree"), dicomSums(t, folders...))
	s.holdsPS3_18()
	search := "/dicomweb/studies?ModalitiesInStudy=MR"
	_, before := s.request(search)
	s.stop()
	s.start()
	if code, after := s.request(search); code != 200 || string(after) != string(before) || !json.Valid(after) {
		t.Errorf("after a restart: %d, %d bytes, were %d", code, len(after), len(before))
	}
	silent(s, wholeCurrent(s))
	s.stop()
}

// holdsPS3_18 holds every answer in JSON of a site, of each kind and at each level, against the rules of PS3.18.
func (s *agentSite) holdsPS3_18() {
	s.t.Helper()
	checked := 0
	check := func(kind dicomweb.Kind, path string) {
		checked++
		if faults := dicomweb.Check(kind, s.get("/dicomweb"+path)); len(faults) > 0 {
			s.t.Errorf("%s: %s", path, strings.Join(faults[:min(5, len(faults))], "\n"))
		}
	}
	for path, kind := range map[string]dicomweb.Kind{"/studies": dicomweb.Studies, "/series": dicomweb.Series, "/instances": dicomweb.Instances, "/studies?limit=2": dicomweb.Studies, "/series?Modality=MR": dicomweb.Series, "/instances?limit=3&offset=1": dicomweb.Instances} {
		check(kind, path)
	}
	for _, study := range s.objects("/studies") {
		base := "/studies/" + study.text("0020000D")
		check(dicomweb.Studies, base)
		check(dicomweb.Series, base+"/series")
		check(dicomweb.Instances, base+"/instances")
		check(dicomweb.Metadata, base+"/metadata")
		for _, series := range s.objects(base + "/series") {
			one := base + "/series/" + series.text("0020000E")
			check(dicomweb.Instances, one+"/instances")
			check(dicomweb.Metadata, one+"/metadata")
			check(dicomweb.Metadata, one+"/instances/"+s.objects(one + "/instances")[0].text("00080018")+"/metadata")
		}
	}
	if checked < 40 {
		s.t.Errorf("only %d answers were checked", checked)
	}
}

// TestDICOMwebGrowing posts a study instance by instance while others read it: every answer is of one generation, which is a number of whole instances that were sent, and never one that was before.
func TestDICOMwebGrowing(t *testing.T) {
	folder := sampled(t, "--studies", "1", "--series", "2", "--instances", "8")
	files := dicomFiles(t, folder)
	sent := dicomSums(t, folder)
	s := newSite(t, strings.Replace(quick, "quiet: 200ms", "quiet: 20ms, quiet_max: 40ms, cap: 200ms", 1))
	s.start()
	base := s.dicomweb()
	posted := make(chan error, 1)
	go func() {
		var err error
		for _, f := range files {
			var b []byte
			if b, err = os.ReadFile(f); err != nil {
				break
			}
			var r *http.Response
			if r, err = http.Post(base+"/studies", "application/dicom", bytes.NewReader(b)); err != nil {
				break
			}
			if _ = r.Body.Close(); r.StatusCode != http.StatusOK {
				err = fmt.Errorf("%s", r.Status)
				break
			}
			<-time.After(200 * time.Millisecond)
		}
		posted <- err
	}()
	study, last, read := "", map[string]int{}, 0
	for done := false; !done || last["files"] < len(files); {
		select {
		case err := <-posted:
			if err != nil {
				t.Fatalf("post: %v", err)
			}
			done = true
			s.settled()
		case <-time.After(20 * time.Millisecond):
		}
		if study == "" {
			if code, _, text := fetched(t, base+"/studies"); code == http.StatusOK {
				var rows []object
				s.decode(string(text), &rows)
				study = rows[0].text("0020000D")
			}
			continue
		}
		for what, n := range map[string]int{"metadata": countOf(t, base+"/studies/"+study+"/metadata"), "instances": countOf(t, base+"/studies/"+study+"/instances"), "files": partsOf(t, base+"/studies/"+study, sent)} {
			if n < 0 {
				continue // asked to come again
			}
			if read++; n < last[what] {
				t.Errorf("%s: %d after %d", what, n, last[what])
			}
			last[what] = n
		}
	}
	if read < 20 || last["metadata"] != len(files) || last["instances"] != len(files) {
		t.Errorf("%d answers, in the end %v of %d", read, last, len(files))
	}
	s.stop()
}

// TestDICOMwebAgain removes the files of a study of which a running site knows that it is settled. Whoever asks for it gets it: they are made again, as they were; searches find it all the time.
func TestDICOMwebAgain(t *testing.T) {
	s := newSite(t, quick)
	s.start()
	s.drop(sampled(t, "--studies", "2", "--series", "1", "--instances", "2"))
	s.settled()
	rows := s.objects("/studies")
	path := "/dicomweb/studies/" + rows[0].text("0020000D") + "/metadata"
	_, before := s.request(path)
	if err := os.RemoveAll(s.in("current", "studies", rows[0].text("0020000D"))); err != nil {
		t.Fatal(err)
	}
	if found := s.objects("/studies"); len(found) != 2 {
		t.Errorf("%d studies are found", len(found))
	}
	for n := 0; ; n++ {
		code, after := s.request(path)
		if code == http.StatusServiceUnavailable && n < 10 {
			continue // come again
		}
		if code != http.StatusOK || !bytes.Equal(before, after) {
			t.Errorf("made again: %d, %d bytes, were %d: %.200s", code, len(after), len(before), after)
		}
		break
	}
	s.settled()
	if code, text := s.request("/dicomweb/studies/1.2.3/metadata"); code != http.StatusNotFound {
		t.Errorf("a study that never was: %d: %s", code, text)
	}
	s.stop()
}

// countOf counts the rows of an answer; -1 when the client is to come again.
func countOf(t *testing.T, url string) int {
	t.Helper()
	code, _, text := fetched(t, url, "Accept-Encoding", "identity")
	if code == http.StatusServiceUnavailable {
		return -1
	}
	var rows []object
	(&agentSite{t: t}).decode(string(text), &rows)
	return len(rows)
}

// partsOf counts the files of an answer, each of which has to be one that was sent; -1 when the client is to come again.
func partsOf(t *testing.T, url string, sent map[string]bool) int {
	t.Helper()
	code, kind, text := fetched(t, url, "Accept", `multipart/related; type="application/dicom"; transfer-syntax=*`)
	if code == http.StatusServiceUnavailable {
		return -1
	}
	_, params, err := mime.ParseMediaType(strings.TrimSpace(kind))
	if err != nil || code != http.StatusOK {
		t.Fatalf("%s: %d, %q", url, code, kind)
	}
	parts := multipart.NewReader(bytes.NewReader(text), params["boundary"])
	for n := 0; ; n++ {
		p, err := parts.NextPart()
		if err == io.EOF {
			return n
		}
		h := sha256.New()
		if err == nil {
			_, err = io.Copy(h, p)
		}
		if err != nil || !sent[fmt.Sprintf("%x", h.Sum(nil))] {
			t.Fatalf("a part that was never sent: %v", err)
		}
	}
}

// TestDICOMwebClient does the same with dicomweb-client, which is what viewers in browsers use, and studies of ours.
func TestDICOMwebClient(t *testing.T) {
	modules := nodeModules(t, "dicomweb-client", "xhr2")
	folder := sampled(t, "--studies", "3", "--series", "2", "--instances", "3")
	files := dicomFiles(t, folder)
	s := newSite(t, quick)
	s.start()
	node := func(stdin string, args ...string) {
		t.Helper()
		c := exec.Command("node", append([]string{filepath.Join("testdata", "dicomweb", "client.js"), modules, s.dicomweb()}, args...)...)
		c.Stdin = strings.NewReader(stdin)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("client.js: %v: %s", err, out)
		}
	}
	node("", files...)
	s.settled()
	var sums strings.Builder
	for _, f := range files {
		fmt.Fprintf(&sums, "%x\n", sum256(t, f))
	}
	node(sums.String())
	s.stop()
}
