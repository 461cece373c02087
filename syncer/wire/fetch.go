package wire

import (
	"fmt"

	"github.com/dicomesh/dicomesh/dedup"
)

// Want is a file that is asked for, or a part of it.
type Want struct {
	Ref     dedup.Ref
	Digest  dedup.Digest // of a list, an instance file or a file of class other: which content; zero for bulkdata
	Offset  uint64       // of the first byte that is wanted, as stored
	Length  uint64       // bytes; 0: to the end, if the file is not too large for the answer
	Partial bool         // Length bytes, and no more, of a file of any size
}

// Fetch asks for files of a study. The answer has a FileHeader for each, in order, each followed by Length bytes.
type Fetch struct {
	Study  dedup.UID
	Budget uint64 // bytes of files to answer with: those that no longer fit are answered with Later
	Whole  uint64 // bytes of a file to send unasked for ranges: larger ones are answered with Large
	Zstd   bool   // the asker can take bytes compressed with zstd
	Files  []Want
}

// Kind implements Message.
func (*Fetch) Kind() Kind { return KindFetch }

func (f *Fetch) append(w *writer) {
	w.uid(f.Study)
	w.uint(f.Budget)
	w.uint(f.Whole)
	w.bool(f.Zstd)
	w.count(len(f.Files))
	for _, x := range f.Files {
		w.text(x.Ref.Path())
		w.digest(x.Digest)
		w.uint(x.Offset)
		w.uint(x.Length)
		w.bool(x.Partial)
	}
}

func (f *Fetch) parse(r *reader) {
	f.Study, f.Budget, f.Whole, f.Zstd = r.uid(), r.uint(), r.uint(), r.bool()
	f.Files = make([]Want, r.count(MaxFiles, 37))
	for i := range f.Files {
		f.Files[i] = Want{r.ref(), r.digest(), r.uint(), r.uint(), r.bool()}
	}
}

// Status is what becomes of one file of a Fetch.
type Status uint64

// The statuses. A reader treats one that it does not know as Absent.
const (
	Here   Status = iota + 1 // its bytes follow
	Absent                   // the sender does not hold it, or not soundly
	Large                    // it has Size bytes: ask for ranges
	Later                    // it did not fit: ask again
)

// String is the status in a word.
func (s Status) String() string {
	switch s {
	case Here:
		return "here"
	case Absent:
		return "absent"
	case Large:
		return "large"
	case Later:
		return "later"
	}
	return fmt.Sprintf("status %d", uint64(s))
}

// Coding is how the bytes of a file travel.
type Coding uint64

// The codings.
const (
	Stored Coding = iota // as they lie on disk
	Zstd                 // one zstd frame of them
)

// FileHeader comes before the bytes of a file in the answer to a Fetch.
type FileHeader struct {
	Index  uint64 // in the Fetch
	Status Status
	Ref    dedup.Ref // what the sender has the file as, where that is another spelling of what was asked for (dedup.Ref.Spellings); else zero
	Size   uint64    // of the whole file, as stored
	Coding Coding
	Length uint64 // of the bytes that follow, as they travel
	// Content is the digest of the whole file's content, as the sender has it recorded, where the name does not say what the file is: bulkdata of other writers. Zero: it is not said,
	// as before minor version 1. On the wire it is a bool, and the digest only where it is true.
	Content dedup.Digest
}

// Kind implements Message.
func (*FileHeader) Kind() Kind { return KindFileHeader }

func (h *FileHeader) append(w *writer) {
	w.uint(h.Index)
	w.uint(uint64(h.Status))
	w.text(h.Ref.Path())
	w.uint(h.Size)
	w.uint(uint64(h.Coding))
	w.uint(h.Length)
	w.bool(h.Content != dedup.Digest{})
	if (h.Content != dedup.Digest{}) {
		w.digest(h.Content)
	}
}

func (h *FileHeader) parse(r *reader) {
	h.Index, h.Status, h.Ref = r.uint(), Status(r.uint()), r.refOrNone()
	h.Size, h.Coding, h.Length = r.uint(), Coding(r.uint()), r.uint()
	if r.err == nil && len(r.b) > 0 && r.bool() {
		h.Content = r.digest()
	}
}
