package regen

import (
	"errors"
	"io/fs"
	"path"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// Nothing but regen writes below a current root. What lies there all the same is on its way out like a file that is not wanted any more, but for what stands in the way: links and special
// files, a file where a folder belongs, a folder where a file does. Readers do not get through those in any case, so they go at once.

// clearRoot removes whatever stands where the study's folder belongs.
func (p *place) clearRoot() error {
	info, err := p.fs.Lstat(p.root)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
		return nil
	} else if err != nil {
		return err
	}
	return p.fs.Remove(p.root)
}

// noteObstacles finds what stands in the way of a plan. They count as absent from here on.
func (p *place) noteObstacles(plan []file) {
	if len(p.strange) == 0 && !p.blocked(plan) {
		return
	}
	for _, f := range plan {
		for dir := path.Dir(f.path); dir != "."; dir = path.Dir(dir) {
			if _, there := p.present[dir]; there {
				p.strange = append(p.strange, dir)
				delete(p.present, dir)
			}
		}
		if p.folders[f.path] {
			p.strange = append(p.strange, f.path)
		}
	}
}

// blocked is a quick look whether there is any.
func (p *place) blocked(plan []file) bool {
	dirs := make(map[string]bool)
	for _, f := range plan {
		if p.folders[f.path] {
			return true
		}
		dirs[path.Dir(f.path)] = true
	}
	for dir := range dirs {
		for ; dir != "."; dir = path.Dir(dir) {
			if _, there := p.present[dir]; there {
				return true
			}
		}
	}
	return false
}

// clear removes the obstacles.
func (p *place) clear() error {
	for _, name := range p.strange {
		if err := p.removeAll(name); err != nil {
			return err
		}
	}
	return nil
}

// removeAll removes a file, a link, or a folder with all that is in it.
func (p *place) removeAll(name string) error {
	delete(p.present, name)
	delete(p.record.gone, name)
	full := path.Join(p.root, name)
	entries, err := p.fs.ReadDir(full)
	if err != nil && !errors.Is(err, durable.ErrNotRegular) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if err := p.removeAll(path.Join(name, e.Name())); err != nil {
			return err
		}
	}
	if err := p.fs.Remove(full); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
