package syncer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
)

// TestLinkCutAgainAndAgain holds that what came before a link was cut does not come again, neither bulkdata that no commit was waited for nor heads whose bulkdata was
// on its way.
func TestLinkCutAgainAndAgain(t *testing.T) {
	m := newMesh()
	a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
	content := 0
	for n := range 500 {
		content += a.instance(study(1), n, 5000)
	}
	a.look(study(1))
	same := func() bool { return b.library.Summary().Root == a.library.Summary().Root }
	cuts := 0
	for ; !same(); cuts++ {
		m.mend(t.Context(), a, b)
		until := m.received("b") + 300_000
		wait(t, func() bool { return m.received("b") > until || same() })
		m.sever(t.Context(), a, b)
		wait(t, func() bool { return b.idle() })
	}
	m.mend(t.Context(), a, b)
	levelled(t, a, b)
	t.Logf("%d bytes came for %d, cut %d times", m.received("b"), content, cuts)
	if limit := content + content/20 + cuts*leastSlow; m.received("b") > limit || cuts < 2 {
		t.Errorf("%d bytes came for %d, cut %d times: more than %d", m.received("b"), content, cuts, limit)
	}
}

// TestCutLands holds that what had come when a link was cut becomes durable, though no list or instance file waits for it yet.
func TestCutLands(t *testing.T) {
	m := newMesh()
	a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
	for n := range firstHeads {
		a.instance(study(1), n, 200_000)
	}
	a.look(study(1))
	m.mend(t.Context(), a, b)
	wait(t, func() bool { return m.received("b") > firstHeads*200_000/2 })
	m.sever(t.Context(), a, b)
	wait(t, func() bool { return b.idle() })
	held := 0
	for _, content := range b.files() {
		held += len(content)
	}
	if came := m.received("b"); held < came-came/10-int(b.syncer.config.Rules.Underway) {
		t.Errorf("%d bytes had come, and %d are held", came, held)
	}
}

// saved is how many files of earlier processes are kept.
func (s *site) saved() int {
	s.t.Helper()
	kept, err := os.ReadDir(filepath.Join(s.dir, "tree", ".dicomesh", "saved"))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(kept)
}

// received is how many bytes a site has received.
func (m *mesh) received(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes[name]
}

// sever cuts the link between two sites.
func (m *mesh) sever(ctx context.Context, a, b *site) {
	m.mu.Lock()
	m.cut[a.name+" "+b.name] = true
	m.mu.Unlock()
	a.syncer.Link(ctx, b.name, false)
	b.syncer.Link(ctx, a.name, false)
}

// mend connects two sites whose link was cut, or that never had one.
func (m *mesh) mend(ctx context.Context, a, b *site) {
	m.mu.Lock()
	delete(m.cut, a.name+" "+b.name)
	m.mu.Unlock()
	m.link(ctx, a, b)
}

// idle reports whether the site pulls nothing.
func (s *site) idle() bool {
	s.syncer.mu.Lock()
	defer s.syncer.mu.Unlock()
	return len(s.syncer.pulls) == 0
}

// TestTent holds that heads outlast a pull that was cut and the process too, where the link is slow, and that nothing is left of those that were committed.
func TestTent(t *testing.T) {
	m := newMesh()
	b := m.start(t, "b", t.TempDir())
	h := head{ref: mustRef(t, "deduplicated/instances/1.2.3.gz"), digest: dedup.Digest{1}, stored: []byte("a head")}
	w := want{ref: h.ref, digest: h.digest}
	copies := func() int {
		found, err := filepath.Glob(filepath.Join(b.dir, "tree", ".dicomesh", "tmp", "*", "*"+label(study(1), h.ref)))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	s := b.syncer.puller.shelter
	fast, slow := 1e9, 0.0
	for _, rate := range []float64{fast, slow} {
		x := s.enter(study(1))
		x.take([]head{h}, rate)
		s.leave(x, os.ErrClosed)
		if x = s.enter(study(1)); string(x.find(w)) != "a head" {
			t.Errorf("at %v bytes a second the next pull finds %q", rate, x.find(w))
		}
		if n := copies(); n != truth(rate == slow) {
			t.Errorf("at %v bytes a second %d copies were written", rate, n)
		}
		x.give([]head{h})
		s.leave(x, os.ErrClosed)
		if n := copies(); x.find(w) != nil || s.bytes != 0 || n != 0 {
			t.Errorf("after the commit the tent holds %q, the shelter %d bytes, staging %d copies", x.find(w), s.bytes, n)
		}
	}
	x := s.enter(study(1))
	x.take([]head{h}, slow)
	s.leave(x, nil) // everything has come
	if x = s.enter(study(1)); x.find(w) != nil || copies() != 0 {
		t.Errorf("after a pull that came through the tent holds %q", x.find(w))
	}
}

func mustRef(t *testing.T, inside string) dedup.Ref {
	t.Helper()
	ref, err := dedup.ParseRef(inside)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// TestTentBounded holds that heads which cannot be committed, because their source does not have what they refer to, do not pile up in memory while the pull goes on.
func TestTentBounded(t *testing.T) {
	t.Parallel()
	m := newMesh()
	a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
	const size = 2 << 10
	all := int64(0)
	filling := make([]byte, size)
	random := rand.NewChaCha8([32]byte{1})
	for n := range 256 {
		_, _ = random.Read(filling)
		o, _, err := dedup.Seal(dedup.Object{element(0x00080018, fmt.Sprintf(`{"Value":["1.2.1.%d"],"vr":"UI"}`, n)), element(0x00091001, fmt.Sprintf(`{"Value":["%x"],"vr":"UT"}`, filling)),
			element(0x0020000E, `{"Value":["1.2.9"],"vr":"UI"}`), element(0x7FE00010, fmt.Sprintf(`{"BulkDataURI":%q,"vr":"OW"}`, sharedValue(n).Path()))}, dedup.Dedup{Type: dedup.TypeInstance})
		if err != nil {
			t.Fatal(err)
		}
		stored := dedup.Compress(nil, []byte("["+string(o.AppendJSON(nil))+"]"))
		a.write(study(1), fmt.Sprintf("deduplicated/instances/1.2.1.%d.gz", n), stored)
		all += int64(len(stored))
	}
	a.look(study(1))
	b.syncer.puller.shelter.most = size
	var most, asked atomic.Int64
	m.hook = func(from, _ string, use Use, _ Stream) bool {
		if from == "b" && use == Fetch { // nothing puts anything into the tent before this is answered
			b.syncer.mu.Lock()
			defer b.syncer.mu.Unlock()
			if p := b.syncer.pulls[study(1)]; p != nil {
				most.Store(max(most.Load(), int64(p.tent.bytes)))
				asked.Add(1)
			}
		}
		return false
	}
	m.link(t.Context(), a, b)
	wait(t, func() bool {
		b.syncer.mu.Lock()
		defer b.syncer.mu.Unlock()
		d := b.syncer.core.studies[study(1)]
		return d != nil && len(d.tried) > 0
	})
	if most := most.Load(); most == 0 || most > all*5/8 { // the largest group is a half of them
		t.Errorf("%d bytes of lists, of %d, wait in memory, seen %d times", most, all, asked.Load())
	}
}
