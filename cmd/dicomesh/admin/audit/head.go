package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// noteFile has where the log ends. It lies beside the folder of the log, so that it tells of a folder that is gone as well.
const noteFile = "audit.head"

// note is the form of the file.
type note struct {
	Number uint64 `json:"n"`
	Hash   string `json:"hash"`
}

// errNote says that the note is none.
var errNote = errors.New("the note of where the log ends cannot be read")

// encode is the content of the file.
func (n note) encode() ([]byte, error) {
	text, err := json.Marshal(n)
	return append(text, '\n'), err
}

// writeNote makes durable where the log ends.
func writeNote(fsys durable.FS, h Head) error {
	text, err := note{h.Number, h.Hash.String()}.encode()
	if err != nil {
		return err
	}
	if err := durable.ReplaceFile(fsys, noteFile, text); err != nil {
		return fmt.Errorf("note where the audit log ends: %w", err)
	}
	return nil
}

// readNote reads where the log ended when that was noted last: nil if it never was. errNote, or the error of reading.
func readNote(fsys durable.Reader) (*Head, error) {
	f, err := fsys.Open(noteFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return nil, err
	}
	var n note
	if json.Unmarshal(text, &n) != nil {
		return nil, errNote
	}
	hash, err := hex.DecodeString(n.Hash)
	again, err2 := n.encode()
	if err != nil || err2 != nil || len(hash) != len(Hash{}) || !bytes.Equal(again, text) {
		return nil, errNote
	}
	return &Head{n.Number, Hash(hash)}, nil
}

// judge holds where a log ends to what was noted: hashOf finds the hash of an entry. The first result is what is wrong, "" if nothing is; the second how many entries are newer than the note. Such are there after a
// crash between the write of the entries and that of the note, and after nothing else that anybody need know of: whoever adds entries by hand can write the note too.
func judge(noted *Head, end Head, hashOf func(number uint64) (Hash, bool)) (wrong string, newer uint64) {
	switch {
	case noted == nil && end.Number == 0:
		return "", 0
	case noted == nil:
		return "where it ends was noted, and the note is not there", 0
	case noted.Number > end.Number:
		return fmt.Sprintf("it ended with entry %d, and entry %d is the last that is there", noted.Number, end.Number), 0
	case noted.Number == 0:
		return "", end.Number
	}
	if hash, found := hashOf(noted.Number); !found || hash != noted.Hash {
		return fmt.Sprintf("entry %d is not the one that was written", noted.Number), 0
	}
	return "", end.Number - noted.Number
}
