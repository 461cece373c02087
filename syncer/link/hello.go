package link

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The first stream of every connection is the dialler's, and begins with its HELLO; the acceptor answers with one. Both are a length and then numbers,
// each a uvarint (binary.AppendUvarint); numbers after those that are known are of a newer minor version and passed over. On connection 0 the stream
// stays open and carries the frames of control.go; on data connections both ends close it.
//
//	dialler's:  minor, role (0: connection 0, 1: data), its boot, the dial, boot seen, dial seen, dial held
//	acceptor's: minor, its boot, 0 (or why not: see code)
const minorVersion = 0

var errHello = errors.New("no proper HELLO")

// code is why a connection ends, as it is told to the other end.
type code uint64

const (
	codeStopped  code = iota // the site stops, as planned
	codeProtocol             // the other end does not keep to the protocol
	codeTie                  // another connection 0 stays
	codeRemoved              // the roster has it no more
	codeLost                 // the other end said that it has lost this one
	codeSurplus              // more than are of use
	codeBusy                 // more than are allowed
	codeEnded                // a stream's end, in both directions
	codeSilent               // nothing comes through it, one way at least
)

var codeWords = [...]string{"the site stopped", "protocol violated", "another connection stays", "removed from the roster", "lost at the other end",
	"not needed", "too many", "ended", "nothing comes through, one way at least"}

func (c code) String() string {
	if int(c) < len(codeWords) {
		return codeWords[c]
	}
	return fmt.Sprintf("code %d", uint64(c))
}

// hello is the dialler's.
type hello struct {
	minor  uint64
	data   bool
	boot   uint64
	seq    uint64
	others standing
}

func (h hello) encode() []byte {
	role := uint64(0)
	if h.data {
		role = 1
	}
	return encodeNumbers(h.minor, role, h.boot, h.seq, h.others.boot, h.others.seen, h.others.held)
}

func readHello(r io.ByteReader) (hello, error) {
	n, err := readNumbers(r, 7)
	if err != nil {
		return hello{}, err
	}
	if n[1] > 1 || n[2] == 0 || n[3] == 0 {
		return hello{}, fmt.Errorf("%w: role %d, boot %d, dial %d", errHello, n[1], n[2], n[3])
	}
	return hello{n[0], n[1] == 1, n[2], n[3], standing{n[4], n[5], n[6]}}, nil
}

// welcome is the acceptor's.
type welcome struct {
	minor uint64
	boot  uint64
	no    code
}

func (w welcome) encode() []byte { return encodeNumbers(w.minor, w.boot, uint64(w.no)) }

func readWelcome(r io.ByteReader) (welcome, error) {
	n, err := readNumbers(r, 3)
	if err != nil {
		return welcome{}, err
	}
	if n[1] == 0 {
		return welcome{}, fmt.Errorf("%w: boot 0", errHello)
	}
	return welcome{n[0], n[1], code(n[2])}, nil
}

func encodeNumbers(numbers ...uint64) []byte {
	var body []byte
	for _, n := range numbers {
		body = binary.AppendUvarint(body, n)
	}
	return append(binary.AppendUvarint(nil, uint64(len(body))), body...)
}

// readNumbers reads a length and so many numbers, and passes over what follows within the length.
func readNumbers(r io.ByteReader, count int) ([]uint64, error) {
	length, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errHello, err)
	}
	if length > maxHello {
		return nil, fmt.Errorf("%w: %d bytes", errHello, length)
	}
	body := make([]byte, length)
	for i := range body {
		if body[i], err = r.ReadByte(); err != nil {
			return nil, fmt.Errorf("%w: %w", errHello, err)
		}
	}
	return parseNumbers(body, count)
}

func parseNumbers(body []byte, count int) ([]uint64, error) {
	numbers := make([]uint64, count)
	for i := range numbers {
		v, n := binary.Uvarint(body)
		if n <= 0 {
			return nil, fmt.Errorf("%w: %d numbers of %d", errHello, i, count)
		}
		numbers[i], body = v, body[n:]
	}
	return numbers, nil
}

// Frames follow on the control stream: a type, a length, a body. Types that are not known are passed over.
const (
	frameWant       = 1 // how many data connections the sender would like: one number
	frameNeighbours = 2 // the sites that the sender has links with: length-prefixed names
)

func encodeFrame(kind uint64, body []byte) []byte {
	b := binary.AppendUvarint(nil, kind)
	b = binary.AppendUvarint(b, uint64(len(body)))
	return append(b, body...)
}

func readFrame(r *bufio.Reader) (kind uint64, body []byte, err error) {
	if kind, err = binary.ReadUvarint(r); err != nil {
		return 0, nil, err
	}
	length, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, nil, err
	}
	if length > maxFrame {
		return 0, nil, fmt.Errorf("frame %d of %d bytes", kind, length)
	}
	body = make([]byte, length)
	_, err = io.ReadFull(r, body)
	return kind, body, err
}

func encodeNames(names []string) []byte {
	var b []byte
	for _, n := range names {
		b = append(append(b, byte(len(n))), n...)
	}
	return b
}

// cutName takes a length-prefixed name off the front.
func cutName(b []byte) (name string, rest []byte, ok bool) {
	if len(b) == 0 || b[0] == 0 || b[0] > MaxName || int(b[0]) > len(b)-1 {
		return "", nil, false
	}
	n := int(b[0])
	return string(b[1 : 1+n]), b[1+n:], true
}

func parseNames(b []byte) (names []string, ok bool) {
	for len(b) > 0 {
		name, rest, ok := cutName(b)
		if !ok {
			return nil, false
		}
		names, b = append(names, name), rest
	}
	return names, true
}
