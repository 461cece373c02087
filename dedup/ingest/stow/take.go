package stow

import (
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/mediatype"
	"github.com/dicomesh/dicomesh/dedup/part10"
)

// maxParts bounds what is remembered of one request: an answer each.
const maxParts = 100_000

// several are the parts of a body. A body that ends before its last boundary is an error.
func several(body io.Reader, boundary string) func() (*part, error) {
	parts := multipart.NewReader(body, boundary)
	return func() (*part, error) {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return nil, err
		}
		if err != nil {
			return nil, broken(err)
		}
		out := &part{Reader: p, length: p.Header.Get("Content-Length")}
		kind, err := mediatype.Parse(p.Header.Get("Content-Type"))
		encoding := strings.ToLower(p.Header.Get("Content-Transfer-Encoding"))
		switch {
		case p.Header.Get("Content-Type") != "" && (err != nil || kind.Name != dicomType):
			out.fault = "the part is not application/dicom"
		case encoding != "" && encoding != "binary" && encoding != "8bit" && encoding != "7bit":
			out.fault = "the part is encoded"
		}
		return out, nil
	}
}

// broken says what is wrong with a body that cannot be read.
func broken(err error) error {
	return problem{http.StatusBadRequest, "the body is no whole multipart/related, or ended before its last boundary: " + cause(err)}
}

// cause is what a reader says, without what the client wrote.
func cause(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "it ends too early"
	case errors.Is(err, multipart.ErrMessageTooLarge):
		return "the head of a part is too large"
	}
	return "it cannot be read"
}

// taking is a request that is being taken in.
type taking struct {
	door    *Door
	ctx     context.Context
	study   dedup.UID // of which all instances have to be; zero: of any
	answers *answers

	since time.Time // when its turn began; zero: it has none
	batch *ingest.Batch
	in    []*answer // those of whom the batch decides
	read  int64     // bytes of those
}

// long is how long a request keeps its turn while others wait. Then what it has is made durable, and it has to wait itself: whoever sends slowly does not keep others from storing.
const long = 2 * time.Second

// turn waits until the request may take an instance apart.
func (t *taking) turn() error {
	if !t.since.IsZero() {
		return nil
	}
	t.door.waiting.Add(1)
	defer t.door.waiting.Add(-1)
	select {
	case t.door.turns <- struct{}{}:
		t.since = time.Now()
		return nil
	case <-t.ctx.Done():
		return t.ctx.Err()
	}
}

// leave ends the turn. What is not durable by then is none of the archive's.
func (t *taking) leave() {
	t.discard()
	if !t.since.IsZero() {
		t.since = time.Time{}
		<-t.door.turns
	}
}

// sending is a body while others may wait.
type sending struct {
	io.Reader
	t *taking
}

// Read implements io.Reader.
func (s sending) Read(b []byte) (int, error) {
	if err := s.t.yield(); err != nil {
		return 0, err
	}
	return s.Reader.Read(b)
}

// yield ends a turn that has lasted long, if others wait.
func (t *taking) yield() error {
	if t.since.IsZero() || t.door.waiting.Load() == 0 || time.Since(t.since) < long {
		return nil
	}
	err := t.commit()
	t.leave()
	return err
}

// all takes all parts.
func (t *taking) all(next func() (*part, error)) error {
	defer t.leave()
	for {
		p, err := next()
		if err == io.EOF {
			return t.commit()
		}
		if err != nil {
			return err
		}
		if len(t.answers.list) >= maxParts {
			return problem{http.StatusRequestEntityTooLarge, "the request has too many parts: at most 100,000"}
		}
		if err := t.one(p); err != nil {
			return err
		}
		if len(t.in) >= t.door.config.Bounds.Files || t.read >= t.door.config.Bounds.Bytes {
			if err := t.commit(); err != nil {
				return err
			}
		}
	}
}

// one takes a part. An error ends the request; what is wrong with the part alone is its answer.
func (t *taking) one(p *part) error {
	a := &answer{}
	t.answers.list = append(t.answers.list, a)
	if p.fault != "" {
		a.refuse(cannotUnderstand, p.fault)
		_, err := io.Copy(io.Discard, p)
		return t.reading(err)
	}
	s := &spool{dir: t.door.config.Spool, refusal: t.door.config.Refusal}
	defer s.close()
	if _, err := io.Copy(s, p); err != nil && s.failed == nil {
		return t.reading(err)
	}
	if s.failed != nil {
		t.systems(a, s.failed)
		_, err := io.Copy(io.Discard, p)
		return t.reading(err)
	}
	if said, err := strconv.ParseInt(strings.TrimSpace(p.length), 10, 64); p.length != "" && (err != nil || said != s.size) {
		a.refuse(cannotUnderstand, "the part is not as long as its head says")
		return nil
	}
	if err := t.turn(); err != nil {
		return err
	}
	t.take(a, s)
	return nil
}

// systems answers an instance that this site cannot store now.
func (t *taking) systems(a *answer, err error) {
	a.refuse(processingFailure, err.Error())
	if durable.IsFull(err) {
		a.failure = outOfResources
	} else {
		t.door.config.Log.Warn("an instance could not be received", "error", err)
	}
}

// reading is an error of reading the body, nil for none.
func (t *taking) reading(err error) error {
	if err == nil {
		return nil
	}
	return broken(err)
}

// take takes an instance apart into the batch.
func (t *taking) take(a *answer, s *spool) {
	id, class, _ := part10.Describe(s, s.size) // what is wrong with it the batch says
	a.class, a.sop, a.series, a.study = class, id.SOP, id.Series, id.Study
	if t.study != (dedup.UID{}) && id.Study != (dedup.UID{}) && id.Study != t.study {
		a.refuse(otherStudy, "the instance is not of the study in the URL")
		return
	}
	if t.batch == nil {
		b, err := t.door.config.Archive.OpenBatch()
		if err != nil {
			t.systems(a, err)
			return
		}
		t.batch = b
	}
	r, done := t.batch.Add(strconv.Itoa(len(t.answers.list)), s, s.size)
	if done {
		t.settle(a, r)
		return
	}
	t.in = append(t.in, a)
	t.read += s.size
}

// commit makes the batch durable.
func (t *taking) commit() error {
	if t.batch == nil {
		return nil
	}
	if err := t.ctx.Err(); err != nil {
		return err
	}
	results := t.batch.Commit()
	t.batch.Discard()
	t.batch = nil
	for n, a := range t.in {
		if n < len(results) { // they are in the order of Add
			t.settle(a, results[n])
		} else {
			a.refuse(processingFailure, "it was not answered")
		}
	}
	t.in, t.read = nil, 0
	return nil
}

func (t *taking) discard() {
	if t.batch != nil {
		t.batch.Discard()
		t.batch = nil
	}
}

// settle makes an answer of what became of an instance, and passes that on.
func (t *taking) settle(a *answer, r ingest.Result) {
	switch {
	case r.Status == ingest.Duplicate && r.Reason != "": // its content was deleted before: it is not to be had here
		a.refuse(deletedBefore, r.Reason)
	case r.Status != ingest.Refused:
		a.study, a.series, a.sop = r.Study, r.Series, r.SOP
		a.stored = true
	case durable.IsFull(r.Err):
		a.refuse(outOfResources, r.Reason)
	case errors.Is(r.Err, part10.ErrFormat), errors.Is(r.Err, ingest.ErrNoPlace), errors.Is(r.Err, part10.ErrTruncated):
		a.refuse(cannotUnderstand, r.Reason)
	default:
		a.refuse(processingFailure, r.Reason)
	}
	r.Path = ""
	t.door.config.Report(r)
}
