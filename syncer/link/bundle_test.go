package link

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dicomesh/dicomesh/syncer/link/linktest"
)

// TestBundle: real connections over 50 ms and 30 Mbit/s find how many of them are of use at each loss. It prints what they carried.
func TestBundle(t *testing.T) {
	for _, c := range []struct {
		loss        float64
		least, most int
	}{{0, 1, 1}, {0.001, 2, 8}, {0.005, 4, 32}} {
		synctest.Test(t, func(t *testing.T) {
			k := newCluster(t, 25*time.Millisecond, "a", "b")
			k.net.Change(func(p *linktest.Path) { p.Rate = 30e6 / 8 })
			var got atomic.Int64
			config := k.configFor("b")
			config.Streams = map[Kind]Service{Data: {Limit: 256, Serve: func(_ context.Context, s *Stream) {
				b := make([]byte, 64<<10)
				for {
					n, err := s.Read(b)
					if got.Add(int64(n)); err != nil {
						return
					}
				}
			}}}
			k.start(k.configFor("a"))
			k.start(config)
			within(t, 5*time.Second, "link", func() bool { return k.bundled("a", "b") })
			k.net.Change(func(p *linktest.Path) { p.Loss = c.loss })
			a := k.sites["a"]
			stop := make(chan struct{})
			var senders sync.WaitGroup
			for i := range 128 {
				senders.Go(func() { send(t, a, i, stop) })
			}
			took := within(t, 30*time.Second, "a bundle", func() bool { return a.found("b") >= c.least })
			pass(time.Second)
			before, began := got.Load(), time.Now()
			pass(2 * time.Second)
			l := a.link("b")
			rate := float64(got.Load()-before) / time.Since(began).Seconds()
			t.Logf("loss %.1f %% (seen %.2f %%): %d connections after %v, %.2f MB/s of 3.75", c.loss*100, l.Loss*100, l.Wanted, took, rate/1e6)
			if l.Wanted < c.least || l.Wanted > c.most {
				t.Errorf("%d connections, want %d to %d", l.Wanted, c.least, c.most)
			}
			if rate < 2.8e6 {
				t.Errorf("%.2f MB/s are too few", rate/1e6)
			}
			if k.sites["b"].link("a").Connections != l.Connections {
				t.Errorf("%d connections there, %d here", k.sites["b"].link("a").Connections, l.Connections)
			}
			close(stop)
			senders.Wait()
			if c.loss < 0.005 {
				return
			}
			pass(6 * time.Minute) // nobody needs the others any more
			if l := a.link("b"); l.Connections != 1 || k.sites["b"].link("a").Connections != 1 || l.Streams != 0 {
				t.Errorf("later: %+v", l)
			}
		})
	}
}

// found is the size of a bundle that is not on trial.
func (s *testSite) found(other string) int {
	s.Endpoint.mu.Lock()
	defer s.Endpoint.mu.Unlock()
	if sizing := s.sites[other].sizing; !sizing.trying {
		return sizing.want()
	}
	return 0
}

// send writes to b in streams of 128 KiB until stop, while i is among the senders that the link is wide enough for: four a connection.
func send(t *testing.T, a *testSite, i int, stop chan struct{}) {
	piece := make([]byte, 128<<10)
	for {
		select {
		case <-stop:
			return
		default:
		}
		if i >= 4*a.link("b").Connections {
			<-time.After(100 * time.Millisecond)
			continue
		}
		s, err := a.Open(t.Context(), "b", Data)
		if err != nil {
			t.Error(err)
			return
		}
		s.SetDeadline(time.Now().Add(time.Minute))
		if _, err := s.Write(piece); err != nil {
			t.Error(err)
		}
		s.CloseWrite()
		io.Copy(io.Discard, s)
		s.Close()
	}
}

// TestReceiverAsks: the end that sends measures, so it asks the one that dialled for more connections.
func TestReceiverAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCluster(t, 5*time.Millisecond, "a", "b")
		for _, name := range k.names {
			config := k.configFor(name)
			config.Roster = rosterFor(name, k.names, "b", "") // b can only dial out
			k.start(config)
		}
		within(t, 5*time.Second, "link", func() bool { return k.bundled("a", "b") })
		a := k.sites["a"]
		a.Endpoint.mu.Lock()
		a.sites["b"].sizing.extra = 7
		a.sites["b"].changed()
		a.Endpoint.mu.Unlock()
		within(t, 2*time.Second, "eight connections", func() bool {
			return a.link("b").Connections == 8 && k.sites["b"].link("a").Connections == 8 && k.sites["b"].link("a").Wanted == 8
		})
	})
}
