package e2e

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestShelf limits the current tree of a site of two. The files of studies that nobody asks for go, searches find these studies all the same, also after a restart, and whoever asks for one gets
// what it was; while the other site is away he is told why not, and when to come again.
func TestShelf(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b")
	a, b := c.sites["a"], c.sites["b"]
	a.stop()
	a.configure(quick + "current: {max_size: 100 kB, keep: 0s}\n")
	a.run()
	c.whole()
	a.drop(sampled(t, "--studies", "3", "--series", "1", "--instances", "3", "--size", "128"))
	c.level(20*time.Second, 3)
	c.settledAll()
	cleanedTo(a.agentSite, 1)
	rows := a.objects("/studies")
	if len(rows) != 3 {
		t.Fatalf("%d studies are found", len(rows))
	}
	a.stop()
	a.run()
	c.whole()
	c.settledAll()
	cleanedTo(a.agentSite, 1)
	for _, row := range rows {
		path := "/dicomweb/studies/" + row.text("0020000D") + "/metadata"
		_, want := b.request(path)
		if code, got := patiently(a.agentSite, path); code != http.StatusOK || !bytes.Equal(got, want) || len(want) < 1000 {
			t.Errorf("made again: %d, %d bytes, at the other site %d: %.200s", code, len(got), len(want), got)
		}
	}
	cleanedTo(a.agentSite, 1)
	b.stop()
	a.until("the other site is missed", func(s siteStatus) bool { return s.State != "whole" })
	if found := a.objects("/studies"); len(found) != 3 {
		t.Errorf("while the other site is away %d studies are found", len(found))
	}
	held := 0
	for _, row := range rows {
		r, err := http.Get(a.dicomweb() + "/studies/" + row.text("0020000D") + "/metadata")
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		_, err = said.ReadFrom(r.Body)
		if err != nil || r.StatusCode == http.StatusOK {
			continue // it has its files
		}
		if held++; r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || !strings.Contains(said.String(), "held back") || !strings.Contains(said.String(), "b") {
			t.Errorf("%s, come again after %q: %s", r.Status, r.Header.Get("Retry-After"), said.String())
		}
	}
	if held < 2 {
		t.Errorf("%d studies are held", held)
	}
}

// cleanedTo waits until at most so many studies have current files.
func cleanedTo(s *agentSite, n int) {
	s.t.Helper()
	with := 0
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-time.After(50 * time.Millisecond) {
		studies, err := os.ReadDir(s.in("current", "studies"))
		if err != nil {
			s.t.Fatal(err)
		}
		with = 0
		for _, e := range studies {
			if isFile(s.in("current", "studies", e.Name(), "status.gz")) {
				with++
			}
		}
		if with <= n {
			return
		}
	}
	s.t.Fatalf("%d studies have current files, want at most %d", with, n)
}

// patiently asks again while it is told to.
func patiently(s *agentSite, path string) (code int, text []byte) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
		if code, text = s.request(path); code != http.StatusServiceUnavailable {
			break
		}
	}
	return code, text
}
