package part10

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/phantom"
)

// seed gives a fuzz target our own small files, good and bad.
func seed(f *testing.F) {
	for _, c := range phantom.Cases() {
		if file := c.Bytes(); len(file) < 3000 {
			f.Add(file)
		}
	}
	for _, c := range phantom.BadCases() {
		if len(c.Data) < 3000 {
			f.Add(c.Data)
		}
	}
}

// FuzzTake holds that a file is refused as unsound, or comes back byte for byte.
func FuzzTake(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, file []byte) {
		m := newMemory()
		p, err := Take(bytes.NewReader(file), int64(len(file)), m)
		if m.open != 0 {
			t.Errorf("%d left open", m.open)
		}
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Error(err)
			}
			return
		}
		if back := rebuiltFile(t, p, m); !bytes.Equal(back, file) {
			t.Errorf("comes back otherwise, from byte %d on", firstDifference(back, file))
		}
	})
}

// FuzzIdentify holds that the first look at a file tells nothing else than the whole.
func FuzzIdentify(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, file []byte) {
		id, err := Identify(bytes.NewReader(file), int64(len(file)))
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Error(err)
		}
		p, err := Take(bytes.NewReader(file), int64(len(file)), newMemory())
		if err != nil {
			return
		}
		for _, u := range [...][2]dedup.UID{{id.Study, p.Study}, {id.Series, p.Series}, {id.SOP, p.SOP}} {
			if u[0] != u[1] {
				t.Errorf("identified as %s, is %s", u[0], u[1])
			}
		}
	})
}

// madeLayout is a layout that bytes describe: each byte is a piece, of a few literal bytes, or a stretch of one of three bulkdata files.
func madeLayout(script []byte) *layout {
	l := &layout{}
	for i := range 3 {
		l.newBulk(dedup.Ref{Name: string(rune('a' + i))}, 100, 0)
	}
	for _, b := range script {
		switch n := int64(b>>2) % 16; b & 3 {
		case 3:
			l.addBulk(int(n)%3, 0, 100)
		default:
			l.add(bytes.Repeat([]byte{b}, int(n)+1))
		}
	}
	return l
}

// contents is what a layout stands for: bulkdata n is a hundred bytes of n.
func contents(l *layout) []byte {
	var out []byte
	for _, p := range l.pieces {
		if p.bulk == noBulk {
			out = append(out, l.bytesOf(p)...)
			continue
		}
		for i := range p.n {
			out = append(out, byte(p.bulk), byte(p.at+i))
		}
	}
	return out
}

// FuzzApply applies hostile residues: they do not fit, or make a file of bounded size.
func FuzzApply(f *testing.F) {
	script := []byte("a layout of some pieces \x03\x07\x0b")
	f.Add(script, []byte(residueMagic))
	f.Add(script, diff(madeLayout(script), madeLayout([]byte("another \x0b of pieces \x03"))))
	var hostile []byte
	for range 40 {
		hostile = binary.AppendUvarint(binary.AppendUvarint(hostile, 0<<2|opSeek), 300<<2) // seek to 0, copy 300
	}
	f.Add(script, append([]byte(residueMagic), hostile...))
	f.Fuzz(func(t *testing.T, script, residue []byte) {
		const limit = 4000
		from := madeLayout(script)
		l, err := apply(from, residue, limit)
		if err != nil {
			if !errors.Is(err, ErrResidue) {
				t.Error(err)
			}
			return
		}
		if l != from && l.size() > limit {
			t.Errorf("%d bytes", l.size())
		}
		contents(l)
	})
}

// FuzzDiff holds that the residue of two layouts turns one into the other.
func FuzzDiff(f *testing.F) {
	f.Add([]byte("a layout of some pieces \x03\x07\x0b and more"), []byte("a layout\x0b of pieces \x03\x03\x07"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		from, to := madeLayout(a), madeLayout(b)
		for i, wanted := range to.used() { // as rebuilt does: everything that to needs is somewhere in from
			if wanted && !from.used()[i] {
				from.addBulk(i, 0, 100)
			}
		}
		out, err := apply(from, diff(from, to), to.size())
		if err != nil || !bytes.Equal(contents(out), contents(to)) {
			t.Errorf("%v: %d pieces of %d bytes, want %d of %d", err, len(out.pieces), out.size(), len(to.pieces), to.size())
		}
	})
}
