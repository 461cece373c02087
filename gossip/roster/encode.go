package roster

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const magic = "dicomesh roster 1\n"

// Epoch is the hash of the roster.
func (r Roster) Epoch() Epoch { return sha256.Sum256(r.Encode()) }

// Encode writes the roster: equal rosters, equal bytes.
func (r Roster) Encode() []byte {
	b := []byte(magic)
	b = appendBytes(b, r.cluster)
	b = append(b, r.root[:]...)
	b = binary.AppendUvarint(b, uint64(len(r.records)))
	for _, rec := range slices.SortedFunc(maps.Values(r.records), compareRecords) {
		b = appendBytes(b, rec.body)
		b = append(b, rec.signer[:]...)
		b = append(b, rec.signature[:]...)
	}
	return b
}

// compareRecords is the order of records in a file: by member, then by signer.
func compareRecords(a, b record) int {
	return cmp.Or(a.site.compare(b.site), bytes.Compare(a.signer[:], b.signer[:]))
}

func appendBytes(b []byte, value string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(value))), value...)
}

// Decode reads what Encode wrote and checks all of it: the form, of which there is one, every signature, and that every signer is an operator of
// the roster itself. ErrMalformed.
func Decode(encoded []byte) (Roster, error) {
	r, err := parse(encoded)
	if err != nil {
		return Roster{}, err
	}
	if err := r.checkSigners(); err != nil {
		return Roster{}, err
	}
	if len(r.records) == 0 || !bytes.Equal(r.Encode(), encoded) {
		return Roster{}, fmt.Errorf("%w: written in another form", ErrMalformed)
	}
	r.known = &known{}
	return r, nil
}

func parse(encoded []byte) (Roster, error) {
	rest, is := strings.CutPrefix(string(encoded), magic)
	if !is || len(encoded) > MaxEncoded {
		return Roster{}, fmt.Errorf("%w: it does not begin like one, or has more than %d bytes", ErrMalformed, MaxEncoded)
	}
	cluster, b, err := cutBytes([]byte(rest))
	if err != nil || CheckName(string(cluster)) != nil || len(b) < ed25519.PublicKeySize {
		return Roster{}, fmt.Errorf("%w: no cluster", ErrMalformed)
	}
	r := Roster{cluster: string(cluster), root: Key(b[:ed25519.PublicKeySize]), records: map[register]record{}}
	count, b, err := cutUvarint(b[ed25519.PublicKeySize:])
	if err != nil || count > MaxRecords {
		return Roster{}, fmt.Errorf("%w: more than %d records", ErrMalformed, MaxRecords)
	}
	for range count {
		var rec record
		if rec, b, err = cutRecord(b); err != nil {
			return Roster{}, err
		}
		if !r.genuine(rec) {
			return Roster{}, fmt.Errorf("%w: a signature for site %s is wrong", ErrMalformed, rec.site.Name)
		}
		r.records[register{rec.site.member(), rec.signer}] = rec
	}
	return r, nil
}

func cutRecord(b []byte) (record, []byte, error) {
	const tail = ed25519.PublicKeySize + ed25519.SignatureSize
	body, b, err := cutBytes(b)
	if err != nil || len(body) > maxRecord || len(b) < tail {
		return record{}, nil, fmt.Errorf("%w: a record is cut off, or larger than %d bytes", ErrMalformed, maxRecord)
	}
	rec := record{body: string(body), signer: Key(b[:ed25519.PublicKeySize]), signature: [ed25519.SignatureSize]byte(b[ed25519.PublicKeySize:tail])}
	rec.counter, rec.site, err = decodeBody(body)
	return rec, b[tail:], err
}

// checkSigners holds that all that is signed rests, over however many operators, on the root.
func (r Roster) checkSigners() error {
	trusted := map[Key]bool{r.root: true}
	for grown := true; grown; {
		grown = false
		for at := range r.records {
			if trusted[at.signer] && !at.operator.IsZero() && !trusted[at.operator] {
				trusted[at.operator], grown = true, true
			}
		}
	}
	for at := range r.records {
		if !trusted[at.signer] {
			return fmt.Errorf("%w: site %s is signed by %s, which is no operator of this cluster", ErrMalformed, at.name, at.signer)
		}
	}
	return nil
}
