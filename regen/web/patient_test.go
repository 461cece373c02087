package web_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dicomesh/dicomesh/regen/web"
)

// pipes is a listener of one connection in memory.
type pipes struct {
	next chan net.Conn
	done chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.next:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.done)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A client that takes a little of an answer now and then gets all of it, however long that takes; one that takes nothing is let go.
func TestPatient(t *testing.T) {
	const size = 4 << 20
	for name, c := range map[string]struct {
		pause time.Duration
		whole bool
	}{"slow": {20 * time.Second, true}, "gone": {10 * time.Minute, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &pipes{next: make(chan net.Conn), done: make(chan struct{})}
				server := &http.Server{Handler: web.Patient(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, _ = io.Copy(w, io.LimitReader(zeros{}, size))
				}))}
				served := make(chan error, 1)
				go func() { served <- server.Serve(l) }()
				mine, theirs := net.Pipe()
				l.next <- theirs
				began := time.Now()
				_, err := io.WriteString(mine, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				must(t, err)
				in := bufio.NewReaderSize(mine, 512<<10)
				r, err := http.ReadResponse(in, nil)
				must(t, err)
				var got bytes.Buffer
				for err == nil {
					<-time.After(c.pause)
					_, err = io.CopyN(&got, r.Body, 512<<10)
				}
				if whole := got.Len() == size; whole != c.whole {
					t.Errorf("%d bytes in %v: %v", got.Len(), time.Since(began), err)
				}
				must(t, mine.Close())
				must(t, server.Close())
				<-served
			})
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// A client that sends a little of its question now and then is served, however long that takes, and so is one that has to wait for us; one that sends a byte now and then, to keep a connection, is let go.
func TestPatientWithQuestions(t *testing.T) {
	const size = 1 << 20
	for name, c := range map[string]struct {
		piece       int
		pause, rest time.Duration // between pieces; of the server, in the middle
		whole       bool
	}{"slow": {64 << 10, 20 * time.Second, 0, true}, "kept waiting": {64 << 10, time.Second, 10 * time.Minute, true}, "bytes": {1, 20 * time.Second, 0, false}, "gone": {64 << 10, time.Hour, 0, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &pipes{next: make(chan net.Conn), done: make(chan struct{})}
				got := make(chan int64, 1)
				server := &http.Server{Handler: web.Patient(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					n, err := io.CopyN(io.Discard, r.Body, size/2)
					if err == nil {
						<-time.After(c.rest)
						var more int64
						more, err = io.Copy(io.Discard, r.Body)
						n += more
					}
					if err != nil && c.whole {
						t.Errorf("%v", err)
					}
					got <- n
				}))}
				served := make(chan error, 1)
				go func() { served <- server.Serve(l) }()
				mine, theirs := net.Pipe()
				l.next <- theirs
				began := time.Now()
				gone := make(chan struct{})
				go func() {
					defer close(gone)
					_, err := fmt.Fprintf(mine, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", size)
					for sent := 0; err == nil && sent < size; sent += c.piece {
						_, err = mine.Write(make([]byte, c.piece))
						<-time.After(c.pause)
					}
				}()
				if n := <-got; (n == size) != c.whole || !c.whole && time.Since(began) > time.Minute {
					t.Errorf("%d bytes in %v", n, time.Since(began))
				}
				_, _ = io.Copy(io.Discard, mine) // the answer
				must(t, mine.Close())
				<-gone
				must(t, server.Close())
				<-served
			})
		})
	}
}
