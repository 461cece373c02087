package syncer

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
)

// nameless writes an instance with a value of another writer's, whose name says nothing of its bytes, and returns the value's path in the study. Its bytes follow from the seed.
func (s *site) nameless(study dedup.UID, n, size int, seed string) (inside string) {
	s.t.Helper()
	value := make([]byte, size)
	random := rand.NewChaCha8(sha256.Sum256([]byte(seed)))
	_, _ = random.Read(value)
	inside = bulkPath(dedup.HashOf(sha256.Sum256(fmt.Append(nil, "a name", study, n))), "")
	s.write(study, inside, value)
	s.refersTo(study, n, inside)
	return inside
}

// refersTo writes an instance that refers to a value.
func (s *site) refersTo(study dedup.UID, n int, inside string) {
	s.t.Helper()
	sop := fmt.Sprintf("%s.%d", study, n)
	o, _, err := dedup.Seal(dedup.Object{element(0x00080018, `{"Value":["`+sop+`"],"vr":"UI"}`), element(0x0020000E, `{"Value":["1.2.9"],"vr":"UI"}`),
		element(0x7FE00010, `{"BulkDataURI":"`+inside+`","vr":"OW"}`)}, dedup.Dedup{Type: dedup.TypeInstance})
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(study, "deduplicated/instances/"+sop+".gz", dedup.Compress(nil, []byte("["+string(o.AppendJSON(nil))+"]")))
}

// TestNamelessTorn holds that of a value whose name says nothing no beginning that a process which was killed had left is taken for the whole.
func TestNamelessTorn(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 20_000, "large": wholeFile + mostPiece} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMesh()
			a := m.start(t, "a", t.TempDir())
			inside := a.nameless(study(1), 1, size, "right")
			a.look(study(1))
			dir := t.TempDir()
			left := filepath.Join(dir, "tree", ".dicomesh", "tmp", "0")
			ref, err := dedup.ParseRef(inside)
			if err == nil {
				err = os.MkdirAll(left, 0o755)
			}
			if err == nil { // what a power cut leaves of it: the length of a beginning, and zeros
				err = os.WriteFile(filepath.Join(left, "1."+"1.2.1!"+strings.ReplaceAll(ref.Path(), "/", "!")), make([]byte, size/2), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			b := m.start(t, "b", dir)
			m.link(t.Context(), a, b)
			levelled(t, a, b)
		})
	}
}

// TestNamelessChanges holds that a large value whose name says nothing is never put together of two: its source has another one under its name when the link is back.
func TestNamelessChanges(t *testing.T) {
	t.Parallel()
	m := newMesh()
	a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
	inside := a.nameless(study(1), 1, 16<<20, "one")
	a.look(study(1))
	m.link(t.Context(), a, b)
	wait(t, func() bool { return m.received("b") > 6<<20 })
	m.sever(t.Context(), a, b)
	wait(t, b.idle)
	if b.holds(study(1)) > 0 {
		t.Fatal("it came whole before it was cut")
	}
	a.stop()
	other := m.start(t, "a", t.TempDir())
	other.nameless(study(1), 1, 16<<20, "other")
	other.look(study(1))
	m.mend(t.Context(), other, b)
	levelled(t, other, b)
	if got, want := b.files()["1.2.1/"+inside], other.files()["1.2.1/"+inside]; got != want || want == "" {
		t.Errorf("%d bytes that are none of the two", len(got))
	}
}

// TestNamelessDamaged holds that a value whose name says nothing, and that is not what it was when its holder first saw it, spreads to nobody, large or small.
func TestNamelessDamaged(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 20_000, "large": wholeFile + mostPiece} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMesh()
			a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
			inside := a.nameless(study(1), 1, size, "right")
			a.look(study(1))
			path := filepath.Join(a.dir, "tree", "studies", "1.2.1", inside)
			right, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			rotten := bytes.Clone(right)
			rotten[len(rotten)/3] ^= 1
			a.write(study(1), inside, rotten)
			m.link(t.Context(), a, b)
			wait(t, func() bool { return strings.Contains(b.blames("a"), "not what its source recorded") })
			if n := b.holds(study(1)); n > 0 {
				t.Errorf("%d files came with one that is damaged", n)
			}
			a.write(study(1), inside, right)
			levelled(t, a, b)
		})
	}
}

// TestSpoiltBeginning holds that who sends the end of a large file is not blamed for a beginning that another site had sent, and that the file comes all the same, in the same pull.
func TestSpoiltBeginning(t *testing.T) {
	t.Parallel()
	m := newMesh()
	rotten, honest, b := m.start(t, "rotten", t.TempDir()), m.start(t, "honest", t.TempDir()), m.start(t, "b", t.TempDir())
	rotten.instance(study(1), 1, 16<<20)
	honest.instance(study(1), 1, 16<<20)
	rotten.look(study(1))
	honest.look(study(1))
	for name, text := range rotten.files() {
		if strings.HasSuffix(name, ".raw") {
			inside := strings.TrimPrefix(name, "1.2.1/")
			rotten.write(study(1), inside, append([]byte("rotten"), text[6:]...))
		}
	}
	m.link(t.Context(), rotten, b)
	wait(t, func() bool { return m.received("b") > 6<<20 })
	m.sever(t.Context(), rotten, b)
	wait(t, b.idle)
	m.link(t.Context(), honest, b)
	wait(t, func() bool { return b.alike(honest, study(1)) })
	if n := b.count(Blamed) + b.count(Failed); n > 0 {
		t.Errorf("%d times somebody was blamed: %s", n, b.blames("honest"))
	}
}
