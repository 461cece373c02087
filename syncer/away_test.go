package syncer

import (
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/e2e/raced"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// counted is the asker's end of a stream: what it said and heard, and how often it had to wait for an answer.
type counted struct {
	net.Conn
	said, heard, trips int
}

func (c *counted) Write(b []byte) (int, error) {
	c.said, c.trips = c.said+len(b), c.trips+1 // a question is one Write, and is answered before the next
	return c.Conn.Write(b)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.heard += n
	return n, err
}

// enter puts studies into an index, straight: instances of them are of no matter here.
func enter(t *testing.T, x *index.Index, from, to, version int) {
	t.Helper()
	for n := from; n < to; n++ {
		uid, err := dedup.ParseUID(fmt.Sprintf("1.2.826.0.1.3680043.%d", n))
		if err != nil {
			t.Fatal(err)
		}
		leaf := dedup.Digest(sha256.Sum256(fmt.Append(nil, n, version)))
		if _, err := x.Update(t.Context(), uid, index.Change{Leaf: &leaf, Facts: &index.Facts{Instances: 1, Series: 1, Files: 1, Bytes: 1000, Complete: true}}); err != nil {
			t.Fatal(err)
		}
	}
}

// libraryOf opens the library of a state folder.
func libraryOf(t *testing.T, state string) (*Library, *index.Index) {
	t.Helper()
	tree, err := durable.OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.Close() })
	x, err := index.Open(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	l, err := OpenLibrary(t.Context(), LibraryConfig{Tree: tree, Index: x, Key: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	return l, x
}

// asking has a conversation with a library, as between two sites. What is noted there of walks is told.
func asking(t *testing.T, of *Library, ask func(*talk) error, notes ...func([]wire.Key)) *counted {
	t.Helper()
	a, b := net.Pipe()
	var answering sync.WaitGroup
	answering.Go(func() {
		defer b.Close()
		_ = (&answers{catalog: of, archive: of}).queries(t.Context(), newTalk(t.Context(), b), (&guards{sites: map[string]*guard{}}).of("b"), func(keys []wire.Key) {
			for _, note := range notes {
				note(keys)
			}
		})
	})
	c := &counted{Conn: a}
	if err := ask(newTalk(t.Context(), c)); err != nil {
		t.Fatal(err)
	}
	_ = a.Close()
	answering.Wait()
	return c
}

// TestAway holds what it costs to find the 1,000 of 100,000 studies that changed at another site while this one was away: by the trees, as after a restart, and by
// the feed, as after a cut.
func TestAway(t *testing.T) {
	all, some := 100_000, 1000
	if raced.On(t) {
		all, some = 2000, 500 // nothing here runs beside anything else
	}
	here, there := t.TempDir(), t.TempDir()
	x, err := index.Open(t.Context(), there)
	if err != nil {
		t.Fatal(err)
	}
	enter(t, x, 0, all, 1)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(here, os.DirFS(there)); err != nil {
		t.Fatal(err)
	}
	mine, _ := libraryOf(t, here)
	_, x = libraryOf(t, there)
	since := mine.Summary().Change
	for n := range some {
		enter(t, x, n*(all/some), n*(all/some)+1, 2)
	}
	_ = x.Close()
	theirs, _ := libraryOf(t, there)

	began := time.Now()
	var found []held
	c := asking(t, theirs, func(k *talk) (err error) { found, _, err = compareWith(t.Context(), mine, k, 1<<20); return err })
	t.Logf("trees: %d of %d studies, %d bytes said, %d heard, %d round trips, %v", len(found), all, c.said, c.heard, c.trips, time.Since(began).Round(time.Millisecond))
	if len(found) != some || c.said+c.heard > 1<<20 || c.trips > 4 {
		t.Errorf("%d studies found with %d bytes in %d round trips", len(found), c.said+c.heard, c.trips)
	}
	c = asking(t, theirs, func(k *talk) (err error) {
		found, _, err = follow(t.Context(), mine, k, feed{incarnation: theirs.Summary().Incarnation, since: since})
		return err
	})
	t.Logf("feed: %d studies, %d bytes said, %d heard, %d round trips", len(found), c.said, c.heard, c.trips)
	if len(found) != some || c.said+c.heard > 1<<20 || c.trips != 1 {
		t.Errorf("%d studies found with %d bytes in %d round trips", len(found), c.said+c.heard, c.trips)
	}
}
