package encode

import (
	"encoding/binary"
	"fmt"

	"github.com/dicomesh/dicomesh/dedup/pixels"
)

// RLE encodes a native frame for 1.2.840.10008.1.2.5 (PS3.5 Annex G). It has at most 15 segments: samples times bytes of a sample.
func RLE(f pixels.Frame, native []byte) ([]byte, error) {
	if err := check(f, native); err != nil {
		return nil, err
	}
	cell := f.BitsAllocated / 8
	segments := f.Samples * cell
	if segments > 15 {
		return nil, fmt.Errorf("RLE of %d segments: %w", segments, pixels.ErrUnsupported)
	}
	out := make([]byte, 64)
	binary.LittleEndian.PutUint32(out, uint32(segments))
	row := make([]byte, f.Columns)
	for i := range segments {
		binary.LittleEndian.PutUint32(out[4+4*i:], uint32(len(out)))
		for r := range f.Rows {
			for c := range row {
				row[c] = native[place(f, r*f.Columns+c, i/cell, cell-1-i%cell)]
			}
			out = packBits(out, row)
		}
		out = even(out)
	}
	return out, nil
}

// packBits appends one row's runs (G.3.1): repeats of three and more as replicate runs, all else as literal runs.
func packBits(out, row []byte) []byte {
	literal := 0 // where the pending literal run begins
	for at := 0; at < len(row); {
		run := 1
		for run < 128 && at+run < len(row) && row[at+run] == row[at] {
			run++
		}
		if run < 3 {
			at += run
			continue
		}
		out = literals(out, row[literal:at])
		out = append(out, byte(257-run), row[at])
		at += run
		literal = at
	}
	return literals(out, row[literal:])
}

func literals(out, values []byte) []byte {
	for len(values) > 0 {
		n := min(len(values), 128)
		out = append(out, byte(n-1))
		out = append(out, values[:n]...)
		values = values[n:]
	}
	return out
}
