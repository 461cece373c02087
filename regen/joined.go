package regen

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"

	"github.com/dicomesh/dicomesh/dedup"
)

// joined is Pixel Data inside of an item (an icon, say) that the archive keeps in several pieces: one BulkDataURI has to name it. It becomes one file: native pieces one behind
// the other, encapsulated ones as PS3.5 section A.4 has the value, with an empty offset table.
type joined struct {
	parts []dedup.Ref
	tail  []byte // of native ones, behind the last
}

// ref is the file's name in the current tree, made of the names of its parts. No file of the archive has it, because those are named by other hashes.
func (j joined) ref() dedup.Ref {
	h := sha256.New()
	_, _ = io.WriteString(h, "pixel data of "+Version+"\n")
	for _, p := range j.parts {
		_, _ = io.WriteString(h, p.Path()+"\n")
	}
	_, _ = h.Write(j.tail)
	r := dedup.Ref{Class: dedup.Bulkdata, Name: dedup.HashOf([32]byte(h.Sum(nil))).String(), Ext: ".bin"}
	if j.native() {
		r.Ext = ".raw"
	}
	return r
}

func (j joined) native() bool { return j.parts[0].Ext == ".raw" }

// joinedIn is the attribute as such a file, false if it is none.
func joinedIn(a dedup.Attribute) (joined, bool) {
	if len(a.Fragments) < 2 || a.VR == "SQ" {
		return joined{}, false
	}
	return joined{fragments(a), a.Bytes}, true
}

// findJoined adds all that are in an attribute, at any depth.
func (s *study) findJoined(to []joined, e dedup.Element, depth int) []joined {
	if !bytes.Contains(e.JSON, []byte(`"Fragments"`)) && !bytes.Contains(e.JSON, []byte(`.json"`)) || depth > maxNesting {
		return to
	}
	a, err := e.Attribute()
	if err != nil {
		return to // publishing it says so
	}
	if j, ok := joinedIn(a); ok {
		return append(to, j)
	}
	if ref, err := dedup.ParseBulkURI(a.BulkDataURI); err == nil && a.VR == "SQ" && ref.Ext == ".json.gz" {
		if o, err := s.object(ref.Hash()); err == nil {
			for _, inner := range o {
				to = s.findJoined(to, inner, depth+1)
			}
		}
		return to
	}
	if a.VR != "SQ" {
		return to
	}
	for _, item := range a.Value {
		o, err := dedup.ParseObject(item)
		if err != nil {
			return to
		}
		for _, inner := range o {
			to = s.findJoined(to, inner, depth+1)
		}
	}
	return to
}

// open reads the file: its parts are opened one after the other.
func (s *study) openJoined(j joined) (io.ReadCloser, error) {
	r := &chain{}
	if j.native() {
		for _, p := range j.parts {
			r.next = append(r.next, func() (io.ReadCloser, error) { return s.folder.Open(p, maxCurrent) })
		}
		r.next = append(r.next, inMemory(j.tail))
		return r, nil
	}
	r.next = append(r.next, inMemory(item(0xE000, 0)))
	for _, p := range j.parts {
		_, size, err := s.folder.Find(p)
		if err != nil {
			return nil, err
		}
		r.next = append(r.next, inMemory(item(0xE000, size+size%2)),
			func() (io.ReadCloser, error) { return s.folder.Open(p, maxCurrent) }, inMemory(make([]byte, size%2)))
	}
	r.next = append(r.next, inMemory(item(0xE0DD, 0)))
	return r, nil
}

// item is the head of a fragment, or the delimiter.
func item(element uint16, length int64) []byte {
	b := binary.LittleEndian.AppendUint16(nil, 0xFFFE)
	b = binary.LittleEndian.AppendUint16(b, element)
	return binary.LittleEndian.AppendUint32(b, uint32(length))
}

func inMemory(b []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

// chain reads what its functions open, one after the other.
type chain struct {
	now  io.ReadCloser
	next []func() (io.ReadCloser, error)
}

func (c *chain) Read(b []byte) (int, error) {
	for {
		if c.now == nil {
			if len(c.next) == 0 {
				return 0, io.EOF
			}
			var err error
			if c.now, err = c.next[0](); err != nil {
				return 0, err
			}
			c.next = c.next[1:]
		}
		n, err := c.now.Read(b)
		if err != io.EOF {
			return n, err
		}
		err = c.Close()
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Close implements io.Closer.
func (c *chain) Close() error {
	if c.now == nil {
		return nil
	}
	err := c.now.Close()
	c.now = nil
	return err
}

// joinedPlan are the files of the values that an instance has in pieces.
func (s *study) joinedPlan(i *instance) []file {
	var files []file
	for _, j := range i.joined {
		ref := j.ref()
		files = append(files, file{path: BulkPath(ref), level: ofInstance, key: ref.Path(), open: func() (io.ReadCloser, error) { return s.openJoined(j) }})
	}
	return files
}
