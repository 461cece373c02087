package verify

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/zeebo/blake3"
)

// largeObjects is the size on disk from which files of objects are read one at a time, so that workers do not multiply the memory for them: a smaller one expands
// to at most a hundred megabytes.
const largeObjects = 256 << 10

// keptText is the most text that a worker keeps memory for.
const keptText = 8 << 20

// objects reads a file of objects and checks them.
func (l *look) objects(t *tools, v *verdict) {
	size := l.sizeOf(v.held)
	if size > largeObjects {
		l.large.Lock()
		defer l.large.Unlock()
	}
	content := &limited{left: index.JSONLimit}
	if strings.HasSuffix(v.held.Path, ".gz") {
		content.left = v.held.Ref.MostContent(size, index.JSONLimit)
	}
	m, err := t.Measure(l.config.Tree, v.held, content)
	v.taken.Measured = m
	if err != nil {
		v.failed(err)
		v.taken.Disk = size
	} else if v.held.Ref.Class == dedup.Bulkdata {
		l.object(t, v, content.Bytes())
	} else {
		l.list(t, v, content.Bytes())
	}
	if cap(t.text) > keptText {
		t.text, t.again = nil, nil
	}
	if v.file == nil && !v.gone && v.held.Ref.Class != dedup.Bulkdata {
		// It counts for nothing, but it is there: the study is not what it would be without it.
		f := dedup.ParseFile(v.held.Ref, nil)
		v.file = &f
	}
}

// limited collects up to a limit.
type limited struct {
	bytes.Buffer
	left int64
}

func (l *limited) Write(b []byte) (int, error) {
	if l.left -= int64(len(b)); l.left < 0 {
		return 0, dedup.ErrTooLarge
	}
	return l.Buffer.Write(b)
}

// object checks a bulkdata file that is one object.
func (l *look) object(t *tools, v *verdict, content []byte) {
	o, err := dedup.ParseObject(content)
	if err != nil {
		v.corrupt("it is no DICOM JSON object: %v", err)
		return
	}
	_, d := dedup.Split(o)
	v.answer = dedup.Verify(o)
	switch {
	case v.answer == dedup.Corrupt:
		v.corrupt("the object does not have the hash that it says")
	case v.answer == dedup.Right && d.Hash.String() != v.held.Ref.Name:
		v.corrupt("it holds another object, %s", d.Hash)
	case d.Version == dedup.Version:
		t.text = o.AppendJSON(t.text[:0])
		l.canonical(t, v, content)
	default:
		if v.answer == dedup.CannotTell {
			v.what = otherMaker
		}
		l.legal(t, v, content)
	}
}

// list checks a list or an instance file.
func (l *look) list(t *tools, v *verdict, content []byte) {
	f := dedup.ParseFile(v.held.Ref, content)
	v.file = &f
	switch d, variant := parseDigest(v.held.Ref.Variant); {
	case variant && d != v.taken.Content:
		v.corrupt("its content is not what its name says (BLAKE3 %s)", v.taken.Content)
		return
	case variant:
		v.answer = dedup.Right
	case f.Fault != nil:
		v.corrupt("%s", faultText(f.Fault))
		return
	default:
		if v.answer = f.Verify(); v.answer == dedup.CannotTell {
			v.what = otherMaker
		}
	}
	objects := f.Objects()
	if f.Fault != nil { // of a variant: it has none of them
		objects, _ = dedup.ParseList(content)
	}
	if !own(objects) {
		l.legal(t, v, content)
		return
	}
	if !shaped(v.held.Ref.Class, objects) {
		v.corrupt("its objects are dicomesh's own, but not those of such a file")
		return
	}
	v.answer, v.what = dedup.Right, "" // ParseFile has seen that it has its name
	t.text = appendList(t.text[:0], objects)
	l.canonical(t, v, content)
}

// faultText is what is wrong with a list or instance file.
func faultText(err error) string {
	if errors.Is(err, dedup.ErrDamaged) {
		return "its content is not what its name or its own hash says"
	}
	return strings.TrimSuffix(err.Error(), ": "+dedup.ErrObject.Error())
}

// own reports whether dicomesh wrote the file: its first object says so, the info of a list or the record of an instance file.
func own(objects []dedup.Object) bool {
	if len(objects) == 0 {
		return false
	}
	_, d := dedup.Split(objects[0])
	return d.Version == dedup.Version
}

// shaped reports whether a file of dicomesh's own has the objects that its class has (FORMAT.md sections 1 and 8).
func shaped(c dedup.Class, objects []dedup.Object) bool {
	_, d := dedup.Split(objects[0])
	if c == dedup.List {
		return d.Type == dedup.TypeInfo
	}
	return d.Type != dedup.TypeInfo && len(objects) == 1
}

func appendList(out []byte, objects []dedup.Object) []byte {
	out = append(out, '[')
	for i, o := range objects {
		if i > 0 {
			out = append(out, ',')
		}
		out = o.AppendJSON(out)
	}
	return append(out, ']')
}

// canonical checks what no hash of dicomesh's own objects covers: the white space between, and the envelope around them. t.text is how the content should be.
func (l *look) canonical(t *tools, v *verdict, content []byte) {
	if !bytes.Equal(content, t.text) {
		v.corrupt("its objects have their hashes, but the JSON is not as it was written")
		return
	}
	l.plain(t, v, content)
}

// plain checks the gzip envelope of a file of dicomesh's own that is right inside. content is nil where it was not kept.
func (l *look) plain(t *tools, v *verdict, content []byte) {
	if !strings.HasSuffix(v.held.Path, ".gz") {
		return
	}
	if !v.taken.Plain() {
		v.corrupt("its content is right, but its gzip envelope is not as it was written")
		return
	}
	if !l.config.Deep {
		return
	}
	if at, flipped := l.flipped(t, v, content); flipped {
		v.corrupt("its content is right, but byte %d of the file is not as it was written", at)
	}
}

// legal checks the gzip envelope of another writer's objects. It may be anybody's, but where it is, but for one byte, what dicomesh makes of the content, an import
// has made it, and the disk that byte: zlib compresses otherwise (of 555 files that static-wado wrote, from 49 bytes on, none came out alike).
func (l *look) legal(t *tools, v *verdict, content []byte) {
	if !strings.HasSuffix(v.held.Path, ".gz") {
		return
	}
	if !v.taken.Legal() {
		v.corrupt("its gzip header is none")
		return
	}
	if !l.config.Deep {
		return
	}
	if at, flipped := l.flipped(t, v, content); flipped {
		v.corrupt("byte %d of the file is not as it was written; its content expands all the same", at)
	}
}

// maxRepeat is how much content is compressed again to look at its envelope.
const maxRepeat = 64 << 20

// flipped finds the one byte in which a file differs from what its content is when it is compressed again. Some bits of a deflate stream mean nothing, and
// some say the same in two ways, so a disk can change one and harm nothing. It has changed the file all the same, and the next byte will matter.
// Two differences or another length are another release of the compressor.
func (l *look) flipped(t *tools, v *verdict, content []byte) (at int, is bool) {
	if v.taken.Size > maxRepeat {
		return 0, false
	}
	if content == nil {
		read, err := l.folder.Read(v.held, maxRepeat)
		if err != nil {
			return 0, false
		}
		content = read
	}
	t.again = t.gzip.Append(t.again[:0], content)
	again := t.again
	if int64(len(again)) != v.taken.Disk || dedup.Digest(blake3.Sum256(again)) == v.taken.Stored {
		return 0, false
	}
	stored, err := l.stored(v.held)
	if err != nil {
		return 0, false
	}
	return oneByte(again, stored)
}

// oneByte finds the one byte in which two files of the same length differ.
func oneByte(a, b []byte) (at int, is bool) {
	if len(a) != len(b) {
		return 0, false
	}
	differences := 0
	for i := range a {
		if a[i] != b[i] {
			at, differences = i, differences+1
		}
	}
	return at, differences == 1
}

// stored is a file as it lies on disk.
func (l *look) stored(h dedup.Held) ([]byte, error) {
	f, err := l.config.Tree.Open(h.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxRepeat))
}
