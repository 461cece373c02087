package syncer

import (
	"bytes"
	"maps"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/syncer/wire"
	"github.com/klauspost/compress/gzip"
)

// bomb is 30 kB that expand to 30 MB. Another writer made it: dedup's own makes none.
func bomb() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(make([]byte, 30<<20))
	_ = z.Close()
	return b.Bytes()
}

// TestLyingNeighbour holds that nothing which is not what it says gets in, whoever sends it, and that another source is asked.
func TestLyingNeighbour(t *testing.T) {
	for name, tamper := range map[string]func(k *talk, f *wire.Fetch) error{
		"other bytes": func(k *talk, f *wire.Fetch) error {
			for i := range f.Files {
				b := bytes.Repeat([]byte{7}, 100)
				if err := k.say(&wire.FileHeader{Index: uint64(i), Status: wire.Here, Size: 100, Length: 100}); err != nil {
					return err
				}
				if _, err := k.Write(b); err != nil {
					return err
				}
			}
			return nil
		},
		"a file that does not end": func(k *talk, f *wire.Fetch) error {
			return k.say(&wire.FileHeader{Status: wire.Here, Size: 100, Length: 100})
		},
		"a length beyond all": func(k *talk, f *wire.Fetch) error {
			return k.say(&wire.FileHeader{Status: wire.Here, Size: 1 << 60, Length: 1 << 60})
		},
		"a bomb": func(k *talk, f *wire.Fetch) error {
			b := bomb()
			if err := k.say(&wire.FileHeader{Status: wire.Here, Size: uint64(len(b)), Length: uint64(len(b))}); err != nil {
				return err
			}
			_, err := k.Write(b)
			return err
		},
		"files out of order": func(k *talk, f *wire.Fetch) error {
			return k.say(&wire.FileHeader{Index: 3, Status: wire.Absent})
		},
		"another name": func(k *talk, f *wire.Fetch) error {
			other, err := dedup.ParseRef("notes/passwd")
			if err != nil {
				return err
			}
			return k.say(&wire.FileHeader{Status: wire.Here, Ref: other, Size: 1, Length: 1})
		},
		"no message": func(k *talk, f *wire.Fetch) error {
			_, err := k.Write(bytes.Repeat([]byte{0xFF}, 64))
			return err
		},
		"all absent": func(k *talk, f *wire.Fetch) error {
			for i := range f.Files {
				if err := k.say(&wire.FileHeader{Index: uint64(i), Status: wire.Absent}); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMesh()
			m.hook = func(from, to string, use Use, s Stream) bool {
				if use != Fetch || to != "liar" {
					return false
				}
				k := newTalk(s)
				if f, err := k.hear(); err == nil {
					if f, ok := f.(*wire.Fetch); ok {
						_ = tamper(k, f)
					}
				}
				return true
			}
			liar, honest, b := m.start(t, "liar", t.TempDir()), m.start(t, "honest", t.TempDir()), m.start(t, "b", t.TempDir())
			for n := range 3 {
				liar.instance(study(1), n, 1000)
				honest.instance(study(1), n, 1000)
			}
			liar.look(study(1))
			m.link(t.Context(), liar, b)
			wait(t, func() bool {
				return name == "all absent" && b.count(Pulled)+len(b.syncer.Status().Sites) > 0 || b.count(Blamed) > 0
			})
			if n := len(b.files()); n > 0 {
				t.Errorf("%d files of a liar are in the tree", n)
			}
			honest.look(study(1))
			m.link(t.Context(), honest, b)
			wait(t, func() bool { return maps.Equal(b.files(), honest.files()) })
		})
	}
}
