package part10

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/klauspost/compress/gzip"
	"github.com/zeebo/blake3"
)

// keeper writes one bulkdata file and takes its SHA-256 on the way. The first error sticks.
type keeper struct {
	value Value
	hash  hash.Hash
	n     int64
	err   error
	buf   []byte
}

// begin starts a bulkdata file.
func (t *taker) begin() (*keeper, error) {
	v, err := t.sink.Create()
	if err != nil {
		return nil, err
	}
	return &keeper{value: v, hash: sha256.New(), buf: t.buffer(t.size)}, nil
}

func (k *keeper) write(b []byte) {
	if k.err == nil && len(b) > 0 {
		_, k.err = k.value.Write(b)
		k.hash.Write(b)
		k.n += int64(len(b))
	}
}

// copy writes the next n bytes of r, the bytes of each unit of swap turned round.
func (k *keeper) copy(r io.Reader, n int64, swap int) {
	if s, ok := r.(*scanner); ok && swap < 2 {
		if b, ok := s.inPlace(n); ok {
			k.write(b)
			return
		}
	}
	size := len(k.buf) - len(k.buf)%max(swap, 1)
	for n > 0 && k.err == nil {
		b := k.buf[:min(n, int64(size))]
		if _, err := io.ReadFull(r, b); err != nil {
			k.err = err
			return
		}
		n -= int64(len(b))
		if swap > 1 {
			swapUnits(b, swap)
		}
		k.write(b)
	}
}

func (k *keeper) drop() { k.value.Drop() }

// keep names the file by its bytes.
func (k *keeper) keep(ext string) (dedup.Ref, [32]byte, error) {
	var sum [32]byte
	k.hash.Sum(sum[:0])
	ref := k.keepAs(dedup.Ref{Class: dedup.Bulkdata, Name: dedup.HashOf(sum).String(), Ext: ext})
	return ref, sum, k.err
}

// keepAs names the file. After an error it is dropped and the ref means nothing.
func (k *keeper) keepAs(ref dedup.Ref) dedup.Ref {
	if k.err != nil {
		k.drop()
		return dedup.Ref{}
	}
	k.err = k.value.Keep(ref)
	return ref
}

// keep stores the next n bytes of r as one bulkdata file.
func (t *taker) keep(r io.Reader, n int64, swap int, ext string) (dedup.Ref, [32]byte, error) {
	k, err := t.begin()
	if err != nil {
		return dedup.Ref{}, [32]byte{}, err
	}
	k.copy(r, n, swap)
	return k.keep(ext)
}

// streamRef names a compressed frame by its pixels. Where they happen to be the file's own bytes the plain name says all.
func streamRef(pixels, own [32]byte, b []byte, ext string) dedup.Ref {
	ref := dedup.Ref{Class: dedup.Bulkdata, Name: dedup.HashOf(pixels).String(), Ext: ext}
	if pixels != own {
		digest := blake3.Sum256(b)
		ref.Stream = hex.EncodeToString(digest[:16])
	}
	return ref
}

// object seals and keeps an object, once. words are an encoding object's.
func (t *taker) object(kind dedup.Type, o dedup.Object, words []string) (dedup.Hash, error) {
	s := t.sealed[kind]
	if s == nil || !slices.Equal(s.words, words) || !sameObject(s.content, o) {
		sealed, h, err := dedup.Seal(o, dedup.Dedup{Type: kind, Layout: words})
		if err != nil {
			return h, err
		}
		s = &sealedObject{slices.Clone(o), words, sealed, h}
		t.remember(kind, s)
	}
	if t.objects[s.hash] {
		return s.hash, nil
	}
	t.objects[s.hash] = true
	return s.hash, t.sink.Put(s.hash, s.sealed)
}

// sealedObject is the last object of its type: most instances have those of the instance before.
type sealedObject struct {
	content dedup.Object
	words   []string
	sealed  dedup.Object
	hash    dedup.Hash
}

// remember keeps an object for the next file, unless it is large or the next is hardly ever the same.
func (s *Scratch) remember(kind dedup.Type, o *sealedObject) {
	size := 0
	for _, e := range o.content {
		size += len(e.JSON)
	}
	if kind == dedup.TypeSequence || size > muchLiteral {
		return
	}
	if s.sealed == nil {
		s.sealed = map[dedup.Type]*sealedObject{}
	}
	s.sealed[kind] = o
}

// bulkNames gives each bulkdata file of an instance one number, however often it occurs, so that two layouts can be compared by number.
type bulkNames map[bulkKey]int

type bulkKey struct {
	ref  dedup.Ref
	swap int
}

func (names bulkNames) number(l *layout, ref dedup.Ref, size int64, swap int) int {
	key := bulkKey{ref, max(swap, 1)}
	n, known := names[key]
	if !known {
		n = l.newBulk(ref, size, swap)
		names[key] = n
	}
	return n
}

// decompress is what compress was given, of at most limit bytes. z is made ready for it, whatever it has read before.
func decompress(r io.Reader, limit int64, z *gzip.Reader) ([]byte, error) {
	if err := z.Reset(r); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(z, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("more than %d bytes: %w", limit, ErrResidue)
	}
	return out.Bytes(), err
}
