package regen

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"path"
	"strconv"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// The folder of the current root that is regen's own:
//
//	.dicomesh/regen/<00..63>.lock      held during a round; studies share these locks by a hash of their UIDs
//	.dicomesh/regen/<00..63>/          files of a round that have no name yet; what a crash leaves the next holder of the lock removes
//	.dicomesh/studies/<UID>.gz         the record of the last round
const (
	ownFolder    = ".dicomesh/regen"
	recordFolder = ".dicomesh/studies"
	lockCount    = 64
)

// place is one study's part of the current tree during a round. It is one round's own: its lock is held.
type place struct {
	config  Config
	fs      durable.FS
	root    string // studies/<UID>
	name    string // of the record
	staging string
	lock    io.Closer
	barrier durable.Barrier

	record  *record
	present map[string]int64 // the files that are there, with their sizes
	folders map[string]bool  // the folders that are there
	strange []string         // what is there and may not be: links, special files, what stands in the way
	next    int              // number of the next staged file
	staged  [recordLevel + 1][]stagedFile
	zip     dedup.Compressor
	buffer  []byte // for what is written, one file after the other; nil before the first
	// replacing are the SOP Instance UIDs of which frames are there and get another content.
	replacing []string
}

// recordLevel is the level of the record itself, behind all files.
const recordLevel = ofStatus + 1

// stagedFile has its content and waits for its name.
type stagedFile struct{ temp, name string }

// openPlace waits until no other round of the study runs and looks at what there is. End it with close.
func (g *Generator) openPlace(uid dedup.UID) (*place, error) {
	fsys := g.config.Current
	h := fnv.New32a()
	_, _ = h.Write([]byte(uid.String()))
	staging := fmt.Sprintf("%s/%02d", ownFolder, h.Sum32()%lockCount)
	for _, dir := range [...]string{staging, recordFolder} {
		if err := durable.MkdirAll(fsys, dir); err != nil {
			return nil, err
		}
	}
	lock, err := fsys.Lock(staging + ".lock")
	if err != nil {
		return nil, err
	}
	p := &place{config: g.config, fs: fsys, root: "studies/" + uid.String(), name: recordFolder + "/" + uid.String() + ".gz",
		staging: staging, lock: lock, present: make(map[string]int64), folders: make(map[string]bool)}
	if err := p.look(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// look reads the record and lists the files.
func (p *place) look() (err error) {
	// Before the first byte: a write error from here on must reach this round.
	if p.barrier, err = p.fs.Barrier(); err != nil {
		return err
	}
	if err := p.sweep(); err != nil {
		return err
	}
	text, err := readGzip(p.fs, p.name, maxRecord)
	if err != nil {
		text = nil
	}
	p.record = parseRecord(string(text))
	if err := p.clearRoot(); err != nil {
		return err
	}
	return p.list("")
}

// sweep removes what a round that died has staged.
func (p *place) sweep() error {
	left, err := p.fs.ReadDir(p.staging)
	if err != nil {
		return err
	}
	for _, e := range left {
		if err := p.fs.Remove(p.staging + "/" + e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// list notes what is in a folder and below. Links and special files count as absent.
func (p *place) list(dir string) error {
	entries, err := p.fs.ReadDir(path.Join(p.root, dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case e.IsDir():
			p.folders[name] = true
			err = p.list(name)
		case e.Type().IsRegular():
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				p.present[name] = info.Size()
			}
		default:
			p.strange = append(p.strange, name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// close lets the study go. Files that were staged and not published are removed.
func (p *place) close() error {
	for _, files := range p.staged {
		for _, f := range files {
			_ = p.fs.Remove(f.temp) // the next round sweeps
		}
	}
	var err error
	if p.barrier != nil {
		err = p.barrier.Close()
	}
	return errors.Join(err, p.lock.Close())
}

// intact reports whether all files of the record are there with the sizes that they had, and no others.
func (p *place) intact() bool {
	if len(p.strange) > 0 {
		return false
	}
	for name, f := range p.record.files {
		if size, there := p.present[name]; !there || size != f.size {
			return false
		}
	}
	for name := range p.present {
		_, wanted := p.record.files[name]
		if _, gone := p.record.gone[name]; !wanted && !gone {
			return false
		}
	}
	return true
}

// temp is a new name in the staging folder.
func (p *place) temp() string {
	p.next++
	return p.staging + "/" + strconv.Itoa(p.next)
}

// finish removes what is due when nothing else is to be done.
func (p *place) finish(now time.Time, res *Result) error {
	res.Files = len(p.record.files)
	due := p.due(now, res)
	if len(due) == 0 {
		return nil
	}
	if err := p.stageRecord(due); err != nil {
		return err
	}
	return errors.Join(p.show(recordLevel), p.remove(due))
}

// due are the files whose time is over, or whose time can never have been: the clock was set back since, and nobody is to wait until it has caught up. The earliest that has to wait
// longer is in res.
func (p *place) due(now time.Time, res *Result) (due []string) {
	for _, name := range sortedKeys(p.record.gone) {
		at := p.record.gone[name].Add(Grace)
		if _, there := p.present[name]; !there {
			delete(p.record.gone, name)
		} else if !now.Before(at) || at.Sub(now) > 2*Grace {
			due = append(due, name)
		} else if res.Due.IsZero() || at.Before(res.Due) {
			res.Due = at
		}
	}
	return due
}

// remove removes files, and the folders that they leave empty.
func (p *place) remove(names []string) error {
	for _, name := range names {
		if err := p.fs.Remove(path.Join(p.root, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, name := range names {
		for dir := path.Dir(path.Join(p.root, name)); dir != "studies"; dir = path.Dir(dir) {
			if p.fs.Remove(dir) != nil {
				break // something is left in it, or it is gone
			}
		}
	}
	return nil
}
