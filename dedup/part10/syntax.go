package part10

import "strings"

// coding is how data elements are written: PS3.5 section 7.
type coding struct {
	implicit bool
	big      bool
}

// Transfer syntaxes that the archive treats in a way of their own.
const (
	implicitLittle    = "1.2.840.10008.1.2"
	explicitBig       = "1.2.840.10008.1.2.2"
	deflatedExplicit  = "1.2.840.10008.1.2.1.99"
	jpipDeflate       = "1.2.840.10008.1.2.4.95"
	jpipHTJ2KDeflate  = "1.2.840.10008.1.2.4.205"
	gePrivateImplicit = "1.2.840.113619.5.2" // implicit little endian but for its pixels
)

// codingOf is the coding of a dataset in a transfer syntax, and whether it is deflated (PS3.5 annex A). Syntaxes that are
// not listed, also those of the future, are explicit little endian.
func codingOf(syntax string) (c coding, deflated bool) {
	switch syntax {
	case implicitLittle, gePrivateImplicit:
		return coding{implicit: true}, false
	case explicitBig:
		return coding{big: true}, false
	case deflatedExplicit, jpipDeflate, jpipHTJ2KDeflate:
		return coding{}, true
	}
	return coding{}, false
}

// isVideo reports whether encapsulated Pixel Data of a syntax is one stream whatever its fragments and frames (PS3.5 A.4.5 to A.4.9, and 10.16 on).
func isVideo(syntax string) bool {
	const jpegFamily = "1.2.840.10008.1.2.4.10"
	return strings.HasPrefix(syntax, jpegFamily) && len(syntax) == len(jpegFamily)+1 && syntax[len(syntax)-1] <= '8' ||
		strings.HasPrefix(syntax, jpegFamily) && strings.HasSuffix(syntax, ".1") && isVideo(strings.TrimSuffix(syntax, ".1"))
}

// frameExt is the extension of a bulkdata file that holds a frame of encapsulated Pixel Data.
func frameExt(syntax string) string {
	const family = "1.2.840.10008.1.2."
	rest, _ := strings.CutPrefix(syntax, family)
	switch rest {
	case "5":
		return ".rle"
	case "8.1":
		return ".dfl"
	case "4.80", "4.81":
		return ".jls"
	case "4.90", "4.91", "4.92", "4.93":
		return ".jp2"
	case "4.201", "4.202", "4.203":
		return ".jph"
	case "4.110", "4.111", "4.112":
		return ".jxl"
	case "4.100", "4.100.1", "4.101", "4.101.1":
		return ".mpg"
	case "4.102", "4.102.1", "4.103", "4.103.1", "4.104", "4.104.1", "4.105", "4.105.1", "4.106", "4.106.1":
		return ".mp4"
	case "4.107", "4.108":
		return ".h265"
	case "7.1", "7.2", "7.3":
		return ".smpte"
	}
	if strings.HasPrefix(rest, "4.5") || strings.HasPrefix(rest, "4.6") || rest == "4.70" {
		return ".jpg"
	}
	return ".bin"
}
