package roster

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrMalformed says that bytes are no roster, or not in the one form that a roster has.
var ErrMalformed = errors.New("malformed roster")

// signed goes before what a record's signature covers, with the cluster: a signature means nothing in another cluster or place.
const signed = "dicomesh roster record 1\x00"

// maxCounter leaves room above every counter that is taken: nobody can make a record that no other could come after.
const maxCounter = 1 << 62

// record is one register's content. Its body is kept as it came, because the signature covers fields that this version may not know.
type record struct {
	body      string
	signer    Key
	signature [ed25519.SignatureSize]byte

	counter uint64 // what the body says
	site    Site
}

// The fields of a body, in this order: each a tag, a length and a value. Unknown tags are kept and passed over.
const (
	tagCounter = iota + 1
	tagName
	tagKey
	tagOperator
	tagAdmission
	tagRole
	tagAddress // any number
	tagLinks   // the expected links follow, of which there may be none
	tagLink    // any number
	tagStatus
	tagUntil
	tagBy
)

// member is what never changes about a site.
type member struct {
	name          string
	key, operator Key
	admission     uint64
}

func (s Site) member() member { return member{s.Name, s.Key, s.Operator, s.Admission} }

// before orders the records of one member: a removal comes last, else the higher counter.
func (r record) before(o record) int {
	if a, b := r.site.Status == Removed, o.site.Status == Removed; a != b {
		if b {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(r.counter, o.counter), cmp.Compare(r.body, o.body), bytes.Compare(r.signer[:], o.signer[:]),
		bytes.Compare(r.signature[:], o.signature[:]))
}

// sign makes the record that counter and site say.
func (r Roster) sign(counter uint64, site Site, key ed25519.PrivateKey) (record, error) {
	if err := site.check(); err != nil {
		return record{}, err
	}
	if counter > maxCounter {
		return record{}, fmt.Errorf("site %s: no counter is left", site.Name)
	}
	rec := record{body: string(encodeBody(counter, site)), signer: KeyOf(key), counter: counter, site: site}
	copy(rec.signature[:], ed25519.Sign(key, r.message(rec.body)))
	return rec, nil
}

// message is what a record's signature covers.
func (r Roster) message(body string) []byte {
	return slices.Concat([]byte(signed), appendBytes(nil, r.cluster), r.root[:], []byte(body))
}

func (r Roster) genuine(rec record) bool {
	return ed25519.Verify(rec.signer[:], r.message(rec.body), rec.signature[:])
}

func encodeBody(counter uint64, s Site) []byte {
	var b []byte
	field := func(tag uint64, value []byte) {
		b = binary.AppendUvarint(b, tag)
		b = binary.AppendUvarint(b, uint64(len(value)))
		b = append(b, value...)
	}
	field(tagCounter, binary.BigEndian.AppendUint64(nil, counter))
	field(tagName, []byte(s.Name))
	field(tagKey, s.Key[:])
	if !s.Operator.IsZero() {
		field(tagOperator, s.Operator[:])
	}
	field(tagAdmission, binary.BigEndian.AppendUint64(nil, s.Admission))
	field(tagRole, []byte(s.Role))
	for _, a := range s.Addresses {
		field(tagAddress, []byte(a))
	}
	if s.Links != nil {
		field(tagLinks, nil)
		for _, l := range s.Links {
			field(tagLink, []byte(l))
		}
	}
	field(tagStatus, []byte(s.Status))
	if !s.Until.IsZero() {
		field(tagUntil, binary.BigEndian.AppendUint64(nil, uint64(s.Until.Unix())))
	}
	if s.By != "" {
		field(tagBy, []byte(s.By))
	}
	return b
}

// decodeBody reads a body and holds it to the one form that it can have.
func decodeBody(body []byte) (uint64, Site, error) {
	var counter uint64
	var s Site
	last := uint64(0)
	for rest := body; len(rest) > 0; {
		var tag uint64
		var value []byte
		var err error
		if tag, value, rest, err = cutField(rest); err != nil {
			return 0, s, err
		}
		if tag < last || tag == last && tag != tagAddress && tag != tagLink {
			return 0, s, fmt.Errorf("%w: field %d after field %d", ErrMalformed, tag, last)
		}
		last = tag
		if tag == tagCounter {
			if len(value) != 8 {
				return 0, s, fmt.Errorf("%w: counter of %d bytes", ErrMalformed, len(value))
			}
			counter = binary.BigEndian.Uint64(value)
		} else if err := s.take(tag, value); err != nil {
			return 0, s, err
		}
	}
	if err := s.check(); err != nil {
		return 0, s, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if counter == 0 || counter > maxCounter || s.Admission == 0 || s.Admission > maxCounter {
		return 0, s, fmt.Errorf("%w: site %s: counter %d, admission %d", ErrMalformed, s.Name, counter, s.Admission)
	}
	if !bytes.HasPrefix(body, encodeBody(counter, s)) { // what this version does not know comes after what it knows
		return 0, s, fmt.Errorf("%w: site %s is written in another form", ErrMalformed, s.Name)
	}
	return counter, s, nil
}

// take sets the field that a tag stands for.
func (s *Site) take(tag uint64, value []byte) error {
	sized := func(n int) error {
		if len(value) != n {
			return fmt.Errorf("%w: field %d of %d bytes", ErrMalformed, tag, len(value))
		}
		return nil
	}
	switch tag {
	case tagName:
		s.Name = string(value)
	case tagKey:
		copy(s.Key[:], value)
		return sized(len(s.Key))
	case tagOperator:
		copy(s.Operator[:], value)
		return sized(len(s.Operator))
	case tagAdmission:
		if err := sized(8); err != nil {
			return err
		}
		s.Admission = binary.BigEndian.Uint64(value)
	case tagRole:
		s.Role = Role(value)
	case tagAddress:
		s.Addresses = append(s.Addresses, string(value))
	case tagLinks:
		s.Links = []string{}
		return sized(0)
	case tagLink:
		s.Links = append(s.Links, string(value))
	case tagStatus:
		s.Status = Status(value)
	case tagUntil:
		if err := sized(8); err != nil {
			return err
		}
		s.Until = time.Unix(int64(binary.BigEndian.Uint64(value)), 0).UTC()
	case tagBy:
		s.By = string(value)
	}
	return nil
}

// cutField takes a tag and a length-prefixed value off the front.
func cutField(b []byte) (tag uint64, value, rest []byte, err error) {
	tag, b, err = cutUvarint(b)
	if err == nil {
		value, rest, err = cutBytes(b)
	}
	return tag, value, rest, err
}

func cutBytes(b []byte) (value, rest []byte, err error) {
	n, b, err := cutUvarint(b)
	if err != nil {
		return nil, nil, err
	}
	if n > uint64(len(b)) {
		return nil, nil, fmt.Errorf("%w: %d bytes announced, %d there", ErrMalformed, n, len(b))
	}
	return b[:n], b[n:], nil
}

// cutUvarint takes a number off the front, in its shortest form only.
func cutUvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 || n > 1 && b[n-1] == 0 {
		return 0, nil, fmt.Errorf("%w: no number", ErrMalformed)
	}
	return v, b[n:], nil
}
