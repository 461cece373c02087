package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestAgentMendsFromList damages an instance file, and removes one, of which no copy is left anywhere, because a list accounts for it: other sites have collected theirs by then. The record is in the
// list, so the agent writes the file once more; else the study could never be whole again.
func TestAgentMendsFromList(t *testing.T) {
	t.Parallel()
	s := newSite(t, quick)
	s.start()
	folder := sampled(t, "--studies", "1", "--series", "1", "--instances", "3", "--size", "16")
	s.drop(folder)
	s.settled()
	if out, code := dicomesh(t, "combine", "--tree", s.in("tree")); code != 0 {
		t.Fatalf("combine: exit code %d: %s", code, out)
	}
	eventually(t, time.Minute, "the study is one list, and settled", func() bool {
		for _, state := range s.studies() {
			return state == "settled"
		}
		return false
	})
	s.stop()
	files, err := filepath.Glob(s.in("tree", "studies", "*", "deduplicated", "instances", "*.gz"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%d instance files, %v", len(files), err)
	}
	whole, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(files[1], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(files[1], int64(len(whole)/2)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(files[2]); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.event("fault", "damaged or gone were written again from a list")
	s.settled()
	s.notices()
	s.stop()
	if out, code := dicomesh(t, "verify", "--tree", s.in("tree"), "--deep"); code != 0 {
		t.Errorf("verify: %s", out)
	}
	gives(t, s.in("tree"), sums(t, folder))
}

// notices puts a link to the very bytes in the place of a frame while the agent runs, and asks for its study: the site says at once what it lacks, which nothing else than the next survey of all files would
// have told it, and is well again when the frame is back.
func (s *agentSite) notices() {
	s.t.Helper()
	frames, err := filepath.Glob(s.in("tree", "studies", "*", "bulkdata", "*", "*", "*.raw"))
	if err != nil || len(frames) == 0 {
		s.t.Fatalf("%d frames, %v", len(frames), err)
	}
	for study := range s.studies() {
		back := linked(s.t, frames[0])
		ask, err := http.NewRequest(http.MethodGet, "http://"+s.status().HTTP+"/dicomweb/studies/"+study, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		ask.Header.Set("Accept", `multipart/related; type="application/dicom"; transfer-syntax=*`)
		answer, err := http.DefaultClient.Do(ask)
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
		if err == nil && answer.StatusCode == http.StatusOK {
			s.t.Error("files are made through a link")
		}
		s.event("vanished", "bulkdata/")
		back()
	}
	s.settled()
}
