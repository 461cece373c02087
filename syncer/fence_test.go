package syncer

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// TestFence holds that a site's next message is read when the one before has been worked off, and not when it has found a place to wait in: else one that says much takes the place of others.
func TestFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Syncer{events: make(chan event, 1024), guards: guards{sites: map[string]*guard{}}}
		s.config.Event = func(Event) {}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		here, there := net.Pipe()
		defer there.Close()
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx, "a", Control, here) }()
		var said atomic.Int64
		go func() {
			k := newTalk(t.Context(), there)
			for k.say(&wire.Hello{Summary: wire.Summary{Incarnation: "i"}}) == nil {
				said.Add(1)
			}
		}()
		for want := int64(1); want <= 3; want++ {
			<-time.After(time.Second)
			synctest.Wait()
			if n, events := said.Load(), len(s.events); n != want || events != 2 {
				t.Fatalf("%d messages are taken, %d events wait, when %d messages have been worked off", n, events, want-1)
			}
			<-s.events
			f, is := (<-s.events).(fence)
			if !is {
				t.Fatal("there is no fence")
			}
			close(f.passed)
		}
		stop()
		there.Close()
		<-served
	})
}

// TestSuspectLast holds that a site whose last pull was at fault is asked after all others, also after the origin, which is else the last choice.
func TestSuspectLast(t *testing.T) {
	c := newCore("me", DefaultRules(), func(s wire.StudyState) [32]byte { return s.Leaf })
	now := time.Unix(1_800_000_000, 0)
	pulls := func(e event) (from string) {
		for _, fx := range c.handle(e, now) {
			if p, is := fx.(startPull); is {
				from = p.site
			}
		}
		return from
	}
	offer := func(site string, n int) event {
		return holds{site, []held{{wire.StudyState{UID: study(n), Leaf: dedup.Digest{1}}, wire.StudyState{UID: study(n)}}}, true}
	}
	pulls(linkUp{"liar"})
	if from := pulls(offer("liar", 1)); from != "liar" {
		t.Fatalf("it pulls from %q", from)
	}
	pulls(pulled{study: study(1), end: atFault})
	pulls(linkUp{"origin"})
	pulls(room{Room{Low: true}})
	pulls(offer("origin", 2))
	pulls(offer("liar", 2))
	if from := pulls(room{Room{}}); from != "origin" {
		t.Errorf("it pulls from %q, and there is another one than the liar", from)
	}
}
