package combine

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/e2e/raced"
)

// model is a cluster of sites that hold one study: real trees in memory, the real Combiner, and between the sites the rules by which they fetch (PROTOCOL.md section 2). Every step is held
// against the invariants of section 6, from outside.
type model struct {
	*testing.T
	rng   *rand.Rand
	sites []*site
	world map[dedup.FileID]dedup.File // every list and instance file that there ever was
	trace []string
	seen  map[string]int // what happened: a run in which something never does proves nothing
}

// site is one of them.
type site struct {
	fs    *crashfs.FS
	clock *clockAt
	dom   map[dedup.FileID]bool // what it has ever accounted for, since it was restored
	acked map[dedup.FileID]bool // what it has acknowledged, likewise
	saved *saved
}

// saved is a backup.
type saved struct {
	fs         *crashfs.FS
	dom, acked map[dedup.FileID]bool
}

const modelKeep = 3 * time.Hour

func newModel(t *testing.T, seed uint64, sites int) *model {
	m := &model{T: t, rng: rand.New(rand.NewPCG(seed, 0)), world: map[dedup.FileID]dedup.File{}, seen: map[string]int{}}
	for range sites {
		m.sites = append(m.sites, &site{fs: crashfs.New(), clock: newClock(), dom: map[dedup.FileID]bool{}, acked: map[dedup.FileID]bool{}})
	}
	return m
}

func (s *site) combiner() *Combiner {
	c := New(Config{Tree: s.fs, Clock: s.clock.read})
	c.config.Keep = modelKeep // the model's days are short
	return c
}

// read is what a site holds.
func (m *model) read(s *site) []dedup.File {
	m.Helper()
	folder, err := dedup.NewTree(s.fs).Study(uid(theStudy))
	if err != nil {
		m.Fatal(err)
	}
	heads, err := folder.Heads()
	if err != nil {
		m.Fatal(err)
	}
	byID := map[dedup.FileID]dedup.File{}
	for _, h := range heads {
		text, err := folder.Read(h, 1<<20)
		if err != nil {
			m.fail("%s: %v", h.Path, err)
		}
		f := dedup.ParseFile(h.Ref, text)
		if f.Fault != nil {
			m.fail("%s: %v", h.Path, f.Fault)
		}
		byID[f.ID], m.world[f.ID] = f, f
	}
	return slices.SortedFunc(maps.Values(byID), func(a, b dedup.File) int { return a.ID.Compare(b.ID) })
}

// held is a site's bulkdata, read as what it is.
func (s *site) held() *bulk {
	folder, _ := dedup.NewTree(s.fs).Study(uid(theStudy))
	return &bulk{folder: folder, found: map[dedup.Ref]bool{}}
}

func (m *model) resolve(s *site, more ...dedup.File) *dedup.State {
	return dedup.Resolve(append(m.read(s), more...), s.held())
}

func (m *model) fail(format string, args ...any) {
	m.Helper()
	for _, line := range m.trace {
		m.Log(line)
	}
	m.Fatalf(format, args...)
}

func (m *model) say(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
}

// write stores a file at a site, with the value that its record refers to first.
func (m *model) write(s *site, f dedup.File) error {
	for _, o := range f.Objects() {
		_, d := dedup.Split(o)
		if value := o.Text(0x00204000); value != "" && !d.Delete {
			if _, err := putBulk(s.fs, value); err != nil {
				return err
			}
		}
	}
	return put(s.fs, f)
}

// instance is a record with a value in bulkdata.
func instance(sop, value string, d dedup.Dedup) dedup.Object {
	h := hashOf(value).String()
	text := fmt.Sprintf(`{"00080018":{"Value":[%q],"vr":"UI"},"0020000E":{"Value":["1.2.3.9"],"vr":"UI"},"00204000":{"Value":[%q],"vr":"LT"},"00420011":{"BulkDataURI":"bulkdata/%s/%s/%s.raw","vr":"OB"}}`,
		sop, value, h[:3], h[3:5], h[5:])
	o, err := dedup.ParseObject([]byte(text))
	if err != nil {
		panic(err)
	}
	d.Type = dedup.TypeInstance
	if d.Content.IsZero() {
		d.Content = hashOf("content" + sop + value)
	}
	o, _ = seal(o, d)
	return o
}

func (m *model) ingest(s *site) {
	sop, n := fmt.Sprintf("1.%d", m.rng.IntN(5)), m.rng.IntN(3)
	value := fmt.Sprintf("%s-%d", sop, n)
	f := instanceFile(instance(sop, value, dedup.Dedup{Content: hashOf(fmt.Sprint(sop, n/2))})) // some values are encodings of one content
	switch m.resolve(s).Judge(f.Objects()[0]) {
	case dedup.Removed, dedup.Same:
		m.seen["duplicate"]++
		return
	case dedup.Conflicting:
		m.seen["conflict"]++
	}
	m.say("ingest %s", value)
	if err := m.write(s, f); err != nil {
		m.fail("ingest: %v", err)
	}
	s.acked[f.ID] = true
}

// correct writes a list that deletes, changes or restores an instance. It knows no more than the site does.
func (m *model) correct(s *site) {
	state := m.resolve(s)
	if len(state.Instances) == 0 {
		return
	}
	i := state.Instances[m.rng.IntN(len(state.Instances))]
	var replace []dedup.Hash
	for _, r := range i.Records {
		replace = append(replace, r.Dedup.Hash, r.Dedup.Content)
	}
	serial := fmt.Sprint(m.rng.IntN(1000))
	var o dedup.Object
	switch {
	case i.Deleted:
		for _, f := range m.read(s) {
			for _, r := range f.Objects() {
				if _, d := dedup.Split(r); d.Delete && r.Text(0x00080018) == i.SOP.String() {
					replace = append(replace, d.Hash) // what the removal removed is not named again: the list that has it will be needed
				}
			}
		}
		o = instance(i.SOP.String(), "restored"+serial, dedup.Dedup{Replace: replace})
		m.seen["restored instance"]++
	case m.rng.IntN(2) == 0:
		o, _ = seal(object("00080018", i.SOP.String(), "0020000E", "1.2.3.9", "00204001", serial), dedup.Dedup{Type: dedup.TypeInstance, Delete: true, Replace: replace})
		m.seen["deleted instance"]++
	default:
		o = instance(i.SOP.String(), "changed"+serial, dedup.Dedup{Replace: replace})
	}
	info := dedup.Dedup{}
	records := []dedup.Object{o}
	if m.rng.IntN(2) == 0 { // a writer that makes the study anew: it names the lists that it knows, and repeats what is live
		for _, id := range state.Leaves {
			if id.Ref.Class == dedup.List {
				info.ReplaceFiles = append(info.ReplaceFiles, id.Ref.Hash())
			}
		}
		for _, other := range state.Instances {
			for _, r := range other.Records {
				if m.rng.IntN(8) == 0 {
					m.seen["forgotten"]++ // it names the list that has the record, and has not got it: so it does not account for that list
				} else if other.SOP != i.SOP {
					records = append(records, r.Object)
				}
			}
		}
		m.seen["rewritten"]++
	}
	f := listFile(info, nil, records...)
	m.say("correct %s: %s with %d records, naming %d", i.SOP, f.ID.Ref, len(records), len(info.ReplaceFiles))
	if err := m.write(s, f); err != nil {
		m.fail("correct: %v", err)
	}
	s.acked[f.ID] = true
}

func (m *model) combine(s *site) {
	c, err := s.combiner().Study(m.Context(), uid(theStudy))
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(m.read(s)) == 0:
		return
	case err != nil:
		m.fail("combine: %v", err)
	case c.Reason == reasonUnlike:
		m.fail("a plan was wrong")
	case c.List != dedup.FileID{}:
		m.say("combine %d into %s", len(c.Inputs), c.List.Ref)
		m.seen["combined"]++
	}
}

func (m *model) collect(s *site) {
	s.clock.pass(time.Duration(m.rng.IntN(90)) * time.Minute)
	c, err := s.combiner().Collect(m.Context(), uid(theStudy))
	if errors.Is(err, fs.ErrNotExist) && len(m.read(s)) == 0 {
		return
	} else if err != nil {
		m.fail("collect: %v", err)
	}
	for _, r := range c.Remove {
		m.say("collect %s", r.File.Ref)
		m.seen["collected "+r.File.Ref.Class.String()]++
	}
	for _, k := range c.Kept {
		if k.Reason == keptNeeded || k.Reason == keptVariant {
			m.seen[k.Reason]++
		}
		if k.Reason == keptCautious {
			m.fail("a plan was wrong: %s", k.File.Ref)
		}
	}
}

// pull brings to one site what another offers and the first wants: leaves, and lists that account for something that no list of the first does.
func (m *model) pull(to, from *site) {
	offers := m.read(from)
	leaves := m.resolve(from).Leaves
	m.rng.Shuffle(len(offers), func(i, j int) { offers[i], offers[j] = offers[j], offers[i] })
	for _, f := range offers {
		if f.ID.Ref.Class != dedup.List && !slices.Contains(leaves, f.ID) {
			continue
		}
		mine := m.read(to)
		if slices.ContainsFunc(mine, func(g dedup.File) bool { return g.ID == f.ID }) || m.unwanted(to, mine, f) {
			continue
		}
		m.say("fetch %s", f.ID.Ref)
		m.seen["fetched"]++
		if err := m.write(to, f); err != nil {
			m.fail("fetch: %v", err)
		}
		if f.ID.Ref.Class == dedup.Instance || slices.Contains(leaves, f.ID) {
			to.acked[f.ID] = true
		}
	}
}

// unwanted reports whether a site accounts for a file, and for all that it accounts for.
func (m *model) unwanted(s *site, mine []dedup.File, f dedup.File) bool {
	state := dedup.Resolve(append(slices.Clip(mine), f), everything{})
	if !slices.Contains(state.Dominated, f.ID) {
		return false
	}
	unwanted := f.ID.Ref.Class == dedup.Instance || slices.ContainsFunc(mine, func(l dedup.File) bool { return l.Covers(f) })
	if unwanted {
		m.seen["refused"]++
		s.dom[f.ID] = true
	}
	return unwanted
}

// everything is bulkdata that a fetch brings along.
type everything struct{ noBulk }

func (everything) Has(dedup.Ref) bool { return true }

func (m *model) restore(s *site) {
	switch {
	case s.saved == nil || m.rng.IntN(3) == 0:
		s.saved = &saved{s.fs.Crash(m.rng), maps.Clone(s.dom), maps.Clone(s.acked)}
	default:
		m.say("restore")
		m.seen["restored site"]++
		s.fs, s.dom, s.acked = s.saved.fs.Crash(m.rng), maps.Clone(s.saved.dom), maps.Clone(s.saved.acked)
		s.clock.Boot = fmt.Sprint(m.rng.Uint64())
	}
}

// crash cuts the power somewhere in the middle of combining and collecting.
func (m *model) crash(s *site) {
	m.say("crash")
	s.fs.Hook = crashfs.CrashAt(s.fs.Ops() + m.rng.IntN(300))
	s.clock.pass(time.Hour)
	c := s.combiner()
	_, err := c.Study(m.Context(), uid(theStudy))
	_, err2 := c.Collect(m.Context(), uid(theStudy))
	for _, err := range []error{err, err2} {
		if err != nil && !errors.Is(err, crashfs.ErrCrashed) && !errors.Is(err, fs.ErrNotExist) {
			m.fail("combine, collect: %v", err)
		}
	}
	s.fs = s.fs.Crash(m.rng)
	s.clock.Boot = fmt.Sprint(m.rng.Uint64())
	m.seen["crash"]++
}

func (m *model) step() {
	i := m.rng.IntN(len(m.sites))
	s, other := m.sites[i], m.sites[(i+1+m.rng.IntN(len(m.sites)-1))%len(m.sites)]
	m.say("at %d:", i)
	switch n := m.rng.IntN(20); {
	case n < 4:
		m.ingest(s)
	case n < 6:
		m.correct(s)
	case n < 9:
		m.combine(s)
	case n < 13:
		m.collect(s)
	case n < 17:
		m.pull(s, other)
	case n < 18:
		m.restore(s)
	default:
		m.crash(s)
	}
	m.check()
}

// check holds the sites against the invariants.
func (m *model) check() {
	m.Helper()
	for n, s := range m.sites {
		files := m.read(s)
		state := dedup.Resolve(files, s.held())
		if !state.Complete() { // I1
			m.fail("site %d: something is missing", n)
		}
		for id := range s.acked { // I2
			if !slices.ContainsFunc(files, func(f dedup.File) bool { return f.ID == id }) && !m.accounts(s, files, id) {
				m.fail("site %d: %s was acknowledged, and is neither here nor accounted for", n, id.Ref)
			}
		}
		for id := range s.dom { // I3, I4: also if it should come back
			if !m.accounts(s, files, id) {
				m.fail("site %d: %s was accounted for, and is not any more", n, id.Ref)
			}
		}
		for _, id := range state.Dominated {
			s.dom[id] = true
		}
		m.shown(n, files, state)
	}
}

// shown holds, without asking Resolve who accounts for what, that every record that a site has acknowledged is shown there, unless some record that it holds says by hash or content that it replaces it.
func (m *model) shown(n int, files []dedup.File, state *dedup.State) {
	m.Helper()
	live, replaced := map[dedup.Hash]bool{}, map[dedup.Hash]bool{}
	for _, i := range state.Instances {
		for _, r := range i.Records {
			live[r.Dedup.Hash] = true
		}
	}
	for _, f := range files {
		for _, o := range f.Objects() {
			_, d := dedup.Split(o)
			for _, h := range d.Replace {
				replaced[h] = true
			}
		}
	}
	for id := range m.sites[n].acked {
		for _, o := range m.world[id].Objects() {
			if _, d := dedup.Split(o); d.Type == dedup.TypeInstance && !d.Delete && !live[d.Hash] && !replaced[d.Hash] && !replaced[d.Content] {
				m.fail("site %d: a record of %s that %s brought is shown no more, and nothing replaces it", n, o.Text(0x00080018), id.Ref)
			}
		}
	}
}

// accounts reports whether a site accounts for a file, whether it has it or not.
func (m *model) accounts(s *site, files []dedup.File, id dedup.FileID) bool {
	return slices.Contains(dedup.Resolve(append(slices.Clip(files), m.world[id]), s.held()).Dominated, id)
}

// settle lets all sites come to rest: nothing new, all links up.
func (m *model) settle() {
	for round := 0; ; round++ {
		before := fmt.Sprint(m.leaves())
		for _, s := range m.sites {
			for _, other := range m.sites {
				if s != other {
					m.pull(s, other)
				}
			}
			m.combine(s)
			s.clock.pass(time.Hour)
			m.collect(s)
			m.check()
		}
		if all := m.leaves(); round > 4 && fmt.Sprint(all) == before {
			for n := range all {
				if all[n] != all[0] {
					m.fail("sites 0 and %d come to rest with different leaves", n)
				}
			}
			return
		}
		if round > 30 {
			m.fail("the sites never come to rest")
		}
	}
}

func (m *model) leaves() (digests []dedup.Digest) {
	for _, s := range m.sites {
		digests = append(digests, dedup.LeafDigest(m.resolve(s).Leaves))
	}
	return digests
}

// converged holds that nothing is lost anywhere, and that all sites show the same.
func (m *model) converged() {
	first := m.resolve(m.sites[0])
	acked := map[dedup.FileID]bool{}
	for _, s := range m.sites {
		maps.Copy(acked, s.acked)
	}
	for n, s := range m.sites {
		files := m.read(s)
		for id := range acked {
			if !slices.ContainsFunc(files, func(f dedup.File) bool { return f.ID == id }) && !m.accounts(s, files, id) {
				m.fail("site %d has nothing of %s in the end", n, id.Ref)
			}
		}
		if !Same(first, dedup.Resolve(files, s.held())) {
			m.fail("sites 0 and %d show different studies", n)
		}
	}
}

// Sites that ingest, correct, combine, collect, fetch from each other, crash, and are restored from old backups: nothing that was accounted for comes back, nothing that was acknowledged is lost, and
// when all is quiet every site has the same leaves. A failure prints its seed and what happened.
func TestModel(t *testing.T) {
	seen := map[string]int{}
	first := uint64(time.Now().UnixNano())
	for n := uint64(0); n < uint64(raced.Pick(t, 16, 3)) || !raced.On(t) && len(never(seen)) > 0 && n < 100; n++ {
		seed := n
		if n%2 == 1 {
			seed = first + n
		}
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			m := newModel(t, seed, 2+int(seed%2))
			for range 60 {
				m.step()
			}
			m.settle()
			m.converged()
			for what, n := range m.seen {
				seen[what] += n
			}
		}) {
			return
		}
	}
	var words []string
	for what, n := range seen {
		words = append(words, fmt.Sprintf("%s: %d", what, n))
	}
	slices.SortFunc(words, cmp.Compare)
	t.Logf("%q", words)
	if missing := never(seen); len(missing) > 0 && !raced.On(t) { // a few runs need not have had everything
		t.Errorf("it never happened: %q", missing)
	}
}

// never are the things that have to happen in runs that prove something, and did not.
func never(seen map[string]int) (missing []string) {
	for _, what := range []string{"conflict", "duplicate", "deleted instance", "restored instance", "rewritten", "forgotten", "combined", "collected instances", "collected lists", keptNeeded,
		"fetched", "refused", "restored site", "crash"} {
		if seen[what] == 0 {
			missing = append(missing, what)
		}
	}
	return missing
}
