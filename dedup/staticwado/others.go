package staticwado

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
)

// others are the files of a study that are neither lists, instance files nor bulkdata.
type others struct {
	instances map[place]*instanceFiles
	rest      []dedup.Held
	derived   int
}

// place is where static-wado keeps an instance's pixels.
type place struct{ series, sop string }

// instanceFiles are the files of one instance, by what they are good for.
type instanceFiles struct {
	frames map[int][]dedup.Held // by number from 1, the best source of each first
	video  []dedup.Held
	whole  []dedup.Held // the whole Part 10 file
}

// derivedNames are the queries and metadata that writers make from lists and bulkdata, whatever folder they are in.
func derivedName(name string) bool {
	switch strings.TrimSuffix(name, ".gz") {
	case "studies", "series", "instances", "metadata", "deduplicated", "index.json", "series-singleton.json", "studies.json", "series.json",
		"instances.json", "metadata.json", "thumbnail", "thumbnail.jpg", "thumbnail.jpeg":
		return true
	}
	return false
}

// add sorts a file in. Files of an instance stand at series/<series>/instances/<sop>/...
func (o *others) add(h dedup.Held) {
	parts := strings.Split(h.Ref.Name, "/")
	if derivedName(path.Base(h.Ref.Name)) {
		o.derived++
		return
	}
	if len(parts) < 5 || parts[0] != "series" || parts[2] != "instances" {
		o.rest = append(o.rest, h)
		return
	}
	f := o.at(place{parts[1], parts[3]})
	switch tail := strings.Join(parts[4:], "/"); {
	case len(parts) == 6 && parts[4] == "frames" && frameNumber(parts[5]) > 0:
		n := frameNumber(parts[5])
		f.frames[n] = append(f.frames[n], h)
		slices.SortStableFunc(f.frames[n], func(a, b dedup.Held) int { return frameRank(a) - frameRank(b) })
	case strings.HasPrefix(tail, "rendered/index.m") || strings.HasPrefix(tail, "rendered/index.h265") || tail == "pixeldata" || tail == "pixeldata.gz":
		f.video = append(f.video, h)
	case tail == "index.mht.gz" || tail == "index.mht":
		f.whole = append(f.whole, h)
	default:
		o.rest = append(o.rest, h)
	}
}

// at is the files of an instance.
func (o *others) at(p place) *instanceFiles {
	if o.instances == nil {
		o.instances = make(map[place]*instanceFiles)
	}
	f := o.instances[p]
	if f == nil {
		f = &instanceFiles{frames: make(map[int][]dedup.Held)}
		o.instances[p] = f
	}
	return f
}

// frameNumber is the number that a frame's file name begins with, 0 if it is no frame.
func frameNumber(name string) int {
	digits, _, _ := strings.Cut(name, ".")
	n, err := strconv.Atoi(digits)
	if err != nil || strconv.Itoa(n) != digits {
		return 0
	}
	return n
}

// frameRank puts the file whose envelope names its transfer syntax before bare copies of the same frame.
func frameRank(h dedup.Held) int {
	if strings.Contains(path.Base(h.Ref.Name), ".mht") {
		return 0
	}
	if ext := path.Ext(strings.TrimSuffix(h.Ref.Name, ".gz")); ext == "" || len(ext) > 5 {
		return 1
	}
	return 2
}

// all are the files of an instance.
func (f *instanceFiles) all() []dedup.Held {
	out := slices.Concat(f.video, f.whole)
	for _, of := range f.frames {
		out = append(out, of...)
	}
	return out
}

// takeOthers keeps what is left over: user attachments, and the pixels of instances that could not be taken over.
func (s *study) takeOthers(ctx context.Context) error {
	keep := slices.Clone(s.others.rest)
	done := make(map[place]bool)
	for _, t := range s.tasks {
		p := place{t.instance.Series.String(), t.instance.SOP.String()}
		done[p] = t.done() && (s.used[p] || len(t.live)+len(t.removals) == 0)
	}
	for p, f := range s.others.instances {
		if !done[p] {
			keep = append(keep, f.all()...)
		}
	}
	slices.SortFunc(keep, func(a, b dedup.Held) int { return a.Ref.Compare(b.Ref) })
	for _, h := range keep {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.takeOther(h); err != nil {
			return err
		}
	}
	return s.out.commit()
}

// takeOther keeps one file as it is, at its path. A name that is there already keeps what it has.
func (s *study) takeOther(h dedup.Held) error {
	s.opaque[h.Ref] = true
	if has, err := s.has(h.Ref); has || err != nil {
		return err
	}
	in, err := s.run.source.Open(h.Path)
	if err != nil {
		s.run.skip(h.Path, err.Error())
		return nil
	}
	defer in.Close()
	return s.out.copy(h.Ref, in, classBulkdata, func(err error) error {
		s.run.skip(h.Path, err.Error())
		return nil
	})
}

// has reports whether the tree has a file under that very name.
func (s *study) has(ref dedup.Ref) (bool, error) {
	name := ref.In(s.uid)
	if name == "" {
		return false, fmt.Errorf("%s: %w", ref.Class, dedup.ErrName)
	}
	return exists(s.run.tree, name)
}
