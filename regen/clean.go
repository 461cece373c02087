package regen

import (
	"errors"
	"io/fs"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// cleanedFolder has a mark for each study whose current files were removed to make room: .dicomesh/cleaned/<UID>. Whoever finds a study without files knows by it that nobody has lost them.
const cleanedFolder = ".dicomesh/cleaned"

func cleanedPath(study dedup.UID) string { return cleanedFolder + "/" + study.String() }

// Clean removes all current files of a study, which the next round makes again, and says how many bytes they had. No round of the study runs meanwhile. may is asked when
// that is so, before anything is touched; its error is Clean's. Whoever has files open keeps them.
//
// A crash leaves the study as it was, or without a status: to readers it is not there.
func (g *Generator) Clean(study dedup.UID, may func() error) (bytes int64, err error) {
	p, err := g.openPlace(study)
	if err != nil {
		return 0, err
	}
	defer p.close()
	if err := may(); err != nil {
		return 0, err
	}
	for _, size := range p.present {
		bytes += size
	}
	if err := durable.MkdirAll(p.fs, cleanedFolder); err != nil {
		return 0, err
	}
	if err := durable.WriteFile(p.fs, cleanedPath(study), nil); err != nil {
		return 0, err
	}
	for _, name := range [...]string{p.name, StatusPath(study)} { // the record, then what makes it a study
		if err := p.dropTemp(name); err != nil {
			return 0, err
		}
		if err := p.barrier.SyncAll(); err != nil {
			return 0, err
		}
	}
	return bytes, p.removeAll("")
}

// Cleaned reports whether a study has no current files because Clean removed them.
func Cleaned(current durable.Reader, study dedup.UID) bool {
	_, marked := current.Lstat(cleanedPath(study))
	_, there := current.Lstat(StatusPath(study))
	return marked == nil && errors.Is(there, fs.ErrNotExist)
}

// Wanted takes a study's mark away: its files are to be made again, as those of any study that has none.
func Wanted(current durable.FS, study dedup.UID) error {
	_, err := current.Lstat(cleanedPath(study))
	if err == nil {
		err = current.Remove(cleanedPath(study))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Size is how many bytes the current files of a study have, as their record says: fs.ErrNotExist when no round has finished it. Files that share their blocks with the archive count like others.
func Size(current durable.Reader, study dedup.UID) (int64, error) {
	text, err := readGzip(current, recordFolder+"/"+study.String()+".gz", maxRecord)
	if err != nil {
		return 0, err
	}
	var all int64
	for _, f := range parseRecord(string(text)).files {
		all += f.size
	}
	return all, nil
}
