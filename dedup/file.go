package dedup

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/zeebo/blake3"
)

// FileID is a file's identity: what it is called and the BLAKE3-256 of its content, decompressed. Which of several variants has the canonical path
// is no part of it: Ref.Variant is empty.
type FileID struct {
	Ref    Ref
	Digest Digest
}

// Compare orders ids.
func (id FileID) Compare(other FileID) int {
	return cmp.Or(id.Ref.Compare(other.Ref), slices.Compare(id.Digest[:], other.Digest[:]))
}

// LeafDigest is what sites compare: two sites with the same leaf digest show the same study. ids are in any order.
func LeafDigest(ids []FileID) Digest {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, FileID.Compare)
	h := blake3.New()
	for _, id := range slices.Compact(ids) {
		head := append(make([]byte, 0, 80), byte(id.Ref.Class))
		head = binary.LittleEndian.AppendUint16(head, uint16(len(id.Ref.Name)))
		_, _ = h.Write(append(append(head, id.Ref.Name...), id.Digest[:]...))
	}
	return Digest(h.Sum(nil))
}

// Record is one record of a study as one of its files has it.
type Record struct {
	SOP    UID    // zero in a record that only removes others by their hashes
	Object Object // with its block
	Dedup  Dedup

	id   Digest // of the canonical JSON: two records are the same one when all of it is equal
	refs []Ref  // its References: each Resolve asks for them
}

func newRecord(o Object) Record {
	content, d := Split(o)
	return Record{SOP: o.uid(tagSOPInstanceUID), Object: o, Dedup: d, id: o.digest(), refs: references(content, &d)}
}

// digest is the BLAKE3 of the object's canonical JSON.
func (o Object) digest() Digest {
	return blake3.Sum256(o.AppendJSON(o.room(make([]byte, 0, onStack))))
}

// removes reports whether the record stands for nothing but the removal of others.
func (r *Record) removes() bool { return r.Dedup.Delete || r.Dedup.Type == TypeDeleted }

// empties reports whether the record removes, without saying which, all records of its SOP in the files that its list supersedes.
func (r *Record) empties() bool {
	return r.Dedup.Delete && len(r.Dedup.Replace) == 0 && r.SOP.text != ""
}

// replaces are the hashes and contents that the record replaces, its own excepted.
func (r *Record) replaces() []Hash {
	return slices.DeleteFunc(slices.Clone(r.Dedup.Replace), func(h Hash) bool {
		return h.IsZero() || h == r.Dedup.Hash || h == r.Dedup.Content
	})
}

// File is a list or an instance file that was read.
type File struct {
	ID FileID
	// Fault says why nothing of the file counts: it is not JSON (ErrObject), or it is dicomesh's own and has not the content that its name or
	// its record's hash says (ErrDamaged). Such a file is still held, and still a leaf.
	Fault error

	info     Dedup
	objects  []Object
	records  []Record
	extracts []Object
	others   []Object // that are not records
}

// Objects are all objects of the file, its info too, as they stand there; none of a file with a Fault. They are shared and not to be changed.
func (f File) Objects() []Object { return f.objects }

// References are the bulkdata that the file's objects name, each once, in order (References). A slim file is not asked.
func (f File) References() (refs []Ref) {
	for _, r := range f.records {
		refs = append(refs, r.refs...)
	}
	for _, o := range f.others {
		refs = append(refs, References(o)...)
	}
	slices.SortFunc(refs, Ref.Compare)
	return slices.Compact(refs)
}

// ParseFile reads the content of the list or instance file r. Whatever is wrong with it is in Fault.
func ParseFile(r Ref, content []byte) File {
	r.Variant = ""
	f := File{ID: FileID{r, blake3.Sum256(content)}}
	f.objects, f.Fault = ParseList(content)
	if f.Fault == nil {
		f.sort()
	}
	if f.Fault == nil && f.checkOwn() == Corrupt {
		f.Fault = fmt.Errorf("%s file does not have its name: %w", r.Class, ErrDamaged)
	}
	if f.Fault != nil {
		f.info, f.objects, f.records, f.extracts, f.others = Dedup{}, nil, nil, nil, nil
	}
	return f
}

// sort takes the objects apart by their types. In a list the first object is its info if it has that type; elsewhere infos say nothing.
func (f *File) sort() {
	for i, o := range f.objects {
		d := o.dedup()
		records := len(f.records)
		switch {
		case d.Type == TypeInfo:
			if i == 0 && f.ID.Ref.Class == List {
				f.info = d
			}
		case d.Type.extract():
			f.extracts = append(f.extracts, o)
		case d.Type != TypeEncoding && d.Type != TypeSequence:
			f.records = append(f.records, newRecord(o))
		}
		if len(f.records) == records {
			f.others = append(f.others, o)
		}
	}
	slices.SortFunc(f.records, func(a, b Record) int { return slices.Compare(a.id[:], b.id[:]) })
	f.records = slices.CompactFunc(f.records, func(a, b Record) bool { return a.id == b.id })
	if len(f.records) == 0 && f.ID.Ref.Class == Instance {
		f.Fault = fmt.Errorf("instance file without a record: %w", ErrObject)
	}
}

// checkOwn checks the name of a file that dicomesh wrote.
func (f *File) checkOwn() Answer {
	if f.ID.Ref.Class == List {
		return f.checkList()
	}
	for _, r := range f.records {
		if r.Dedup.Version == "" {
			continue
		}
		_, notUID := ParseUID(f.ID.Ref.Name)
		if Verify(r.Object) == Corrupt || notUID == nil && r.SOP.text != f.ID.Ref.Name {
			return Corrupt
		}
	}
	return CannotTell
}

func (f *File) checkList() Answer {
	switch f.info.Version {
	case "":
		return CannotTell
	case Version:
		if f.info.Hash.text == f.ID.Ref.Name && f.objects[0].hasPlainHash(f.info.Hash) && listName(f.objects) == f.info.Hash {
			return Right
		}
		return Corrupt
	}
	return CannotTell
}

// listName is the name of a list that dicomesh writes: the SHA-256 of its canonical JSON without the hash of its first object.
func listName(objects []Object) Hash {
	h := sha256.New()
	_, _ = h.Write([]byte{'['})
	var buf []byte
	for i, o := range objects {
		buf = buf[:0]
		if i == 0 {
			o = o.without(elementHash)
		} else {
			buf = append(buf, ',')
		}
		buf = o.AppendJSON(buf)
		_, _ = h.Write(buf)
	}
	_, _ = h.Write([]byte{']'})
	return HashOf([32]byte(h.Sum(nil)))
}

// Verify checks everything that the file's name and its objects' hashes can tell: Corrupt if anything is, Right if everything is, of
// dicomesh's or of static-wado's making.
func (f File) Verify() Answer {
	if f.Fault != nil {
		return Corrupt
	}
	answer := Right
	if f.ID.Ref.Class == List {
		answer = f.checkList()
		if f.info.Version == "" && f.nodeName() == f.ID.Ref.Name {
			answer = Right
		}
	}
	for _, o := range f.objects {
		if o.dedup().Type == TypeInfo {
			continue
		}
		switch Verify(o) {
		case Corrupt:
			return Corrupt
		case CannotTell:
			answer = CannotTell
		}
	}
	return answer
}

// nodeName is the name that static-wado gives to a list of these records.
func (f *File) nodeName() string {
	array := []byte{'['}
	for i, r := range f.records {
		if i > 0 {
			array = append(array, ',')
		}
		array = r.Object.AppendJSON(array)
	}
	return nodeHash(append(array, ']')).text
}
