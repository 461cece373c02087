package e2e

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWholeStandby kills the hospital and the centre. The site that stands by serves all that was settled as it was; a study that it receives itself is held back, and says why,
// until an operator there says that the two are down. When they come back all are level, nothing is lost, and nobody has to type anything.
func TestWholeStandby(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "hospital", "centre")
	c.joinStandby("standby", "hospital")
	c.whole()
	j := c.judged()
	hospital, centre, standby := c.sites["hospital"], c.sites["centre"], c.sites["standby"]
	studies := parts(t, sampled(t, "--studies", "4", "--series", "2", "--instances", "3"))
	hospital.drop(studies[0])
	centre.drop(studies[1])
	c.within(time.Minute, 2)
	before := current(standby)
	hospital.kill()
	centre.kill()
	const gone = `centre <-> standby: no answer for \d+ s.*hospital <-> standby: no answer for \d+ s`
	named, _ := c.see(15*time.Second, "split", map[string]string{"standby": gone})
	t.Logf("the standby says so %v after the others were killed", named.Round(10*time.Millisecond))

	posted, dropped := studyOf(t, studies[2]), studyOf(t, studies[3])
	standby.store(studies[2])
	standby.drop(studies[3])
	for uid, folder := range map[string]string{posted: studies[2], dropped: studies[3]} {
		standby.held(uid, len(names(t, folder)), "^the cluster is split: ")
		standby.refuses(uid, "the cluster is split")
	}
	standby.serves(studies[:2])
	if after := current(standby); !maps.Equal(before, after) {
		t.Errorf("of %d current files %d are there, or they are others", len(before), len(after))
	}

	j.allow("hospital: acknowledged down", "centre: acknowledged down")
	standby.ask("ack-down", "hospital", "--for", "1h")
	if now := standby.now(); now.State != "split" || now.Studies.Held != 2 {
		t.Errorf("one of two is acknowledged, and the standby says %s, %+v", now.State, now.Studies)
	}
	standby.ask("ack-down", "centre", "--for", "1h")
	eventually(t, 30*time.Second, "the standby goes on alone", func() bool {
		now := standby.now()
		return now.State == "whole" && now.Studies.Settled == 4
	})
	if now := standby.now(); !strings.Contains(now.Reason, "without centre: acknowledged as down until") || !strings.Contains(now.Reason, "without hospital: acknowledged as down until") {
		t.Errorf("it is whole without two sites, and says %q", now.Reason)
	}
	standby.serves(studies)

	hospital.run()
	centre.run()
	t.Logf("settled at all three %v after the return", c.within(30*time.Second, 4).Round(10*time.Millisecond))
	for _, s := range c.all() {
		eventually(t, 30*time.Second, "nobody is acknowledged as down any more at "+s.name, func() bool { return s.now().Reason == "" })
	}
	c.sound(sums(t, studies...))
	c.alike()
}

// joinStandby has a site join that stands by, and runs it.
func (c *cluster) joinStandby(name, at string) {
	c.t.Helper()
	s := c.add(name)
	listen, address := c.net.site(name)
	s.command("join", "--site", name, "--listen", listen, "--address", address, c.token(at, "--role", "standby"))
	s.run()
}

// store posts the files of a folder by STOW-RS, which has to take all of them.
func (s *member) store(folder string) {
	s.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for path := range names(s.t, folder) {
		text, err := os.ReadFile(path)
		if err != nil {
			s.t.Fatal(err)
		}
		part, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/dicom"}})
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := part.Write(text); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		s.t.Fatal(err)
	}
	kind := fmt.Sprintf(`multipart/related; type="application/dicom"; boundary=%s`, w.Boundary())
	answer, err := http.Post("http://"+s.status().HTTP+"/dicomweb/studies", kind, &body)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		s.t.Fatalf("what was posted: %d %v %s", answer.StatusCode, err, text)
	}
}

// refuses holds that DICOMweb clients are told to come again for a study that is held back, and why; and do not find it.
func (s *member) refuses(study, reason string) {
	s.t.Helper()
	refuses(s.t, "http://"+s.status().HTTP+"/dicomweb/studies/"+study, reason)
	for _, found := range s.objects("/studies") {
		if found.text("0020000D") == study {
			s.t.Error("a held study is found by a search")
		}
	}
}

// refuses holds that who asks for the study at a URL is told to come again, and why.
func refuses(t *testing.T, study, reason string) {
	t.Helper()
	answer, err := http.Get(study + "/metadata")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || !strings.Contains(string(text), reason) {
		t.Errorf("a held study is answered with %d, Retry-After %q, %v: %s", answer.StatusCode, answer.Header.Get("Retry-After"), err, text)
	}
}

// serves holds that the site has exactly the studies in these folders for DICOMweb clients, each with all its instances, byte for byte.
func (s *member) serves(folders []string) {
	s.t.Helper()
	var want, found []string
	for _, folder := range folders {
		want = append(want, studyOf(s.t, folder))
	}
	for _, study := range s.objects("/studies") {
		found = append(found, study.text("0020000D"))
	}
	slices.Sort(want)
	slices.Sort(found)
	if !slices.Equal(want, found) {
		s.t.Errorf("a search finds %v, and not %v", found, want)
	}
	for _, folder := range folders {
		sent := sums(s.t, folder)
		if n := partsOf(s.t, "http://"+s.status().HTTP+"/dicomweb/studies/"+studyOf(s.t, folder), sent); n != len(sent) {
			s.t.Errorf("%d files are given back, of %d", n, len(sent))
		}
	}
}
