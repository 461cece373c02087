package syncer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/syncer/wire"
)

// Stream is one stream of a link.
type Stream interface {
	io.ReadWriteCloser // Close ends both directions; what was written before is delivered
	// SetDeadline bounds the calls of Read and Write that come.
	SetDeadline(time.Time) error
}

// Use says what a stream is for: the caller has a kind of streams for each, and hands incoming ones to Serve with theirs.
type Use uint8

// The uses.
const (
	Control Use = iota + 1 // hints and claims, for as long as the link stands; it rides where gossip does
	Query                  // questions about studies
	Fetch                  // files
)

// Opener opens a stream to a site. It fails at once when there is no link.
type Opener func(ctx context.Context, site string, use Use) (Stream, error)

// patience is how long a neighbour may let a stream wait for its next message (Rules.Patience).
const patience = 30 * time.Second

// mostUnknown is how many messages of kinds that this release does not know a neighbour may say one after the other.
const mostUnknown = 64

// talk is a stream with the means to say and hear messages on it. It is for one goroutine. When its context ends, what is said, heard, read and
// written fails at once, until done is called, which is to be when the conversation is over.
type talk struct {
	Stream
	ctx      context.Context
	done     func() bool
	in       *bufio.Reader
	out      []byte
	patience time.Duration
	wrote    time.Duration // that was spent writing
	until    time.Time     // when the conversation has to be over, however little of it comes at a time; zero: that is not asked for
}

// SetDeadline implements Stream. A context that has ended gives no more time, whatever is asked for: also one that ends meanwhile, and whose own deadline this one would undo.
func (t *talk) SetDeadline(at time.Time) error {
	err := t.Stream.SetDeadline(at)
	if t.ctx.Err() != nil {
		return t.Stream.SetDeadline(over())
	}
	return err
}

// over is a deadline that has passed, whatever the clock shows.
func over() time.Time { return time.Unix(1, 0) }

// wait bounds the calls of Read and Write that come: by patience, and by what is left for the conversation.
func (t *talk) wait() {
	at := time.Now().Add(t.patience)
	if !t.until.IsZero() && t.until.Before(at) {
		at = t.until
	}
	_ = t.SetDeadline(at) // a stream that is over says so when it is read
}

// desks are what streams of requests need to work, each for one at a time: there are thousands of streams, and few at a time.
type desks struct{ idle sync.Pool }

// desk is room to read and to write in.
type desk struct {
	in     *bufio.Reader
	out    *bufio.Writer
	buffer []byte
}

func (d *desks) take() *desk {
	if x, is := d.idle.Get().(*desk); is {
		return x
	}
	return &desk{in: bufio.NewReaderSize(nil, 64<<10), out: bufio.NewWriterSize(nil, 64<<10)}
}

// give takes a desk back. Nobody may use it, or what is in its buffer, any more.
func (d *desks) give(x *desk) {
	x.in.Reset(nil)
	x.out.Reset(nil)
	d.idle.Put(x)
}

// talk is newTalk at this desk.
func (x *desk) talk(ctx context.Context, s Stream) *talk {
	x.in.Reset(s)
	return begin(ctx, s, x.in)
}

func newTalk(ctx context.Context, s Stream) *talk {
	return begin(ctx, s, bufio.NewReaderSize(s, 64<<10))
}

func begin(ctx context.Context, s Stream, in *bufio.Reader) *talk {
	t := &talk{Stream: s, ctx: ctx, in: in, patience: patience}
	t.done = context.AfterFunc(ctx, func() { _ = s.SetDeadline(over()) })
	return t
}

// say sends messages, together.
func (t *talk) say(messages ...wire.Message) error {
	t.out = t.out[:0]
	for _, m := range messages {
		t.out = wire.Append(t.out, m)
	}
	t.wait()
	began := time.Now()
	_, err := t.Write(t.out)
	t.wrote += time.Since(began)
	return err
}

// hear reads the next message. Those of kinds that this release does not know are passed over, but for somebody who says nothing else.
func (t *talk) hear() (wire.Message, error) {
	t.wait()
	for range mostUnknown {
		m, err := wire.Read(t.in, wire.MaxFrame)
		if _, unknown := m.(*wire.Unknown); err != nil || !unknown {
			return m, err
		}
	}
	return nil, fault("nothing but messages of unknown kinds")
}

// errFault says that a neighbour did what it should not: it is to be blamed, and others asked.
var errFault = errors.New("at fault")

// fault is an errFault with what it was.
func fault(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errFault, fmt.Errorf(format, args...))
}

// blameStall makes of a deadline that passed in a conversation its other end's fault. It is nobody's where this site ended the conversation itself; a link that is
// lost says something else, and sooner.
func blameStall(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return fault("a stream that is kept waiting: %w", err)
}

// answer reads one message of type M.
func answer[M wire.Message](t *talk) (M, error) {
	var none M
	m, err := t.hear()
	switch {
	case errors.Is(err, wire.ErrFrame):
		return none, fault("%w", err)
	case err == io.EOF: // the neighbour ended it: a link that is lost says something else
		return none, fault("an answer that ends too early")
	case err != nil:
		return none, err
	}
	got, ok := m.(M)
	if !ok {
		return none, fault("an answer of kind %s", m.Kind())
	}
	return got, nil
}
