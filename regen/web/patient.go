package web

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// patience is how long a client may take to accept one piece of an answer, or to send one of its question.
const patience = 30 * time.Second

// piece is what is handed to the system with one deadline.
const piece = 256 << 10

// Patient gives each piece of an answer and of a question its own time, so that a large one may take long and a client that has gone may not. It is for servers that have no deadline for the
// whole.
func Patient(next http.Handler) http.Handler {
	buffers := &sync.Pool{New: func() any { return new([piece]byte) }}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		r.Body = &patientBody{ReadCloser: r.Body, control: control}
		next.ServeHTTP(patientWriter{w, control, buffers}, r)
	})
}

type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	buffers *sync.Pool // of pieces
}

// Unwrap is for http.ResponseController.
func (p patientWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// Write implements io.Writer. A deadline that cannot be set is that of a connection which a test made.
func (p patientWriter) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(patience))
	return p.ResponseWriter.Write(b)
}

// ReadFrom implements io.ReaderFrom, piece by piece. A file is read and written, and not handed to the system to send from its pages (sendfile): to a proxy or a viewer on the same machine that
// took half as much CPU again (DESIGN.md). Over a network it was not measured.
func (p patientWriter) ReadFrom(r io.Reader) (n int64, err error) {
	buffer := p.buffers.Get().(*[piece]byte)
	defer p.buffers.Put(buffer)
	for {
		got, err := r.Read(buffer[:])
		if got > 0 {
			sent, err := p.Write(buffer[:got])
			if n += int64(sent); err != nil {
				return n, err
			}
		}
		if err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}

// patientBody gives a client time to send each piece: who sends a byte now and then is let go, and does not keep others from being served. Only the time in which somebody waits for the client
// counts. At its end, or after an error, there is no deadline: a connection that is only listened to for its end, while an answer takes long, would be taken for dead.
type patientBody struct {
	io.ReadCloser
	control *http.ResponseController
	left    int           // of the piece that is being sent
	time    time.Duration // for the rest of it
}

// question is how much of a question has patience of its own. It is less than of an answer: lines are slower in that direction.
const question = 64 << 10

func (b *patientBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.left, b.time = question, patience
	}
	began := time.Now()
	_ = b.control.SetReadDeadline(began.Add(b.time))
	n, err := b.ReadCloser.Read(p)
	b.left, b.time = b.left-n, b.time-time.Since(began)
	if err != nil {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
