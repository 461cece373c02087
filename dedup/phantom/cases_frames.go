package phantom

import (
	"encoding/binary"
	"slices"
)

// frameCases are about how frames are cut into fragments and found again.
func frameCases() []Case {
	cases := slices.Concat(tableCases(), fragmentCases(), countCases())
	for i := range cases {
		switch cases[i].Name[len("frames/"):] {
		case "fragment-empty", "fragment-none", "fragment-nothing", "fragment-delimiter-inside",
			"fragment-undecodable", "frame-twice", "native-in-encapsulated", "count-missing", "count-more", "count-fewer":
			cases[i].Frames = nil
		}
	}
	return cases
}

// framed is three RLE frames whose Pixel Data element is made by put from the streams, one a frame.
func framed(name, shows string, put func(streams [][]byte) []Element) Case {
	c := pictured("frames", name, shows, syntax(rleLossless), gray8().of(3))
	return refitted(c, put)
}

// jpegFramed is framed with JPEG streams, whose end mark says where a frame ends.
func jpegFramed(name, shows string, put func(streams [][]byte) []Element) Case {
	c := pictured("frames", name, shows, syntax(jpegBaseline), gray8().of(3))
	return refitted(c, put)
}

func refitted(c Case, put func(streams [][]byte) []Element) Case {
	fragments := c.File.Elements[len(c.File.Elements)-1].Fragments[1:]
	c.File.Elements = with(c.File.Elements, put(fragments)...)
	return c
}

// offsets are those of a basic offset table where fragments[i] begins frame i/each.
func offsets(fragments [][]byte, each int) []uint32 {
	var table []uint32
	at := uint32(0)
	for i, f := range fragments {
		if i%each == 0 {
			table = append(table, at)
		}
		at += uint32(len(f)) + 8
	}
	return table
}

// halved cuts each stream in two fragments of even length.
func halved(streams [][]byte) [][]byte {
	var out [][]byte
	for _, s := range streams {
		cut := len(s) / 4 * 2
		out = append(out, s[:cut], s[cut:])
	}
	return out
}

func tableCases() []Case {
	return []Case{
		framed("table-empty", "three frames, one fragment each, an empty offset table", func(s [][]byte) []Element {
			return []Element{Encapsulated(nil, s...)}
		}),
		framed("table-filled", "three frames, a filled basic offset table", func(s [][]byte) []Element {
			return []Element{Encapsulated(offsets(s, 1), s...)}
		}),
		framed("table-filled-fragments", "two fragments a frame, found by the basic offset table", func(s [][]byte) []Element {
			return []Element{Encapsulated(offsets(halved(s), 2), halved(s)...)}
		}),
		framed("table-wrong", "a basic offset table that points beside the fragments", func(s [][]byte) []Element {
			return []Element{Encapsulated([]uint32{0, 3, 1 << 30}, s...)}
		}),
		framed("table-short", "a basic offset table with fewer entries than frames", func(s [][]byte) []Element {
			return []Element{Encapsulated(offsets(s, 1)[:2], s...)}
		}),
		framed("table-one", "a basic offset table of one entry for three frames, as some writers leave it", func(s [][]byte) []Element {
			return []Element{Encapsulated([]uint32{0}, s...)}
		}),
		framed("table-extended-wrong", "an extended offset table that points beside the fragments, and a basic one that is right", func(s [][]byte) []Element {
			e := extendedTable(halved(s))
			return []Element{Numbers(0x7FE00001, "OV", uint64(0), 5, 1<<40), e[1], Encapsulated(offsets(halved(s), 2), halved(s)...)}
		}),
		framed("table-odd", "a basic offset table of six bytes", func(s [][]byte) []Element {
			e := Encapsulated(nil, s...)
			e.Fragments[0] = []byte{0, 0, 0, 0, 9, 0}
			return []Element{e}
		}),
		framed("table-extended", "an extended offset table and its lengths", func(s [][]byte) []Element {
			return extendedTable(s)
		}),
		jpegFramed("table-none-fragments", "two fragments a frame without a table: the end marks say where frames end", func(s [][]byte) []Element {
			return []Element{Encapsulated(nil, halved(s)...)}
		}),
	}
}

// extendedTable is Pixel Data with (7FE0,0001) and (7FE0,0002): offsets count item headers, lengths do not count padding.
func extendedTable(streams [][]byte) []Element {
	var starts, lengths []uint64
	at := uint64(0)
	for _, s := range streams {
		starts, lengths = append(starts, at), append(lengths, uint64(len(s)))
		at += uint64(len(s)) + 8
	}
	return []Element{Numbers(0x7FE00001, "OV", starts...), Numbers(0x7FE00002, "OV", lengths...), Encapsulated(nil, streams...)}
}

func fragmentCases() []Case {
	one := pictured("frames", "one-many-fragments", "one frame in many fragments of two bytes, without a table", syntax(rleLossless), gray8())
	one = refitted(one, func(s [][]byte) []Element {
		var tiny [][]byte
		for b := s[0]; len(b) > 0; b = b[2:] {
			tiny = append(tiny, b[:2])
		}
		return []Element{Encapsulated(nil, tiny...)}
	})
	return []Case{
		one,
		jpegFramed("fragment-odd", "fragments of odd length", func(s [][]byte) []Element {
			odd := slices.Clone(s)
			for i := range odd {
				if len(odd[i])%2 == 0 {
					odd[i] = append(slices.Clone(odd[i]), 0)
				}
			}
			return []Element{Encapsulated(nil, odd...)}
		}),
		framed("fragment-empty", "an empty fragment after the frames", func(s [][]byte) []Element {
			return []Element{Encapsulated(nil, append(slices.Clone(s), []byte{})...)}
		}),
		framed("fragment-none", "no fragment but the offset table, though three frames are announced", func([][]byte) []Element {
			return []Element{Encapsulated(nil)}
		}),
		framed("fragment-nothing", "not even an offset table", func([][]byte) []Element {
			e := Encapsulated(nil)
			e.Fragments = [][]byte{}
			return []Element{e}
		}),
		framed("fragment-delimiter-inside", "the bytes of a sequence delimiter inside a fragment", func(s [][]byte) []Element {
			inside := binary.LittleEndian.AppendUint32(slices.Clone(s[1]), 0xE0DDFFFE)
			return []Element{Encapsulated(nil, s[0], append(inside, 0, 0, 0, 0), s[2])}
		}),
		framed("fragment-undecodable", "frames that decode to nothing", func(s [][]byte) []Element {
			return []Element{Encapsulated(nil, fill("undecodable", 90), s[1], s[2][:len(s[2])/4*2])}
		}),
		framed("fragment-padded", "frames with kilobytes of zeros after their end", func(s [][]byte) []Element {
			return []Element{Encapsulated(nil, append(slices.Clone(s[0]), make([]byte, 3000)...), s[1], s[2])}
		}),
		framed("frame-twice", "the same frame three times", func(s [][]byte) []Element {
			return []Element{Encapsulated(nil, s[0], s[0], s[0])}
		}),
		framed("native-in-encapsulated", "Pixel Data of defined length though the syntax encapsulates", func([][]byte) []Element {
			p := gray8().of(3)
			return []Element{p.nativeElement(p.native())}
		}),
		framed("fragments-of-ow", "encapsulated Pixel Data with VR OW", func(s [][]byte) []Element {
			e := Encapsulated(nil, s...)
			e.VR = "OW"
			return []Element{e}
		}),
	}
}

func countCases() []Case {
	many := pictured("frames", "many", "two thousand native frames of four pixels", syntax(explicitLE),
		picture{rows: 2, columns: 2, frames: 2000, samples: 1, allocated: 8, stored: 8, photometric: "MONOCHROME2"})
	return []Case{
		many,
		framed("count-missing", "three fragments and no Number of Frames", func(s [][]byte) []Element {
			return []Element{Text(0x00280008, "IS", ""), Encapsulated(nil, s...)}
		}),
		framed("count-more", "a Number of Frames of two milliards for three fragments", func(s [][]byte) []Element {
			return []Element{Text(0x00280008, "IS", "2147483647"), Encapsulated(nil, s...)}
		}),
		framed("count-fewer", "a Number of Frames of two for three fragments", func(s [][]byte) []Element {
			return []Element{Text(0x00280008, "IS", "2"), Encapsulated(nil, s...)}
		}),
		framed("count-padded", "a Number of Frames with spaces and leading zeros", func(s [][]byte) []Element {
			return []Element{Text(0x00280008, "IS", " 003"), Encapsulated(nil, s...)}
		}),
		framed("count-decimal", "a Number of Frames as other numbers are written, 3.0", func(s [][]byte) []Element {
			return []Element{Text(0x00280008, "IS", "3.0"), Encapsulated(nil, s...)}
		}),
	}
}
