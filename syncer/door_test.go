package syncer

import (
	"bytes"
	"slices"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
)

// TestContent: a compressed file is read to its end, whatever it is made of, and only one of a single piece is said to be that.
func TestContent(t *testing.T) {
	ref := dedup.Ref{Class: dedup.Instance, Name: "1.2.3"}
	text := bytes.Repeat([]byte("abc"), 1000)
	one := dedup.Compress(nil, text)
	empty := dedup.Compress(nil, nil)
	for what, stored := range map[string][]byte{
		"one piece": one, "two": dedup.Compress(dedup.Compress(nil, text[:7]), text[7:]), "an empty one behind": slices.Concat(one, empty), "an empty one before": slices.Concat(empty, one),
	} {
		got, single, err := content(ref, stored)
		if err != nil || !bytes.Equal(got, text) || single != (what == "one piece") {
			t.Errorf("%s: %d bytes, one piece: %v, %v", what, len(got), single, err)
		}
	}
	for what, stored := range map[string][]byte{
		"nothing": nil, "cut short": one[:len(one)-1], "more behind": append(slices.Clone(one), 0),
	} {
		if _, _, err := content(ref, stored); err == nil {
			t.Errorf("%s reads", what)
		}
	}
}
