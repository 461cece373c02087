package phantom

// Codec says what a transfer syntax does to pixel data.
type Codec string

// The codecs. A frame of those marked real is a stream that decoders decode; the others have the outer form of one, since nobody here decodes them.
const (
	Native       Codec = "native"           // real
	Uncapsulated Codec = "raw in fragments" // real
	DeflateFrame Codec = "deflate"          // real
	RLE          Codec = "rle"              // real
	JPEG         Codec = "jpeg"             // real
	JPEGLossless Codec = "jpeg lossless"    // real
	JPEGOther    Codec = "jpeg, a retired process"
	JPEGLS       Codec = "jpeg-ls" // real
	JPEG2000     Codec = "jpeg 2000"
	HTJ2K        Codec = "htj2k"
	JPEGXL       Codec = "jpeg xl"
	Video        Codec = "video"
	NoPixels     Codec = "none" // pixel data lies elsewhere
)

// Syntax is one transfer syntax. The zero Syntax is coded as Explicit VR Little Endian.
type Syntax struct {
	UID, Name string
	Codec     Codec
	Implicit  bool
	Big       bool
	Deflated  bool // the dataset
}

// Encapsulated reports whether pixel data is written in fragments.
func (s Syntax) Encapsulated() bool { return s.Codec != Native && s.Codec != NoPixels && s.Codec != "" }

// syntax is the one of Syntaxes that has this UID.
func syntax(uid string) Syntax {
	for _, s := range Syntaxes() {
		if s.UID == uid {
			return s
		}
	}
	panic("no such transfer syntax: " + uid) // a typing error in this package
}

// The transfer syntaxes that cases are written in when it does not matter, or that they are about.
const (
	implicitLE   = "1.2.840.10008.1.2"
	explicitLE   = "1.2.840.10008.1.2.1"
	deflatedLE   = "1.2.840.10008.1.2.1.99"
	explicitBE   = "1.2.840.10008.1.2.2"
	jpegBaseline = "1.2.840.10008.1.2.4.50"
	jpegLossless = "1.2.840.10008.1.2.4.70"
	jpegLS       = "1.2.840.10008.1.2.4.80"
	jpeg2000     = "1.2.840.10008.1.2.4.90"
	mpeg4        = "1.2.840.10008.1.2.4.102"
	rleLossless  = "1.2.840.10008.1.2.5"
	deflateFrame = "1.2.840.10008.1.2.8.1"
)

// Syntaxes are all transfer syntaxes that PS3.6 table A-1 lists, retired ones included, in its order.
func Syntaxes() []Syntax {
	var all []Syntax
	add := func(codec Codec, uids ...string) {
		for i := 0; i < len(uids); i += 2 {
			all = append(all, Syntax{UID: "1.2.840.10008.1." + uids[i], Name: uids[i+1], Codec: codec})
		}
	}
	add(Native, "2", "Implicit VR Little Endian", "2.1", "Explicit VR Little Endian")
	add(Uncapsulated, "2.1.98", "Encapsulated Uncompressed Explicit VR Little Endian")
	add(Native, "2.1.99", "Deflated Explicit VR Little Endian", "2.2", "Explicit VR Big Endian")
	add(JPEG, "2.4.50", "JPEG Baseline", "2.4.51", "JPEG Extended")
	add(JPEGOther, "2.4.52", "JPEG Extended 3 & 5", "2.4.53", "JPEG Spectral Selection 6 & 8", "2.4.54", "JPEG Spectral Selection 7 & 9",
		"2.4.55", "JPEG Full Progression 10 & 12", "2.4.56", "JPEG Full Progression 11 & 13")
	add(JPEGLossless, "2.4.57", "JPEG Lossless")
	add(JPEGOther, "2.4.58", "JPEG Lossless 15", "2.4.59", "JPEG Extended Hierarchical 16 & 18", "2.4.60", "JPEG Extended Hierarchical 17 & 19",
		"2.4.61", "JPEG Spectral Selection Hierarchical 20 & 22", "2.4.62", "JPEG Spectral Selection Hierarchical 21 & 23",
		"2.4.63", "JPEG Full Progression Hierarchical 24 & 26", "2.4.64", "JPEG Full Progression Hierarchical 25 & 27",
		"2.4.65", "JPEG Lossless Hierarchical 28", "2.4.66", "JPEG Lossless Hierarchical 29")
	add(JPEGLossless, "2.4.70", "JPEG Lossless SV1")
	add(JPEGLS, "2.4.80", "JPEG-LS Lossless", "2.4.81", "JPEG-LS Near-lossless")
	add(JPEG2000, "2.4.90", "JPEG 2000 Lossless", "2.4.91", "JPEG 2000", "2.4.92", "JPEG 2000 Part 2 Lossless", "2.4.93", "JPEG 2000 Part 2")
	add(NoPixels, "2.4.94", "JPIP Referenced", "2.4.95", "JPIP Referenced Deflate")
	add(Video, "2.4.100", "MPEG2 MP@ML", "2.4.100.1", "Fragmentable MPEG2 MP@ML", "2.4.101", "MPEG2 MP@HL", "2.4.101.1", "Fragmentable MPEG2 MP@HL",
		"2.4.102", "MPEG-4 HP@4.1", "2.4.102.1", "Fragmentable MPEG-4 HP@4.1", "2.4.103", "MPEG-4 BD HP@4.1", "2.4.103.1", "Fragmentable MPEG-4 BD HP@4.1",
		"2.4.104", "MPEG-4 HP@4.2 2D", "2.4.104.1", "Fragmentable MPEG-4 HP@4.2 2D", "2.4.105", "MPEG-4 HP@4.2 3D",
		"2.4.105.1", "Fragmentable MPEG-4 HP@4.2 3D", "2.4.106", "MPEG-4 Stereo HP@4.2", "2.4.106.1", "Fragmentable MPEG-4 Stereo HP@4.2",
		"2.4.107", "HEVC MP@5.1", "2.4.108", "HEVC M10P@5.1")
	add(JPEGXL, "2.4.110", "JPEG XL Lossless", "2.4.111", "JPEG XL JPEG Recompression", "2.4.112", "JPEG XL")
	add(HTJ2K, "2.4.201", "HTJ2K Lossless", "2.4.202", "HTJ2K RPCL Lossless", "2.4.203", "HTJ2K")
	add(NoPixels, "2.4.204", "JPIP HTJ2K Referenced", "2.4.205", "JPIP HTJ2K Referenced Deflate")
	add(RLE, "2.5", "RLE Lossless")
	add(NoPixels, "2.6.1", "RFC 2557 MIME Encapsulation", "2.6.2", "XML Encoding")
	add(NoPixels, "2.7.1", "SMPTE ST 2110-20 Progressive", "2.7.2", "SMPTE ST 2110-20 Interlaced", "2.7.3", "SMPTE ST 2110-30 PCM Audio")
	add(DeflateFrame, "2.8.1", "Deflated Image Frame")
	add(Native, "20", "Papyrus 3 Implicit VR Little Endian")
	return coded(all)
}

// coded sets how the datasets of the few syntaxes that are not explicit little-endian are coded.
func coded(all []Syntax) []Syntax {
	for i := range all {
		s := &all[i]
		switch s.UID {
		case implicitLE, "1.2.840.10008.1.20":
			s.Implicit = true
		case explicitBE:
			s.Big = true
		case deflatedLE, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205":
			s.Deflated = true
		}
	}
	return all
}
