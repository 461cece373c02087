package index_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/zeebo/blake3"
)

// received is what a storer says of a value that it checked.
func (s *site) received(r dedup.Ref, text string) index.Received {
	d := dedup.Digest(blake3.Sum256([]byte(text)))
	n := int64(len(text))
	return index.Received{Entry: index.Entry{Ref: r, Path: r.In(s.uid), Disk: n, Size: n, Stored: d, Content: d}}
}

func (s *site) receive(files ...index.Received) index.Holding {
	s.t.Helper()
	h, err := s.k.Receive(s.t.Context(), s.uid, files)
	must(s.t, err)
	return h
}

// TestReceive holds that a file of which its storer has the measures is entered with those and not read, unless it is not the one that was stored.
func TestReceive(t *testing.T) {
	s := newSite(t)
	s.instance(1, 1, "stored")
	ref := s.value("stored")
	s.whole(s.receive(s.received(ref, "stored")), 1, 1)
	if slices.Contains(s.fs.opened, ref.In(s.uid)) {
		t.Error("it was read all the same")
	}
	for e, err := range s.x.Files(t.Context(), s.uid) {
		if err != nil || e.Path == ref.In(s.uid) && e != s.received(ref, "stored").Entry {
			t.Errorf("entered is %+v: %v", e, err)
		}
	}
	s.instance(2, 1, "other")
	other := s.value("other")
	s.write(other, []byte("something else"))
	s.broken(s.receive(s.received(other, "other")), 1, 1, 0)
}

// TestReceiveForeign holds that a value whose name says nothing counts at once when its storer says that it is whole, is read then, and is held against its digest
// from then on; without that word it has to lie still first.
func TestReceiveForeign(t *testing.T) {
	s := newSite(t)
	s.now = time.Now()
	ref := dedup.Ref{Class: dedup.Bulkdata, Name: "0123456789abcdef0123456789abcdef01234567", Ext: ".raw"}
	s.write(ref, []byte("pixels"))
	text := fmt.Appendf(nil, `[{"00080018":{"Value":["1.2.3.1"],"vr":"UI"},"0020000E":{"Value":["1.2.3.9"],"vr":"UI"},"00291010":{"BulkDataURI":%q,"vr":"OB"}}]`, ref.Path())
	s.write(dedup.Ref{Class: dedup.Instance, Name: "1.2.3.1"}, dedup.Compress(nil, text))
	if h := s.look(); h.Complete || h.Retry == 0 {
		t.Fatalf("without a word it counts: %+v", h)
	}
	s.k = s.keeper()
	s.whole(s.receive(index.Received{Entry: index.Entry{Ref: ref, Path: ref.In(s.uid)}}), 1, 1)
	logged, err := s.x.Digests.Study(s.uid)
	if err != nil || logged[ref.In(s.uid)].Content != dedup.Digest(blake3.Sum256([]byte("pixels"))) {
		t.Errorf("the log has %v: %v", logged, err)
	}
}

// TestForeignVariantTakesThePlace holds that a list whose name says nothing may come to stand at the canonical path in the place of the one that was first seen there, when both are kept as
// variants, that the digest log keeps what it has, and that no other content may stand there.
func TestForeignVariantTakesThePlace(t *testing.T) {
	const name = "0123456789abcdef0123456789abcdef01234567"
	list := func(value string) []byte {
		return dedup.Compress(nil, fmt.Appendf(nil, `[{"00090010":{"vr":"CS","Value":["dedupped"]},"00091011":{"vr":"LO","Value":[%q]},"00091012":{"vr":"LO","Value":["info"]}},`+
			`{"00080018":{"Value":["1.2.3.1"],"vr":"UI"},"0020000E":{"Value":["1.2.3.9"],"vr":"UI"},"00204000":{"Value":[%q],"vr":"LT"}}]`, name, value))
	}
	ref := dedup.Ref{Class: dedup.List, Name: name}
	for _, placed := range []string{"second", "neither"} {
		s := newSite(t)
		s.write(ref, list("first"))
		s.whole(s.look(), 1, 1)
		for _, value := range []string{"first", "second"} {
			beside := ref
			beside.Variant = s.file(ref, list(value)).ID.Digest.String()
			s.write(beside, list(value))
		}
		s.write(ref, list(placed))
		h := s.look()
		if placed == "neither" {
			s.broken(h, 0, 1, 0)
		} else if s.whole(h, 1, 1); !h.Conflict {
			t.Errorf("%+v", h)
		}
		logged, err := s.x.Digests.Study(s.uid)
		if err != nil || logged[ref.In(s.uid)].Content != s.file(ref, list("first")).ID.Digest {
			t.Errorf("the log has %v: %v", logged, err)
		}
	}
}

// TestReceiveHead holds that an instance file of which its storer has everything is entered without being read, and that one of which it has not all, or which is not what it
// was, is.
func TestReceiveHead(t *testing.T) {
	s := newSite(t)
	known := func(r dedup.Ref, o dedup.Object) index.Received {
		text := append(o.AppendJSON([]byte{'['}), ']')
		f := dedup.ParseFile(r, text)
		slim := f.Slim()
		stored := dedup.Compress(nil, text)
		return index.Received{File: &slim, Entry: index.Entry{Ref: r, Path: r.In(s.uid), Disk: int64(len(stored)), Size: int64(len(text)),
			Stored: blake3.Sum256(stored), Content: f.ID.Digest}}
	}
	read := func(r dedup.Ref) bool { return slices.Contains(s.fs.opened, r.In(s.uid)) }
	first, o := s.instance(1, 1, "stored")
	s.value("stored")
	s.whole(s.receive(known(first, o)), 1, 1)
	for e, err := range s.x.Files(t.Context(), s.uid) {
		if err != nil || e.Ref == first && e != known(first, o).Entry {
			t.Errorf("entered is %+v: %v", e, err)
		}
	}
	if read(first) {
		t.Error("it was read all the same")
	}
	second, o := s.instance(2, 1, "stored")
	less := known(second, o)
	less.File = nil
	third, o := s.instance(3, 1, "stored")
	other := known(third, o)
	other.Disk++
	s.whole(s.receive(less, other), 3, 1)
	if !read(second) || !read(third) {
		t.Error("what was not known of them was not read")
	}
}
