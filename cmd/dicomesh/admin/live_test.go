package admin

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/access"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// message is one server-sent event.
type message struct{ kind, id, data string }

// stream reads server-sent events; end of stream closes the channel.
func listen(t *testing.T, v visitor) <-chan message {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.base+"/api/v1/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = v.head
	answer, err := v.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s, %s", answer.Status, answer.Header.Get("Content-Type"))
	}
	out := make(chan message, 100)
	go func() {
		defer close(out)
		defer answer.Body.Close()
		var m message
		for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
			switch kind, value, _ := strings.Cut(lines.Text(), ": "); kind {
			case "event":
				m.kind = value
			case "id":
				m.id = value
			case "data":
				m.data = value
			case "":
				out <- m
				m = message{}
			}
		}
	}()
	return out
}

// next waits for a message of a kind that holds a text.
func next(t *testing.T, from <-chan message, kind, text string) message {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case m, open := <-from:
			if !open {
				t.Fatalf("the stream ended before %s %s", kind, text)
			}
			if m.kind == kind && strings.Contains(m.data, text) {
				return m
			}
		case <-limit:
			t.Fatalf("no %s with %s came", kind, text)
		}
	}
}

// TestLive holds that a page hears what has happened, how it is now, each change, and a sign of life; and that it goes on where it was.
func TestLive(t *testing.T) {
	s := whole()
	_, server, log := run(t, s)
	log.Add(events.Held, "1.2", "first")
	v := browser(t, "http://"+server.Address)
	from := listen(t, v)
	first := next(t, from, "happened", "first")
	var list []Happened
	if err := json.Unmarshal([]byte(first.data), &list); err != nil || len(list) != 1 || list[0].Name != server.names.of("1.2") {
		t.Errorf("%+v, %v", list, err)
	}
	next(t, from, "status", `"state":"whole"`)
	s.set(func(s *Status) { s.State = "split" })
	next(t, from, "status", `"state":"split"`)
	next(t, from, "status", `"state":"split"`) // nothing has changed: a sign of life
	log.Add(events.Held, "1.3", "second")
	second := next(t, from, "happened", "second")
	if strings.Contains(second.data, "first") {
		t.Error("what happened is said twice")
	}
	log.Add(events.Held, "", "third")
	again := next(t, listen(t, v.with("Last-Event-ID", second.id)), "happened", "third")
	if strings.Contains(again.data, "second") {
		t.Error("a page that comes again hears what it has heard")
	}
}

// TestLiveEnds holds that a page whose token is taken back is shown nothing more.
func TestLiveEnds(t *testing.T) {
	_, server, _ := serve(t, whole(), Access{Required: true})
	from := listen(t, browser(t, "http://"+server.Address).with("Authorization", "Bearer "+grant(t, server, "wall", access.Read)))
	next(t, from, "status", "north")
	if err := access.Remove(server.config.Tokens.(durable.FS), "wall"); err != nil {
		t.Fatal(err)
	}
	limit := time.After(30 * time.Second)
	for {
		select {
		case _, open := <-from:
			if !open {
				return
			}
		case <-limit:
			t.Fatal("it goes on")
		}
	}
}

// TestTooMany holds that there is an end to how many pages are kept current.
func TestTooMany(t *testing.T) {
	_, server, _ := run(t, whole())
	server.watching.Store(mostLive)
	if code, _, head := browser(t, "http://"+server.Address).ask("GET", "/api/v1/live", ""); code != 503 || head.Get("Retry-After") == "" {
		t.Errorf("one too many: %d", code)
	}
	if n := server.watching.Load(); n != mostLive {
		t.Errorf("%d pages count", n)
	}
}

// TestNames holds that a study is found by a part of its name and of its UID, that the name says nothing of the UID, and depends on the key.
func TestNames(t *testing.T) {
	n := namer("one")
	uid, err := dedup.ParseUID("1.2.840.99")
	if err != nil {
		t.Fatal(err)
	}
	name := n.of("1.2.840.99")
	if len(name) != 8 || name != n.of("1.2.840.99") || name == namer("two").of("1.2.840.99") || name == n.of("1.2.840.98") {
		t.Errorf("its name is %s", name)
	}
	for typed, want := range map[string]bool{name: true, " " + strings.ToUpper(name[:5]): true, "840.9": true, "1.2.840.99": true, "7.7.7": false, name + "x": false} {
		if n.match(typed)(uid) != want {
			t.Errorf("%q finds it: %v", typed, !want)
		}
	}
	if n.match("  ") != nil {
		t.Error("nothing typed leaves studies out")
	}
}
