package e2e

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWholeProvisional has a site of two whose operator wants to see what is held while the other cannot be reached. What comes then is shown there, and only there, apart from what is published
// and marked in every answer, in status and in a metric, also after a restart; whoever asks the other site is told to come again. When the cut is mended it is published everywhere, no mark is left, and no file.
func TestWholeProvisional(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b")
	a, b := c.sites["a"], c.sites["b"]
	a.stop()
	a.configure(strings.Replace(quick, "quiet: 200ms}", "quiet: 200ms, when_split: provisional}", 1))
	a.run()
	c.whole()
	c.judged()
	studies := parts(t, sampled(t, "--studies", "4", "--series", "2", "--instances", "2"))
	old, late, rest := studies[0], studies[1], studies[2]
	series := parts(t, old)
	a.drop(series[0])
	a.drop(rest)
	c.within(time.Minute, 2)
	a.marked(studyOf(t, old), false, 2)
	before := current(a)

	c.net.cut("a", "b")
	c.see(15*time.Second, "split", map[string]string{"a": "no answer", "b": "no answer"})
	a.drop(late, series[1])
	b.drop(studies[3])
	b.held(studyOf(t, studies[3]), 4, "^the cluster is split: ")
	b.refuses(studyOf(t, studies[3]), "the cluster is split")
	for n := range 2 {
		for _, study := range []string{studyOf(t, old), studyOf(t, late)} {
			a.held(study, 4, "^the cluster is split: ")
			eventually(t, 20*time.Second, "there is provisional output of "+study, func() bool { return a.knows(study).Provisional })
			a.marked(study, true, 4)
		}
		a.serves([]string{old, late, rest})
		a.marked(studyOf(t, rest), false, 4)
		a.found(true, 6, 12)
		a.counted(2)
		if now := current(a); len(before) == 0 || len(now) != len(before) {
			t.Errorf("%d files are published, and %d were", len(now), len(before))
		}
		if n == 0 {
			a.stop()
			a.run()
			c.see(15*time.Second, "split", map[string]string{"a": "no answer"})
		}
	}
	b.marked(studyOf(t, old), false, 2)
	b.found(false, 3, 6)

	c.net.mend()
	c.within(30*time.Second, 4)
	a.counted(0)
	for _, study := range []string{studyOf(t, old), studyOf(t, late)} {
		a.marked(study, false, 4)
	}
	a.found(false, 8, 16)
	eventually(t, 20*time.Second, "no file of provisional output is left", func() bool {
		apart := a.in("current", ".dicomesh", "provisional")
		return len(names(t, filepath.Join(apart, "studies")))+len(names(t, filepath.Join(apart, ".dicomesh", "studies")))+len(names(t, filepath.Join(apart, ".dicomesh", "cleaned"))) == 0
	})
	if left, err := os.ReadDir(a.in("current", ".dicomesh", "provisional", "studies")); err != nil || len(left) > 0 {
		t.Errorf("%d folders of provisional output are left (%v)", len(left), err)
	}
	c.sound(sums(t, studies...))
	c.alike()
}

// marked holds that a client gets so many instances of a study, and whether he is told that they are provisional; command and client are told the same.
func (s *member) marked(study string, provisional bool, instances int) {
	s.t.Helper()
	answer, err := http.Get("http://" + s.status().HTTP + "/dicomweb/studies/" + study + "/metadata")
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%s answers for %s: %s, %v: %s", s.name, study, answer.Status, err, text)
	}
	var all []object
	s.decode(string(text), &all)
	header, warning := answer.Header.Get("Dicomesh-Provisional"), answer.Header.Get("Warning")
	if len(all) != instances || provisional != (header != "") || provisional != strings.Contains(warning, "could not be reached") {
		s.t.Errorf("%s gives %d instances, want %d; marked %q and %q, want %v", s.name, len(all), instances, header, warning, provisional)
	}
	if said := s.ask("study", study); provisional != strings.Contains(said, "with provisional output") {
		s.t.Errorf("%s says, and provisional is %v: %s", s.name, provisional, said)
	}
}

// found holds how many series and instances searches of all studies find, and whether they say that some may be provisional.
func (s *member) found(provisional bool, series, instances int) {
	s.t.Helper()
	for path, want := range map[string]int{"series": series, "instances": instances, "instances?InstanceNumber=1": series} {
		answer, err := http.Get("http://" + s.status().HTTP + "/dicomweb/" + path)
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err = errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != http.StatusOK {
			s.t.Fatalf("%s answers for %s: %s, %v: %s", s.name, path, answer.Status, err, text)
		}
		var all []object
		s.decode(string(text), &all)
		if header := answer.Header.Get("Dicomesh-Provisional"); len(all) != want || provisional != (header != "") {
			s.t.Errorf("%s finds %d of %s, want %d; marked %q, want %v", s.name, len(all), path, want, header, provisional)
		}
	}
}

// counted holds that a site counts so many studies with provisional output, wherever it says so.
func (s *member) counted(n int) {
	s.t.Helper()
	if got := s.status().Studies["provisional"]; got != n {
		s.t.Errorf("status counts %d studies with provisional output, want %d", got, n)
	}
	_, metrics := s.request("/metrics")
	if want := "\ndicomesh_studies_provisional " + string(rune('0'+n)) + "\n"; !strings.Contains(string(metrics), want) {
		s.t.Errorf("the metrics do not say %q", want)
	}
	if text := s.ask("status"); strings.Contains(text, "provisional output is shown of") != (n > 0) {
		s.t.Errorf("status says: %s", text)
	}
}
