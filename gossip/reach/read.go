package reach

import (
	"encoding/binary"
	"time"

	"github.com/dicomesh/dicomesh/gossip/roster"
)

// reader takes values off the front of a message. After the first that is not there, or not in its one form, all are zero and failed is set.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if r.failed || n > len(r.rest) {
		r.failed = true
		return make([]byte, min(n, maxRow))
	}
	value := r.rest[:n]
	r.rest = r.rest[n:]
	return value
}

func (r *reader) byte() byte { return r.take(1)[0] }

// number takes a number of at most that, in its shortest form.
func (r *reader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.failed || n <= 0 || n > 1 && r.rest[n-1] == 0 || v > most {
		r.failed = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) text(most int) string {
	n := int(r.number(uint64(most)))
	if r.failed {
		return ""
	}
	return string(r.take(n))
}

// name takes the name of a site.
func (r *reader) name() string {
	name := r.text(roster.MaxName)
	r.failed = r.failed || roster.CheckName(name) != nil
	return name
}

// duration takes milliseconds.
func (r *reader) duration(most time.Duration) time.Duration {
	return time.Duration(r.number(uint64(most.Milliseconds()))) * time.Millisecond
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func appendNumber(b []byte, n uint64) []byte { return binary.AppendUvarint(b, n) }
