package dedup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// Tree is an archive on disk, whoever wrote it. It finds studies and files in
//
//	studies/<UID>/...                                the format's own layout, and that of the writer from 2021
//	deduplicated/<UID>/, instances/<UID>/            where today's static-wado has lists and instance files; the rest is in studies/<UID>/
//	<any of these>/<3 hex>/<3 hex>/<UID>/            the same with its option --hash-study-uid-path
//
// One study may have files in several of them. Symbolic links and special files are reported, never followed; unfinished files of other
// writers are not there. A Tree keeps nothing: every call looks at the disk.
type Tree struct{ fs durable.Reader }

// NewTree is the archive in the root of a file system.
func NewTree(fsys durable.Reader) Tree { return Tree{fsys} }

// Held is one file of a study as it lies on disk.
type Held struct {
	Ref  Ref
	Path string // in the tree
}

// Finding is something in a tree that the archive has no use for. It is for an operator to see; nothing else follows from it.
type Finding struct {
	Path   string
	Reason string
}

// The reasons of findings.
const (
	findingLink    = "a symbolic link"
	findingSpecial = "not a regular file"
	findingName    = "not a name of the format"
)

// Studies returns the studies of the tree in order. A folder counts as a study by its name, whatever is in it.
func (t Tree) Studies() ([]UID, []Finding, error) {
	w := studyWalk{fs: t.fs, found: make(map[UID]bool)}
	for _, root := range [...]string{studiesRoot, listRoot, instanceRoot} {
		if err := w.root(root, 0); err != nil {
			return nil, nil, fmt.Errorf("look for studies: %w", err)
		}
	}
	uids := make([]UID, 0, len(w.found))
	for u := range w.found {
		uids = append(uids, u)
	}
	slices.SortFunc(uids, UID.Compare)
	return uids, w.findings, nil
}

type studyWalk struct {
	fs       durable.Reader
	found    map[UID]bool
	findings []Finding
}

// root looks at a folder of studies, so many hash levels below its root.
func (w *studyWalk) root(dir string, levels int) error {
	entries, err := w.fs.ReadDir(dir)
	if absent(err) {
		return nil
	} else if err != nil {
		return err
	}
	for _, e := range entries {
		p := path.Join(dir, e.Name())
		u, notUID := ParseUID(e.Name())
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			w.findings = append(w.findings, Finding{p, findingLink})
		case !e.IsDir():
			// Indexes over all studies, which other writers keep here.
		case levels < 2 && hashLevel(e.Name()) && !w.isStudy(p):
			if err := w.root(p, levels+1); err != nil {
				return err
			}
		case notUID != nil || levels == 1:
			w.findings = append(w.findings, Finding{p, findingName})
		default:
			w.found[u] = true
		}
	}
	return nil
}

// isStudy tells a study whose UID is three digits from a hash level.
func (w *studyWalk) isStudy(dir string) bool {
	for _, folder := range [...]string{bulkFolder, listFolder, "series"} {
		if info, err := w.fs.Lstat(dir + "/" + folder); err == nil && info.IsDir() {
			return true
		}
	}
	return false
}

// absent reports whether an error says that there is no such file or folder, or that something else is in its place.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, durable.ErrNotRegular)
}

// Folder is where one study's files are.
type Folder struct {
	Study UID

	fs        durable.Reader
	studies   []string // folders in the format's layout
	lists     []string // folders of lists alone
	instances []string // folders of instance files alone
}

// Study probes where a study is. For a study that is not there the Folder is empty.
func (t Tree) Study(u UID) (Folder, error) {
	f := Folder{Study: u, fs: t.fs}
	if u.text == "" {
		return f, nil
	}
	for _, place := range [...]struct {
		root string
		dirs *[]string
	}{{studiesRoot, &f.studies}, {listRoot, &f.lists}, {instanceRoot, &f.instances}} {
		for _, dir := range studyFolders(place.root, u) {
			info, err := t.fs.Lstat(dir)
			if err == nil && info.IsDir() {
				*place.dirs = append(*place.dirs, dir)
			} else if err != nil && !absent(err) {
				return Folder{}, fmt.Errorf("look for study: %w", err)
			}
		}
	}
	return f, nil
}

// Measure counts the files of some studies, and their bytes on disk, for whoever tells how far a long task is. What vanishes meanwhile does not count.
func (t Tree) Measure(ctx context.Context, studies []UID) (files, bytes int64, err error) {
	for _, uid := range studies {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		folder, err := t.Study(uid)
		if err != nil {
			return 0, 0, err
		}
		held, _, err := folder.Files()
		if err != nil {
			return 0, 0, err
		}
		for _, h := range held {
			if info, err := t.fs.Lstat(h.Path); err == nil {
				files, bytes = files+1, bytes+info.Size()
			}
		}
	}
	return files, bytes, nil
}

// Files lists the study's files, in the order of their Refs. Two files may have one Ref: they are variants, if their content differs.
// Files that vanish while it looks are not there.
func (f Folder) Files() ([]Held, []Finding, error) {
	w := fileWalk{fs: f.fs}
	for _, dir := range f.studies {
		if err := w.walk(dir, "", ParseRef); err != nil {
			return nil, nil, fmt.Errorf("list study: %w", err)
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
				return nil, nil, fmt.Errorf("list study: %w", err)
			}
		}
	}
	slices.SortFunc(w.held, func(a, b Held) int { return cmp.Or(a.Ref.Compare(b.Ref), strings.Compare(a.Path, b.Path)) })
	slices.SortFunc(w.findings, func(a, b Finding) int { return strings.Compare(a.Path, b.Path) })
	return w.held, w.findings, nil
}

type fileWalk struct {
	fs       durable.Reader
	held     []Held
	findings []Finding
}

// walk looks at the folder rel below base. Names relative to base become Refs by parse.
func (w *fileWalk) walk(base, rel string, parse func(string) (Ref, error)) error {
	entries, err := w.fs.ReadDir(path.Join(base, rel))
	if absent(err) {
		return nil
	} else if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(rel, e.Name())
		switch {
		case ignored(name):
		case e.Type()&fs.ModeSymlink != 0:
			w.findings = append(w.findings, Finding{base + "/" + name, findingLink})
		case e.IsDir() && len(name) <= 1024:
			if err := w.walk(base, name, parse); err != nil {
				return err
			}
		default:
			w.file(base, name, e, parse)
		}
	}
	return nil
}

func (w *fileWalk) file(base, name string, e fs.DirEntry, parse func(string) (Ref, error)) {
	r, err := parse(name)
	switch {
	case !e.Type().IsRegular():
		w.findings = append(w.findings, Finding{base + "/" + name, findingSpecial})
	case err != nil:
		w.findings = append(w.findings, Finding{base + "/" + name, findingName})
	default:
		w.held = append(w.held, Held{r, base + "/" + name})
	}
}

// places are where a file may be.
func (f Folder) places(r Ref) (places []Held) {
	for _, r := range r.Spellings() {
		p := r.Path()
		if p == "" {
			return nil
		}
		for _, dir := range f.studies {
			places = append(places, Held{r, dir + "/" + p})
			if old, ok := strings.CutPrefix(p, listFolder+"/"+instanceFolder+"/"); ok {
				places = append(places, Held{r, dir + "/" + listFolder + "/isntances/" + old})
			}
		}
	}
	if r.Variant != "" {
		return places
	}
	for _, dir := range f.alone(r.Class) {
		places = append(places, Held{r, dir + "/" + r.Name + ".gz"}, Held{r, dir + "/" + r.Name})
	}
	return places
}

// alone are the folders that hold nothing but files of a class.
func (f Folder) alone(c Class) []string {
	switch c {
	case List:
		return f.lists
	case Instance:
		return f.instances
	}
	return nil
}

// Find looks for a file in all places and spellings and returns where it is and its size on disk; fs.ErrNotExist if it is nowhere.
// It does not look inside.
func (f Folder) Find(r Ref) (Held, int64, error) {
	for _, h := range f.places(r) {
		info, err := f.fs.Lstat(h.Path)
		if absent(err) || err == nil && !info.Mode().IsRegular() {
			continue
		} else if err != nil {
			return Held{}, 0, fmt.Errorf("find %s: %w", r.Class, err)
		}
		return h, info.Size(), nil
	}
	return Held{}, 0, &fs.PathError{Op: "find", Path: r.Path(), Err: fs.ErrNotExist}
}

// Open opens a file's content, decompressed where its path ends in .gz, and never more than limit bytes of it: the reader then ends with
// ErrTooLarge, and so it does for a small file that expands too far. A file that is not what was written ends it with ErrDamaged. The caller closes it.
func (f Folder) Open(r Ref, limit int64) (io.ReadCloser, error) {
	h, _, err := f.Find(r)
	if err != nil {
		return nil, err
	}
	return f.OpenHeld(h, limit)
}

// OpenHeld is Open for a file that Files or Find returned.
func (f Folder) OpenHeld(h Held, limit int64) (io.ReadCloser, error) {
	file, err := f.fs.Open(h.Path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", h.Ref.Class, err)
	}
	r := io.Reader(&bounded{file, limit, false})
	if strings.HasSuffix(h.Path, ".gz") {
		r, err = expandFile(file, h.Ref, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", h.Ref.Class, errors.Join(err, file.Close()))
	}
	return content{r, file}, nil
}

func expandFile(file durable.File, r Ref, limit int64) (io.Reader, error) {
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	return expand(file, r.MostContent(size, limit))
}

// MostContent is the most content that readers take of a gzipped file of that size, within limit (FORMAT.md section 2). Whoever reads the file by
// another way than a Folder's holds it to that as well.
func (r Ref) MostContent(size, limit int64) int64 {
	ratio := int64(valueRatio)
	if r.Class == List || r.Class == Instance || strings.HasPrefix(r.Ext, ".json") {
		ratio = jsonRatio
	}
	return min(limit, max(freeExpansion, size*ratio))
}

// content is a file's content and the file.
type content struct {
	io.Reader
	io.Closer
}

// Read reads all of a file's content, at most limit bytes.
func (f Folder) Read(h Held, limit int64) ([]byte, error) {
	r, err := f.OpenHeld(h, limit)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if err2 := r.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", h.Ref.Class, err)
	}
	return data, nil
}
