package dedup

import (
	"bytes"
	"slices"
	"sync"
)

// References are the bulkdata files that an object names itself, each once: extracts, encoding and residue, values, frames and
// sequences, in items at any depth. What those files name in turn is not among them: State.Closure follows them.
// Ext is as the reference says; the file may be held under another of its Spellings.
func References(o Object) []Ref {
	content, d := Split(o)
	return references(content, &d)
}

// references is References of an object that is split already.
func references(content Object, d *Dedup) []Ref {
	var refs []Ref
	if d.Type != TypeInfo {
		for _, h := range d.Refs {
			refs = appendBulk(refs, h, "", ".json.gz")
		}
	}
	for i, h := range d.Encoding {
		refs = appendBulk(refs, h, "", encodingExt(i))
	}
	for _, e := range content {
		if refersToBulk(e.JSON) {
			refs = appendValueRefs(refs, e.JSON)
		}
	}
	slices.SortFunc(refs, Ref.Compare)
	return slices.Compact(refs)
}

// encodingExt is the extension of the i-th file of DeduppedEncoding (FORMAT.md section 7).
func encodingExt(i int) string {
	return [...]string{".json.gz", ".residue.gz", ".residue"}[min(i, 2)]
}

func appendBulk(refs []Ref, h Hash, stream, ext string) []Ref {
	if r := (Ref{Class: Bulkdata, Name: h.text, Stream: stream, Ext: ext}); r.wellFormed() {
		return append(refs, r)
	}
	return refs
}

// refersToBulk is a quick look that spares most attributes the closer one.
func refersToBulk(json []byte) bool {
	return bytes.Contains(json, []byte(`"BulkDataURI"`)) || bytes.Contains(json, []byte(`"Fragments"`))
}

// appendValueRefs appends what an attribute object names, in its items too.
func appendValueRefs(refs []Ref, json Token) []Ref {
	var fragments []Hash
	var streams []string
	var ext string
	s := scan(json)
	for key, value := s.member(); key != nil; key, value = s.member() {
		switch string(key) {
		case `"BulkDataURI"`:
			uri, _ := value.Text()
			if r, err := ParseBulkURI(uri); err == nil {
				refs = append(refs, r)
			}
		case `"Fragments"`:
			fragments, _ = value.hashes()
		case `"DeduppedStreams"`:
			streams, _ = value.texts()
		case `"DeduppedExt"`:
			ext, _ = value.Text()
		case `"Value"`:
			refs = appendItemRefs(refs, value)
		}
	}
	for i, h := range fragments {
		stream := ""
		if i < len(streams) {
			stream = streams[i]
		}
		refs = appendBulk(refs, h, stream, ext)
	}
	return refs
}

// appendItemRefs looks into the items of a sequence.
func appendItemRefs(refs []Ref, value Token) []Ref {
	items := scan(value)
	for item := items.item(); item != nil; item = items.item() {
		attributes := scan(item)
		for key, a := attributes.member(); key != nil; key, a = attributes.member() {
			if len(a) > 0 && a[0] == '{' && refersToBulk(a) {
				refs = appendValueRefs(refs, a)
			}
		}
	}
	return refs
}

// Bulk is what a study holds beside its lists and instance files. Resolve asks it; it is handed in by whoever holds the tree or an index.
type Bulk interface {
	// Object is the object in bulkdata that is named h, as it was stored. Any error means that it is not there for now.
	Object(h Hash) (Object, error)
	// Has reports whether a bulkdata file is held, under any of its Spellings.
	Has(r Ref) bool
}

// maxNesting is how far refs of objects to objects are followed (FORMAT.md section 4).
const maxNesting = 8

// shared are the objects of a study that records refer to.
type shared struct {
	bulk    Bulk
	inline  map[Hash][]Object // extracts that stand in leaves
	instead map[Hash]Hash     // what is read for an extract that was corrected

	mu   sync.Mutex
	seen map[Hash]*sharedObject // guarded by mu
}

// sharedObject is an extract, a sequence or an encoding object.
type sharedObject struct {
	content Object // of an extract
	extends []Hash // the extracts that an extract refers to itself
	refs    []Ref
	missing bool
}

func newShared(bulk Bulk) *shared {
	return &shared{bulk: bulk, inline: make(map[Hash][]Object), instead: make(map[Hash]Hash), seen: make(map[Hash]*sharedObject)}
}

// object finds an object by its hash.
func (s *shared) object(h Hash) *sharedObject {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.seen[h]; ok {
		return found
	}
	found := &sharedObject{missing: true}
	if o, ok := s.find(h); ok {
		found.missing, found.refs = false, References(o)
		if content, d := Split(o); d.Type != TypeSequence && d.Type != TypeEncoding {
			found.content, found.extends = content, d.Refs
		}
	}
	s.seen[h] = found
	return found
}

// find looks first for an object that provably has that hash, whoever wrote it down: nobody can put another in its place. Where a hash cannot be
// proved, bulkdata counts before what lists say, and of several the one with the least text. What a list has under a hash that could be proved, and is not, is not the object (Stands).
func (s *shared) find(h Hash) (Object, bool) {
	var doubtful Object
	for _, o := range leastFirst(s.inline[h]) {
		switch {
		case Verify(o) == Right:
			return o, true
		case doubtful == nil && Stands(o, h):
			doubtful = o
		}
	}
	if o, err := s.bulk.Object(h); err == nil && Verify(o) != Corrupt {
		if own := o.dedup().Hash; own == h || own.IsZero() {
			return o, true
		}
	}
	return doubtful, doubtful != nil
}

func leastFirst(objects []Object) []Object {
	if len(objects) > 1 {
		slices.SortFunc(objects, func(a, b Object) int { return bytes.Compare(a.AppendJSON(nil), b.AppendJSON(nil)) })
	}
	return objects
}

// closure calls visit for each bulkdata file that a record needs, its own and those of the objects that it names, each once. has tells whether it is there.
func (s *shared) closure(r *Record, visit func(r Ref, has bool)) {
	level := r.refs
	seen := make(map[Ref]bool, len(level))
	for depth := 0; len(level) > 0; depth++ {
		var next []Ref
		for _, r := range level {
			if seen[r] {
				continue
			}
			seen[r] = true
			if r.Ext != ".json.gz" {
				visit(r, s.bulk.Has(r))
				continue
			}
			object := s.object(r.Hash())
			visit(r, !object.missing)
			if depth < maxNesting {
				next = append(next, object.refs...)
			}
			if h := s.replacement(r.Hash()); h != r.Hash() {
				next = appendBulk(next, h, "", r.Ext)
			}
		}
		level = next
	}
}

// missing are the files that a record needs and that are not there.
func (s *shared) missing(r *Record) (refs []Ref) {
	s.closure(r, func(r Ref, has bool) {
		if !has {
			refs = append(refs, r)
		}
	})
	slices.SortFunc(refs, Ref.Compare)
	return refs
}
