package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// agentSite is a site whose agent a test starts, stops and kills.
type agentSite struct {
	t       *testing.T
	dir     string // --data
	log     string // everything that the agents have logged, at debug
	process *exec.Cmd
	space   string // the network namespace that its agents run in, "" for the test's own
}

// quick is a configuration for tests that do not measure: short waits, no floor that a small disk would be under.
const quick = "links: {profile: lan}\nsettle: {quiet: 200ms}\ninbox: {quiet: 100ms, patience: 2s}\nwatch: {patience: 1s}\ndisk: {watermark: 0, watermark_percent: 0, floor: 0}\n"

// newSite makes the folder of a site with a configuration.
func newSite(t *testing.T, config string) *agentSite {
	t.Helper()
	s := &agentSite{t: t, dir: filepath.Join(t.TempDir(), "site"), log: filepath.Join(t.TempDir(), "log")}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.configure(config)
	t.Cleanup(func() {
		s.kill()
		if text, err := os.ReadFile(s.log); err == nil && t.Failed() {
			t.Logf("the agent's log:\n%s", text[max(0, len(text)-3000):])
		}
	})
	return s
}

func (s *agentSite) configure(config string) {
	s.t.Helper()
	if err := os.WriteFile(s.in("config.yaml"), []byte(config), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// in is a path in the site's folder.
func (s *agentSite) in(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// begin starts an agent, with more arguments, and does not wait for it.
func (s *agentSite) begin(args ...string) {
	s.t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.process = exec.Command(filepath.Join(binDir(), "dicomesh"), append([]string{"agent", "--data", s.dir, "--http", "127.0.0.1:0", "--log-level", "debug"}, args...)...)
	if s.space != "" {
		s.process = exec.Command("ip", append([]string{"netns", "exec", s.space}, s.process.Args...)...)
	}
	s.process.Stderr = log
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// start starts an agent, and returns when it runs.
func (s *agentSite) start() {
	s.t.Helper()
	s.begin()
	s.ask("wait", "--whole", "--timeout", "60s")
}

// stop tells the agent to stop, which it does with exit code 0.
func (s *agentSite) stop() {
	s.t.Helper()
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := s.process.Wait(); err != nil {
		s.t.Errorf("the agent was told to stop: %v", err)
	}
	s.process = nil
}

// kill ends the agent between two instructions.
func (s *agentSite) kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill() // it may have ended
	_ = s.process.Wait()
	s.process = nil
}

// ask asks the agent by a command, which has to end well.
func (s *agentSite) ask(args ...string) string {
	s.t.Helper()
	out, code := dicomesh(s.t, append(args, "--data", s.dir)...)
	if code != 0 {
		status, _ := dicomesh(s.t, "status", "--data", s.dir)
		happened, _ := dicomesh(s.t, "events", "--data", s.dir)
		s.t.Fatalf("dicomesh %s: exit code %d: %s\n%s%s", strings.Join(args, " "), code, out, status, happened)
	}
	return out
}

// settled waits until everything is.
func (s *agentSite) settled() {
	s.t.Helper()
	s.ask("wait", "--settled", "--timeout", "120s")
}

// siteStatus is what the tests read of status --json.
type siteStatus struct {
	Agent   string
	State   string
	HTTP    string
	Studies map[string]int
	Inbox   struct {
		Waiting, Stored, Duplicate, Conflict, Refused int
		Paused                                        string
	}
	Disk struct {
		State, Reason   string
		Free, Watermark uint64
	}
	Watch struct{ Unreachable string }
}

func (s *agentSite) status() siteStatus {
	s.t.Helper()
	var status siteStatus
	s.decode(s.ask("status", "--json"), &status)
	return status
}

func (s *agentSite) decode(text string, into any) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		s.t.Fatalf("%v in %s", err, text)
	}
}

// until asks for the status until a condition holds.
func (s *agentSite) until(what string, holds func(siteStatus) bool) {
	s.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(3 * time.Minute); !holds(s.status()); <-tick.C {
		if time.Now().After(end) {
			s.t.Fatalf("in a minute it never came to this: %s\n%s%s", what, s.ask("status"), s.ask("events"))
		}
	}
}

// event waits for an event of a kind that says something.
func (s *agentSite) event(kind, says string) {
	s.t.Helper()
	s.until(kind+": "+says, func(siteStatus) bool {
		for line := range strings.Lines(s.ask("events", "--json", "-n", "1000")) {
			var e struct{ Kind, Reason, Study string }
			s.decode(line, &e)
			if e.Kind == kind && strings.Contains(e.Reason+e.Study, says) {
				return true
			}
		}
		return false
	})
}

// studies are the states of all studies.
func (s *agentSite) studies() map[string]string {
	s.t.Helper()
	states := map[string]string{}
	for line := range strings.Lines(s.ask("studies", "--json")) {
		var row struct{ Study, State string }
		s.decode(line, &row)
		states[row.Study] = row.State
	}
	return states
}

// drop copies files or folders into the inbox.
func (s *agentSite) drop(paths ...string) {
	s.t.Helper()
	if out, err := exec.Command("cp", append(append([]string{"-r"}, paths...), s.in("inbox"))...).CombinedOutput(); err != nil {
		s.t.Fatalf("cp: %v: %s", err, out)
	}
}

// get asks the HTTP port for something that is there.
func (s *agentSite) get(path string) []byte {
	s.t.Helper()
	code, body := s.request(path)
	if code != http.StatusOK {
		s.t.Fatalf("GET %s: %d: %s", path, code, body)
	}
	return body
}

// request asks the HTTP port.
func (s *agentSite) request(path string) (int, []byte) {
	s.t.Helper()
	answer, err := http.Get("http://" + s.status().HTTP + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, body
}

// object is a DICOM JSON object.
type object map[string]struct {
	Value       []any
	BulkDataURI string
}

// text is the first value of an attribute.
func (o object) text(tag string) string {
	if v := o[tag].Value; len(v) > 0 {
		switch v := v[0].(type) {
		case string:
			return v
		case map[string]any:
			name, _ := v["Alphabetic"].(string)
			return name
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
	}
	return ""
}

// objects asks DICOMweb for JSON.
func (s *agentSite) objects(path string) []object {
	s.t.Helper()
	var list []object
	if body := s.get("/dicomweb" + path); len(bytes.TrimSpace(body)) > 0 {
		s.decode(string(body), &list)
	}
	return list
}

// sampled writes synthetic studies and returns their folder.
func sampled(t *testing.T, args ...string) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "samples")
	if _, code := dicomesh(t, append([]string{"sample", "--out", folder, "--size", "64"}, args...)...); code != 0 {
		t.Fatal("sample failed")
	}
	return folder
}

// sums are the SHA-256 of the regular files in folders.
func sums(t *testing.T, folders ...string) map[string]bool {
	t.Helper()
	set := map[string]bool{}
	for _, folder := range folders {
		for _, sum := range regular(t, folder) {
			set[sum] = true
		}
	}
	return set
}

// gives holds that a tree gives back exactly these files.
func gives(t *testing.T, tree string, want map[string]bool) {
	t.Helper()
	given := export(t, tree)
	missing, strange := 0, 0
	for sum := range want {
		if !given[sum] {
			missing++
		}
	}
	for sum := range given {
		if !want[sum] {
			strange++
		}
	}
	if missing+strange > 0 || len(want) == 0 {
		t.Errorf("%d of %d files are not given back, %d are that never came in", missing, len(want), strange)
	}
}

// sum256 is the SHA-256 of a file.
func sum256(t *testing.T, path string) [sha256.Size]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(text)
}
