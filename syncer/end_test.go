package syncer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// late is a stream to a neighbour that stalls. This site comes to its end after a while, or, if that is none, when the first deadline of a conversation has been decided on and is not set yet.
type late struct {
	net.Conn
	end   context.CancelFunc
	after time.Duration
}

func (l late) SetDeadline(at time.Time) error {
	if l.after > 0 {
		return l.Conn.SetDeadline(at)
	}
	if l.end(); at.IsZero() || at.After(time.Now()) {
		synctest.Wait() // whatever the end does is done
	}
	return l.Conn.SetDeadline(at)
}

// TestEndsAtOnce holds that the end of this site waits for no neighbour that stalls, whichever conversation it has with it: a deadline that is set as the end comes gives no more time.
func TestEndsAtOnce(t *testing.T) {
	conversations := map[string]func(ctx context.Context, r *runner, x *transfer, s Stream) error{
		"listens": func(ctx context.Context, r *runner, _ *transfer, s Stream) error {
			return r.Serve(ctx, "b", Control, s)
		},
		"answers":     func(ctx context.Context, r *runner, _ *transfer, s Stream) error { return r.Serve(ctx, "b", Query, s) },
		"gives files": func(ctx context.Context, r *runner, _ *transfer, s Stream) error { return r.Serve(ctx, "b", Fetch, s) },
		"speaks":      func(ctx context.Context, r *runner, _ *transfer, _ Stream) error { return r.speak(ctx, "b", &line{}) },
		"compares": func(_ context.Context, r *runner, _ *transfer, _ Stream) error {
			return r.ask("b", func(k *talk) error { return k.say(&wire.Compare{}) })
		},
		"asks for a certificate": func(ctx context.Context, r *runner, _ *transfer, _ Stream) error {
			_, err := r.Holds(ctx, "b", nil)
			return err
		},
		"asks for offers": func(ctx context.Context, _ *runner, x *transfer, _ Stream) error {
			_, err := x.offers(ctx, &wire.Heads{})
			return err
		},
		"asks for files": func(ctx context.Context, _ *runner, x *transfer, _ Stream) error {
			_, err := (&fetching{transfer: x}).request(ctx, nil, 1)
			return err
		},
		"asks for a piece": func(ctx context.Context, _ *runner, x *transfer, _ Stream) error {
			_, err := x.piece(ctx, want{}, span{0, 1}, 1)
			return err
		},
		"sends a file": func(ctx context.Context, _ *runner, _ *transfer, s Stream) error {
			k := newTalk(ctx, s)
			defer k.done()
			x := &sender{talk: k, desk: (&desks{}).take(), request: &wire.Fetch{}}
			x.out.Reset(k)
			return errors.Join(x.body(Book{}, &wire.FileHeader{}, wire.Want{}), x.out.Flush())
		},
	}
	for name, talks := range conversations {
		for _, after := range []time.Duration{0, time.Second} {
			t.Run(fmt.Sprint(name, ", ", after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, end := context.WithCancel(t.Context())
					here, there := net.Pipe()
					defer there.Close()
					stream := late{here, end, after}
					open := func(context.Context, string, Use) (Stream, error) { return stream, nil }
					s := New(Config{Self: "a", Open: open, Catalog: &crowdOf{sums: index.NewSums([32]byte{1}, 0)}})
					r := &runner{Syncer: s, ctx: ctx, lines: map[string]*line{}}
					if after > 0 {
						time.AfterFunc(after, end)
					}
					began := time.Now()
					err := talks(ctx, r, &transfer{puller: s.puller, site: "b"}, stream)
					if took := time.Since(began); err == nil || took != after {
						t.Errorf("it ends after %v: %v", took, err)
					}
					here.Close()
					r.tasks.Wait()
				})
			})
		}
	}
}
