package syncer

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/syncer/wire"
	"github.com/klauspost/compress/gzip"
)

// stored is content in an envelope that does not make it smaller, as other writers may have it.
func stored(content []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.NoCompression)
	_, _ = z.Write(content)
	_ = z.Close()
	return b.Bytes()
}

// TestOneInMemory holds that of files which have to be in memory as a whole one comes at a time from a site, in however many pulls they are wanted.
func TestOneInMemory(t *testing.T) {
	t.Parallel()
	m := newMesh()
	a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
	random := rand.NewChaCha8([32]byte{1})
	value := make([]byte, wholeFile+wholeFile/8)
	for n := range 4 {
		_, _ = random.Read(value)
		uid := study(n % 2)
		inside := bulkPath(dedup.HashOf(sha256.Sum256(fmt.Append(nil, n))), ".gz")
		a.write(uid, inside, stored(value))
		a.refersTo(uid, n, inside)
	}
	a.look(study(0))
	a.look(study(1))
	var mu sync.Mutex
	coming, most := map[dedup.Ref]uint64{}, 0
	m.hook = func(_, to string, use Use, s Stream) bool {
		if to != "a" || use != Fetch {
			return false
		}
		k := newTalk(t.Context(), s)
		q, err := k.hear()
		f, is := q.(*wire.Fetch)
		if err != nil || !is {
			return true
		}
		if w := f.Files[0]; w.Partial {
			mu.Lock()
			coming[w.Ref] += w.Length
			if most = max(most, len(coming)); coming[w.Ref] > wholeFile+wholeFile/8 {
				delete(coming, w.Ref) // its last piece: gzip adds a little
			}
			mu.Unlock()
		}
		again := newTalk(t.Context(), s)
		again.in = bufio.NewReader(io.MultiReader(bytes.NewReader(wire.Append(nil, f)), s))
		_ = a.syncer.answers.fetch(a.ctx, again, nil)
		return true
	}
	m.link(t.Context(), a, b)
	levelled(t, a, b)
	if most != 1 {
		t.Errorf("%d files that have to be in memory come at a time", most)
	}
}
