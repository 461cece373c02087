package regen

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
)

// publisher turns attributes of the archive into attributes as PS3.18 section F.2 has them: without the archive's own keys, with sequences where they
// belong, and with references relative to the URL of the answer that they stand in.
type publisher struct {
	study *study
	base  string // from that URL to the study: "../../", "" or "studies/<UID>/"
}

// maxNesting is how deep sequences that are bulkdata are followed into each other.
const maxNesting = 64

// object publishes the attributes of an instance. Its frames are at pixels, relative to the answer's URL.
func (p publisher) object(i *instance, o dedup.Object, pixels string) (dedup.Object, error) {
	out := make(dedup.Object, 0, len(o))
	for _, e := range o {
		if i.pixels != nil && e.Tag == i.pixels.tag {
			vr, err := e.Attribute()
			if err != nil {
				return nil, err
			}
			out = append(out, dedup.Element{Tag: e.Tag, JSON: dedup.Attribute{VR: vr.VR, BulkDataURI: pixels}.AppendJSON(nil)})
			continue
		}
		published, err := p.element(e, 0)
		if err != nil {
			return nil, err
		}
		out = append(out, published)
	}
	return out, nil
}

// plain is a quick look that tells attributes which can be published as they stand.
func plain(json []byte) bool {
	return !bytes.Contains(json, []byte(`"Dedupped`)) && !refers(json) && !bytes.Contains(json, []byte(`"Value":[]`))
}

func (p publisher) element(e dedup.Element, depth int) (dedup.Element, error) {
	if plain(e.JSON) {
		return e, nil
	}
	a, err := e.Attribute()
	if err == nil {
		a, err = p.attribute(e.Tag, a, depth)
	}
	if err != nil {
		return dedup.Element{}, fmt.Errorf("attribute %s: %w", e.Tag, err)
	}
	return dedup.Element{Tag: e.Tag, JSON: a.AppendJSON(make([]byte, 0, len(e.JSON)))}, nil
}

// attribute takes the archive's keys off.
func (p publisher) attribute(tag dedup.Tag, a dedup.Attribute, depth int) (dedup.Attribute, error) {
	out := dedup.Attribute{VR: a.VR, Value: a.Value, InlineBinary: a.InlineBinary}
	if len(out.Value) == 0 {
		out.Value = nil
	}
	switch ref, notBulk := dedup.ParseBulkURI(a.BulkDataURI); {
	case a.Fragments != nil:
		out.BulkDataURI = p.nested(a)
	case a.BulkDataURI == "":
	case notBulk != nil:
		if strings.Contains(a.BulkDataURI, "://") {
			out.BulkDataURI = a.BulkDataURI // somewhere else; a relative one that names no bulkdata leads nowhere here
		}
	case ref.Ext == ".json.gz":
		return p.sequence(tag, ref, depth)
	default:
		out.BulkDataURI = p.base + served(ref)
	}
	if a.VR != "SQ" {
		return out, nil
	}
	return out, p.items(out.Value, depth)
}

// nested is where Pixel Data in an item is: it has no folder of frames, so several pieces are one file (joined).
func (p publisher) nested(a dedup.Attribute) string {
	if j, ok := joinedIn(a); ok {
		return p.base + served(j.ref())
	}
	if len(a.Fragments) != 1 {
		return ""
	}
	return p.base + served(fragments(a)[0])
}

// served is a bulkdata file's path as URIs have it.
func served(ref dedup.Ref) string { return strings.TrimSuffix(ref.Path(), ".gz") }

// sequence puts a sequence that is bulkdata where it belongs: PS3.18 table F.2.2-1 lets no BulkDataURI stand for one.
func (p publisher) sequence(tag dedup.Tag, ref dedup.Ref, depth int) (dedup.Attribute, error) {
	if depth > maxNesting {
		return dedup.Attribute{}, fmt.Errorf("sequences refer to each other without end: %w", dedup.ErrObject)
	}
	o, err := p.study.object(ref.Hash())
	if err != nil {
		return dedup.Attribute{}, err
	}
	e, ok := o.Find(tag)
	if !ok {
		return dedup.Attribute{}, fmt.Errorf("object %s does not have it: %w", ref.Hash(), dedup.ErrObject)
	}
	a, err := e.Attribute()
	if err != nil {
		return dedup.Attribute{}, err
	}
	return p.attribute(tag, a, depth+1)
}

// items publishes the items of a sequence in place; the array is the attribute's own.
func (p publisher) items(items []dedup.Token, depth int) error {
	for n, item := range items {
		if plain(item) {
			continue
		}
		o, err := dedup.ParseObject(item)
		if err != nil {
			return err
		}
		for i, e := range o {
			if o[i], err = p.element(e, depth); err != nil {
				return err
			}
		}
		items[n] = o.AppendJSON(make([]byte, 0, len(item)))
	}
	return nil
}
