package phantom

import "slices"

// sameCases are one instance in many encodings, each a Twin of the first, and two Rivals with other content.
func sameCases() []Case {
	const original = "same/original"
	first := pictured("same", "original", "an instance; the others of its group are it again", syntax(explicitLE), gray16().of(2))
	first.File.Elements = with(first.File.Elements, Text(0x00090010, "LO", "PHANTOM SAME"), Text(0x00091001, "LO", "private value"),
		Sequence(0x00081140, entry(1), entry(2)), Raw(0x00420011, "OB", fill("same document", 3000)), Text(0x00201041, "DS", "1.70"))
	twin := func(name, shows string, change func(f *File)) Case {
		c := first
		c.Name, c.Shows, c.Twin = "same/"+name, shows, original
		c.File.Elements = slices.Clone(first.File.Elements)
		change(&c.File)
		return c
	}
	rival := func(name, shows string, change func(f *File)) Case {
		c := twin(name, shows, change)
		c.Twin, c.Rival, c.Frames = "", original, nil
		return c
	}
	in := func(uid string) func(f *File) { return func(f *File) { recode(f, syntax(uid), gray16().of(2)) } }
	return []Case{first,
		twin("implicit", "implicit", in(implicitLE)), twin("big-endian", "big-endian", in(explicitBE)), twin("deflated", "deflated", in(deflatedLE)),
		twin("rle", "RLE", in(rleLossless)), twin("deflated-frames", "Deflated Image Frame", in(deflateFrame)),
		twin("jpeg-lossless", "JPEG lossless", in(jpegLossless)), twin("jpeg-ls", "JPEG-LS", in(jpegLS)),
		twin("delimited", "undefined lengths", func(f *File) { f.Elements = with(f.Elements, Delimited(0x00081140, entry(1), entry(2))) }),
		twin("group-lengths", "group lengths and another preamble", func(f *File) { f.GroupLengths, f.Preamble = true, fill("preamble", 128) }),
		twin("meta", "another group 0002", func(f *File) { f.Meta = f.StandardMeta()[1:] }),
		twin("bare", "neither preamble nor meta group", func(f *File) { f.NoPreamble, f.NoMeta = true, true }),
		twin("padding", "trailing padding and text padded with more spaces", func(f *File) {
			f.Elements = with(f.Elements, Raw(0xFFFCFFFC, "OB", make([]byte, 10)), Raw(0x00201041, "DS", []byte("1.70    ")))
		}),
		rival("other-value", "one attribute differs", func(f *File) { f.Elements = with(f.Elements, Text(0x00201041, "DS", "1.7")) }),
		rival("other-pixel", "one bit of one pixel differs", func(f *File) {
			pixels := &f.Elements[len(f.Elements)-1]
			pixels.Value = slices.Clone(pixels.Value)
			pixels.Value[100] ^= 1
		}),
	}
}

// recode writes f's pixels, which are native, in another syntax without loss.
func recode(f *File, s Syntax, p picture) {
	f.Syntax = s
	if s.Encapsulated() {
		f.Elements = with(f.Elements, Encapsulated(nil, streams(s, p, p.native())...))
	}
}
