package gossip

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestThreeSites: they find each other by the roster alone, tell each other what is new, and one that leaves as planned is seen to have left at once.
func TestThreeSites(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		names := []string{"a", "b", "c"}
		for _, name := range names {
			w.start(name, nil, names...).Linked(map[string]string{"a": "b", "b": "c", "c": "a"}[name])
		}
		t.Log("all alive after", within(t, 2*time.Second, "all alive", func() bool { return w.all(Alive, names...) }))
		for _, name := range names {
			for _, other := range names {
				if name != other && (w.sites[name].sees(other).Meta.Count != uint64(other[0]) || !w.sites[name].knows(other)) {
					t.Errorf("%s knows of %s: %+v", name, other, w.sites[name].sees(other))
				}
			}
		}
		meta := Meta{Version: "2", Root: [32]byte{1, 2, 3}, Count: 10_000_000, Change: 7, Roster: [32]byte{9}}
		if err := w.sites["a"].SetMeta(meta); err != nil {
			t.Fatal(err)
		}
		t.Log("meta after", within(t, 3*time.Second, "the meta", func() bool { return w.sites["b"].sees("a").Meta == meta && w.sites["c"].sees("a").Meta == meta }))

		w.sites["a"].merge([]byte("000005small"))
		w.sites["a"].Spread("set", []byte("000005small"))
		large := strings.Repeat("x", 20_000)
		w.sites["a"].merge([]byte("020000" + large))
		w.sites["a"].Spread("set", []byte("020000"+large))
		w.sites["a"].Spread("unknown topic", []byte("x"))
		t.Log("spread after", within(t, 3*time.Second, "what was spread", func() bool {
			return w.sites["b"].knows("small") && w.sites["c"].knows("small") && w.sites["b"].knows(large) && w.sites["c"].knows(large)
		}))

		c := w.sites["c"]
		began := time.Now()
		c.stop()
		left := within(t, 3*time.Second, "c left", func() bool { return w.sites["a"].sees("c").State == Left && w.sites["b"].sees("c").State == Left })
		<-c.done
		c.done <- nil
		t.Log("left after", left, "stopped after", time.Since(began))
		<-time.After(5 * time.Minute)
		if got := w.sites["a"].sees("c"); got.State != Left || got.Since.After(began.Add(5*time.Second)) {
			t.Errorf("later: %+v", got)
		}
	})
}

// TestKilled: a site that just vanishes is gone, not left, within memberlist's WAN times.
func TestKilled(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		names := []string{"a", "b", "c"}
		for _, name := range names {
			w.start(name, nil, names...)
		}
		within(t, 20*time.Second, "all alive, by the timer alone", func() bool { return w.all(Alive, names...) })
		<-time.After(time.Minute)
		w.dark = true
		w.kill("c")
		took := within(t, time.Minute, "gone", func() bool { return w.sites["a"].sees("c").State == Gone && w.sites["b"].sees("c").State == Gone })
		t.Log("gone after", took)
		if took < 15*time.Second {
			t.Error("that is no suspicion, that is a guess")
		}
		w.start("c", nil, names...)
		within(t, 20*time.Second, "c is back", func() bool { return w.all(Alive, names...) })
	})
}

// TestCutHeals: after a cut that outlasts suspicion the halves find each other again by themselves: at once when told of the link, else by the timer.
func TestCutHeals(t *testing.T) {
	for _, told := range []bool{true, false} {
		inWorld(t, func(t *testing.T, w *world) {
			names := []string{"a", "b", "c"}
			for _, name := range names {
				w.start(name, nil, names...)
			}
			within(t, 20*time.Second, "all alive", func() bool { return w.all(Alive, names...) })
			w.cut("a", "c", true)
			w.cut("b", "c", true)
			<-time.After(3 * time.Minute)
			if w.sites["a"].sees("c").State != Gone || w.sites["c"].sees("a").State != Gone || w.sites["a"].sees("b").State != Alive {
				t.Fatalf("after the cut: %+v", w.sites["a"].Members())
			}
			w.cut("a", "c", false)
			w.cut("b", "c", false)
			limit := 20 * time.Second
			if told {
				w.sites["a"].Linked("c")
				limit = time.Second
			}
			t.Log("told", told, "healed after", within(t, limit, "healed", func() bool { return w.all(Alive, names...) }))
		})
	}
}

// TestDarkPath: a join into a path that swallows everything holds up no other, nor the end of Run.
func TestDarkPath(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.dark = true
		names := []string{"a", "b", "z"}
		w.start("a", nil, names...)
		for range 5 {
			w.sites["a"].Linked("z")
			<-time.After(time.Second)
		}
		w.start("b", nil, names...)
		w.sites["a"].Linked("b")
		within(t, time.Second, "b joins", func() bool { return w.sites["a"].sees("b").State == Alive })
		w.sites["a"].Linked("z")
		<-time.After(time.Second)
		began := time.Now()
		w.sites["a"].end(t)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v to stop", took)
		}
		if err := w.sites["a"].transport.config.Send("b", nil); err != nil {
			t.Error(err)
		}
	})
}

// TestStrangersInRumours: what members say of sites that the roster does not have is not believed, and a site that is removed is not told any more.
func TestStrangersInRumours(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.cut("a", "x", true) // a's links let no stranger in
		w.start("a", nil, "a", "b")
		w.start("b", nil, "a", "b", "x")
		w.start("x", nil, "a", "b", "x")
		within(t, 20*time.Second, "b and x", func() bool { return w.all(Alive, "b", "x") && w.all(Alive, "a", "b") })
		<-time.After(time.Minute)
		w.mu.Lock()
		if n := w.sent["a x"]; n > 0 || w.sent["a b"] == 0 {
			t.Errorf("a sent %d packets to x, of which it has only heard", n)
		}
		w.mu.Unlock()
		if got := w.sites["a"].Members(); len(got) != 1 {
			t.Errorf("a believes in %+v", got)
		}
		for _, m := range w.sites["a"].changes {
			if m.Site == "x" {
				t.Errorf("a was told of x: %+v", m)
			}
		}
		w.sites["b"].SetSites([]string{"a", "b"})
		if got := w.sites["b"].Members(); len(got) != 1 || got[0].Site != "a" {
			t.Errorf("b goes on telling of %+v", got)
		}
	})
}

// TestStreamsThatUnpack: a stream whose message would unpack to something large is refused before memberlist sees it.
func TestStreamsThatUnpack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.start("a", nil, "a", "b")
		for name, head := range map[string][]byte{"bare": {compressed}, "labelled": append([]byte{labelMark, 13}, "dicomesh/test\x09"...), "encrypted": {encryptedMsg}} {
			near, far := net.Pipe()
			var err error
			over := make(chan struct{})
			go func() { err = s.transport.incoming(t.Context(), "b", far); close(over) }()
			near.SetDeadline(time.Now().Add(time.Second))
			near.Write(head)
			<-over
			if err != errCompressed {
				t.Errorf("%s: %v", name, err)
			}
			near.Close()
		}
		near, far := net.Pipe() // says nothing
		began := time.Now()
		s.Stream(t.Context(), "b", far)
		if time.Since(began) > streamTime+time.Second {
			t.Error("a silent stream stays")
		}
		near.Close()
	})
}

func TestAddresses(t *testing.T) {
	a, b := addressOf("a"), addressOf("b")
	if a.Equal(b) || !a.Equal(addressOf("a")) || a[0] != 0xfd || len(a) != net.IPv6len {
		t.Error(a, b)
	}
	if joinAddress("a") != "a/["+a.String()+"]:7946" {
		t.Error(joinAddress("a"))
	}
}

func TestConfig(t *testing.T) {
	good := Config{Cluster: "c", Name: "a", Send: func(string, []byte) error { return nil }, Open: func(context.Context, string) (net.Conn, error) { return nil, errCut }}
	for name, spoil := range map[string]func(*Config){
		"no name": func(c *Config) { c.Name = "" }, "a long name": func(c *Config) { c.Name = strings.Repeat("x", 64) },
		"no links": func(c *Config) { c.Open = nil }, "a topic without a name": func(c *Config) { c.Topics = map[string]Topic{"": {}} },
		"a long version": func(c *Config) { c.Meta.Version = strings.Repeat("x", 65) },
	} {
		c := good
		if spoil(&c); func() error { _, err := New(c); return err }() == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestMeta(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Meta{Version: rapid.StringN(0, 10, MaxVersion).Draw(t, "version"), Count: rapid.Uint64().Draw(t, "count"), Change: rapid.Uint64().Draw(t, "change"),
			Leaving: rapid.Bool().Draw(t, "leaving")}
		copy(m.Root[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "root"))
		b, err := m.encode()
		if err != nil || len(b) > 512 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		if got, err := decodeMeta(append(b, "newer"...)); err != nil || got != m {
			t.Fatalf("%+v, %v", got, err)
		}
		for i := range b {
			if _, err := decodeMeta(b[:i]); err == nil {
				t.Fatalf("cut at %d of %d it is taken", i, len(b))
			}
		}
	})
}

// FuzzMerge feeds what another site may send.
func FuzzMerge(f *testing.F) {
	var got [][]byte
	d := &delegate{topics: map[string]Topic{"set": {State: func() []byte { return []byte("state") }, Merge: func(b []byte) bool { got = append(got, b); return true }}},
		tell: func([]byte) {}}
	f.Add(d.LocalState(true))
	f.Add(messageOf("set", []byte("change")))
	f.Fuzz(func(t *testing.T, b []byte) {
		got = nil
		d.MergeRemoteState(b, false)
		d.NotifyMsg(b)
		for _, g := range got {
			if len(g) > len(b) || !bytes.Contains(b, g) {
				t.Fatal("made up")
			}
		}
		if m, err := decodeMeta(b); err == nil {
			again, err := m.encode()
			if err != nil || len(again) > len(b) && !slices.Equal(again, b) && len(again) > 512 {
				t.Fatal(err)
			}
		}
	})
}
