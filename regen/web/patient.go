package web

import (
	"io"
	"math"
	"net/http"
	"time"
)

// patience is how long a client may take to accept one piece of an answer, or to send one of its question.
const patience = 30 * time.Second

// piece is what is handed to the system with one deadline.
const piece = 256 << 10

// Patient gives each piece of an answer and of a question its own time, so that a large one may take long and a client that has gone may not. It is for servers that have no deadline for the
// whole.
func Patient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		r.Body = &patientBody{ReadCloser: r.Body, control: control}
		next.ServeHTTP(patientWriter{w, control}, r)
	})
}

type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

// Unwrap is for http.ResponseController.
func (p patientWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// Write implements io.Writer. A deadline that cannot be set is that of a connection which a test made.
func (p patientWriter) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(patience))
	return p.ResponseWriter.Write(b)
}

// ReadFrom implements io.ReaderFrom, so that files go from their pages to the socket, piece by piece. The system does that for a file and for a limited one, but not for a limit of a limit.
func (p patientWriter) ReadFrom(r io.Reader) (n int64, err error) {
	all, limited := r.(*io.LimitedReader)
	if !limited {
		all = &io.LimitedReader{R: r, N: math.MaxInt64}
	}
	for all.N > 0 {
		_ = p.control.SetWriteDeadline(time.Now().Add(patience))
		size := min(all.N, piece)
		sent, err := io.Copy(p.ResponseWriter, &io.LimitedReader{R: all.R, N: size})
		n, all.N = n+sent, all.N-sent
		if err != nil || sent < size {
			return n, err
		}
	}
	return n, nil
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
