package real

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/verify"
	"github.com/dicomesh/dicomesh/settle"
	"github.com/zeebo/blake3"
)

// judged is what was seen of a site's tree, from outside.
type judged struct {
	writes  int64 // of its disks, when it was looked at
	studies map[dedup.UID]*holding
	acked   map[study]bool // what it has acknowledged and has to account for
}

// holding is what a site holds of a study.
type holding struct {
	files     []dedup.File
	state     *dedup.State
	leaf      dedup.Digest
	paths     map[string]dedup.FileID
	dominated map[dedup.FileID]bool // what it has ever accounted for
}

func newJudged() *judged {
	return &judged{writes: -1, studies: map[dedup.UID]*holding{}, acked: map[study]bool{}}
}

// clone is what a backup of the machine has of it. A tree that is put back may have lost what was not durable, so paths are seen anew.
func (j *judged) clone() *judged {
	c := newJudged()
	c.acked = maps.Clone(j.acked)
	for uid, h := range j.studies {
		c.studies[uid] = &holding{dominated: maps.Clone(h.dominated)}
	}
	return c
}

// look looks at what has changed since the last time. Nothing else runs meanwhile.
func (w *world) look() {
	w.answers()
	for _, s := range w.sites {
		if s.running() && !s.power.off.Load() && s.power.writes.Load() != s.judged.writes {
			s.read()
		}
	}
	w.states()
}

// peek does something with the site's disks that counts as no operation.
func (s *site) peek(do func()) {
	if s.power != nil {
		s.power.peeked.Store(true)
		defer s.power.peeked.Store(false)
	}
	do()
}

// read looks at the site's whole tree.
func (s *site) read() {
	s.peek(func() {
		studies, strange, err := dedup.NewTree(s.trees).Studies()
		if err != nil || len(strange) > 0 {
			s.world.fail("the tree of %s: %v %v", s.name, strange, err)
		}
		for _, uid := range studies {
			s.readStudy(uid)
		}
	})
	if s.power != nil {
		s.judged.writes = s.power.writes.Load()
	}
}

func (s *site) readStudy(uid dedup.UID) {
	w := s.world
	folder, err := dedup.NewTree(s.trees).Study(uid)
	if err != nil {
		w.fail("study %s of %s: %v", uid, s.name, err)
	}
	heads, err := folder.Heads()
	if err != nil {
		w.fail("study %s of %s: %v", uid, s.name, err)
	}
	h := &holding{paths: map[string]dedup.FileID{}, dominated: map[dedup.FileID]bool{}}
	for _, held := range heads {
		text, err := folder.Read(held, 1<<20)
		if err != nil {
			w.fail("I1: %s of %s: %v", held.Path, s.name, err)
		}
		f := dedup.ParseFile(held.Ref, text)
		h.paths[held.Path] = f.ID
		if _, known := w.files[f.ID]; !known {
			w.files[f.ID] = f
		}
		if !slices.ContainsFunc(h.files, func(g dedup.File) bool { return g.ID == f.ID }) {
			h.files = append(h.files, f)
		}
	}
	h.state = dedup.Resolve(h.files, bulk{folder})
	h.leaf = dedup.LeafDigest(h.state.Leaves)
	s.compare(uid, s.judged.studies[uid], h)
	s.judged.studies[uid] = h
	w.history[s.name+" "+uid.String()+" "+h.leaf.String()] = true
}

// compare holds what a study is against what it must be, and against what it was (I1, I4, I5).
func (s *site) compare(uid dedup.UID, was, is *holding) {
	w := s.world
	if !is.state.Complete() {
		w.fail("I1: study %s of %s is visible, and not complete: %v", uid, s.name, is.state.Faults)
	}
	if len(is.state.Variants) > 0 {
		w.seen["variant"]++
	}
	for _, id := range is.state.Dominated {
		is.dominated[id] = true
	}
	if was == nil {
		return
	}
	for id := range was.dominated {
		is.dominated[id] = true
		if slices.Contains(is.state.Leaves, id) {
			w.fail("I4: %s of study %s at %s was accounted for, and is a leaf again", id.Ref, uid, s.name)
		}
	}
	for path, id := range was.paths {
		if now, has := is.paths[path]; has && now != id && !is.accounts(id, w) {
			w.fail("I5: %s at %s stands for other bytes", path, s.name)
		}
	}
}

// accounts reports whether a file is held, or accounted for by content.
func (h *holding) accounts(id dedup.FileID, w *world) bool {
	if h == nil || h.state == nil {
		return false
	}
	if slices.Contains(h.state.Leaves, id) || slices.Contains(h.state.Dominated, id) {
		return true
	}
	return slices.Contains(dedup.Resolve(append(slices.Clip(h.files), w.files[id]), everything{}).Dominated, id)
}

// bulk is a study's bulkdata on disk.
type bulk struct{ folder dedup.Folder }

// Has implements dedup.Bulk.
func (b bulk) Has(r dedup.Ref) bool { _, _, err := b.folder.Find(r); return err == nil }

// Object implements dedup.Bulk.
func (b bulk) Object(h dedup.Hash) (dedup.Object, error) {
	held, _, err := b.folder.Find(dedup.Ref{Class: dedup.Bulkdata, Name: h.String(), Ext: ".json.gz"})
	if err != nil {
		return nil, err
	}
	text, err := b.folder.Read(held, 1<<20)
	if err != nil {
		return nil, err
	}
	return dedup.ParseObject(text)
}

// everything is bulkdata that has all.
type everything struct{}

// Has implements dedup.Bulk.
func (everything) Has(dedup.Ref) bool { return true }

// Object implements dedup.Bulk.
func (everything) Object(dedup.Hash) (dedup.Object, error) { return dedup.Object{}, nil }

// delivery is a file that was handed to a site, of which nobody has heard yet.
type delivery struct {
	site *site
	text []byte
	parcel
}

// answers takes what sites have answered: from then on they have to account for it.
func (w *world) answers() {
	w.pending = slices.DeleteFunc(w.pending, func(d *delivery) bool {
		select {
		case r := <-d.reply:
			w.answered(d, r)
			return true
		default:
			return false
		}
	})
}

func (w *world) answered(d *delivery, r ingest.Result) {
	w.say("%s answers: %s %s", d.site.name, r.Status, cmp.Or(r.Reason, fmt.Sprint(r.Err)))
	if r.Status == ingest.Refused {
		return
	}
	d.site.read()
	of := dedup.Digest(blake3.Sum256(d.text))
	for _, f := range d.site.judged.studies[r.Study].files {
		for _, o := range f.Objects() {
			if _, record := dedup.Split(o); record.File == of {
				d.site.judged.acked[study{r.Study, f.ID}] = true
				return
			}
		}
	}
	if r.Status != ingest.Duplicate { // a duplicate may be of what was corrected, and collected
		w.fail("I2: %s acknowledged an instance as %s, and has no record of it", d.site.name, r.Status)
	}
}

// inspect holds everything against the invariants, after a step.
func (w *world) inspect() {
	for _, s := range w.sites {
		if !s.running() || s.power.off.Load() {
			continue
		}
		s.read()
		s.accountable()
		if n := len(s.doors.Source.Status().Sites); n != len(w.sites) {
			w.fail("I14: %s knows of %d sites", s.name, n)
		}
		s.certificates()
	}
	w.honest()
}

// accountable holds that the site accounts for what it acknowledged (I2), and for all that it ever accounted for (I3).
func (s *site) accountable() {
	for f := range s.judged.acked {
		if !s.judged.studies[f.uid].accounts(f.id, s.world) {
			s.world.fail("I2: %s acknowledged %s of study %s, and does not account for it", s.name, f.id.Ref, f.uid)
		}
	}
	for uid, h := range s.judged.studies {
		for id := range h.dominated {
			if !h.accounts(id, s.world) {
				s.world.fail("I3: %s of study %s was accounted for at %s, and is not any more", id.Ref, uid, s.name)
			}
		}
	}
}

// certificates holds each new certificate of a site against what was seen on the disks of all (I6).
func (s *site) certificates() {
	w := s.world
	rows, err := s.doors.Source.Studies(w.t.Context(), admin.Query{State: string(settle.Settled), Limit: 1000})
	if err != nil {
		w.fail("studies of %s: %v", s.name, err)
	}
	for _, row := range rows {
		uid := mustUID(row.Study)
		known, err := s.doors.Source.Study(w.t.Context(), uid)
		if err != nil {
			w.fail("study %s of %s: %v", uid, s.name, err)
		}
		c := known.Certificate
		if known.State != string(settle.Settled) {
			continue
		}
		if c == nil || c.Leaf != row.Leaf {
			w.fail("I6: study %s is settled at %s with leaves %s; its certificate is %+v", uid, s.name, row.Leaf, c)
		}
		if key := s.name + uid.String() + c.Nonce; !w.certain[key] {
			w.certain[key] = true
			w.certify(s, uid, *c)
		}
	}
}

func (w *world) certify(s *site, uid dedup.UID, c admin.Certificate) {
	w.seen["certificate"]++
	if len(c.Sites)+len(c.Exceptions) != len(w.sites) {
		w.fail("I6: the certificate of study %s at %s names %d sites and %d exceptions", uid, s.name, len(c.Sites), len(c.Exceptions))
	}
	for _, r := range c.Sites {
		if r.Leaf != c.Leaf || !r.Complete || !r.Durable {
			w.fail("I6: the certificate of study %s at %s rests on %+v", uid, s.name, r)
		}
		if !w.history[r.Site+" "+uid.String()+" "+r.Leaf] {
			w.fail("I6: the certificate of study %s at %s says that %s holds %s: it was never seen to", uid, s.name, r.Site, r.Leaf)
		}
	}
}

// detection is how long a link may be down before both its ends say so; 15 s are promised on a LAN.
const detection = 16 * time.Second

// honest holds that whoever has a link down for longer says so (I7).
func (w *world) honest() {
	for pair, since := range w.cuts {
		for _, name := range pair {
			s := w.site(name)
			other := w.site(pair[0])
			if other == s {
				other = w.site(pair[1])
			}
			if !s.running() || s.suspended() || !other.running() || time.Since(since) < detection || time.Since(s.since) < detection || time.Since(s.resumed) < detection {
				continue
			}
			if state := s.doors.Source.Status().State; state == "whole" {
				w.fail("I7: %s says whole; from %s to %s nothing has come through for %v", name, pair[0], pair[1], time.Since(since))
			}
		}
	}
}

// states counts what sites say of themselves.
func (w *world) states() {
	if w.looks++; w.looks%8 != 0 {
		return
	}
	for _, s := range w.sites {
		if !s.running() || s.doors.Source == nil {
			continue
		}
		status := s.doors.Source.Status()
		w.seen[status.State]++
		for word, n := range map[string]int{"held": status.Studies.Held, "conflict": status.Studies.Conflict, "settled": status.Studies.Settled} {
			if n > 0 {
				w.seen[word]++
			}
		}
		if status.Disk.State == admin.DiskFull {
			w.seen["disk full"]++
		}
	}
}

// deep reads every byte of a site's tree, and finds nothing wrong (I1).
func (s *site) deep() {
	s.peek(func() {
		_, err := verify.New(verify.Config{Tree: s.trees, Deep: true, Workers: 1}).Run(s.world.t.Context(), func(f verify.Finding) {
			if f.Kind.Fault() {
				s.world.fail("I1: at %s: %s", s.name, f)
			}
		})
		if err != nil {
			s.world.fail("verify %s: %v", s.name, err)
		}
	})
}

// sum is a short word for some bytes.
func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
