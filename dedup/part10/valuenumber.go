package part10

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
)

// The one spelling of not-a-number that JSON's "NaN" stands for; other payloads are not exact.
const (
	nan32 = 0x7FC00000
	nan64 = 0x7FF8000000000000
)

// maxExact is the largest integer up to which all are numbers in every JSON reader; beyond it SV and UV are strings (PS3.18 section F.2.3).
const maxExact = 1 << 53

func appendUint64(dst []byte, v uint64) []byte {
	if v <= maxExact {
		return strconv.AppendUint(dst, v, 10)
	}
	return append(strconv.AppendUint(append(dst, '"'), v, 10), '"')
}

func appendInt64(dst []byte, v int64) []byte {
	if v >= -maxExact && v <= maxExact {
		return strconv.AppendInt(dst, v, 10)
	}
	return append(strconv.AppendInt(append(dst, '"'), v, 10), '"')
}

func appendFloat32(dst []byte, bits uint32) (out []byte, exact bool) {
	v := float64(math.Float32frombits(bits))
	if special := notFinite(v); special != "" {
		return append(dst, special...), v == v || bits == nan32
	}
	return appendNumber(dst, v, 32), true
}

func appendFloat64(dst []byte, bits uint64) (out []byte, exact bool) {
	v := math.Float64frombits(bits)
	if special := notFinite(v); special != "" {
		return append(dst, special...), v == v || bits == nan64
	}
	return appendNumber(dst, v, 64), true
}

// notFinite is the JSON of what JSON has no number for, "" for a number.
func notFinite(v float64) string {
	switch {
	case v != v:
		return `"NaN"`
	case math.IsInf(v, 1):
		return `"Infinity"`
	case math.IsInf(v, -1):
		return `"-Infinity"`
	}
	return ""
}

// appendNumber appends a finite number as RFC 8785 section 3.2.2.3 (ECMAScript's Number::toString) does, but minus zero as -0.0.
func appendNumber(dst []byte, v float64, bits int) []byte {
	if v == 0 && math.Signbit(v) {
		return append(dst, "-0.0"...)
	}
	small, large := 1e-6, 1e21
	if bits == 32 {
		small, large = float64(float32(small)), float64(float32(large))
	}
	if abs := math.Abs(v); abs == 0 || abs >= small && abs < large {
		return strconv.AppendFloat(dst, v, 'f', -1, bits)
	}
	dst = strconv.AppendFloat(dst, v, 'e', -1, bits)
	if n := len(dst); n >= 4 && dst[n-4] == 'e' && dst[n-2] == '0' { // e-07, as Go writes, is e-7
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

const upperHex = "0123456789ABCDEF"

// appendTag appends a tag of AT, group first, as a string of eight digits.
func appendTag(dst, b []byte) []byte {
	dst = append(dst, '"')
	for _, c := range [...]byte{b[1], b[0], b[3], b[2]} {
		dst = append(dst, upperHex[c>>4], upperHex[c&15])
	}
	return append(dst, '"')
}

// isCanonicalNumber reports whether the text of a DS or IS may be a JSON number: it is what RFC 8785 prints for that number.
func isCanonicalNumber(b []byte) bool {
	if shortDecimal(b) {
		return true
	}
	for _, c := range b {
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' {
			return false
		}
	}
	v, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return false
	}
	var buffer [32]byte
	return v != 0 && bytes.Equal(appendNumber(buffer[:0], v, 64), b)
}

// shortDecimal reports the usual case without computing: at most 15 digits, which a float64 always gives back, no exponent, and nothing that could be left out.
func shortDecimal(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
		if len(b) == 1 && b[0] == '0' {
			return false
		}
	}
	if len(b) == 0 || len(b) > 16 {
		return false
	}
	whole := digits(b)
	if whole == 0 || whole > 1 && b[0] == '0' || whole > 15 {
		return false
	}
	if whole == len(b) {
		return true
	}
	fraction := b[whole+1:]
	if b[whole] != '.' || len(fraction) == 0 || digits(fraction) != len(fraction) || fraction[len(fraction)-1] == '0' {
		return false
	}
	return b[0] != '0' || leadingZeros(fraction) < 6
}

// digits is the number of digits with which b begins.
func digits(b []byte) int {
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	return n
}

func leadingZeros(b []byte) int {
	n := 0
	for n < len(b) && b[n] == '0' {
		n++
	}
	return n
}

// appendInteger appends the low size bytes of v.
func appendInteger(dst []byte, v uint64, size int) []byte {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	return append(dst, b[:size]...)
}
