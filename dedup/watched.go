package dedup

import (
	"fmt"
	"strings"
)

// What follows is for whoever notices what other programs do in a tree: where to look, and what a path there has to do with.

// StudyRoots are the folders at the root of a tree that hold studies, whether they are there or not: the format's own first, then other writers'.
func StudyRoots() []string { return []string{studiesRoot, listRoot, instanceRoot} }

// StudiesAt are the studies that a path in a tree may be of or in: none for a path elsewhere, two where a folder named by three digits may be a
// study or a level above studies (static-wado --hash-study-uid-path).
func StudiesAt(p string) []UID {
	parts := strings.Split(p, "/")
	if len(parts) < 2 || parts[0] != studiesRoot && parts[0] != listRoot && parts[0] != instanceRoot {
		return nil
	}
	var uids []UID
	if u, err := ParseUID(parts[1]); err == nil && u.text == parts[1] {
		uids = append(uids, u)
	}
	if len(parts) >= 4 && hashLevel(parts[1]) && hashLevel(parts[2]) {
		if u, err := ParseUID(parts[3]); err == nil && u.text == parts[3] {
			uids = append(uids, u)
		}
	}
	return uids
}

// Temporary reports whether a file of that base name is one that another writer has not finished: tempFile-*, temp-*. It is no file of the archive,
// and will have another name when it is.
func Temporary(name string) bool {
	return strings.HasPrefix(name, "tempFile-") || strings.HasPrefix(name, "temp-")
}

// HeadFolders are the folders in which lists, instance files and variants of the study are or may come to be, below places where there is something
// of it: each after the one that holds it, whether it is there or not. None is in bulkdata.
func (f Folder) HeadFolders() []string {
	var dirs []string
	for _, dir := range f.studies {
		lists, variants := dir+"/"+listFolder, dir+"/"+variantFolder
		dirs = append(dirs, dir, lists, lists+"/"+instanceFolder, lists+"/isntances",
			variants, variants+"/"+List.String(), variants+"/"+Instance.String())
	}
	return append(append(dirs, f.lists...), f.instances...)
}

// Others lists the files of class Other. It does not look into bulkdata.
func (f Folder) Others() ([]Held, error) {
	w := fileWalk{fs: f.fs}
	for _, dir := range f.studies {
		entries, err := f.fs.ReadDir(dir)
		if err != nil && !absent(err) {
			return nil, fmt.Errorf("list study: %w", err)
		}
		for _, e := range entries {
			switch {
			case ignored(e.Name()) || ownFolder(e.Name()):
			case !e.IsDir():
				w.file(dir, e.Name(), e, ParseRef)
			default:
				if err := w.walk(dir, e.Name(), ParseRef); err != nil {
					return nil, fmt.Errorf("list study: %w", err)
				}
			}
		}
	}
	return w.held, nil
}
