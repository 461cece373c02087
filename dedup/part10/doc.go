// Package part10 takes DICOM files (PS3.10) apart into objects and bulkdata, and puts them together again, byte for byte.
//
// Take reads a file once, front to back, holding neither pixel data nor any long value: those go to a Sink as they pass. What it returns
// is a record that refers to extracts (what the instances of a patient, study, series have in common), to frames and values by hash, and
// to what else the file was: its encoding.
//
// Rebuild goes the other way. The objects alone determine a default file with the same attributes and the same value bytes;
// what a writer was free to choose (lengths defined or not, padding, group lengths, how frames are cut into fragments) is kept as the difference to
// that default, the residue, usually nothing. So nothing here needs to know each oddity of each vendor:
// an oddity that is not understood costs some bytes of residue and is still returned exactly.
//
// The reader of files, the scanner, is our own: it works on a stream, without recursion, keeps raw bytes, and never believes a length before the bytes
// are there. The dictionary is suyashkumar/dicom's.
//
// PS3.5 (encoding), PS3.10 (file), PS3.18 annex F (JSON) and FORMAT.md are the sources.
package part10

import (
	"io"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/klauspost/compress/gzip"
)

// Sink keeps what Take finds. It is called from one goroutine.
type Sink interface {
	// Create begins one bulkdata file; the caller writes its bytes and then calls Keep or Drop, once.
	Create() (Value, error)
	// Put keeps an extract, encoding or sequence object under its own hash.
	Put(h dedup.Hash, o dedup.Object) error
}

// Value is one bulkdata file that is being written. It has no name before its last byte, because its name is its content.
type Value interface {
	io.Writer
	// Keep names the file. The same name may be kept many times; the bytes are then the same.
	Keep(ref dedup.Ref) error
	// Drop forgets it.
	Drop()
}

// Source finds what a Sink kept.
type Source interface {
	// Object is the object with that hash, without its private block.
	Object(h dedup.Hash) (dedup.Object, error)
	// Bulk opens a bulkdata file. The caller closes it.
	Bulk(ref dedup.Ref) (Bulk, error)
}

// Store is a Sink that can be read before anything of it is final: Take proves its work against it.
type Store interface {
	Sink
	Source
}

// Bulk is an open bulkdata file.
type Bulk interface {
	io.ReaderAt
	io.Closer
	Size() (int64, error)
}

type readerAt = io.ReaderAt

// Parts is an instance taken apart.
type Parts struct {
	Study, Series, SOP dedup.UID // zero where the file has no well-formed one
	Record             dedup.Object
	Hash               dedup.Hash // of the record
	Content            dedup.Hash // DeduppedContent
	Digest             [32]byte   // BLAKE3-256 of the file
	Size               int64
	Residue            int64 // bytes that the residue takes on disk, 0 if there is none
	// Remarks say where the file departs from the standard though it could be read to its end: places and lengths, never a value. At most 8.
	Remarks []string

	base *layout // the default rebuild of meta and root, in the style of words; nil when there is bulkdata that it has no place for
	root dedup.Object
	meta dedup.Object

	unzip *gzip.Reader
}
