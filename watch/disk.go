package watch

import (
	"encoding/json"
	"errors"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

const (
	marker    = ".dicomesh"
	racy      = 2 * time.Second // a folder that changed so short a time ago may change again without its time showing it
	jsonLimit = 1 << 30         // a file of objects is read so far at most (package index has the same limit)
)

// disk is the tree as the core's questions need it. It is opened for each of them: what it sees is what is at the path now, and a file system that is to
// be unmounted is not held.
type disk struct {
	dir  string
	seed maphash.Seed
	now  func() time.Time
}

// with calls f with the tree.
func (d disk) with(f func(fsys durable.Reader) error) error {
	fsys, err := durable.OpenOS(d.dir)
	if err != nil {
		return err
	}
	return errors.Join(f(fsys), fsys.Close())
}

// fileState is one number for what the file system says of a file: which it is, how long, when last written. What a backup does to it (more names, times of reading and of
// change of rights) makes no difference, nor does the number that a device has since it was mounted.
func (d disk) fileState(info fs.FileInfo) uint64 {
	return maphash.Comparable(d.seed, [3]int64{inode(info), info.Size(), info.ModTime().UnixNano()})
}

// folderState is one number for what the file system says of a folder. The time of change moves with whatever appears in it or goes, and unlike the
// time of modification nobody can set it.
func (d disk) folderState(dir string, info fs.FileInfo) uint64 {
	s := [4]int64{inode(info), info.Size(), info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*unix.Stat_t); ok {
		s[3] = st.Ctim.Nano()
	}
	return maphash.String(d.seed, dir) ^ maphash.Comparable(d.seed, s)
}

func inode(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*unix.Stat_t); ok {
		return int64(st.Ino)
	}
	return 0
}

// probe looks at the root.
func (d disk) probe() (r root) {
	r.err = d.with(func(fsys durable.Reader) (err error) {
		for i, name := range append([]string{"."}, dedup.StudyRoots()...) {
			if r.places[i], err = d.place(fsys, name); err != nil {
				return err
			}
		}
		_, err = fsys.Lstat(marker)
		r.marker = err == nil
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return r
}

func (d disk) place(fsys durable.Reader, name string) (p place, err error) {
	info, err := fsys.Lstat(name)
	if absent(err) || err == nil && !info.IsDir() {
		return place{}, nil
	} else if err != nil {
		return place{}, err
	}
	if st, ok := info.Sys().(*unix.Stat_t); ok {
		p.identity = maphash.Comparable(d.seed, [2]uint64{uint64(st.Dev), st.Ino})
	}
	if name != "." {
		p.filled, err = filled(filepath.Join(d.dir, name))
	}
	return p, err
}

// filled reports whether there is something in a folder that may be a study or a level above studies. It does not read all of a large one.
func filled(dir string) (bool, error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(64)
		for _, e := range entries {
			if _, notUID := dedup.ParseUID(e.Name()); e.IsDir() && (notUID == nil || len(e.Name()) == 3) {
				return true, nil
			}
		}
		if err == io.EOF {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
}

// absent reports whether an error says that there is no such file or folder, or that it is no such thing.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, durable.ErrNotRegular)
}

// list is the studies of the tree.
func (d disk) list() (uids []dedup.UID, err error) {
	err = d.with(func(fsys durable.Reader) (err error) {
		uids, _, err = dedup.NewTree(fsys).Studies()
		return err
	})
	return uids, err
}

// glance is a hint for each study: a number that is another one if a file appeared in, or left, one of its head folders.
func (d disk) glance(uids []dedup.UID) []uint64 {
	hints := make([]uint64, len(uids))
	_ = d.with(func(fsys durable.Reader) error {
		for i, uid := range uids {
			if folder, err := dedup.NewTree(fsys).Study(uid); err == nil {
				hints[i], _, _ = d.folders(fsys, folder, nil)
			}
		}
		return nil
	}) // a hint that is not there asks for a look, which meets the error too
	return hints
}

// folders looks at the head folders of a study, and calls visit for each that is there before it looks for those inside.
func (d disk) folders(fsys durable.Reader, folder dedup.Folder, visit func(dir string)) (hint uint64, there int, err error) {
	fresh := false
	for _, dir := range folder.HeadFolders() {
		info, err := fsys.Lstat(dir)
		if absent(err) || err == nil && !info.IsDir() {
			continue
		} else if err != nil {
			return 0, 0, err
		}
		if visit != nil {
			visit(dir)
		}
		there++
		fresh = fresh || d.now().Sub(info.ModTime()) < racy
		hint = hint*31 + d.folderState(dir, info)
	}
	if fresh {
		return 0, there, nil
	}
	return max(hint, 1), there, nil
}

// look looks at a study. visit is called for each of its head folders before what is in it is looked at.
func (d disk) look(uid dedup.UID, deep bool, visit func(dir string)) look {
	l := look{deep: deep}
	began := d.now()
	l.err = d.with(func(fsys durable.Reader) error { return d.fill(&l, fsys, uid, visit) })
	l.root = d.probe()
	l.took = d.now().Sub(began)
	return l
}

func (d disk) fill(l *look, fsys durable.Reader, uid dedup.UID, visit func(dir string)) error {
	folder, err := dedup.NewTree(fsys).Study(uid)
	if err != nil {
		return err
	}
	hint, there, err := d.folders(fsys, folder, visit)
	if err != nil {
		return err
	}
	l.hint, l.missing = hint, there == 0
	held, err := folder.Heads()
	if err != nil {
		return err
	}
	if l.files, err = d.files(fsys, held); err != nil || !l.deep {
		return err
	}
	held, err = folder.Others()
	if err != nil {
		return err
	}
	others, err := d.files(fsys, held)
	for _, f := range others {
		l.others += maphash.Comparable(d.seed, f.head)
	}
	return err
}

// files asks the file system about files. Those that have vanished meanwhile are left out.
func (d disk) files(fsys durable.Reader, held []dedup.Held) ([]file, error) {
	files := make([]file, 0, len(held))
	for _, h := range held {
		info, err := fsys.Lstat(h.Path)
		if absent(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		files = append(files, file{h, head{maphash.String(d.seed, h.Path), d.fileState(info)}, info.ModTime()})
	}
	return files, nil
}

// read finds out whether files of a study are complete.
func (d disk) read(uid dedup.UID, files []file) []verdict {
	verdicts := make([]verdict, len(files))
	_ = d.with(func(fsys durable.Reader) error {
		folder, err := dedup.NewTree(fsys).Study(uid)
		if err != nil {
			return err
		}
		for i, f := range files {
			verdicts[i] = d.ends(fsys, folder, f)
		}
		return nil
	}) // what could not be read is not complete
	return verdicts
}

// ends reads a file and looks whether it was the same one, in the same state, all the while.
func (d disk) ends(fsys durable.Reader, folder dedup.Folder, f file) verdict {
	unread := readToEnd(folder, f.held)
	info, err := fsys.Lstat(f.held.Path)
	switch {
	case err != nil || d.fileState(info) != f.state:
		return changed
	case unread != nil:
		return unfinished
	}
	return complete
}

// readToEnd is nil if a file has an end: its gzip envelope closes, or it is an array or object of JSON that does.
func readToEnd(folder dedup.Folder, held dedup.Held) error {
	r, err := folder.OpenHeld(held, jsonLimit)
	if err != nil {
		return err
	}
	defer r.Close()
	if strings.HasSuffix(held.Path, ".gz") {
		_, err = io.Copy(io.Discard, r)
		return err
	}
	return jsonToEnd(r)
}

// jsonToEnd reads one JSON array or object and nothing after it, without holding it.
func jsonToEnd(r io.Reader) error {
	tokens := json.NewDecoder(r)
	for depth := 0; ; {
		token, err := tokens.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			depth++
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
		if depth > 0 {
			continue
		}
		if _, value := token.(json.Delim); !value {
			return errors.New("neither array nor object")
		}
		if _, err := tokens.Token(); err != io.EOF {
			return errors.New("something after the end")
		}
		return nil
	}
}
