package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

// site is a Source that a test sets.
type site struct {
	mu      sync.Mutex
	status  Status
	studies map[string]Study
	touched []string
	waits   bool // something in the inbox that nobody has noticed
	asked   int
}

func (s *site) empty() (bool, error) { return !s.waits, nil }

func (s *site) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.status
}

func (s *site) Studies(_ context.Context, q Query) ([]Row, error) {
	if q.State == "broken" {
		return nil, errors.New("disk /secret/path")
	}
	return []Row{{Change: q.After + 1, Study: "1.2", State: q.State, Instances: q.Limit}}, nil
}

func (s *site) Study(_ context.Context, uid dedup.UID) (Study, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.studies[uid.String()]; ok {
		return found, nil
	}
	return Study{}, ErrUnknown
}

func (s *site) Touch(uids []dedup.UID) {
	for _, uid := range uids {
		s.touched = append(s.touched, uid.String())
	}
}

func (s *site) set(change func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.status)
}

func whole() *site {
	return &site{status: Status{Site: "north", Cluster: "c", State: "whole", Agent: Running, Studies: Studies{Total: 2, Settled: 2}, Disk: Disk{State: DiskOK},
		Sites: []Site{{Name: "north", Role: "full", State: "up"}}}, studies: map[string]Study{}}
}

// run serves a site that asks nobody who they are.
func run(t *testing.T, s *site) (*Client, *Server, *events.Log) {
	t.Helper()
	return serve(t, s, Access{})
}

// serve serves a site in a state folder that lies deeper than a socket's name may be long, until the test ends.
func serve(t *testing.T, s *site, entry Access) (*Client, *Server, *events.Log) {
	t.Helper()
	state := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := events.Open(filepath.Join(state, "events"), events.Config{Site: "north"})
	if err != nil {
		t.Fatal(err)
	}
	folder, err := durable.OpenPrivate(state)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	server, err := Open(Config{State: state, Address: "127.0.0.1:0", Access: entry, Tokens: folder, StudyNames: "short", NameKey: []byte("key"), Hosts: []string{"pacs.example.org"}, Source: s, Empty: s.empty, Events: log, Metrics: prometheus.NewRegistry(),
		DICOMweb: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "web ", r.URL.Path) }), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(state, socketName)); err == nil {
			t.Error("the socket is still there")
		}
		_ = log.Close()
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t)
	})
	return NewClient(state), server, log
}

// TestSocket holds that commands get through, however deep the folder lies, and that nobody else may open the socket.
func TestSocket(t *testing.T) {
	s := whole()
	c, _, _ := run(t, s)
	status, err := c.Status(t.Context())
	if err != nil || status.Site != "north" || status.Studies.Settled != 2 {
		t.Errorf("%+v, %v", status, err)
	}
	rows, err := c.Studies(t.Context(), Query{After: 6, State: "held", Limit: 3})
	if err != nil || len(rows) != 1 || rows[0].Change != 7 || rows[0].State != "held" || rows[0].Instances != 3 {
		t.Errorf("%+v, %v", rows, err)
	}
	if _, err := c.Study(t.Context(), "1.2.3"); !errors.Is(err, ErrUnknown) {
		t.Errorf("a study that is not there: %v", err)
	}
	if _, err := c.Studies(t.Context(), Query{State: "broken", Limit: 1}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("an error of the agent's own: %v", err)
	}
	if err := c.Touch(t.Context(), []string{"1.2", "1.3"}); err != nil || len(s.touched) != 2 {
		t.Errorf("%v, %v", s.touched, err)
	}
	if err := c.Touch(t.Context(), []string{"../x"}); err == nil {
		t.Error("a path was taken for a UID")
	}
	for n := range 2 { // as it is made at the start, and after somebody has removed it
		info, err := os.Stat(filepath.Join(c.state, socketName))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		if n == 1 {
			break
		}
		if err := os.Remove(filepath.Join(c.state, socketName)); err != nil {
			t.Fatal(err)
		}
		tick := time.NewTicker(10 * time.Millisecond)
		for end := time.Now().Add(time.Minute); ; <-tick.C {
			if status, err := c.Status(t.Context()); err == nil && status.Site == "north" {
				break
			} else if time.Now().After(end) {
				t.Fatalf("the socket was removed, and is not opened again: %v", err)
			}
		}
		tick.Stop()
	}
}

// TestUnreachable holds what a command hears where no agent runs, and where one died.
func TestUnreachable(t *testing.T) {
	state := t.TempDir()
	if _, err := NewClient(state).Status(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("no socket: %v", err)
	}
	dead, err := listenSocket(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := NewClient(state).Status(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a socket that nobody listens at: %v", err)
	}
	again, err := listenSocket(state)
	if err != nil {
		t.Errorf("the next agent cannot listen: %v", err)
	} else {
		_ = again.Close()
	}
}

// get asks the HTTP port under a name.
func get(t *testing.T, server *Server, host, path string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+server.Address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// TestHosts holds that a page elsewhere cannot talk to the agent by giving its own name the address 127.0.0.1.
func TestHosts(t *testing.T) {
	_, server, _ := run(t, whole())
	_, port, _ := net.SplitHostPort(server.Address)
	for host, want := range map[string]int{
		server.Address: 200, "localhost:" + port: 200, "LOCALHOST": 200, "127.0.0.5": 200, "[::1]:80": 200, "pacs.example.org": 200, "Pacs.Example.Org:443": 200,
		"evil.example:" + port: 421, "127.0.0.1.evil.example": 421, "localhost.evil.example": 421, "10.0.0.1": 421, socketHost: 421, "0.0.0.0": 421,
	} {
		for _, path := range []string{"/", "/api/v1/status", "/dicomweb/studies", "/metrics"} {
			if code, _ := get(t, server, host, path); code != want {
				t.Errorf("%s asked of %s: %d, want %d", path, host, code, want)
			}
		}
	}
}

// TestPort holds what the port answers, and that telling is for the socket alone.
func TestPort(t *testing.T) {
	s := whole()
	_, server, log := run(t, s)
	log.Add(events.Settled, "1.2", "")
	for path, want := range map[string]string{
		"/api/v1/status": `"state":"whole"`, "/api/v1/sites": `"role":"full"`, "/api/v1/studies?limit=5": `"instances":5`, "/api/v1/conflicts": `"state":"conflict"`,
		"/api/v1/events": `"kind":"settled"`, "/dicomweb/studies/1.2": "web /studies/1.2", "/healthz": "ok", "/readyz": "ok", "/page/style.css": "color-scheme", "/": "<title>dicomesh",
		"/api/v1/session": `"ends":false`, "/api/v1/studies?before=x": "before:",
		"/api/v1/wait?settled=true": `"holds":true`, "/api/v1/wait": "say what to wait for", "/api/v1/studies/x": "no UID", "/api/v1/studies/1.9": "nothing is known",
		"/api/v1/studies?limit=0": "limit:", "/api/v1/studies?after=x": "after:", "/api/v1/wait?whole=true&timeout=x": "timeout:",
	} {
		if _, text := get(t, server, server.Address, path); !strings.Contains(text, want) {
			t.Errorf("%s answers %s, want %s", path, text, want)
		}
	}
	answer, err := http.Post("http://"+server.Address+"/api/v1/touch", "application/json", strings.NewReader(`["1.2"]`))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode < 400 || len(s.touched) > 0 {
		t.Errorf("the port takes orders: %s", answer.Status)
	}
	for name, change := range map[string]func(*Status){
		"starting": func(s *Status) { s.Agent = Starting }, "no tree": func(s *Status) { s.Agent, s.Watch.Unreachable = Running, "the mount is gone" },
	} {
		s.set(change)
		if code, text := get(t, server, server.Address, "/readyz"); code != 503 {
			t.Errorf("%s: readyz answers %d %s", name, code, text)
		}
	}
}

// TestMetrics holds that METRICS.md and /metrics tell of the same.
func TestMetrics(t *testing.T) {
	ca := newAuthority(t)
	ca.issue("server", time.Now().Add(time.Hour))
	pair, err := OpenKeyPair(ca.file("server.pem"), ca.file("server-key.pem"), "")
	if err != nil {
		t.Fatal(err)
	}
	_, server, _ := serve(t, whole(), Access{TLS: pair})
	v := visitor{t, ca.client(""), "https://" + server.Address, http.Header{}}
	_, text, _ := v.ask("GET", "/metrics", "")
	document, err := os.ReadFile("METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (dicomesh_\w+) \| ([\w, ]*)\| (.*) \|$`).FindAllStringSubmatch(string(document), -1) {
		told[m[1]] = m[3]
	}
	for _, m := range regexp.MustCompile(`(?m)^# HELP (dicomesh_\w+) (.*)$`).FindAllStringSubmatch(text, -1) {
		if told[m[1]] != m[2] {
			t.Errorf("%s: METRICS.md says %q, /metrics %q", m[1], told[m[1]], m[2])
		}
		delete(told, m[1])
	}
	for name := range told {
		t.Errorf("METRICS.md tells of %s, which is not there", name)
	}
	for _, want := range []string{`dicomesh_studies{state="settled"} 2`, `dicomesh_cluster_state{state="split"} 0`, `dicomesh_cluster_state{state="whole"} 1`, "dicomesh_ready 1"} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("/metrics does not say %s", want)
		}
	}
}

// TestWait holds when waiting ends, and what is said when it was in vain.
func TestWait(t *testing.T) {
	s := whole()
	c, _, _ := run(t, s)
	wanting := []struct {
		name   string
		what   Condition
		change func(*Status)
		want   string
	}{
		{"not whole", Condition{Whole: true}, func(s *Status) { s.State, s.Reason = "split", "a -> c: no answer" }, "the cluster is split: a -> c: no answer"},
		{"not level", Condition{Level: true}, func(s *Status) { s.Sites[0].Lag.Studies = 3 }, "north lacks something of 3 studies"},
		{"not level, and another one that nobody waits for", Condition{Level: true}, func(s *Status) {
			s.Sites[0].Lag.Studies = 3
			s.Sites = append(s.Sites, Site{Name: "gone", Waived: true, Lag: Lag{Studies: 5}})
		}, "north lacks something of 3 studies"},
		{"not compared", Condition{Level: true}, func(s *Status) { s.Sites[0].NotLevel = "there is no way to ask it what it holds" }, "north: there is no way to ask it what it holds"},
		{"not taken", Condition{Settled: true}, func(s *Status) { s.Inbox = Inbox{Waiting: 4, Paused: "no room"} }, "4 files wait in the inbox: no room"},
		{"not looked at", Condition{Settled: true}, func(s *Status) { s.Watch.Unseen = 7 }, "7 studies have not been looked at since the start"},
		{"not settled", Condition{Settled: true}, func(s *Status) { s.Studies = Studies{Total: 9, Syncing: 2, Incomplete: 1, Settled: 6} },
			"2 of 9 studies are syncing; 1 of 9 studies are incomplete"},
		{"still starting", Condition{Whole: true}, func(s *Status) { s.Agent = Starting }, "the agent is starting"},
		{"no such study", Condition{Settled: true, Study: "1.7"}, func(*Status) {}, "nothing is known of the study"},
	}
	for _, w := range wanting {
		*s = site{status: whole().status, studies: map[string]Study{}}
		s.set(w.change)
		if a, err := c.Wait(t.Context(), w.what, 0); err != nil || a.Holds || a.Reason != w.want {
			t.Errorf("%s: %+v, %v, want %s", w.name, a, err, w.want)
		}
	}
	*s = site{status: whole().status, studies: map[string]Study{"1.5": {Row: Row{State: "syncing", Reason: "quiet"}, Holders: []Holder{{Site: "b"}}}}}
	if a, err := c.Wait(t.Context(), Condition{Settled: true, Level: true, Study: "1.5"}, 0); err != nil || a.Holds || a.Reason != "b has not got all of it; it is syncing: quiet" {
		t.Errorf("%+v, %v", a, err)
	}
	s.waits, s.studies = true, nil
	if a, err := c.Wait(t.Context(), Condition{Settled: true}, 0); err != nil || a.Holds || a.Reason != "1 files wait in the inbox" {
		t.Errorf("what nobody has noticed yet: %+v, %v", a, err)
	}
	s.waits = false
	s.set(func(s *Status) { s.Studies.Syncing = 1 })
	before := s.asked
	waited := make(chan Answer, 1)
	go func() {
		a, err := c.Wait(context.WithoutCancel(t.Context()), Condition{Whole: true, Settled: true}, time.Minute)
		if err != nil {
			t.Error(err)
		}
		waited <- a
	}()
	for now := before; now == before; runtime.Gosched() {
		s.set(func(*Status) { now = s.asked })
	}
	s.set(func(s *Status) { s.Studies.Syncing = 0 })
	if a := <-waited; !a.Holds {
		t.Errorf("%+v", a)
	}
}

// TestFollow holds that whoever follows gets the last events and then each new one.
func TestFollow(t *testing.T) {
	c, _, log := run(t, whole())
	for n := range 5 {
		log.Add(events.Refused, "", fmt.Sprint("file ", n))
	}
	var got []string
	enough := errors.New("enough")
	err := c.Follow(t.Context(), 2, func(e events.Event) error {
		got = append(got, e.Reason)
		switch len(got) {
		case 2:
			log.Add(events.Refused, "", "a new one")
		case 3:
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || strings.Join(got, ",") != "file 3,file 4,a new one" {
		t.Errorf("%v, %v", got, err)
	}
	if list, err := c.Events(t.Context(), 3); err != nil || len(list) != 3 || list[2].Reason != "a new one" {
		t.Errorf("%v, %v", list, err)
	}
}
