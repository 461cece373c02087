package staticwado

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/part10"
)

// convertAll makes records of our own for all instances that can have one, and makes what they refer to durable.
func (s *study) convertAll(ctx context.Context) error {
	for _, t := range s.tasks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.convert(t); err != nil {
			return err
		}
	}
	if err := s.out.commit(); err != nil {
		return err
	}
	return s.look()
}

// convert does what a task says. All live records of an instance are replaced or none: the half of a conflict would look like no conflict.
// The error is the tree's.
func (s *study) convert(t *task) error {
	if !t.done() {
		return nil
	}
	for _, r := range t.live {
		made, exact, err := s.record10(t, r)
		if s.out.err != nil {
			return s.out.err
		}
		if err == nil && exact {
			err = t.instead(made, r.Dedup.Hash)
		}
		if err != nil {
			t.fail(reasonFor(err), err.Error())
			t.made = nil
			return nil
		}
		t.made = append(t.made, made)
	}
	for _, r := range t.removals {
		if err := s.remove(t, r); err != nil {
			return err
		}
	}
	return nil
}

// instead removes a foreign record in whose place one stands that does not say so: it is the record that ingest makes of the same file, and is to stay equal to it.
// The removal speaks of no instance, or it would be in conflict with the record. It has the record's content, so that a later run finds what belongs together.
func (t *task) instead(made dedup.Object, foreign dedup.Hash) error {
	_, own := dedup.Split(made)
	removal, _, err := dedup.Seal(nil, dedup.Dedup{Type: dedup.TypeDeleted, Delete: true, Content: own.Content, Replace: t.replace(own.Content, foreign)})
	t.made = append(t.made, removal)
	return err
}

// replace is what a record of ours with that content replaces: foreign ones, and what earlier runs made of those that the source has replaced.
func (t *task) replace(content dedup.Hash, foreign ...dedup.Hash) []dedup.Hash {
	out := append(foreign, t.heirs...)
	out = slices.DeleteFunc(out, func(h dedup.Hash) bool { return h.IsZero() || h == content })
	slices.SortFunc(out, dedup.Hash.Compare)
	return slices.Compact(out)
}

// reasonFor tells what is not here from what cannot be understood.
func reasonFor(err error) Status {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, dedup.ErrDamaged) || errors.Is(err, dedup.ErrTooLarge) {
		return Incomplete
	}
	return Failed
}

// remove repeats a removal in our words. Where what was removed is still whole it is taken over as well, as a record that the removal replaces: then the removal knows
// its content, which stays removed when a modality sends it again, and a correction can restore it.
func (s *study) remove(t *task, r foreignRecord) error {
	_, block := dedup.Split(r.removal)
	gone := append([]dedup.Hash{r.hash}, r.made...)
	if len(r.made) == 0 {
		made, _, err := s.record10(t, dedup.Record{SOP: r.sop, Object: r.removal, Dedup: block})
		if s.out.err != nil {
			return s.out.err
		}
		if err == nil {
			_, own := dedup.Split(made)
			t.made = append(t.made, made)
			gone = append(gone, own.Hash, own.Content)
		}
	}
	content := dedup.Object{uidElement(tagSOP, r.sop)}
	if series := uidOf(r.removal, tagSeries); series != (dedup.UID{}) {
		content = append(content, uidElement(tagSeries, series))
	}
	sealed, _, err := dedup.Seal(content, dedup.Dedup{Type: dedup.TypeDeleted, Delete: true, Replace: t.replace(dedup.Hash{}, gone...)})
	if err != nil {
		return err
	}
	t.made = append(t.made, sealed)
	return nil
}

// record10 makes a record of ours from another writer's, by way of a Part 10 file. exact says that the file is the one that once came: then the record is the
// one that ingest would make, and does not say what it replaces.
func (s *study) record10(t *task, r dedup.Record) (made dedup.Object, exact bool, err error) {
	merged := s.state.Merge(r)
	clean, err := s.clean(merged)
	if err != nil {
		return nil, false, err
	}
	st := newStore(s)
	at := place{uidOf(clean, tagSeries).String(), r.SOP.String()}
	if made = s.whole(st, clean); made != nil {
		s.used[at] = true
		return made, true, st.commit()
	}
	st.abandon()
	st = newStore(s)
	made, err = s.synthetic(st, merged, clean, t, r.Dedup.Hash)
	if err != nil {
		st.abandon()
		return nil, false, err
	}
	s.used[at] = true
	return made, false, st.commit()
}

// synthetic makes the record of an instance of which only attributes and frames are known.
func (s *study) synthetic(st *store, merged, clean dedup.Object, t *task, foreign dedup.Hash) (dedup.Object, error) {
	p, err := s.pixels(merged)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	}
	syntax := explicitLittle
	if p != nil {
		var e dedup.Element
		if e, syntax, err = s.stageFrames(st, p, merged); err != nil {
			return nil, err
		}
		clean = replaced(clean, e)
	}
	encoding, h, err := part10.OwnEncoding(syntax)
	if err != nil {
		return nil, err
	}
	st.lent[h] = encoding
	rebuilt, err := part10.Rebuild(clean, dedup.Dedup{Encoding: []dedup.Hash{h}}, st)
	if err != nil {
		return nil, err
	}
	file, err := s.out.create()
	if err != nil {
		return nil, err
	}
	defer s.out.batch.Drop(file.Temp)
	if _, err := rebuilt.WriteTo(&value{file, st}); err != nil {
		return nil, err
	}
	drop(s.out, st.frames) // the file has them now: no more than twice the pixels are on disk at a time
	if err := file.Close(); err != nil {
		return nil, s.out.fatal(err)
	}
	content, d, err := s.takeApart(st, file, clean)
	if err != nil {
		return nil, err
	}
	d.Replace = t.replace(d.Content, foreign)
	sealed, _, err := dedup.Seal(content, d)
	return sealed, err
}

// takeApart takes the file that was made from a record apart, and returns what a record of it says, which claims nothing about the file.
func (s *study) takeApart(st *store, file *temp, clean dedup.Object) (content dedup.Object, d dedup.Dedup, err error) {
	f, err := s.out.batch.Open(file.Temp)
	if err != nil {
		return nil, d, s.out.fatal(err)
	}
	defer f.Close()
	parts, err := part10.Take(f, file.n, st)
	if err != nil {
		return nil, d, err
	}
	content, d = dedup.Split(parts.Record)
	if err := nothingLost(clean, content, d.Refs, st); err != nil {
		return nil, d, err
	}
	d.File, d.FileSize = dedup.Digest{}, 0
	d.Encoding = d.Encoding[:min(1, len(d.Encoding))]
	maps.DeleteFunc(st.values, func(ref dedup.Ref, t *temp) bool {
		residue := strings.HasPrefix(ref.Ext, ".residue")
		if residue {
			s.out.batch.Drop(t.Temp)
		}
		return residue
	})
	return content, d, nil
}

// nothingLost compares the attributes that went in with those that came out.
func nothingLost(in, record dedup.Object, refs []dedup.Hash, source part10.Source) error {
	out, err := complete(record, refs, source)
	if err != nil {
		return err
	}
	for _, e := range in {
		if _, has := out.Find(e.Tag); !has {
			return fmt.Errorf("attribute %s does not come back: %w", e.Tag, errUnclear)
		}
	}
	return nil
}

// complete is a record with its extracts.
func complete(record dedup.Object, refs []dedup.Hash, source part10.Source) (dedup.Object, error) {
	var extracts []dedup.Object
	for _, h := range refs {
		o, err := source.Object(h)
		if err != nil {
			return nil, err
		}
		content, _ := dedup.Split(o)
		extracts = append(extracts, content)
	}
	return dedup.Merge(record, extracts...), nil
}

// whole takes in the Part 10 file that static-wado kept of an instance, byte for byte, proven as ingest proves it; nil if there is none, or it is not what the
// record says. The file lies under the instance's name and not under the record's hash: a later ingest may have put another one there.
func (s *study) whole(st *store, clean dedup.Object) dedup.Object {
	f := s.others.instances[place{uidOf(clean, tagSeries).String(), uidOf(clean, tagSOP).String()}]
	if f == nil || len(f.whole) == 0 {
		return nil
	}
	in, err := s.from.OpenHeld(f.whole[0], maxValue)
	if err != nil {
		return nil
	}
	defer in.Close()
	body, mediaType, err := dedup.Unwrap(in)
	if err != nil || mediaType != "" && !strings.HasPrefix(mediaType, "application/dicom") {
		return nil
	}
	t, _, err := s.out.stage(body)
	if err != nil {
		return nil
	}
	defer s.out.batch.Drop(t.Temp)
	if s.out.fatal(t.Close()) != nil {
		return nil
	}
	file, err := s.out.batch.Open(t.Temp)
	if err != nil {
		return nil
	}
	defer file.Close()
	parts, err := part10.Take(file, t.n, st)
	if err != nil || parts.Study != s.uid || s.prove(st, parts, clean) != nil {
		return nil
	}
	return parts.Record
}

// prove rebuilds a file from what was staged, whose digest then says whether it is the one that was taken apart, and compares it with the record.
func (s *study) prove(st *store, parts *part10.Parts, clean dedup.Object) error {
	content, d := dedup.Split(parts.Record)
	merged, err := complete(content, d.Refs, st)
	if err != nil {
		return err
	}
	rebuilt, err := part10.Rebuild(merged, d, st)
	if err != nil {
		return err
	}
	if n, err := rebuilt.WriteTo(io.Discard); err != nil || n != parts.Size || !rebuilt.Exact() {
		return errors.Join(err, errUnclear)
	}
	for _, e := range clean {
		if !sameText(e, merged) {
			return fmt.Errorf("attribute %s: %w", e.Tag, errUnclear)
		}
	}
	return nil
}

// sameText reports whether a text attribute has the same first value in a file. Numbers and what is not ASCII are not compared: the dialect changes them.
func sameText(e dedup.Element, file dedup.Object) bool {
	a, err := e.Attribute()
	if err != nil || !plain(e.JSON) {
		return true
	}
	switch a.VR {
	case "AE", "AS", "CS", "DA", "DT", "LO", "PN", "SH", "TM", "UI":
		mine, _, _ := strings.Cut(dedup.Object{e}.Text(e.Tag), `\`)
		return strings.TrimSpace(mine) == strings.TrimSpace(file.Text(e.Tag))
	}
	return true
}
