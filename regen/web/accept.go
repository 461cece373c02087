package web

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/dedup/mediatype"
)

// mediaRange is one thing that a client accepts (PS3.18 section 8.4.1.1, RFC 9110 section 12.5.1). Its parameters are without q.
type mediaRange struct {
	mediatype.Type
	quality float64 // 0: this is what the client does not want
}

// maxRanges bounds what is read of an Accept header.
const maxRanges = 64

// ranges are those of header fields, or of a parameter of a query. What cannot be read is left out of account (PS3.18 section 8.7.7).
func ranges(texts []string) []mediaRange {
	var out []mediaRange
	for _, text := range texts {
		for _, part := range mediatype.Split(text) {
			if m, ok := parseRange(part); ok && len(out) < maxRanges {
				out = append(out, m)
			}
		}
	}
	return out
}

func parseRange(text string) (mediaRange, bool) {
	t, err := mediatype.Parse(text)
	if err != nil {
		return mediaRange{}, false
	}
	m := mediaRange{t, 1}
	if q, has := t.Params["q"]; has {
		delete(t.Params, "q")
		if m.quality, err = strconv.ParseFloat(q, 64); err != nil || !(m.quality >= 0 && m.quality <= 1) {
			return mediaRange{}, false
		}
	}
	return m, true
}

// fit is how exactly a range means something; the most exact one that means it decides (RFC 9110 section 12.5.1).
type fit int

// From anything to one thing with its parameters.
const (
	none fit = iota
	anything
	kind
	named
	exact
)

// choose returns which of n forms the client likes best, -1 if it takes none: as the accept parameter of the query says, else as the header (PS3.18 section 8.7.8.1). Of two that it likes
// equally the first counts, in its order and then in ours. fits says how a range means a form. Who says nothing takes everything; the standard would have that
// be 406 (8.7.7), and no client expects it.
func choose(r *http.Request, n int, fits func(form int, m mediaRange) fit) int {
	header := r.Header.Values("Accept")
	if own := r.URL.Query()["accept"]; len(own) > 0 {
		if form := best(ranges(own), n, fits); form >= 0 {
			return form
		}
	} else if len(header) == 0 {
		return 0
	}
	return best(ranges(header), n, fits)
}

func best(wanted []mediaRange, n int, fits func(form int, m mediaRange) fit) int {
	found, quality, place := -1, 0.0, 0
	for form := range n {
		how, at := none, 0
		for i, m := range wanted {
			if f := fits(form, m); f > how {
				how, at = f, i
			}
		}
		if how == none || wanted[at].quality == 0 {
			continue
		}
		if q := wanted[at].quality; found < 0 || q > quality || q == quality && at < place {
			found, quality, place = form, q, at
		}
	}
	return found
}

// fits reports how a range means a media type; parameters are the caller's to compare.
func (m mediaRange) fits(mediaType string) fit {
	if m.Name == mediaType {
		return named
	}
	if m.Name == "*/*" {
		return anything
	}
	if group, wild := strings.CutSuffix(m.Name, "/*"); wild && strings.HasPrefix(mediaType, group+"/") {
		return kind
	}
	return none
}

// parts reports how a range means several parts of what inner reports on the range of a part.
func (m mediaRange) parts(inner func(part mediaRange) fit) fit {
	if !m.Multipart() || inner(mediaRange{m.Part(), m.quality}) == none {
		return none
	}
	_, typed := m.Params["type"]
	switch {
	case m.Name == "*/*":
		return anything
	case m.Name == "multipart/*":
		return kind
	case !typed:
		return named
	}
	return exact
}

// accepts returns the one of offers that the client likes best.
func accepts(r *http.Request, offers ...string) (string, bool) {
	n := choose(r, len(offers), func(form int, m mediaRange) fit { return m.fits(offers[form]) })
	if n < 0 {
		return "", false
	}
	return offers[n], true
}

// gzips reports whether the client takes gzip (RFC 9110 section 12.5.3). Who says nothing does not get it: many a script would not know what to do with it.
func gzips(r *http.Request) bool {
	all := false
	for _, text := range r.Header.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(text, ",") {
			name, params, _ := strings.Cut(strings.ToLower(strings.TrimSpace(part)), ";")
			_, weight, has := strings.Cut(params, "q=")
			q, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
			wanted := !has || err == nil && q > 0
			switch strings.TrimSpace(name) {
			case "gzip", "x-gzip":
				return wanted
			case "*":
				all = wanted
			}
		}
	}
	return all
}

// pixelType is the media type of a frame in a transfer syntax (PS3.18 tables 8.7.3-4 and -5); what is not listed is bytes.
func pixelType(syntax string) string {
	switch rest, _ := strings.CutPrefix(syntax, "1.2.840.10008.1.2."); rest {
	case "5":
		return "image/dicom-rle"
	case "4.50", "4.51", "4.57", "4.70":
		return "image/jpeg"
	case "4.80", "4.81":
		return "image/jls"
	case "4.90", "4.91":
		return "image/jp2"
	case "4.92", "4.93":
		return "image/jpx"
	case "4.201", "4.202", "4.203":
		return "image/jphc"
	case "4.110", "4.111", "4.112":
		return "image/jxl"
	case "4.100", "4.100.1", "4.101", "4.101.1":
		return "video/mpeg2"
	case "4.102", "4.102.1", "4.103", "4.103.1", "4.104", "4.104.1", "4.105", "4.105.1", "4.106", "4.106.1":
		return "video/mp4"
	case "4.107", "4.108":
		return "video/H265"
	}
	return octets
}

const (
	octets  = "application/octet-stream"
	native  = "1.2.840.10008.1.2.1" // the syntax of frames that are not compressed
	related = "multipart/related"
)

// payload is in what form pixels or a value are sent.
type payload struct {
	multipart bool
	mediaType string // of the bytes, or of each part, with its parameters
}

// negotiate chooses the form in which bytes of a media type go to a client: as parts, which is the standard's own way and what who has no wish gets, or
// bare. syntax is their transfer syntax, "" for values that are no pixels. Nothing is transcoded: false is an answer of 406.
func negotiate(r *http.Request, mediaType, syntax string) (payload, bool) {
	form := choose(r, 2, func(form int, m mediaRange) fit {
		if form == bare {
			return m.takes(mediaType, syntax)
		}
		return m.parts(func(part mediaRange) fit { return part.takes(mediaType, syntax) })
	})
	full := mediaType
	if syntax != "" {
		full += "; transfer-syntax=" + syntax
	}
	return payload{form == inParts, full}, form >= 0
}

// The forms that bytes are sent in.
const (
	inParts = iota
	bare
)

// takes reports how a range means these bytes. Compressed pixels count as application/octet-stream for who names their transfer syntax, or any (*): clients
// that decode by themselves ask so.
func (m mediaRange) takes(mediaType, syntax string) fit {
	wanted, given := m.Params["transfer-syntax"]
	if given && wanted != "*" && wanted != syntax && syntax != "" {
		return none
	}
	how := m.fits(mediaType)
	if m.Name == octets && given {
		how = named
	}
	if how == named && given {
		how = exact
	}
	return how
}
