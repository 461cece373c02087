package part10

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
)

// Identity is what tells one instance from another.
type Identity struct {
	Study, Series, SOP dedup.UID
}

// Identify reads only as far into a Part 10 file as its Study, Series and SOP Instance UIDs go, which is not far unless one is missing or out of
// its place. It says nothing about the rest: what Identify reads may still be refused by Take. UIDs that are missing or malformed are zero.
func Identify(f io.ReaderAt, size int64) (Identity, error) { return new(Scratch).Identify(f, size) }

// Identify is the function Identify in this memory.
func (s *Scratch) Identify(f io.ReaderAt, size int64) (Identity, error) {
	var id Identity
	err := s.uids(f, size, id.fields())
	return id, err
}

// Describe is Identify, and the SOP Class UID besides.
func Describe(f io.ReaderAt, size int64) (id Identity, class dedup.UID, err error) {
	wanted := append(id.fields(), uidField{0x00080016, &class})
	err = new(Scratch).uids(f, size, wanted)
	return id, class, err
}

// uidField is where the value of an attribute of the root goes.
type uidField struct {
	tag dedup.Tag
	to  *dedup.UID
}

func (id *Identity) fields() []uidField {
	return []uidField{{0x00080018, &id.SOP}, {0x0020000D, &id.Study}, {0x0020000E, &id.Series}}
}

// uids reads until it has seen each of the wanted attributes once.
func (s *Scratch) uids(f io.ReaderAt, size int64, wanted []uidField) error {
	t := newTaker(s, f, size, 4<<10) // longer values of unknown VR are read over
	err := t.uids(wanted)
	if t.file.err != nil {
		err = fmt.Errorf("at byte %d: %w", t.in.consumed(), t.file.err)
	}
	return err
}

func (t *taker) uids(wanted []uidField) error {
	if err := t.start(); err != nil {
		return err
	}
	for len(wanted) > 0 {
		tok, err := t.scan.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		n := -1
		if len(t.scan.levels) == 0 {
			n = slices.IndexFunc(wanted, func(f uidField) bool { return f.tag == tok.tag })
		}
		if n >= 0 && tok.length <= inlineBinary && tok.vr.facts().form == formValues {
			err = readUID(t.scan, wanted[n].to)
		} else {
			err = t.scan.skip()
		}
		if n >= 0 {
			wanted = slices.Delete(wanted, n, n+1)
		}
		if err != nil {
			return fmt.Errorf("identify: %w", err)
		}
	}
	return nil
}

// readUID takes up the value at hand.
func readUID(s *scanner, to *dedup.UID) error {
	value, err := s.value(nil)
	if err == nil {
		*to, _ = dedup.ParseUID(strings.TrimLeft(string(value), " "))
	}
	return err
}
