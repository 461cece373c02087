package verify

import (
	"bytes"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
)

// File reads one file and checks it against its own name, as Run does, and against nothing else: neither index nor digest log is asked. It may be called from several
// goroutines; no more files are read at a time than there are workers. An index.Keeper takes it for its Check; of a Checker that is not Deep it is the answer about a
// value that nobody can tell.
func (c *Checker) File(folder dedup.Folder, h dedup.Held) index.Checked {
	t := <-c.idle
	defer func() { c.idle <- t }()
	l := look{Checker: c, study: folder.Study, folder: folder}
	v := l.file(t, h)
	if v.unread && v.answer != dedup.Corrupt {
		v.answer, v.what = dedup.CannotTell, "it was not read"
	}
	return index.Checked{Entry: v.taken.Entry, Answer: v.answer, Reason: v.what, Gone: v.gone, File: v.file}
}

// Judge is what Checker.File of a Checker that is Deep would say of a list or an instance file, for whoever has it in memory: f is what dedup.ParseFile made of
// content, stored its bytes as they will lie on disk, one gzip member. It answers Right where that is certain, which it is of files of dicomesh's own writing
// alone; whatever else is to be said of a file takes a Checker. c is a Compressor of the caller's.
func Judge(c *dedup.Compressor, f dedup.File, content, stored []byte) dedup.Answer {
	objects := f.Objects()
	if f.Fault != nil || !own(objects) || !shaped(f.ID.Ref.Class, objects) || !index.PlainHead(stored) || len(content) > maxRepeat ||
		!bytes.Equal(content, appendList(make([]byte, 0, len(content)), objects)) {
		return dedup.CannotTell
	}
	if _, flipped := oneByte(c.Append(make([]byte, 0, len(stored)), content), stored); flipped {
		return dedup.CannotTell
	}
	return dedup.Right
}
