package syncer

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/e2e/raced"
	"github.com/dicomesh/dicomesh/syncer/wire"
	"github.com/zeebo/blake3"
)

// flood has a site say or ask something without end, over so many streams, until the test ends or the stream is closed from there.
func (s *site) flood(t *testing.T, from string, use Use, streams int, next func(n int) wire.Message) {
	ctx, cancel := context.WithCancel(t.Context())
	var flooding sync.WaitGroup
	for first := range streams {
		a, b := net.Pipe()
		flooding.Go(func() {
			defer b.Close()
			_ = s.syncer.Serve(ctx, from, use, b)
		})
		flooding.Go(func() {
			defer a.Close()
			defer context.AfterFunc(ctx, func() { _ = a.Close() })()
			k := newTalk(t.Context(), a)
			for n := first; ; n += streams {
				if _, err := k.Write(wire.Append(nil, next(n))); err != nil {
					return
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); flooding.Wait() })
}

// TestFlood holds that a neighbour which says and asks without end takes no more memory than there is for it, is blamed, and that the exchange with others goes on.
func TestFlood(t *testing.T) {
	const known = 2000
	m := newMesh()
	m.rules = func(r *Rules) { r.Known = known }
	honest, b := m.start(t, "honest", t.TempDir()), m.start(t, "b", t.TempDir())
	for n := range 5 {
		honest.instance(study(1), n, 20_000)
		b.instance(study(2), n, 1000)
	}
	b.look(study(2))
	key := wire.Key(index.KeyOf(study(2)))
	beyond := memory()
	b.syncer.Link(t.Context(), "flood", true)
	hello := wire.Summary{Incarnation: "f", Root: wire.Sum{1}, Count: 1 << 40, Change: 1 << 40}
	b.flood(t, "flood", Control, 2, func(n int) wire.Message {
		if n%4 == 0 {
			var claims []wire.Claimed
			for _, s := range made(n*1000, 1000) {
				claims = append(claims, wire.Claimed{UID: s.UID, Leaf: dedup.Digest{1}, Fetched: 1})
			}
			return &wire.Claim{Studies: claims}
		}
		return &wire.Changed{Summary: hello, Studies: made(n*1000, 1000)}
	})
	b.flood(t, "flood", Query, raced.Pick(t, 8, 3), func(n int) wire.Message {
		return []wire.Message{&wire.Heads{Study: study(2)}, &wire.Describe{Keys: []wire.Key{key, key}}, &wire.Compare{Nodes: make([]wire.Node, 100)}}[n%3]
	})
	b.flood(t, "flood", Fetch, raced.Pick(t, 30, 10), func(int) wire.Message {
		return &wire.Fetch{Study: study(2), Budget: 1 << 60, Whole: 1 << 60, Zstd: true}
	})
	m.link(t.Context(), honest, b)
	honest.look(study(1))
	wait(t, func() bool { return b.alike(honest, study(1)) && strings.Contains(b.blames("flood"), "made to wait") })
	for n := range 2 { // and what is told by hints
		honest.instance(study(3), n, 1000)
		honest.look(study(3))
		wait(t, func() bool { return b.alike(honest, study(3)) })
	}
	if used := beyond(); used > 128<<20 {
		t.Errorf("%d MB of memory", used>>20)
	}
	b.syncer.mu.Lock()
	defer b.syncer.mu.Unlock()
	if n, c := len(b.syncer.core.studies), len(b.syncer.core.sites["flood"].claims); n > known+5 || c > mostClaims {
		t.Errorf("%d studies and %d claims are remembered", n, c)
	}
	if n := strings.Count(b.blames("flood"), "made to wait"); n != 1 {
		t.Errorf("the operator is told %d times", n)
	}
}

// TestBadQuestions holds that names which must not become paths get no answer and open nothing, and that who asks by them is blamed; likewise for what is said of studies.
func TestBadQuestions(t *testing.T) {
	b := newMesh().start(t, "b", t.TempDir())
	b.instance(study(1), 1, 100)
	b.look(study(1))
	raw := func(use Use, frame []byte) (answer []byte) {
		x, y := net.Pipe()
		var serving sync.WaitGroup
		serving.Go(func() {
			defer y.Close()
			_ = b.syncer.Serve(t.Context(), "x", use, y)
		})
		_ = x.SetDeadline(time.Now().Add(time.Minute))
		_, _ = x.Write(frame)
		var all bytes.Buffer
		_, _ = all.ReadFrom(x)
		_ = x.Close()
		serving.Wait()
		return all.Bytes()
	}
	for name, bad := range badNames() {
		stands := placeholder(len(bad))
		was := b.count(Blamed)
		frame := wire.Append(nil, &wire.Fetch{Study: study(1), Budget: 100, Whole: 100, Files: []wire.Want{{Ref: mustRef(t, stands)}}})
		if answer := raw(Fetch, bytes.Replace(frame, []byte(stands), []byte(bad), 1)); len(answer) > 0 || b.count(Blamed) == was {
			t.Errorf("%s: %d bytes of an answer, blamed %d times", name, len(answer), b.count(Blamed)-was)
		}
	}
	for _, bad := range []string{"../../..", "1.2.\x003.4", "/1.2.3.4", "1.2.x.45", "1..2.3.4"} {
		stands := "1.2.3.45"[:len(bad)]
		uid, err := dedup.ParseUID(stands)
		if err != nil {
			t.Fatal(err)
		}
		for use, m := range map[Use]wire.Message{
			Control: &wire.Changed{Studies: []wire.StudyState{{UID: uid, Leaf: dedup.Digest{1}}}}, Query: &wire.Heads{Study: uid}, Fetch: &wire.Fetch{Study: uid},
		} {
			was := b.count(Blamed)
			if answer := raw(use, bytes.Replace(wire.Append(nil, m), []byte(stands), []byte(bad), 1)); len(answer) > 0 || b.count(Blamed) == was {
				t.Errorf("%s with the UID %q: %d bytes of an answer, blamed %d times", m.Kind(), bad, len(answer), b.count(Blamed)-was)
			}
		}
	}
	two := wire.Append(wire.Append(nil, &wire.Hello{Summary: wire.Summary{Incarnation: "a"}}), &wire.Hello{Summary: wire.Summary{Incarnation: "b"}})
	if raw(Control, two); !strings.Contains(b.blames("x"), "another index") {
		t.Error("one control stream is of two indexes")
	}
	b.inside(t)
}

// TestBombs holds that what expands without end, or is made of nothing but records, takes no memory that it does not deserve, however many come at a time.
func TestBombs(t *testing.T) {
	huge := zeros(300) // beyond what any file may expand to
	object := dedup.Ref{Class: dedup.Bulkdata, Name: strings.Repeat("ab", 32), Ext: ".json.gz"}
	records := []byte("[" + strings.Repeat("{},", 300_000) + "{}]")
	deep := []byte(strings.Repeat("[", 1<<20))
	large := dedup.Compress(nil, bytes.Repeat([]byte(`"0123456789abcdef",`), 200_000)) // 4 MB that are let in, to be found to be nothing
	var j judges
	beyond := memory()
	var all sync.WaitGroup
	for range raced.Pick(t, 4, 2) {
		all.Go(func() {
			for what, b := range map[string][]byte{"zeros": huge, "records": dedup.Compress(nil, records), "brackets": dedup.Compress(nil, deep), "text": large} {
				if _, err := j.checkBulk(want{}, object, b); !errors.Is(err, errFault) {
					t.Errorf("%s are an object: %v", what, err)
				}
			}
			w := want{ref: sharedHead(dedup.List, 1), digest: dedup.Digest(blake3.Sum256(records))}
			if _, err := j.checkHead(study(1), w, dedup.Compress(nil, records)); !errors.Is(err, errFault) || !strings.Contains(err.Error(), "records") {
				t.Errorf("a file of nothing but records is let in: %v", err)
			}
		})
	}
	all.Wait()
	if used := beyond(); used > 64<<20 {
		t.Errorf("%d MB of memory", used>>20)
	}
}

// TestFits holds what may come in answer to a request: no file beyond what travels whole, and no more than was asked for but for one file.
func TestFits(t *testing.T) {
	file := func(size, length uint64, c wire.Coding) *wire.FileHeader {
		return &wire.FileHeader{Status: wire.Here, Size: size, Length: length, Coding: c}
	}
	for what, c := range map[string]struct {
		files []*wire.FileHeader
		fits  int
	}{
		"one larger than was asked for": {[]*wire.FileHeader{file(5000, 5000, wire.Stored)}, 1},
		"and another":                   {[]*wire.FileHeader{file(5000, 5000, wire.Stored), file(1, 1, wire.Stored)}, 1},
		"up to the last byte":           {[]*wire.FileHeader{file(600, 600, wire.Stored), file(400, 100, wire.Zstd), file(0, 0, wire.Stored)}, 3},
		"beyond it, compressed":         {[]*wire.FileHeader{file(600, 600, wire.Stored), file(401, 1, wire.Zstd)}, 1},
		"too large to come whole":       {[]*wire.FileHeader{file(wholeFile+1, wholeFile+1, wire.Stored)}, 0},
		"swollen by its coding":         {[]*wire.FileHeader{file(100, wholeFile*2, wire.Zstd)}, 0},
		"a part of it":                  {[]*wire.FileHeader{file(100, 99, wire.Stored)}, 0},
	} {
		in := &incoming{left: 1000}
		n := 0
		for n < len(c.files) && in.fits(c.files[n]) == nil {
			n++
		}
		if n != c.fits {
			t.Errorf("%s: %d files fit, and not %d", what, n, c.fits)
		}
	}
	if _, err := (&transfer{}).large(t.Context(), want{ref: sharedValue(1)}, mostFile+1); !errors.Is(err, errFault) {
		t.Errorf("a file of any size is begun: %v", err)
	}
}

// TestDeepLie holds that a neighbour which says that every node of its tree differs, however deep, costs a bounded walk, and that a comparison which found as much as
// is remembered says that there may be more.
func TestDeepLie(t *testing.T) {
	mine, _ := libraryOf(t, t.TempDir())
	questions := 0
	lying := func(k *talk) error {
		for {
			m, err := k.hear()
			if err != nil {
				return err
			}
			questions++
			q, is := m.(*wire.Compare)
			if !is {
				return k.say(&wire.States{})
			}
			for part := range chunks(q.Nodes, 64) {
				var out wire.Compared
				for _, n := range part.nodes {
					out.Below = append(out.Below, differs(n.Prefix))
				}
				out.More = !part.last
				if err := k.say(&out); err != nil {
					return err
				}
			}
		}
	}
	x, y := net.Pipe()
	var answering sync.WaitGroup
	answering.Go(func() { defer y.Close(); _ = lying(newTalk(t.Context(), y)) })
	beyond := memory()
	found, partial, err := compareWith(t.Context(), mine, newTalk(t.Context(), x), 1000)
	_ = x.Close()
	answering.Wait()
	if used := beyond(); err != nil || len(found) > 0 || !partial || questions > 400 || used > 128<<20 {
		t.Errorf("%d studies, partial: %v, %d questions, %d MB, %v", len(found), partial, questions, used>>20, err)
	}
}

// differs says of a node that all below it differs.
func differs(p wire.Prefix) wire.Below {
	b := wire.Below{Prefix: p}
	if p.Nibbles == 16 {
		b.Listed, b.Items = true, []wire.Item{{Key: wire.Key{byte(p.Bits >> 56), byte(p.Bits >> 48), byte(p.Bits >> 40)}}}
		return b
	}
	for n := range 16 {
		b.Nodes = append(b.Nodes, wire.Node{Prefix: wire.Prefix{Nibbles: p.Nibbles + 1, Bits: p.Bits | uint64(n)<<(60-4*p.Nibbles)}, Sum: wire.Short{1}})
	}
	return b
}

type chunk struct {
	nodes []wire.Node
	last  bool
}

// chunks are parts of some nodes, one at least.
func chunks(nodes []wire.Node, each int) func(yield func(chunk) bool) {
	return func(yield func(chunk) bool) {
		for len(nodes) > each {
			if !yield(chunk{nodes[:each], false}) {
				return
			}
			nodes = nodes[each:]
		}
		yield(chunk{nodes, true})
	}
}

// TestManyDiffer holds that two sites of which one has far more than is remembered become level all the same, part after part.
func TestManyDiffer(t *testing.T) {
	m := newMesh()
	m.rules = func(r *Rules) { r.Known = 40 }
	a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
	for n := range 60 {
		a.instance(study(n), 1, 100)
		a.look(study(n))
	}
	m.link(t.Context(), a, b)
	wait(t, func() bool {
		for _, s := range []*site{a, b} {
			s.syncer.mu.Lock()
			n := len(s.syncer.core.studies)
			s.syncer.mu.Unlock()
			if n > 45 {
				t.Fatalf("%d studies are remembered", n)
			}
		}
		return maps.Equal(a.files(), b.files())
	})
	levelled(t, a, b)
}
