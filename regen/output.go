package regen

import (
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/zeebo/blake3"
)

// array seals objects and makes a JSON array of them. The first carries from: what the file was generated from.
func array(objects []dedup.Object, from dedup.Digest) ([]byte, error) {
	size := 2
	for n, o := range objects {
		var d dedup.Dedup
		if n == 0 {
			d.Leaves = []string{from.String(), Version}
		}
		sealed, _, err := dedup.Seal(o, d)
		if err != nil {
			return nil, err
		}
		objects[n] = sealed
		for _, e := range sealed {
			size += len(e.JSON) + 13
		}
		size += 3
	}
	out := append(make([]byte, 0, size), '[')
	for n, o := range objects {
		if n > 0 {
			out = append(out, ',')
		}
		out = o.AppendJSON(out)
	}
	return append(out, ']'), nil
}

// seriesFiles are the JSON files of one series.
type seriesFiles struct {
	study     *study
	instances []*instance
	from      dedup.Digest

	metadata, query []byte // made when one of them is asked for
}

// newSeriesFiles says from what the files of a series are made: the digest of all its instances' attributes.
func newSeriesFiles(s *study, instances []*instance) *seriesFiles {
	h := blake3.New()
	var buf []byte
	for _, i := range instances {
		buf = i.merged.AppendJSON(buf[:0])
		buf = append(append(buf, i.syntax...), '\n')
		_, _ = h.Write(buf)
	}
	from := dedup.Digest(h.Sum(nil))
	s.digests[instances[0].series] = from
	return &seriesFiles{study: s, instances: instances, from: from}
}

// key is what the manifest remembers the files by.
func (f *seriesFiles) key() string { return Version + "." + hex.EncodeToString(f.from[:16]) }

// make makes both files.
func (f *seriesFiles) make() error {
	if f.metadata != nil {
		return nil
	}
	p := publisher{f.study, "../../"}
	var metadata, query []dedup.Object
	for _, i := range f.instances {
		o, err := p.object(i, i.merged, "instances/"+i.sop.String()+"/"+i.pixels.folder())
		if err != nil {
			return fmt.Errorf("instance %s: %w", i.sop, err)
		}
		query = append(query, f.study.instanceRow(i, o))
		metadata = append(metadata, withAvailable(o, i.syntax))
	}
	var err error
	if f.metadata, err = array(metadata, f.from); err == nil {
		f.query, err = array(query, f.from)
	}
	return err
}

// folder is where frames are in an instance's folder.
func (p *pixelData) folder() string {
	if p != nil && p.video {
		return "pixeldata"
	}
	return "frames"
}

// withAvailable adds the transfer syntax of the frames, which clients need before they ask for one (PS3.18 section 8.7.3.5.2).
func withAvailable(o dedup.Object, syntax string) dedup.Object {
	r := row{}
	r.texts(tagAvailable, "UI", syntax)
	e := dedup.Element{Tag: tagAvailable, JSON: r[tagAvailable]}
	n, has := slices.BinarySearchFunc(o, tagAvailable, func(e dedup.Element, t dedup.Tag) int { return int(int64(e.Tag) - int64(t)) })
	if has {
		o[n] = e
		return o
	}
	return slices.Insert(o, n, e)
}

// takeMetadata and takeQuery hand a file over, once.
func (f *seriesFiles) takeMetadata() ([]byte, error) {
	err := f.make()
	return f.metadata, err
}

func (f *seriesFiles) takeQuery() ([]byte, error) {
	err := f.make()
	out := f.query
	f.metadata, f.query = nil, nil
	return out, err
}

// seriesQuery is series.gz.
func (s *study) seriesQuery() ([]byte, error) {
	var rows []dedup.Object
	for _, instances := range s.series() {
		r, err := s.seriesRow(instances)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return array(rows, s.leaves)
}

// studyQuery is studies.gz.
func (s *study) studyQuery() ([]byte, error) {
	r, err := s.studyRow()
	if err != nil {
		return nil, err
	}
	return array([]dedup.Object{r}, s.leaves)
}

// deduplicated is all objects of all leaves, and the extracts that the shown records refer to, as one list. They are in the archive's form and keep
// their own hashes; the info that leads them names the leaves that are lists.
func (s *study) deduplicated() ([]byte, error) {
	seen := make(map[dedup.Digest]bool)
	var extracts, records []entry
	add := func(e entry) {
		switch {
		case seen[e.id]:
		case e.extract:
			extracts = append(extracts, e)
		default:
			records = append(records, e)
		}
		seen[e.id] = true
	}
	info := dedup.Dedup{Type: dedup.TypeInfo, Leaves: []string{s.leaves.String(), Version}}
	for _, f := range s.read {
		if _, leaf := slices.BinarySearchFunc(s.state.Leaves, f.file.ID, dedup.FileID.Compare); !leaf {
			continue
		}
		if f.file.ID.Ref.Class == dedup.List {
			info.ReplaceFiles = append(info.ReplaceFiles, f.file.ID.Ref.Hash())
		}
		for _, e := range f.list() {
			add(e)
		}
	}
	if err := s.addReferred(add); err != nil {
		return nil, err
	}
	first, _, err := dedup.Seal(nil, info)
	if err != nil {
		return nil, err
	}
	return list(first, extracts, records), nil
}

// entry is an object of a list.
type entry struct {
	id      dedup.Digest
	json    []byte
	extract bool
}

func newEntry(o dedup.Object, extract bool) entry {
	json := o.AppendJSON(nil)
	return entry{blake3.Sum256(json), json, extract}
}

// list is the file's objects but its info, made once.
func (h *head) list() []entry {
	if h.entries != nil {
		return h.entries
	}
	for _, o := range h.file.Objects() {
		switch _, d := dedup.Split(o); d.Type {
		case dedup.TypeInfo:
		case dedup.TypePatient, dedup.TypeStudy, dedup.TypeSeries, dedup.TypeImage:
			h.entries = append(h.entries, newEntry(o, true))
		default:
			h.entries = append(h.entries, newEntry(o, false))
		}
	}
	return h.entries
}

// list puts the objects of each kind in the order of their digests.
func list(first dedup.Object, kinds ...[]entry) []byte {
	out := first.AppendJSON([]byte{'['})
	for _, entries := range kinds {
		slices.SortFunc(entries, func(a, b entry) int { return slices.Compare(a.id[:], b.id[:]) })
		for _, e := range entries {
			out = append(append(out, ','), e.json...)
		}
	}
	return append(out, ']')
}

// addReferred adds the extracts in bulkdata that live records refer to, directly or through others.
func (s *study) addReferred(add func(entry)) error {
	seen := make(map[dedup.Hash]bool)
	var next []dedup.Hash
	for _, i := range s.state.Instances {
		for _, r := range i.Records {
			next = append(next, r.Dedup.Refs...)
		}
	}
	for len(next) > 0 {
		h := next[len(next)-1]
		next = next[:len(next)-1]
		if seen[h] {
			continue
		}
		seen[h] = true
		o, err := s.source.Object(h)
		if err != nil {
			continue // it stands in a leaf, or the study would not be complete
		}
		add(newEntry(o, true))
		_, d := dedup.Split(o)
		next = append(next, d.Refs...)
	}
	return nil
}
