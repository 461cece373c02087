package staticwado

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
)

// takeBulk copies the study's bulkdata, each file under its own name, and makes it durable.
func (s *study) takeBulk(ctx context.Context) error {
	for _, h := range s.bulk {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.takeBulkFile(h); err != nil {
			return err
		}
	}
	if err := s.out.commit(); err != nil {
		return err
	}
	return s.look()
}

func (s *study) takeBulkFile(h dedup.Held) error {
	switch h.Ref.Ext {
	case ".json.gz", ".json":
		return s.takeObject(h)
	case "", ".gz", ".raw", ".raw.gz":
		return s.takeValue(h)
	}
	return s.takeOther(h) // a file of dicomesh's own, whose name says what it is
}

// takeObject copies an extract or another object, its content unchanged.
func (s *study) takeObject(h dedup.Held) error {
	text, err := s.from.Read(h, maxHead)
	var objects []dedup.Object
	if err == nil {
		objects, err = dedup.ParseList(text)
	}
	if err == nil && slices.ContainsFunc(objects, func(o dedup.Object) bool { return dedup.Verify(o) == dedup.Corrupt }) {
		err = dedup.ErrDamaged
	}
	if err != nil {
		s.run.skip(h.Path, err.Error())
		return nil
	}
	s.run.config.Advance(int64(len(text)))
	ref := h.Ref
	ref.Ext = ".json.gz"
	if slices.ContainsFunc(objects, func(o dedup.Object) bool { return dedup.Verify(o) != dedup.Right }) {
		s.opaque[ref] = true
	}
	has, err := s.has(ref)
	if err != nil {
		return err
	}
	if !has {
		return s.out.put(ref, s.run.gzip.Append(nil, text), classBulkdata)
	}
	present, err := s.to.Read(dedup.Held{Ref: ref, Path: ref.In(s.uid)}, maxHead)
	if err == nil && string(present) != string(text) {
		s.run.skip(h.Path, "another content is in the archive under this name, and stays")
	}
	return nil // verify tells of one that cannot be read
}

// takeValue copies a value: out of its envelope and as .raw, if it then is what its name says or there never was an envelope; else as it came. So each
// .raw named by 64 digits can be checked, and nobody is told that a name of another kind is wrong.
func (s *study) takeValue(h dedup.Held) error {
	bare := h.Ref
	bare.Ext = ".raw"
	wrapped := !strings.HasPrefix(h.Ref.Ext, ".raw")
	for _, ref := range []dedup.Ref{bare, h.Ref} {
		if has, err := s.has(ref); has || err != nil {
			s.noteOpaque(ref)
			return err
		}
	}
	in, err := s.from.OpenHeld(h, maxValue)
	if err != nil {
		s.run.skip(h.Path, err.Error())
		return nil
	}
	defer in.Close()
	t, own, err := s.stageBare(in, wrapped, h.Ref.Name)
	switch {
	case s.out.err != nil:
		return s.out.err
	case err != nil:
		s.run.skip(h.Path, err.Error())
		return nil
	case own, !wrapped && len(h.Ref.Name) != 64:
		s.noteOpaque(bare)
		s.run.config.Advance(t.n)
		if err := s.out.place(t, bare, classBulkdata); err != nil {
			return err
		}
		return s.out.full()
	}
	s.out.batch.Drop(t.Temp)
	if !wrapped {
		s.run.skip(h.Path, fmt.Sprintf("it does not have its name: %v", dedup.ErrDamaged))
		return nil
	}
	return s.takeOther(h)
}

// noteOpaque notes a value whose name says nothing.
func (s *study) noteOpaque(ref dedup.Ref) {
	if ref.Ext != ".raw" || len(ref.Name) != 64 {
		s.opaque[ref] = true
	}
}

// stageBare stages a value and reports whether its bare bytes are what its name says.
func (s *study) stageBare(in io.Reader, wrapped bool, name string) (*temp, bool, error) {
	if wrapped {
		body, _, err := dedup.Unwrap(in)
		if err != nil {
			return nil, false, err
		}
		in = body
	}
	t, sum, err := s.out.stage(in)
	return t, dedup.HashOf(sum).String() == name, err
}
