package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
)

// result is a study verified.
type result struct {
	study    dedup.UID
	summary  Summary
	findings []Finding
	reading  Reading
	err      error
}

// look is one study while it is verified.
type look struct {
	*Checker
	study    dedup.UID
	folder   dedup.Folder
	held     []dedup.Held
	verdicts []verdict
	bulk     index.Bulk
	state    *dedup.State

	indexed map[string]index.Entry // by path; nil without an index
	logged  map[string]index.Entry // what the digest log says
	variant map[index.Name]map[dedup.Digest]bool

	reported map[string]int // where findings stands about a path, so that each file is named once
	findings []Finding
}

// study verifies one study.
func (c *Checker) study(ctx context.Context, uid dedup.UID) result {
	l := &look{Checker: c, study: uid, reported: make(map[string]int)}
	if err := l.run(ctx); err != nil {
		return result{study: uid, err: err}
	}
	return l.result()
}

func (l *look) run(ctx context.Context) (err error) {
	if l.folder, err = l.tree.Study(l.study); err != nil {
		return err
	}
	held, strays, err := l.folder.Files()
	if err != nil {
		return err
	}
	l.held = held
	for _, s := range strays {
		l.find(Unexpected, s.Path, s.Reason)
	}
	if err := l.consult(ctx); err != nil {
		return err
	}
	l.bulk = index.NewBulk(l.folder, held)
	if err := l.files(ctx); err != nil {
		return err
	}
	l.judge()
	l.references()
	l.vanished()
	l.foreignFrames()
	return ctx.Err()
}

// consult asks index and digest log what they know of the study. A damaged index knows nothing: it is a cache, and says no more about the archive than none at all.
func (l *look) consult(ctx context.Context) (err error) {
	l.variant = variants(l.held)
	if l.config.Index == nil {
		return nil
	}
	l.indexed, err = l.config.Index.Manifest(ctx, l.study)
	if errors.Is(err, index.ErrDamaged) {
		l.indexed, err = nil, nil
	}
	if err == nil {
		l.logged, err = l.config.Index.Digests.Study(l.study)
	}
	return err
}

// variants are, for each name that has any, the digests in the names of its variants.
func variants(held []dedup.Held) map[index.Name]map[dedup.Digest]bool {
	out := make(map[index.Name]map[dedup.Digest]bool)
	for _, h := range held {
		if d, ok := parseDigest(h.Ref.Variant); ok {
			name := index.Name{Class: h.Ref.Class, Name: h.Ref.Name}
			if out[name] == nil {
				out[name] = make(map[dedup.Digest]bool)
			}
			out[name][d] = true
		}
	}
	return out
}

// files checks every file, several at a time across all studies.
func (l *look) files(ctx context.Context) error {
	l.verdicts = make([]verdict, len(l.held))
	var all sync.WaitGroup
	for i, h := range l.held {
		t := <-l.idle
		if ctx.Err() != nil {
			l.idle <- t
			break
		}
		all.Go(func() {
			defer func() { l.idle <- t }()
			l.verdicts[i] = l.file(t, h)
			l.tell(l.verdicts[i].taken.Disk)
		})
	}
	all.Wait()
	return ctx.Err()
}

// judge turns verdicts into findings, and resolves the study.
func (l *look) judge() {
	var files []dedup.File
	for i := range l.verdicts {
		v := &l.verdicts[i]
		if v.file != nil {
			files = append(files, *v.file)
		}
		switch {
		case v.gone, v.unread && v.answer != dedup.Corrupt:
		case v.answer == dedup.Corrupt:
			l.find(Corrupt, v.held.Path, v.what)
		case v.answer == dedup.CannotTell:
			l.find(CannotTell, v.held.Path, v.what)
		}
	}
	l.state = dedup.Resolve(files, l.bulk)
	if len(files) == 0 && len(l.held) > 0 {
		l.find(Incomplete, "studies/"+l.study.String(), fmt.Sprintf("%d files, and no list or instance file that refers to them", len(l.held)))
	}
	for _, r := range l.state.Variants {
		l.find(Variant, r.In(l.study), "stands for more than one content; all are kept")
	}
	for _, i := range l.state.Instances {
		if i.Conflict {
			l.find(Conflict, "studies/"+l.study.String(), "instance "+i.SOP.String()+" has more than one content, or was removed without knowledge of one; a correction decides")
		}
	}
	for _, d := range l.state.Disputes {
		l.find(Conflict, "studies/"+l.study.String(), fmt.Sprintf("extract %s was corrected in %d ways; a correction decides", d.Of, len(d.By)))
	}
}

// find takes a finding down. A file has one fault: the first that is found, corrupt before missing.
func (l *look) find(k Kind, path, what string) {
	if i, has := l.reported[path]; has && k.Fault() && l.findings[i].Kind.Fault() {
		return
	}
	if k.Fault() {
		l.reported[path] = len(l.findings)
	}
	l.findings = append(l.findings, Finding{Kind: k, Path: path, What: what, Study: l.study.String()})
}

// result counts.
func (l *look) result() result {
	r := result{study: l.study, findings: l.findings}
	slices.SortFunc(r.findings, Finding.compare)
	s := &r.summary
	s.Studies = 1
	for _, f := range l.findings {
		s.count(f.Kind)
	}
	for _, i := range l.state.Instances {
		if !i.Deleted {
			s.Instances++
		}
	}
	for i := range l.verdicts {
		v := &l.verdicts[i]
		if v.gone {
			continue
		}
		s.Files, s.Bytes = s.Files+1, s.Bytes+v.taken.Disk
		switch {
		case v.unread:
			s.Unread++
		case v.answer == dedup.Right:
			s.Right++
		}
		if !v.unread {
			s.Read += v.taken.Disk
		}
	}
	r.reading = l.reading()
	return r
}

// reading is what a Recorder may keep.
func (l *look) reading() Reading {
	if l.config.Record == nil {
		return Reading{}
	}
	r := Reading{Files: []index.Entry{}, Leaf: dedup.LeafDigest(l.state.Leaves)}
	for i := range l.verdicts {
		v := &l.verdicts[i]
		if v.gone || v.unread || v.answer == dedup.Corrupt {
			continue
		}
		r.Files = append(r.Files, v.taken.Entry)
		if v.answer == dedup.CannotTell {
			r.Unknown = append(r.Unknown, v.taken.Entry)
		}
	}
	return r
}
