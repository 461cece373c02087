package part10

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
)

// appendReference is the attribute object of a value that is a bulkdata file.
func appendReference(dst []byte, ref dedup.Ref, vr VR) []byte {
	dst = append(dst, `{"BulkDataURI":"`...)
	dst = append(dst, strings.TrimSuffix(ref.Path(), ".gz")...)
	dst = append(dst, `","vr":"`...)
	return append(append(dst, vr...), `"}`...)
}

// sequenceStart is how the attribute object of a sequence begins that has items.
const sequenceStart = `{"Value":[`

// endSequence is the attribute object of a sequence: items is sequenceStart and the items, comma between, or nothing.
func endSequence(items []byte) []byte {
	if len(items) == 0 {
		return []byte(`{"vr":"SQ"}`)
	}
	return append(items, `],"vr":"SQ"}`...)
}

// appendFragments is the attribute object of Pixel Data: folder is where the current tree will have its frames, "" for a nested one.
func appendFragments(dst []byte, p *pixelElement, folder string) []byte {
	dst = append(dst, '{')
	if folder != "" {
		dst = append(dst, `"BulkDataURI":"`...)
		dst = append(append(dst, folder...), `",`...)
	}
	if p.tail != nil {
		dst = append(dst, `"DeduppedBytes":"`...)
		dst = append(base64.StdEncoding.AppendEncode(dst, p.tail), `",`...)
	}
	dst = append(dst, `"DeduppedExt":`...)
	dst = strconv.AppendQuote(dst, p.ext)
	if hasStreams(p.frames) {
		dst = append(dst, `,"DeduppedStreams":`...)
		dst = appendStrings(dst, p.frames, func(r dedup.Ref) string { return r.Stream })
	}
	dst = append(dst, `,"Fragments":`...)
	dst = appendStrings(dst, p.frames, func(r dedup.Ref) string { return r.Name })
	dst = append(dst, `,"vr":"`...)
	return append(append(dst, p.vr...), `"}`...)
}

func hasStreams(frames []dedup.Ref) bool {
	for _, f := range frames {
		if f.Stream != "" {
			return true
		}
	}
	return false
}

// appendStrings is a JSON array of texts that need no escaping.
func appendStrings(dst []byte, refs []dedup.Ref, text func(dedup.Ref) string) []byte {
	dst = append(dst, '[')
	for i, r := range refs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), text(r)...), '"')
	}
	return append(dst, ']')
}

// fragmentRefs are the bulkdata files of an attribute with Fragments.
func fragmentRefs(a dedup.Attribute) []dedup.Ref {
	out := make([]dedup.Ref, len(a.Fragments))
	for i, h := range a.Fragments {
		out[i] = dedup.Ref{Class: dedup.Bulkdata, Name: h.String(), Ext: a.Ext}
		if i < len(a.Streams) {
			out[i].Stream = a.Streams[i]
		}
	}
	return out
}
