package phantom

import (
	"encoding/binary"
	"math"
	"slices"
)

// pixelCases are about what pixels are made of.
func pixelCases() []Case {
	return slices.Concat(depthCases(), colourCases(), raggedCases(), floatCases())
}

// native is a native case of a picture.
func native(name, shows string, p picture) Case {
	return pictured("pixels", name, shows, syntax(explicitLE), p)
}

func depthCases() []Case {
	deep, signed, high := gray16(), gray16(), gray16()
	deep.allocated, deep.stored = 32, 32
	signed.signed = true
	high.stored = 16
	big := pictured("pixels", "big-endian-16", "16-bit pixels in a big-endian file: bytes turned around", syntax(explicitBE), gray16().of(2))
	word := pictured("pixels", "big-endian-8-in-words", "8-bit pixels as OW in a big-endian file: bytes turned around in pairs", syntax(explicitBE), gray8())
	last := &word.File.Elements[len(word.File.Elements)-1]
	last.VR, last.Unit = "OW", 2
	implicit := pictured("pixels", "implicit-8", "8-bit pixels in an implicit file, where Pixel Data is OW", syntax(implicitLE), gray8())
	rle16 := pictured("pixels", "rle-16", "RLE of 16-bit pixels, two segments", syntax(rleLossless), gray16().of(2))
	rle32 := pictured("pixels", "rle-32", "RLE of 32-bit pixels, four segments", syntax(rleLossless), deep)
	signedLossless := pictured("pixels", "signed-jpeg-lossless", "JPEG lossless of signed 12-bit pixels", syntax(jpegLossless), signed)
	signedLS := pictured("pixels", "signed-jpeg-ls", "JPEG-LS of signed 12-bit pixels", syntax(jpegLS), signed)
	return []Case{signedLossless, signedLS, native("32-bit", "32 bits a pixel", deep), native("signed-12", "12 bits stored of 16, signed", signed),
		native("16-bit", "all of 16 bits stored", high), big, word, implicit, rle16, rle32,
		native("multi-frame", "five native frames", gray16().of(5))}
}

func colourCases() []Case {
	planar, full := rgb(), rgb()
	planar.planar = true
	full.photometric = "YBR_FULL"
	subsampled := native("ybr-full-422", "YBR_FULL_422: two bytes a pixel", rgb())
	subsampled.Frames = [][]byte{fill("ybr422 a", 10*14*2), fill("ybr422 b", 10*14*2)}
	subsampled.File.Elements = with(subsampled.File.Elements, Text(0x00280004, "CS", "YBR_FULL_422"), Text(0x00280008, "IS", "2"),
		Raw(pixelData, "OB", slices.Concat(subsampled.Frames...)))
	palette := native("palette", "a palette of 256 colours, 16 bits each", gray8())
	palette.File.Elements = with(palette.File.Elements, paletteTables()...)
	return []Case{
		native("rgb", "RGB, colour by pixel", rgb()),
		native("rgb-planar", "RGB, colour by plane", planar),
		native("ybr-full", "YBR_FULL", full),
		subsampled, palette,
		pictured("pixels", "rgb-rle", "RLE of RGB, three segments", syntax(rleLossless), rgb().of(2)),
		pictured("pixels", "rgb-planar-rle", "RLE of RGB by plane", syntax(rleLossless), planar),
		pictured("pixels", "rgb-jpeg-lossless", "JPEG lossless of RGB", syntax(jpegLossless), rgb().of(2)),
		pictured("pixels", "rgb-jpeg-ls", "JPEG-LS of RGB", syntax(jpegLS), rgb().of(2)),
		pictured("pixels", "rgb-planar-jpeg-ls", "JPEG-LS of RGB by plane", syntax(jpegLS), planar),
		pictured("pixels", "rgb-jpeg", "JPEG of RGB", syntax(jpegBaseline), rgb()),
		pictured("pixels", "rgb-big-endian", "RGB in a big-endian file", syntax(explicitBE), rgb()),
	}
}

// paletteTables are three lookup tables of OW and what describes them.
func paletteTables() []Element {
	out := []Element{Text(0x00280004, "CS", "PALETTE COLOR")}
	for i := range uint32(3) {
		var table []uint16
		for v := range uint16(256) {
			table = append(table, v<<8|v>>i)
		}
		out = append(out, Numbers(0x00281101+i, "US", uint16(256), 0, 16), Numbers(0x00281201+i, "OW", table...))
	}
	return out
}

// raggedCases are native values whose length is not what rows, columns and frames say.
func raggedCases() []Case {
	odd := picture{rows: 3, columns: 3, frames: 3, samples: 1, allocated: 8, stored: 8, photometric: "MONOCHROME2"}
	bits := odd
	bits.rows, bits.columns = 5, 5
	reshaped := func(name, shows string, p picture, change func(value []byte) []byte) Case {
		c := native(name, shows, p)
		last := &c.File.Elements[len(c.File.Elements)-1]
		last.Value = change(slices.Clone(last.Value))
		if len(last.Value) < 27 {
			c.Frames = nil
		}
		return c
	}
	oneBit := func(name, shows string, rows, columns, frames uint16, size int) Case {
		c := native(name, shows, bits)
		c.Frames = nil
		c.File.Elements = with(c.File.Elements, Numbers(0x00280010, "US", rows), Numbers(0x00280011, "US", columns), Numbers(0x00280100, "US", uint16(1)),
			Numbers(0x00280101, "US", uint16(1)), Numbers(0x00280102, "US", uint16(0)), Text(0x00280008, "IS", string(rune('0'+frames))),
			Text(0x00080016, "UI", segmentation), Text(0x00080060, "CS", "SEG"), Raw(pixelData, "OB", fill(name, size)))
		return c
	}
	return []Case{
		native("odd-length", "three frames of nine bytes, padded to 28", odd),
		reshaped("odd-unpadded", "27 bytes without a padding byte", odd, func(v []byte) []byte { return v[:27] }),
		reshaped("odd-padded-ff", "a padding byte that is not zero", odd, func(v []byte) []byte { v[27] = 0xFF; return v }),
		reshaped("too-long", "more bytes than frames", odd, func(v []byte) []byte { return append(v, fill("too long", 1100)...) }),
		reshaped("too-short", "fewer bytes than frames: no frame can be told from the next", odd, func(v []byte) []byte { return v[:20] }),
		reshaped("empty", "Pixel Data without a byte", odd, func([]byte) []byte { return nil }),
		oneBit("1-bit", "one bit a pixel, frames of whole bytes", 8, 8, 4, 32),
		oneBit("1-bit-unaligned", "one bit a pixel, frames that do not end on a byte", 5, 5, 3, 10),
	}
}

func floatCases() []Case {
	var singles []float32
	var doubles []float64
	for i := range 16 * 12 {
		singles, doubles = append(singles, float32(math.Sin(float64(i)))), append(doubles, math.Cos(float64(i)))
	}
	singles[7], doubles[9] = math.Float32frombits(0x7FC12345), math.Inf(-1)
	floating := func(name, shows string, e Element) Case {
		c := native(name, shows, gray16())
		c.File.Elements = with(without(c.File.Elements, pixelData), Text(0x00080016, "UI", parametricMap),
			Numbers(0x00280100, "US", uint16(8*e.Unit)), e)
		c.Frames = [][]byte{e.Value}
		return c
	}
	lut := native("lut", "Modality LUT and VOI LUT sequences, US or OW", gray16())
	data := make([]byte, 512)
	for i := range 256 {
		binary.LittleEndian.PutUint16(data[2*i:], uint16(i*i))
	}
	item := Item{Elements: []Element{Numbers(0x00283002, "US", uint16(256), 0, 16), Text(0x00283003, "LO", "square"),
		{Tag: 0x00283006, VR: "OW", Value: data, Unit: 2}}}
	lut.File.Elements = with(lut.File.Elements, Sequence(0x00283000, item), Delimited(0x00283010, item, item))
	return []Case{floating("float", "Float Pixel Data, a NaN with a payload", Numbers(0x7FE00008, "OF", singles...)),
		floating("double", "Double Float Pixel Data", Numbers(0x7FE00009, "OD", doubles...)), lut}
}
