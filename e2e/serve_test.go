package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// server is a running dicomesh serve.
type server struct {
	t   *testing.T
	cmd *exec.Cmd
	url string // of studies
}

// startServer starts one on a free port and waits until it listens.
func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{t: t, cmd: exec.Command(filepath.Join(binDir(), "dicomesh"), append([]string{"serve", "--http", "127.0.0.1:0"}, args...)...)}
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() }) // it was stopped, unless the test failed
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	s.url = strings.TrimSpace(line)
	return s
}

// stop asks it to end, as systemd does.
func (s *server) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("serve ends with %v", err)
	}
}

func (s *server) get(url string, host string) (int, []byte) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if host != "" {
		r.Host = host
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, b
}

// TestServe runs the real server over what the real regen made, and over nothing, with the archive beside it.
func TestServe(t *testing.T) {
	root := t.TempDir()
	source, tree, current := filepath.Join(root, "source"), filepath.Join(root, "tree"), filepath.Join(root, "current")
	for _, args := range [][]string{{"sample", "--out", source, "--studies", "3", "--series", "2", "--instances", "2", "--size", "32"},
		{"ingest", "--tree", tree, source}, {"regen", "--tree", tree, "--current", current}} {
		if out, code := dicomesh(t, args...); code != 0 {
			t.Fatalf("%s: %d: %s", args[0], code, out)
		}
	}
	s := startServer(t, "--current", current)
	code, text := s.get(s.url+"?limit=2", "")
	var rows []map[string]struct{ Value []any }
	if err := json.Unmarshal(text, &rows); err != nil || code != http.StatusOK || len(rows) != 2 {
		t.Fatalf("studies: %d, %v: %.200s", code, err, text)
	}
	study, _ := rows[0]["0020000D"].Value[0].(string)
	if code, text := s.get(s.url+"/"+study+"/series", ""); code != http.StatusOK || !json.Valid(text) {
		t.Errorf("series: %d: %.200s", code, text)
	}
	if code, _ := s.get(s.url, "rebound.example.org"); code != http.StatusMisdirectedRequest {
		t.Errorf("asked for under another name: %d", code)
	}
	if code, _ := s.get(strings.TrimSuffix(s.url, "dicomweb/studies")+"../etc/passwd", ""); code != http.StatusNotFound {
		t.Errorf("something else: %d", code)
	}
	s.stop()

	empty := filepath.Join(root, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	s = startServer(t, "--current", empty, "--tree", tree)
	if code, _ := s.get(s.url, ""); code != http.StatusNoContent {
		t.Errorf("nothing is published: %d", code)
	}
	if code, text := s.get(s.url+"/"+study+"/metadata", ""); code != http.StatusOK || !json.Valid(text) {
		t.Errorf("made when it is asked for: %d: %.200s", code, text)
	}
	s.stop()
}

// TestServeTakes posts studies to a server that has a tree and no agent, a part of them first: each search, metadata, file and picture is what pydicom reads of what was sent, and all of it is
// in the archive afterwards.
func TestServeTakes(t *testing.T) {
	t.Parallel()
	folder := sampled(t, "--studies", "3", "--series", "2", "--instances", "3")
	files := dicomFiles(t, folder)
	tree, current := filepath.Join(t.TempDir(), "tree"), filepath.Join(t.TempDir(), "current")
	for _, dir := range []string{tree, current} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := startServer(t, "--current", current, "--tree", tree)
	base := strings.TrimSuffix(s.url, "/studies")
	for _, part := range [][]string{files[:7], files} {
		python(t, "client.py", append([]string{"store", base}, part...)...)
		s.holds(len(part))
	}
	t.Log(strings.TrimSpace(python(t, "client.py", append([]string{"check", base}, files...)...)))
	refused, err := http.Post(s.url, "application/dicom", strings.NewReader("no"))
	if err != nil || refused.StatusCode != http.StatusConflict || refused.Header.Get("Content-Type") != "application/dicom+json" {
		t.Errorf("what is no instance: %v, %v", refused, err)
	}
	_ = refused.Body.Close()
	s.stop()
	gives(t, tree, dicomSums(t, folder))
}

// holds waits until so many instances are published.
func (s *server) holds(instances int) {
	s.t.Helper()
	eventually(s.t, 20*time.Second, "what was posted is published", func() bool {
		var rows []object
		if _, text := s.get(s.url, ""); len(text) > 0 {
			(&agentSite{t: s.t}).decode(string(text), &rows)
		}
		all := 0
		for _, row := range rows {
			n, err := strconv.Atoi(row.text("00201208"))
			if err != nil {
				s.t.Fatal(err)
			}
			all += n
		}
		return all == instances
	})
}

// TestRegenIsAFunction: a second regen writes nothing; trees that were ingested in other orders have equal current trees; a current tree that was deleted comes back as it was.
func TestRegenIsAFunction(t *testing.T) {
	root := t.TempDir()
	source := filepath.Join(root, "source")
	if out, code := dicomesh(t, "sample", "--out", source, "--studies", "2", "--series", "3", "--instances", "3", "--size", "32"); code != 0 {
		t.Fatal(out)
	}
	var files []string
	for name := range regular(t, source) {
		files = append(files, name)
	}
	slices.Sort(files)
	made := func(name string, batches ...[]string) map[string]string {
		tree, current := filepath.Join(root, name), filepath.Join(root, name+"-current")
		for _, batch := range batches {
			if out, code := dicomesh(t, append([]string{"ingest", "--tree", tree}, batch...)...); code != 0 {
				t.Fatal(out)
			}
			if out, code := dicomesh(t, "regen", "--tree", tree, "--current", current); code != 0 {
				t.Fatal(out)
			}
		}
		if out, code := dicomesh(t, "regen", "--tree", tree, "--current", current, "--json"); code != 0 || !strings.HasPrefix(out, `{"studies":2,"written":0,"removed":0`) {
			t.Errorf("%s: a regen more: %d: %s", name, code, out)
		}
		return decompressed(t, filepath.Join(current, "studies"))
	}
	backward := slices.Clone(files)
	slices.Reverse(backward)
	one := made("one", files)
	other := made("other", backward[:2], backward[2:11], backward[11:])
	same(t, one, other)
	if err := os.RemoveAll(filepath.Join(root, "one-current")); err != nil {
		t.Fatal(err)
	}
	if out, code := dicomesh(t, "regen", "--tree", filepath.Join(root, "one"), "--current", filepath.Join(root, "one-current")); code != 0 {
		t.Fatal(out)
	}
	same(t, decompressed(t, filepath.Join(root, "one-current", "studies")), one)
}

func same(t *testing.T, a, b map[string]string) {
	t.Helper()
	if len(a) < 50 || len(a) != len(b) {
		t.Errorf("%d files and %d", len(a), len(b))
	}
	for name, content := range a {
		if b[name] != content {
			t.Errorf("%s differs", name)
		}
	}
}

// decompressed are the files below a folder.
func decompressed(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name := range regular(t, dir) {
		b, err := os.ReadFile(name)
		if err == nil && strings.HasSuffix(name, ".gz") {
			var z *gzip.Reader
			if z, err = gzip.NewReader(bytes.NewReader(b)); err == nil {
				b, err = io.ReadAll(z)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimPrefix(name, dir)] = string(b)
	}
	return out
}
