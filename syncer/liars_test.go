package syncer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/syncer/wire"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// lie is how a neighbour answers one kind of message; all else it answers truly.
type lie struct {
	kind wire.Kind
	says string // what it is blamed for
	do   func(k *talk, m wire.Message) error
}

// tell has a site of a mesh lie. It goes on doing so.
func (m *mesh) tell(name string, l lie) {
	m.hook = func(_, to string, use Use, s Stream) bool {
		if to != name || use == Control || (use == Fetch) != (l.kind == wire.KindFetch) {
			return false
		}
		m.mu.Lock()
		liar := m.sites[name]
		m.mu.Unlock()
		if liar == nil {
			return true
		}
		for k := newTalk(liar.ctx, s); ; {
			q, err := k.hear()
			switch {
			case err != nil:
				return true
			case q.Kind() == l.kind:
				_ = l.do(k, q)
				return true
			}
			if err := liar.syncer.answers.question(liar.ctx, k, liar.syncer.guards.of("b"), q); err != nil {
				return true
			}
		}
	}
}

// here is the header of a file whose bytes follow.
func here(i int, bytes []byte) *wire.FileHeader {
	return &wire.FileHeader{Index: uint64(i), Status: wire.Here, Size: uint64(len(bytes)), Length: uint64(len(bytes))}
}

// give sends a file.
func give(k *talk, i int, bytes []byte) error {
	if err := k.say(here(i, bytes)); err != nil {
		return err
	}
	_, err := k.Write(bytes)
	return err
}

// zeros are so many bytes, compressed by another writer: dedup's own makes no bombs.
func zeros(megabytes int) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	for range megabytes {
		_, _ = z.Write(make([]byte, 1<<20))
	}
	_ = z.Close()
	return b.Bytes()
}

// fetches are the lies in answer to a request for files.
func fetches() map[string]lie {
	fetched := func(says string, do func(k *talk, f *wire.Fetch) error) lie {
		return lie{wire.KindFetch, says, func(k *talk, m wire.Message) error { return do(k, m.(*wire.Fetch)) }}
	}
	small, packed := zeros(30), packedZeros(64<<20)
	return map[string]lie{
		"other bytes": fetched("a compressed file that is none", func(k *talk, f *wire.Fetch) error {
			return give(k, 0, bytes.Repeat([]byte{7}, 100))
		}),
		"a file that does not end": fetched("a file that ends too early", func(k *talk, f *wire.Fetch) error {
			return k.say(here(0, make([]byte, 100)))
		}),
		"a length beyond all": fetched("was not to come whole", func(k *talk, f *wire.Fetch) error {
			return k.say(&wire.FileHeader{Status: wire.Here, Size: 1 << 60, Length: 1 << 60})
		}),
		"large files beyond all": fetched("a compressed file of 67108865 bytes", func(k *talk, f *wire.Fetch) error {
			for i := range f.Files {
				if err := k.say(&wire.FileHeader{Index: uint64(i), Status: wire.Large, Size: mostCompressed + 1}); err != nil {
					return err
				}
			}
			return nil
		}),
		"a bomb":         fetched("expands beyond", func(k *talk, f *wire.Fetch) error { return give(k, 0, small) }),
		"a bomb in zstd": fetched("do not decompress", func(k *talk, f *wire.Fetch) error { return giveZstd(k, packed) }),
		"another size":   fetched("bytes of a file of", func(k *talk, f *wire.Fetch) error { return giveZstd(k, packedZeros(1000)) }),
		"files out of order": fetched("in the place of", func(k *talk, f *wire.Fetch) error {
			return k.say(&wire.FileHeader{Index: 3, Status: wire.Absent})
		}),
		"another name": fetched("another file", func(k *talk, f *wire.Fetch) error {
			other, err := dedup.ParseRef("notes/passwd")
			if err != nil {
				return err
			}
			return k.say(&wire.FileHeader{Status: wire.Here, Ref: other, Size: 1, Length: 1})
		}),
		"no message": fetched("not a well-formed message", func(k *talk, f *wire.Fetch) error {
			_, err := k.Write(bytes.Repeat([]byte{0xFF}, 64))
			return err
		}),
		"all absent": fetched("offers and does not give", func(k *talk, f *wire.Fetch) error {
			for i := range f.Files {
				if err := k.say(&wire.FileHeader{Index: uint64(i), Status: wire.Absent}); err != nil {
					return err
				}
			}
			return nil
		}),
		"later, and later": fetched("put off", func(k *talk, f *wire.Fetch) error { return k.say(&wire.FileHeader{Status: wire.Later}) }),
		"a little now and then": fetched("kept waiting", func(k *talk, f *wire.Fetch) error {
			<-time.After(700 * time.Millisecond)
			if err := k.say(here(0, make([]byte, 100))); err != nil {
				return err
			}
			<-time.After(700 * time.Millisecond)
			_, err := k.Write(make([]byte, 100))
			return err
		}),
		"words of tomorrow without end": fetched("unknown kinds", func(k *talk, f *wire.Fetch) error { return forever(k, []byte{0xFF, 0x01, 1, 0}) }),
		"never an answer":               fetched("kept waiting", func(k *talk, f *wire.Fetch) error { return silence(k) }),
		"a byte now and then": fetched("kept waiting", func(k *talk, f *wire.Fetch) error {
			err := k.say(here(0, make([]byte, 1000)))
			for err == nil {
				_, err = k.Write([]byte{1})
				<-time.After(100 * time.Millisecond)
			}
			return err
		}),
		"the beginning, and never the rest": fetched("kept waiting", func(k *talk, f *wire.Fetch) error {
			if err := k.say(here(0, make([]byte, 1000))); err != nil {
				return err
			}
			return silence(k)
		}),
	}
}

// packedZeros are so many bytes, compressed as they travel.
func packedZeros(bytes int) []byte {
	z, _ := zstd.NewWriter(nil)
	defer z.Close()
	return z.EncodeAll(make([]byte, bytes), nil)
}

// giveZstd sends compressed bytes of a file that is said to have 100.
func giveZstd(k *talk, packed []byte) error {
	if err := k.say(&wire.FileHeader{Status: wire.Here, Size: 100, Coding: wire.Zstd, Length: uint64(len(packed))}); err != nil {
		return err
	}
	_, err := k.Write(packed)
	return err
}

// forever says the same again and again, until nobody listens.
func forever(k *talk, frame []byte) error {
	for {
		k.wait()
		if _, err := k.Write(frame); err != nil {
			return err
		}
	}
}

// silence says nothing, until nobody waits any more.
func silence(k *talk) error {
	_ = k.SetDeadline(time.Time{})
	_, err := k.in.ReadByte()
	return err
}

// offers are the lies in answer to the question what there is of a study.
func offers(state wire.StudyState) map[string]lie {
	offered := func(says string, do func(k *talk, q *wire.Heads) error) lie {
		return lie{wire.KindHeads, says, func(k *talk, m wire.Message) error { return do(k, m.(*wire.Heads)) }}
	}
	some := func(digest byte, n int) *wire.HeadsOf {
		m := &wire.HeadsOf{State: state}
		for i := range n {
			m.Heads = append(m.Heads, wire.Head{Ref: sharedHead(dedup.Instance, i), Digest: dedup.Digest{digest, byte(i), byte(i >> 8)}, Disk: 100, Leaf: true})
		}
		return m
	}
	lies := map[string]lie{
		"nothing of what it holds": offered("offers nothing", func(k *talk, q *wire.Heads) error { return k.say(&wire.HeadsOf{State: state}) }),
		"made-up files":            offered("offers and does not give", func(k *talk, q *wire.Heads) error { return k.say(some(byte(q.From), 200)) }),
		"offers without end": offered("more heads than were asked for", func(k *talk, q *wire.Heads) error {
			m := some(1, 4000)
			m.More = true
			return forever(k, wire.Append(nil, m))
		}),
		"no offers without end": offered("says nothing", func(k *talk, q *wire.Heads) error {
			return forever(k, wire.Append(nil, &wire.HeadsOf{State: state, More: true}))
		}),
		"pages without end": offered("never end", func(k *talk, q *wire.Heads) error {
			return k.say(&wire.HeadsOf{State: state, Next: max(1, q.From)})
		}),
		"what was not asked for": offered("not asked for", func(k *talk, q *wire.Heads) error {
			m := some(9, 1)
			m.Next = 5
			return k.say(m)
		}),
		"bulkdata among lists": offered("bulkdata among", func(k *talk, q *wire.Heads) error {
			return k.say(&wire.HeadsOf{State: state, Heads: []wire.Head{{Ref: sharedValue(1)}}})
		}),
		"never an offer": offered("kept waiting", func(k *talk, q *wire.Heads) error { return silence(k) }),
	}
	for name, bad := range badNames() {
		stands := placeholder(len(bad))
		lies["a name: "+name] = offered("name of a file", func(k *talk, q *wire.Heads) error {
			ref, err := dedup.ParseRef(stands)
			if err != nil {
				return err
			}
			frame := wire.Append(nil, &wire.HeadsOf{State: state, Heads: []wire.Head{{Ref: ref, Digest: dedup.Digest{1}, Disk: 10, Leaf: true}}})
			_, err = k.Write(bytes.Replace(frame, []byte(stands), []byte(bad), 1))
			return err
		})
	}
	return lies
}

// badNames are names that must never become paths.
func badNames() map[string]string {
	return map[string]string{
		"up": "../../../up.gz", "up from inside": "deduplicated/instances/../../../../../up.gz", "absolute": "/tmp/dicomesh-absolute", "NUL": "deduplicated/instances/1.2\x00.gz",
		"300 characters": strings.Repeat("a", 300), "300 characters inside": "deduplicated/instances/" + strings.Repeat("1", 300) + ".gz",
		"upper case": "deduplicated/" + strings.Repeat("AB", 32) + ".gz", "upper case value": "bulkdata/ABC/DE/" + strings.Repeat("F", 59) + ".raw",
		"backslash": "..\\..\\up.gz", "own folder": ".dicomesh/site.json", "folder of lists": "deduplicated", "dot": "a/./b", "two slashes": "a//b", "newline": "a\nb", "not UTF-8": "a\xff\xfeb",
		"a temporary name": "x/.tempFile-1",
	}
}

// placeholder is a good name of that length.
func placeholder(n int) string {
	name := []byte(strings.Repeat("q", n))
	for i := 200; i < n-1; i += 200 {
		name[i] = '/'
	}
	return string(name)
}

// comparisons are the lies in answer to a comparison.
func comparisons() map[string]lie {
	compared := func(says string, do func(k *talk, q *wire.Compare) error) lie {
		return lie{wire.KindCompare, says, func(k *talk, m wire.Message) error { return do(k, m.(*wire.Compare)) }}
	}
	return map[string]lie{
		"another place": compared("was not asked for", func(k *talk, q *wire.Compare) error {
			return k.say(&wire.Compared{Below: []wire.Below{{Prefix: wire.Prefix{Nibbles: 5}}}})
		}),
		"twice": compared("twice", func(k *talk, q *wire.Compare) error {
			return k.say(&wire.Compared{Below: []wire.Below{{Listed: true}, {Listed: true}}})
		}),
		"no comparison without end": compared("says nothing", func(k *talk, q *wire.Compare) error {
			return forever(k, wire.Append(nil, &wire.Compared{More: true}))
		}),
		"never a comparison": compared("kept waiting", func(k *talk, q *wire.Compare) error { return silence(k) }),
		"states without end": {wire.KindDescribe, "more studies than", func(k *talk, m wire.Message) error {
			return forever(k, wire.Append(nil, &wire.States{Studies: made(0, 1000), More: true}))
		}},
	}
}

// made are states of studies that nobody has.
func made(from, n int) (states []wire.StudyState) {
	for i := range n {
		states = append(states, wire.StudyState{UID: study(1_000_000 + from + i), Leaf: dedup.Digest{1}, Flags: wire.Complete, Change: 1})
	}
	return states
}

// TestLyingNeighbour holds that nothing which is not what it says gets in, whoever sends it; that the liar is blamed, in words that say why, and nobody else; that what
// others send comes meanwhile, and what the liar did not give from them; that memory is bounded, and nothing is written outside of the archive.
func TestLyingNeighbour(t *testing.T) {
	lies := fetches()
	maps.Copy(lies, offers(wire.StudyState{UID: study(1), Leaf: dedup.Digest{1}, Flags: wire.Complete, Change: 1}))
	maps.Copy(lies, comparisons())
	for name, l := range lies {
		t.Run(name, func(t *testing.T) { t.Parallel(); lyingNeighbour(t, l) })
	}
}

func lyingNeighbour(t *testing.T, l lie) {
	m := newMesh()
	if l.says == "kept waiting" { // else the machine may be slow, and nobody is blamed for that
		m.rules = func(r *Rules) { r.Patience = time.Second }
	}
	m.tell("liar", l)
	liar, honest, b := m.start(t, "liar", t.TempDir()), m.start(t, "honest", t.TempDir()), m.start(t, "b", t.TempDir())
	for n := range 3 {
		liar.instance(study(1), n, 1000)
		honest.instance(study(1), n, 1000)
		honest.instance(study(2), n, 1000)
	}
	liar.look(study(1))
	honest.look(study(2))
	lanes := b.syncer.puller.lanes
	lanes.mu.Lock()
	lanes.lane("liar").rate = 1e12 // as far as it is known: so patience is all that it has
	lanes.mu.Unlock()
	m.link(t.Context(), liar, b)
	m.link(t.Context(), honest, b)
	wait(t, func() bool { return b.blames("liar") != "" && b.alike(honest, study(2)) })
	if said := b.blames("liar"); !strings.Contains(said, l.says) {
		t.Errorf("blamed for: %s", said)
	}
	if b.alike(liar, study(1)) || b.holds(study(1)) > 0 {
		t.Errorf("%d files of a liar are in the tree", b.holds(study(1)))
	}
	honest.look(study(1))
	wait(t, func() bool { return maps.Equal(b.files(), honest.files()) })
	if said := b.blames("honest"); said != "" && l.says != "kept waiting" {
		t.Errorf("the other is blamed for: %s", said)
	}
	b.inside(t)
}

// blames is what a site was blamed for here, "" if it was not.
func (s *site) blames(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, e := range s.events {
		if e.Kind == Blamed && e.Site == name {
			all = append(all, e.Reason)
		}
	}
	return strings.Join(all, "\n")
}

// holds is how many files of a study are here, and alike whether those are what another site has.
func (s *site) holds(uid dedup.UID) (n int) {
	for name := range s.files() {
		n += truth(strings.HasPrefix(name, uid.String()+"/"))
	}
	return n
}

func (s *site) alike(other *site, uid dedup.UID) bool {
	mine := s.files()
	for name, content := range other.files() {
		if strings.HasPrefix(name, uid.String()+"/") && mine[name] != content {
			return false
		}
	}
	return true
}

// inside holds that a site has no files but where they belong.
func (s *site) inside(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(s.dir, func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(s.dir, p)
		own := slices.ContainsFunc([]string{"tree/studies/", "tree/.dicomesh/", "state/"}, func(f string) bool { return strings.HasPrefix(filepath.ToSlash(rel), f) })
		if err == nil && !d.IsDir() && !own {
			t.Errorf("a file outside of the archive: %s", rel)
		}
		return err
	})
	above, _ := filepath.Glob(filepath.Join(filepath.Dir(s.dir), "up.gz"))
	absolute, _ := filepath.Glob("/tmp/dicomesh-absolute*")
	if err != nil || len(above)+len(absolute) > 0 {
		t.Errorf("files outside of the archive: %v %v, %v", above, absolute, err)
	}
}

// memory watches how much memory is in use until its stop is called, which returns the most that was beyond what there was.
func memory() (stop func() (beyond uint64)) {
	now := func() uint64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	first, most, done := now(), uint64(0), make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			most = max(most, now())
			select {
			case <-done:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	return func() uint64 {
		close(done)
		watching.Wait()
		return most - min(most, first)
	}
}

// TestSmallOffers holds that heads which are said to be small, and are not, take no more memory than what was said: a group is cut by that.
func TestSmallOffers(t *testing.T) {
	t.Parallel()
	m := newMesh()
	m.tell("liar", lie{wire.KindHeads, "", func(k *talk, q wire.Message) error {
		m.mu.Lock()
		liar := m.sites["liar"]
		m.mu.Unlock()
		state, heads, err := liar.library.Heads(liar.ctx, study(1))
		for i := range heads {
			heads[i].Disk = 1
		}
		return errors.Join(err, k.say(&wire.HeadsOf{State: state, Heads: heads}))
	}})
	liar, b := m.start(t, "liar", t.TempDir()), m.start(t, "b", t.TempDir())
	random := rand.NewChaCha8([32]byte{1})
	filling := make([]byte, 1<<20)
	for n := range 8 { // in a group that says that it has eight bytes
		_, _ = random.Read(filling)
		liar.write(study(1), fmt.Sprintf("letter-%d.pdf", n), filling)
	}
	liar.look(study(1))
	m.link(t.Context(), liar, b)
	wait(t, func() bool { return strings.Contains(b.blames("liar"), "more bytes than were offered") })
	if n := b.holds(study(1)); n > 0 {
		t.Errorf("%d files of a liar are in the tree", n)
	}
}
