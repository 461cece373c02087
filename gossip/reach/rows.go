package reach

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Rows are the last row of each site that is known here.
type Rows map[string]Held

// Merge is the union of two sets of rows: of each site the last one, and of one and the same row the greater age, because whoever hands a row on can only have
// missed some of it. It is commutative, associative and idempotent.
func Merge(a, b Rows) Rows {
	out := maps.Clone(a)
	if out == nil {
		out = Rows{}
	}
	for site, h := range b {
		out.put(site, h)
	}
	return out
}

// put takes a row in and says whether it is news.
func (r Rows) put(site string, h Held) (news bool) {
	old, is := r[site]
	order := h.compare(old)
	switch {
	case !is || order > 0:
		r[site] = h
		return true
	case order == 0:
		old.born = min(old.born, h.born)
		r[site] = old
	}
	return false
}

// A message is any number of rows, each: its age in milliseconds, its length, its bytes, the signature.

// encode writes rows as they are to be handed on now.
func encodeHeld(now time.Duration, rows ...Held) []byte {
	var b []byte
	for _, h := range rows {
		b = appendNumber(b, uint64(min(h.age(now), maxAge).Milliseconds()))
		b = appendText(b, h.body)
		b = append(b, h.signature[:]...)
	}
	return b
}

// sorted are the rows in order of their sites.
func (r Rows) sorted() []Held {
	held := make([]Held, 0, len(r))
	for _, site := range slices.Sorted(maps.Keys(r)) {
		held = append(held, r[site])
	}
	return held
}

// decodeHeld reads a message. Nothing of it is verified yet. ErrMalformed.
func decodeHeld(now time.Duration, message []byte) ([]Held, error) {
	var held []Held
	r := reader{rest: message}
	for len(r.rest) > 0 {
		age := r.duration(maxAge)
		body := r.text(maxRow)
		signature := r.take(ed25519.SignatureSize)
		if r.failed || len(held) > MaxSites {
			return nil, fmt.Errorf("rows: %w", ErrMalformed)
		}
		row, err := decodeRow(body)
		if err != nil {
			return nil, err
		}
		held = append(held, Held{row, body, [ed25519.SignatureSize]byte(signature), now - age})
	}
	return held, nil
}
