package agent

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"go.uber.org/goleak"
)

// syncedBuffer is a log that several goroutines write.
type syncedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// running is a site in this process.
type running struct {
	t      *testing.T
	config Config
	log    syncedBuffer
	client *admin.Client
	cancel context.CancelFunc
	ended  chan error
}

func newRunning(t *testing.T) *running {
	t.Helper()
	c, err := config.Load(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	c.HTTP.Address = "127.0.0.1:0"
	c.Settle.Quiet, c.Inbox.Quiet = config.Duration(50*time.Millisecond), config.Duration(50*time.Millisecond)
	c.Disk = config.Disk{}
	r := &running{t: t, client: admin.NewClient(c.Paths.State)}
	r.config = Config{Config: c, Version: "test", Log: slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	return r
}

// start runs the site, and returns when it is ready.
func (r *running) start() {
	r.t.Helper()
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(r.t.Context())
	r.ended = make(chan error, 1)
	go func() { r.ended <- Run(ctx, r.config) }()
	r.wait(admin.Condition{Whole: true})
}

// wait waits until a condition holds.
func (r *running) wait(what admin.Condition) {
	r.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(3 * time.Minute); ; <-tick.C {
		answer, err := r.client.Wait(r.t.Context(), what, time.Until(end))
		if err == nil && answer.Holds {
			return
		}
		select {
		case err := <-r.ended:
			r.t.Fatalf("the site ended: %v\n%s", err, r.log.String())
		default:
		}
		if time.Now().After(end) {
			r.t.Fatalf("waited in vain: %v, %v\n%s", answer, err, r.log.String())
		}
	}
}

// stop ends the site.
func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		r.t.Errorf("told to stop: %v", err)
	}
}

// drop puts a study into the inbox.
func (r *running) drop(study phantom.Study) {
	r.t.Helper()
	for i := range study.All() {
		var text bytes.Buffer
		if err := i.Write(&text); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(r.config.Paths.Inbox, strings.ReplaceAll(i.Path(), "/", "_")), text.Bytes(), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
}

// TestRun runs a site twice in this process, under the race detector: what comes in settles, and when Run returns nothing of it runs any more, no name is held, and
// the second run finds the first one's work.
func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	r := newRunning(t)
	r.start()
	r.drop(phantom.Study{Number: 1, Series: 1, Instances: 3, Size: 32})
	r.wait(admin.Condition{Settled: true})
	first, err := r.client.Studies(t.Context(), admin.Query{Limit: 10})
	if err != nil || len(first) != 1 || first[0].State != "settled" || first[0].Instances != 3 {
		t.Errorf("%+v, %v", first, err)
	}
	r.stop()
	if _, err := r.client.Status(t.Context()); err == nil {
		t.Error("a site that has ended answers")
	}
	r.start()
	r.drop(phantom.Study{Number: 2, Series: 1, Instances: 3, Size: 32})
	r.wait(admin.Condition{Settled: true})
	second, err := r.client.Studies(t.Context(), admin.Query{Limit: 10, State: "settled"})
	if err != nil || len(second) != 2 || second[0].Study != first[0].Study || second[0].Leaf != first[0].Leaf {
		t.Errorf("%+v, %v", second, err)
	}
	for _, state := range []string{"syncing", "incomplete", "conflict"} {
		if rows, err := r.client.Studies(t.Context(), admin.Query{Limit: 10, State: state}); err != nil || len(rows) > 0 {
			t.Errorf("%s: %+v, %v", state, rows, err)
		}
	}
	if status, err := r.client.Status(t.Context()); err != nil || status.Inbox.Stored != 3 || status.Work.Rounds == 0 || status.Watch.Unreachable != "" {
		t.Errorf("%+v, %v", status, err)
	}
	r.stop()
}

// TestSince holds that the cluster is in its state since it came to be so, and not since somebody asked.
func TestSince(t *testing.T) {
	r := newRunning(t)
	ctx, cancel := context.WithCancel(t.Context())
	r.ended = make(chan error, 1)
	r.cancel = cancel
	go func() { r.ended <- Run(ctx, r.config) }()
	r.until("it runs", func() bool { return strings.Contains(r.log.String(), "the site runs") })
	began := time.Now()
	r.until("it has looked at itself again", func() bool { return time.Since(began) > 2*interval })
	before := time.Now()
	if s, err := r.client.Status(t.Context()); err != nil || !s.Since.Before(before) {
		t.Errorf("%s since %v, asked at %v: %v", s.State, s.Since, before, err)
	}
	r.stop()
}

// TestMounted takes the tree away from a site that runs, and puts one back: nothing is taken meanwhile and nothing is concluded; the same tree is gone on with, another
// file system that has the site's marker is opened anew, and what is not the site's is left alone.
func TestMounted(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	r := newRunning(t)
	r.config.Watch.Rescan = config.Duration(time.Second)
	r.start()
	r.drop(phantom.Study{Number: 1, Series: 1, Instances: 2, Size: 32})
	r.wait(admin.Condition{Settled: true})
	tree, aside := r.config.Paths.Tree, r.config.Paths.Tree+".aside"
	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	rename(tree, aside)
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	r.until("the log says that it is away", func() bool { return strings.Contains(r.log.String(), "the tree is away") })
	r.drop(phantom.Study{Number: 2, Series: 1, Instances: 2, Size: 32})
	r.until("the inbox takes nothing", func() bool {
		s, err := r.client.Status(t.Context())
		return err == nil && s.Inbox.Paused != "" && s.Watch.Unreachable != "" && s.Studies.Total == 1
	})
	if left, err := os.ReadDir(tree); err != nil || len(left) > 0 {
		t.Errorf("something was written where the tree was: %v, %v", left, err)
	}
	if err := os.Remove(tree); err != nil {
		t.Fatal(err)
	}
	rename(aside, tree)
	r.wait(admin.Condition{Settled: true})
	if s, err := r.client.Status(t.Context()); err != nil || s.Studies.Settled != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	rename(tree, aside)
	if err := os.CopyFS(tree, os.DirFS(aside)); err != nil {
		t.Fatal(err)
	}
	r.until("it starts over", func() bool { return strings.Contains(r.log.String(), "starting over") })
	r.drop(phantom.Study{Number: 3, Series: 1, Instances: 2, Size: 32})
	r.wait(admin.Condition{Settled: true})
	if new, err := os.ReadDir(filepath.Join(tree, "studies")); err != nil || len(new) != 3 {
		t.Errorf("in the tree that is there now: %v, %v", new, err)
	}
	r.stop()
}

// TestStateFolder renames the state folder under a site that runs, and opens it to others while it does not: the first is an alarm until it is back, the second is ended, and said.
func TestStateFolder(t *testing.T) {
	r := newRunning(t)
	r.start()
	state := r.config.Paths.State
	if err := os.Rename(state, state+".aside"); err != nil {
		t.Fatal(err)
	}
	r.until("it is an alarm", func() bool {
		s, err := admin.NewClient(state + ".aside").Status(t.Context())
		return err == nil && len(s.Alarms) == 1 && s.Alarms[0].Site == s.Site
	})
	if err := os.Rename(state+".aside", state); err != nil {
		t.Fatal(err)
	}
	r.until("it is none", func() bool {
		s, err := r.client.Status(t.Context())
		return err == nil && len(s.Alarms) == 0
	})
	r.stop()
	if err := os.Chmod(state, 0o755); err != nil {
		t.Fatal(err)
	}
	r.start()
	if info, err := os.Stat(state); err != nil || info.Mode().Perm() != 0o700 || !strings.Contains(r.log.String(), "others could look into the state folder (mode 0755)") {
		t.Errorf("the state folder is %v, %v\n%s", info.Mode(), err, r.log.String())
	}
	r.stop()
}

// until waits until something holds.
func (r *running) until(what string, holds func() bool) {
	r.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(3 * time.Minute); !holds(); <-tick.C {
		if time.Now().After(end) {
			r.t.Fatalf("never: %s\n%s", what, r.log.String())
		}
	}
}

// TestBetween holds what an operator hears of parts that only say how they are.
func TestBetween(t *testing.T) {
	bad := seen{paused: "no room", stuck: "not ours", unreachable: "gone", limited: "few", overflows: 3}
	if got, want := between(seen{}, bad), []happened{{events.Inbox, "nothing is taken: no room"},
		{events.Inbox, "something stays there: not ours"}, {events.Watch, "the tree is not there: gone"},
		{events.Watch, "fewer folders are watched than wanted: few"},
		{events.Watch, "notifications were lost 3 times: what is watched is looked at again"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if got := between(bad, bad); len(got) > 0 {
		t.Errorf("the same again: %v", got)
	}
	if got := between(bad, seen{overflows: 3}); len(got) != 4 {
		t.Errorf("all is well: %v", got)
	}
}
