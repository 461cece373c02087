package part10

import (
	"bytes"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/part10/charset"
)

// foreignMeta is group 0002 for a record of another writer, who did not keep it. Such a record may say its transfer syntax as
// Available Transfer Syntax UID (0008,3002).
func foreignMeta(root dedup.Object) dedup.Object {
	syntax := root.Text(0x00083002)
	if syntax == "" {
		syntax = explicitLittle
	}
	return ownMeta(syntax)
}

// ownMeta is group 0002 of a file that dicomesh makes itself.
func ownMeta(syntax string) dedup.Object {
	text := func(tag dedup.Tag, vr VR, value string) dedup.Element {
		return dedup.Element{Tag: tag, JSON: appendExact(nil, vr, []byte(value), charset.Set{})}
	}
	return dedup.Object{
		{Tag: 0x00020001, JSON: []byte(`{"InlineBinary":"AAE=","vr":"OB"}`)},
		{Tag: 0x00020002, JSON: []byte(`{"vr":"UI"}`)},
		{Tag: 0x00020003, JSON: []byte(`{"vr":"UI"}`)},
		text(0x00020010, "UI", syntax),
		text(0x00020012, "UI", implementationClass),
	}
}

// OwnEncoding is the encoding object, with its hash, for an instance of which no file is known, only attributes and frames. syntax is that of the frames:
// Explicit VR Little Endian or an encapsulated one, in which Rebuild fills the basic offset table.
func OwnEncoding(syntax string) (dedup.Object, dedup.Hash, error) {
	s := style{preamble: true, meta: true, offsets: true}
	return dedup.Seal(ownMeta(syntax), dedup.Dedup{Type: dedup.TypeEncoding, Layout: s.words()})
}

const explicitLittle = "1.2.840.10008.1.2.1"

// implementationClass is the Implementation Class UID of files that are dicomesh's own work (PS3.7 section D.3.3.2): a UUID of ours.
const implementationClass = "2.25.305828488182831875890203105390285383138"

// splitTerms cuts the value of a Specific Character Set into its terms.
func splitTerms(value []byte) []string {
	var out []string
	for _, term := range bytes.Split(value, []byte{'\\'}) {
		out = append(out, string(bytes.Trim(term, " \x00")))
	}
	return out
}
