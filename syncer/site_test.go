package syncer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/verify"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// site is a whole Syncer on a real folder. Streams between sites are pipes.
type site struct {
	t       *testing.T
	name    string
	dir     string
	fs      *durable.OS
	staging *durable.Staging
	index   *index.Index
	library *Library
	syncer  *Syncer
	mesh    *mesh
	ctx     context.Context
	serving sync.WaitGroup
	stop    func()
	amiss   chan dedup.UID // studies of which a file was not what it was when somebody asked for it

	mu     sync.Mutex
	events []Event
}

// mesh is what connects sites.
type mesh struct {
	mu     sync.Mutex
	sites  map[string]*site
	cut    map[string]bool                               // "a b": a does not reach b
	bytes  map[string]int                                // that a site received, over all streams
	rules  func(*Rules)                                  // may change those of the sites that are started; nil: nothing
	tree   func(site string, fsys durable.FS) durable.FS // that of a site; nil: as it is
	survey func(*site) error                             // looks at what is there when a site starts; nil: at every study
	// hook may replace the answering side of a stream.
	hook func(from, to string, use Use, s Stream) bool
}

func newMesh() *mesh {
	return &mesh{sites: map[string]*site{}, cut: map[string]bool{}, bytes: map[string]int{}}
}

// counting counts what is read from a stream, and cuts it when its link is cut.
type counting struct {
	net.Conn
	mesh     *mesh
	from, to string
}

func (c counting) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mesh.mu.Lock()
	defer c.mesh.mu.Unlock()
	c.mesh.bytes[c.from] += n
	if c.mesh.cut[c.from+" "+c.to] || c.mesh.cut[c.to+" "+c.from] {
		_ = c.Close()
		return 0, errors.New("cut")
	}
	return n, err
}

func (m *mesh) opener(from string) Opener {
	return func(ctx context.Context, to string, use Use) (Stream, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		there := m.sites[to]
		if there == nil || there.syncer == nil || m.cut[from+" "+to] || m.cut[to+" "+from] {
			return nil, errors.New("no link")
		}
		a, b := net.Pipe()
		there.serving.Go(func() {
			defer b.Close()
			ctx, end := context.WithCancel(ctx)
			defer end()
			defer context.AfterFunc(there.ctx, end)()
			if m.hook != nil && m.hook(from, to, use, b) {
				return
			}
			_ = there.syncer.Serve(ctx, from, use, b)
		})
		return counting{a, m, from, to}, nil
	}
}

// start opens a site on a folder and runs it.
func (m *mesh) start(t *testing.T, name, dir string) *site {
	t.Helper()
	s := &site{t: t, name: name, dir: dir, mesh: m, amiss: make(chan dedup.UID, 1)}
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "tree"), 0o755))
	var err error
	s.fs, err = durable.OpenOS(filepath.Join(dir, "tree"))
	must(err)
	must(durable.Salvage(s.fs, ".dicomesh/tmp", ".dicomesh/saved"))
	fsys := durable.FS(s.fs)
	if m.tree != nil {
		fsys = m.tree(name, fsys)
	}
	s.staging, err = durable.OpenStaging(fsys, ".dicomesh/tmp")
	must(err)
	s.index, err = index.Open(t.Context(), filepath.Join(dir, "state"))
	must(err)
	check := verify.New(verify.Config{Tree: fsys, Index: s.index, Deep: true}).File
	keeper := index.NewKeeper(index.KeeperConfig{Tree: fsys, Index: s.index, Check: check, Patience: 1})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	s.ctx = ctx
	s.library, err = OpenLibrary(ctx, LibraryConfig{Tree: fsys, Index: s.index, Keeper: keeper, Key: [32]byte{1},
		Looked: func(_ index.Holding, state wire.StudyState) { s.syncer.Local(ctx, state) },
		Amiss: func(uid dedup.UID) {
			select {
			case s.amiss <- uid:
			default:
			}
		}})
	must(err)
	rules := DefaultRules()
	rules.Uneven, rules.Retry, rules.Underway = 200*time.Millisecond, 300*time.Millisecond, 1<<20
	if m.rules != nil {
		m.rules(&rules)
	}
	s.syncer = New(Config{Self: name, Open: m.opener(name), Catalog: s.library, Archive: s.library, Tree: fsys, Staging: s.staging, Saved: ".dicomesh/saved",
		Taken: ingest.Taken(fsys), Arrange: func(study dedup.UID, ref dedup.Ref) error { return ingest.Arrange(fsys, study, ref) },
		Event: s.event, Rules: rules})
	var running sync.WaitGroup
	running.Go(func() { _ = s.syncer.Run(ctx) })
	if m.survey == nil {
		must(s.rescan())
	} else {
		must(m.survey(s))
	}
	m.mu.Lock()
	m.sites[name] = s
	m.mu.Unlock()
	var once sync.Once
	s.stop = func() {
		once.Do(func() {
			m.mu.Lock()
			delete(m.sites, name)
			m.mu.Unlock()
			cancel()
			running.Wait()
			s.serving.Wait()
			must(errors.Join(s.staging.Close(), s.index.Close(), s.fs.Close()))
		})
	}
	t.Cleanup(s.stop)
	return s
}

func (s *site) event(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

func (s *site) count(kind EventKind) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// rescan looks at every study that is there.
func (s *site) rescan() error {
	uids, _, err := dedup.NewTree(s.fs).Studies()
	for _, uid := range uids {
		_, again := s.library.LookAll(s.t.Context(), uid)
		err = errors.Join(err, again)
	}
	return err
}

// link connects two sites.
func (m *mesh) link(ctx context.Context, a, b *site) {
	a.syncer.Link(ctx, b.name, true)
	b.syncer.Link(ctx, a.name, true)
}

// write puts a file into the site's tree as another program would.
func (s *site) write(study dedup.UID, inside string, stored []byte) {
	s.t.Helper()
	name := filepath.Join(s.dir, "tree", "studies", study.String(), inside)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, stored, 0o644)); err != nil {
		s.t.Fatal(err)
	}
}

func element(tag dedup.Tag, json string) dedup.Element {
	return dedup.Element{Tag: tag, JSON: []byte(json)}
}

func bulkPath(h dedup.Hash, ext string) string {
	return dedup.Ref{Class: dedup.Bulkdata, Name: h.String(), Ext: ext}.Path()
}

// instance writes one instance with an extract, a value and a frame of its own of that size, and returns the bytes of its files on disk.
func (s *site) instance(study dedup.UID, n, size int) (bytes int) {
	s.t.Helper()
	put := func(path string, b []byte) {
		s.write(study, path, b)
		bytes += len(b)
	}
	sealed := func(o dedup.Object, d dedup.Dedup) (dedup.Hash, []byte) {
		o, h, err := dedup.Seal(o, d)
		if err != nil {
			s.t.Fatal(err)
		}
		return h, o.AppendJSON(nil)
	}
	extract, text := sealed(dedup.Object{element(0x00100020, `{"Value":["ID"],"vr":"LO"}`)}, dedup.Dedup{Type: dedup.TypePatient})
	put(bulkPath(extract, ".json.gz"), dedup.Compress(nil, text))
	frame := make([]byte, size)
	random := rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, study, n)))
	_, _ = random.Read(frame)
	frame = append(frame[:size*3/4], make([]byte, size-size*3/4)...) // a quarter of it compresses
	h := dedup.HashOf(sha256.Sum256(frame))
	put(bulkPath(h, ".raw"), frame)
	sop := fmt.Sprintf("%s.%d", study, n)
	_, text = sealed(dedup.Object{element(0x00080018, `{"Value":["`+sop+`"],"vr":"UI"}`), element(0x0020000E, `{"Value":["1.2.9"],"vr":"UI"}`),
		element(0x7FE00010, `{"BulkDataURI":"`+strings.TrimSuffix(bulkPath(h, ".raw"), ".gz")+`","vr":"OW"}`)},
		dedup.Dedup{Type: dedup.TypeInstance, Refs: []dedup.Hash{extract}})
	put("deduplicated/instances/"+sop+".gz", dedup.Compress(nil, []byte("["+string(text)+"]")))
	return bytes
}

// look tells the site of what was written.
func (s *site) look(study dedup.UID) {
	s.t.Helper()
	if _, err := s.library.LookAll(s.t.Context(), study); err != nil {
		s.t.Fatal(err)
	}
}

// files is the content of the archive's files at a site, decompressed or not as they lie there.
func (s *site) files() map[string]string {
	out := map[string]string{}
	root := filepath.Join(s.dir, "tree", "studies")
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		rel, _ := filepath.Rel(root, p)
		out[rel] = string(b)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	return out
}

// levelled waits until sites hold the same, and fails when that takes too long.
func levelled(t *testing.T, sites ...*site) {
	t.Helper()
	defer func() {
		if t.Failed() {
			for _, s := range sites {
				t.Logf("%s: %+v", s.name, s.syncer.Status())
			}
		}
	}()
	wait(t, func() bool {
		for _, s := range sites[1:] {
			if s.library.Summary().Root != sites[0].library.Summary().Root {
				return false
			}
		}
		for _, s := range sites {
			for _, x := range s.syncer.Status().Sites {
				if x.Up && (!x.Level || x.Behind > 0 || x.Pulls > 0) {
					return false
				}
			}
		}
		return true
	})
	for _, s := range sites[1:] {
		compareFiles(t, s, sites[0])
	}
}

// compareFiles holds that two sites have the same files.
func compareFiles(t *testing.T, a, b *site) {
	t.Helper()
	x, y := a.files(), b.files()
	for name := range x {
		if y[name] != x[name] {
			t.Errorf("%s and %s are level, and %s is another file: %d and %d bytes", a.name, b.name, name, len(x[name]), len(y[name]))
		}
	}
	for name := range y {
		if _, has := x[name]; !has {
			t.Errorf("%s and %s are level, and the first does not have %s", a.name, b.name, name)
		}
	}
}

// wait waits for a condition.
func wait(t *testing.T, cond func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for !cond() {
		select {
		case <-deadline:
			t.Helper()
			t.Fatal("waited in vain")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestTwoSites(t *testing.T) {
	m := newMesh()
	a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
	content := 0
	for n := range 30 {
		content += a.instance(study(1), n, 5000)
		b.instance(study(2), n, 100)
	}
	a.instance(study(3), 1, wholeFile+3*mostPiece/2) // a frame that travels in pieces
	a.write(study(1), "letter.pdf", []byte("not DICOM"))
	for n := range 3 {
		a.look(study(n + 1))
		b.look(study(n + 1))
	}
	m.link(t.Context(), a, b)
	levelled(t, a, b)
	if n := a.count(Blamed) + b.count(Blamed); n > 0 {
		t.Errorf("%d blamed", n)
	}
	for n := range 5 { // one at a time, as a modality sends them
		a.instance(study(4), n, 500)
		a.look(study(4))
		b.instance(study(4), 100+n, 500)
		b.look(study(4))
	}
	levelled(t, a, b)
}

// TestThroughAThird holds that what one site has reaches another over a third, and leaves the first once.
func TestThroughAThird(t *testing.T) {
	m := newMesh()
	a, b, c := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir()), m.start(t, "c", t.TempDir())
	m.link(t.Context(), a, b)
	m.link(t.Context(), b, c)
	for n := range 10 {
		a.instance(study(1), n, 5000)
		c.instance(study(1), 50+n, 5000)
	}
	a.look(study(1))
	c.look(study(1))
	levelled(t, a, b, c)
}

// TestHeals holds that a bulkdata file which is lost or damaged here comes back from another site, and that nothing is removed where it is sound.
func TestHeals(t *testing.T) {
	m := newMesh()
	a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
	for n := range 3 {
		a.instance(study(1), n, 3000)
	}
	a.look(study(1))
	m.link(t.Context(), a, b)
	levelled(t, a, b)
	want := a.files()
	var raw []string
	for name := range want {
		if strings.HasSuffix(name, ".raw") {
			raw = append(raw, name)
		}
	}
	slices.Sort(raw)
	damage := func(name string, b []byte) {
		p := filepath.Join(a.dir, "tree", "studies", name)
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
		if b != nil {
			if err := os.WriteFile(p, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	damage(raw[0], nil)
	damage(raw[1], []byte("torn"))
	a.look(study(1))
	wait(t, func() bool { return maps.Equal(a.files(), want) })
	levelled(t, a, b)
}

// TestCutAgainAndAgain holds that what came before a cut is not fetched again: not of a large file, not of many small ones, and not after this site's process was
// replaced.
func TestCutAgainAndAgain(t *testing.T) {
	m := newMesh()
	a := m.start(t, "a", t.TempDir())
	dir := t.TempDir()
	content := a.instance(study(1), 1, 20<<20)
	for n := range 200 {
		content += a.instance(study(2), n, 20_000)
	}
	a.look(study(1))
	a.look(study(2))
	for round := range 12 {
		b := m.start(t, "b", dir)
		m.link(t.Context(), a, b)
		until := m.received("b") + 2_500_000
		wait(t, func() bool {
			return m.received("b") > until || b.library.Summary().Root == a.library.Summary().Root
		})
		if b.library.Summary().Root == a.library.Summary().Root {
			levelled(t, a, b)
			wait(t, func() bool { return b.saved() == 0 })
			if limit := content*102/100 + round*(leastUnderway+(1<<20)); m.received("b") > limit {
				t.Errorf("%d bytes came for %d, cut %d times", m.received("b"), content, round)
			}
			return
		}
		b.stop()
	}
	t.Errorf("not level after 12 cuts and %d bytes for %d", m.received("b"), content)
}

// TestControlEnds holds that a control stream which ends while there is nothing to say is opened again: else who was on its other end would never hear of this site.
func TestControlEnds(t *testing.T) {
	m := newMesh()
	var ended atomic.Int32
	m.hook = func(_, to string, use Use, s Stream) bool {
		if use != Control || to != "b" || ended.Add(1) > 1 {
			return false
		}
		_, _ = newTalk(t.Context(), s).hear() // then its caller closes it
		return true
	}
	a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
	a.instance(study(1), 1, 1000)
	a.look(study(1))
	m.link(t.Context(), a, b)
	levelled(t, a, b)
}

// TestNestedAbsent holds that a list or an instance file does not become visible while something is missing that an object of its own refers to, however deep, and that it does when
// that has come. That goes for an object that is too large to come with others, too.
func TestNestedAbsent(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 10, "large": wholeFile * 5 / 4} {
		t.Run(name, func(t *testing.T) { t.Parallel(); nestedAbsent(t, size) })
	}
}

func nestedAbsent(t *testing.T, size int) {
	m := newMesh()
	a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
	uid := study(7)
	frame := []byte(strings.Repeat("deep", 500))
	deep := dedup.HashOf(sha256.Sum256(frame))
	filling := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(filling)
	inner, h, err := dedup.Seal(dedup.Object{element(0x00091001, fmt.Sprintf(`{"Value":["%s"],"vr":"UT"}`, base64.RawURLEncoding.EncodeToString(filling))), element(0x00480001, `{"BulkDataURI":"`+bulkPath(deep, ".raw")+`","vr":"OW"}`)}, dedup.Dedup{Type: dedup.TypeSequence})
	if err != nil {
		t.Fatal(err)
	}
	record, _, err := dedup.Seal(dedup.Object{element(0x00080018, `{"Value":["1.2.7.1"],"vr":"UI"}`), element(0x0020000E, `{"Value":["1.2.9"],"vr":"UI"}`)},
		dedup.Dedup{Type: dedup.TypeInstance, Refs: []dedup.Hash{h}})
	if err != nil {
		t.Fatal(err)
	}
	a.write(uid, bulkPath(h, ".json.gz"), dedup.Compress(nil, inner.AppendJSON(nil)))
	a.write(uid, "deduplicated/instances/1.2.7.1.gz", dedup.Compress(nil, []byte("["+string(record.AppendJSON(nil))+"]")))
	a.look(uid)
	m.link(t.Context(), a, b)
	visible := func() bool {
		for name := range b.files() {
			if strings.Contains(name, "instances/") {
				return true
			}
		}
		return false
	}
	wait(t, func() bool { return len(b.files()) > 0 }) // the object itself has come
	b.look(uid)
	if visible() {
		t.Error("an instance is visible, and what its extract refers to is nowhere")
	}
	a.write(uid, bulkPath(deep, ".raw"), frame)
	a.look(uid)
	wait(t, visible)
	levelled(t, a, b)
}
