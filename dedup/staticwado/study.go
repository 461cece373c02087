package staticwado

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/export"
)

// study is one study that is being taken over.
type study struct {
	run  *run
	uid  dedup.UID
	from dedup.Folder // in the source
	to   dedup.Folder // in the tree, as it was when last looked at
	out  *writer

	heads   []head          // the source's lists and instance files that could be read
	foreign []foreignRecord // in them
	bulk    []dedup.Held    // the source's bulkdata
	others  others          // whatever else it has

	held  map[dedup.FileID]bool // the tree's lists and instance files
	own   []dedup.Object        // records and removals of ours in the tree's lists
	files []dedup.File          // of source and tree
	state *dedup.State          // of them together, as it was at first
	alone *dedup.State          // of the source alone

	tasks  []*task
	used   map[place]bool     // instances whose pixels, or whole files, are in records of ours
	opaque map[dedup.Ref]bool // bulkdata and other files in the tree whose names say nothing
}

// head is a list or an instance file of the source.
type head struct {
	held dedup.Held
	id   dedup.FileID
}

// foreignRecord is what must be known of each record of another writer, also of those that are long replaced.
type foreignRecord struct {
	file    dedup.FileID
	sop     dedup.UID
	series  dedup.UID
	hash    dedup.Hash
	removal dedup.Object // the record, if it is one that removes
	made    []dedup.Hash // in a removal: what an earlier run made of what is removed
}

// open reads what speaks of a study in source and tree; nil if there is nothing to take over, which is reported.
func (r *run) open(uid dedup.UID) (*study, error) {
	s := &study{run: r, uid: uid, held: make(map[dedup.FileID]bool), used: make(map[place]bool), opaque: make(map[dedup.Ref]bool)}
	err := s.openSource()
	if err != nil {
		r.skip("studies/"+uid.String(), err.Error())
		return nil, nil
	}
	if len(s.heads) == 0 {
		r.skip("studies/"+uid.String(), "no list or instance file says what the study has")
		return nil, nil
	}
	if err := s.openTree(); err != nil {
		return nil, fmt.Errorf("read study %s of the tree: %w", uid, err)
	}
	s.state, s.alone = dedup.Resolve(s.files, s.either()), dedup.Resolve(s.files[:len(s.heads)], s.either())
	return s, nil
}

func (s *study) openSource() (err error) {
	if s.from, err = dedup.NewTree(s.run.source).Study(s.uid); err != nil {
		return err
	}
	held, findings, err := s.from.Files()
	if err != nil {
		return err
	}
	for _, f := range findings {
		s.run.skip(f.Path, f.Reason)
	}
	for _, h := range held {
		switch h.Ref.Class {
		case dedup.List, dedup.Instance:
			s.readHead(h)
		case dedup.Bulkdata:
			s.bulk = append(s.bulk, h)
		default:
			s.others.add(h)
		}
	}
	return nil
}

// readHead reads a list or an instance file of the source.
func (s *study) readHead(h dedup.Held) {
	text, err := s.from.Read(h, maxHead)
	if err != nil {
		s.run.skip(h.Path, err.Error())
		return
	}
	s.run.config.Advance(int64(len(text)))
	f := dedup.ParseFile(h.Ref, text)
	if f.Fault != nil {
		s.run.skip(h.Path, f.Fault.Error())
		return
	}
	s.files = append(s.files, f)
	s.heads = append(s.heads, head{h, f.ID})
	objects, _ := dedup.ParseList(text) // ParseFile has just done so
	for _, o := range objects {
		if _, d := dedup.Split(o); d.Version == "" && speaks(d) {
			r := foreignRecord{file: f.ID, sop: uidOf(o, tagSOP), series: uidOf(o, tagSeries), hash: d.Hash}
			if d.Delete || d.Type == dedup.TypeDeleted {
				r.removal = o
			}
			s.foreign = append(s.foreign, r)
		}
	}
}

// speaks reports whether an object of a list is a record: it is said to be none of the other types.
func speaks(d dedup.Dedup) bool {
	switch d.Type {
	case dedup.TypePatient, dedup.TypeStudy, dedup.TypeSeries, dedup.TypeImage, dedup.TypeInfo, dedup.TypeEncoding, dedup.TypeSequence:
		return false
	}
	return true
}

const (
	tagStudy  dedup.Tag = 0x0020000D
	tagSeries dedup.Tag = 0x0020000E
	tagSOP    dedup.Tag = 0x00080018
)

// uidOf is an attribute of an object as a UID, the zero UID if it is none.
func uidOf(o dedup.Object, tag dedup.Tag) dedup.UID {
	u, _ := dedup.ParseUID(o.Text(tag))
	return u
}

// openTree reads what the tree has of the study.
func (s *study) openTree() (err error) {
	if err = s.look(); err != nil {
		return err
	}
	held, _, err := s.to.Files()
	if err != nil {
		return err
	}
	for _, h := range held {
		if h.Ref.Class != dedup.List && h.Ref.Class != dedup.Instance {
			continue
		}
		text, err := s.to.Read(h, maxHead)
		if errors.Is(err, dedup.ErrDamaged) || errors.Is(err, dedup.ErrTooLarge) {
			continue // verify says so; here it counts for nothing
		}
		if err != nil {
			return err
		}
		f := dedup.ParseFile(h.Ref, text)
		s.files, s.held[f.ID] = append(s.files, f), true
		if h.Ref.Class == dedup.List && f.Fault == nil {
			s.noteOwn(text)
		}
	}
	return nil
}

func (s *study) noteOwn(list []byte) {
	objects, _ := dedup.ParseList(list)
	for _, o := range objects {
		if _, d := dedup.Split(o); d.Version != "" && speaks(d) {
			s.own = append(s.own, o)
		}
	}
}

// look finds out where the tree has the study now.
func (s *study) look() (err error) {
	s.to, err = dedup.NewTree(s.run.tree).Study(s.uid)
	return err
}

// either is the bulkdata of tree and source together.
func (s *study) either() either {
	return either{export.NewSource(s.run.tree, s.to), export.NewSource(s.run.source, s.from)}
}

// either asks the tree first: what is there has been checked.
type either [2]export.Source

// Object implements dedup.Bulk.
func (e either) Object(h dedup.Hash) (dedup.Object, error) {
	if o, err := e[0].Object(h); err == nil {
		return o, nil
	}
	return e[1].Object(h)
}

// Has implements dedup.Bulk.
func (e either) Has(r dedup.Ref) bool { return e[0].Has(r) || e[1].Has(r) }

// task is one instance of the source.
type task struct {
	instance dedup.SOPInstance
	live     []dedup.Record  // of another writer: to be replaced
	removals []foreignRecord // to be repeated in our words
	heirs    []dedup.Hash    // what earlier runs made of records that the source has replaced since
	status   Status
	reason   string

	made []dedup.Object // records and removals that are to stand in our list
}

// plan decides what is to be done for each instance. What is live is asked of source and tree together, so that what the tree knows of an instance - it
// was taken over, corrected, deleted - holds. What the source has deleted or replaced since an earlier run is asked of the source alone: in the tree the foreign
// record is long replaced by ours, and it is ours that has to go.
func (s *study) plan() {
	of := make(map[dedup.UID][]foreignRecord)
	for _, r := range s.foreign {
		of[r.sop] = append(of[r.sop], r)
	}
	made, rejected := s.earlierRuns()
	for _, i := range s.state.Instances {
		if len(of[i.SOP]) == 0 {
			continue
		}
		t := &task{instance: i}
		if i.Series == (dedup.UID{}) { // of a deleted instance the state does not say it
			t.instance.Series = of[i.SOP][0].series
		}
		for _, r := range i.Records {
			if r.Dedup.Version == "" {
				t.live = append(t.live, r)
			}
		}
		for _, r := range distinct(of[i.SOP]) {
			switch {
			case r.hash.IsZero() || rejected[r.hash]:
			case r.removal != nil && s.alone.Judge(r.removal) != dedup.Removed:
				r.made = made[r.hash]
				t.removals = append(t.removals, r)
			case !s.livesAlone(r):
				t.heirs = append(t.heirs, made[r.hash]...)
			}
		}
		s.judge(t)
		s.tasks = append(s.tasks, t)
	}
}

// earlierRuns finds in the tree's lists what was made of foreign records, by hash and content of each record, and which of them a removal of an instance names.
func (s *study) earlierRuns() (made map[dedup.Hash][]dedup.Hash, rejected map[dedup.Hash]bool) {
	made, rejected = make(map[dedup.Hash][]dedup.Hash), make(map[dedup.Hash]bool)
	for _, o := range s.own {
		_, d := dedup.Split(o)
		removes, sop := d.Delete || d.Type == dedup.TypeDeleted, uidOf(o, tagSOP)
		for _, h := range d.Replace {
			switch {
			case !removes:
				made[h] = append(made[h], d.Hash, d.Content)
			case sop != (dedup.UID{}):
				rejected[h] = true
			case !d.Content.IsZero():
				made[h] = append(made[h], d.Content)
			}
		}
	}
	return made, rejected
}

// livesAlone reports whether a foreign record is live in the source.
func (s *study) livesAlone(r foreignRecord) bool {
	i, _ := s.alone.Instance(r.sop)
	return slices.ContainsFunc(i.Records, func(live dedup.Record) bool { return live.Dedup.Hash == r.hash })
}

// distinct is each hash once, a removal before the record that it removes.
func distinct(records []foreignRecord) []foreignRecord {
	slices.SortStableFunc(records, func(a, b foreignRecord) int {
		removal := func(r foreignRecord) int {
			if r.removal != nil {
				return 0
			}
			return 1
		}
		return cmp.Or(a.hash.Compare(b.hash), removal(a)-removal(b))
	})
	return slices.CompactFunc(records, func(a, b foreignRecord) bool { return a.hash == b.hash })
}

// judge says how things stand with an instance before anything is written: whether all that it needs is in the source.
func (s *study) judge(t *task) {
	t.status = Present
	switch {
	case t.instance.Deleted || len(t.removals) > 0 && len(t.live) == 0:
		t.status = Deleted
	case len(t.live) > 0:
		t.status = Imported
	}
	for _, r := range t.live {
		_, err := s.pixels(s.state.Merge(r))
		switch {
		case r.Dedup.Hash.IsZero():
			t.fail(Failed, "its record has no hash by which another could replace it")
		case len(t.instance.Missing) > 0:
			t.fail(Incomplete, missingText(t.instance.Missing))
		case err != nil:
			t.fail(Incomplete, err.Error())
		}
	}
}

// fail notes the first reason why an instance stays what it was.
func (t *task) fail(status Status, reason string) {
	if t.status != Incomplete && t.status != Failed {
		t.status, t.reason = status, reason
	}
}

// done reports whether the instance needs nothing of the source any more.
func (t *task) done() bool { return t.status != Incomplete && t.status != Failed }

func missingText(refs []dedup.Ref) string {
	var names []string
	for _, r := range refs[:min(len(refs), 3)] {
		names = append(names, r.Path())
	}
	if more := len(refs) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return "missing: " + strings.Join(names, ", ")
}

// report tells of the instances, in order.
func (s *study) report() {
	for _, t := range s.tasks {
		if t.done() && !t.instance.Deleted && t.instance.Conflict {
			t.status, t.reason = Conflict, "several contents have this SOP Instance UID; all are kept until a correction decides"
		}
		s.run.summary.Instances[t.status]++
		s.run.config.Report(Result{s.uid, t.instance.Series, t.instance.SOP, t.status, t.reason})
	}
	s.run.summary.Derived += s.others.derived
}
