package dedup

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Lists is Heads for the lists and their variants alone: it does not look at the instance files, of which there may be 20,000.
func (f Folder) Lists() ([]Held, error) {
	w := fileWalk{fs: f.fs}
	lists := func(name string) (Ref, error) {
		r, ok := listed(List, name)
		if !ok {
			return r, ErrName
		}
		return r, nil
	}
	for _, dir := range f.studies {
		for _, folder := range [...]string{listFolder, variantFolder + "/lists"} {
			entries, err := f.fs.ReadDir(path.Join(dir, folder))
			if err != nil && !absent(err) {
				return nil, fmt.Errorf("list study: %w", err)
			}
			for _, e := range entries {
				if !e.IsDir() && !ignored(path.Join(folder, e.Name())) {
					w.file(dir, path.Join(folder, e.Name()), e, ParseRef)
				}
			}
		}
	}
	for _, dir := range f.lists {
		if err := w.walk(dir, "", lists); err != nil {
			return nil, fmt.Errorf("list study: %w", err)
		}
	}
	return w.held, nil
}

// Heads is Files for the lists, instance files and variants alone: all that Resolve wants. It does not look into bulkdata, whose folders are by far the
// most of a study.
func (f Folder) Heads() ([]Held, error) {
	w := fileWalk{fs: f.fs}
	for _, dir := range f.studies {
		for _, folder := range [...]string{listFolder, variantFolder} {
			if err := w.walk(dir, folder, ParseRef); err != nil {
				return nil, fmt.Errorf("list study: %w", err)
			}
		}
	}
	for _, class := range [...]Class{List, Instance} {
		for _, dir := range f.alone(class) {
			parse := func(name string) (Ref, error) {
				if r, ok := listed(class, name); ok {
					return r, nil
				}
				return Ref{}, ErrName
			}
			if err := w.walk(dir, "", parse); err != nil {
				return nil, fmt.Errorf("list study: %w", err)
			}
		}
	}
	heads := slices.DeleteFunc(w.held, func(h Held) bool { return h.Ref.Class != List && h.Ref.Class != Instance })
	slices.SortFunc(heads, func(a, b Held) int { return cmp.Or(a.Ref.Compare(b.Ref), strings.Compare(a.Path, b.Path)) })
	return heads, nil
}
