package part10

import "github.com/dicomesh/dicomesh/dedup"

// pixels writes Pixel Data from its frames: native where they are, else one fragment a frame.
func (e *encoder) pixels(tag dedup.Tag, a dedup.Attribute, c coding) error {
	refs := fragmentRefs(a)
	sizes := make([]int64, len(refs))
	var total int64
	for i, r := range refs {
		var err error
		if sizes[i], err = e.size(r); err != nil {
			return err
		}
		total += sizes[i]
	}
	if a.Ext != ".raw" {
		e.fragments(tag, a, c, refs, sizes)
		return nil
	}
	tail := a.Bytes
	if tail == nil && total%2 == 1 {
		tail = []byte{0}
	}
	swap := 0
	if c.big {
		swap = VR(a.VR).swap()
	}
	e.add(e.header(tag, VR(a.VR), e.length(total+int64(len(tail))), c))
	for i, r := range refs {
		e.addBulk(e.names.number(e.out, r, sizes[i], swap), sizes[i])
	}
	e.add(tail)
	return nil
}

// maxFragment is the longest fragment that is written, of even length.
const maxFragment = undefined - 1

// fragments writes encapsulated Pixel Data (PS3.5 section A.4). A frame beyond maxFragment, a long video, takes several.
func (e *encoder) fragments(tag dedup.Tag, a dedup.Attribute, c coding, refs []dedup.Ref, sizes []int64) {
	e.add(e.header(tag, VR(a.VR), undefined, c))
	table := e.offsetTable(sizes, c)
	e.add(e.plainHeader(tagItem, "", uint32(len(table)), c))
	e.add(table)
	for i, r := range refs {
		number := e.names.number(e.out, r, sizes[i], 0)
		for at, more := int64(0), true; more; {
			n := min(sizes[i]-at, maxFragment)
			e.add(e.plainHeader(tagItem, "", uint32(n+n%2), c))
			e.out.addBulk(number, at, n)
			e.total += n
			e.add(e.zeros[:n%2])
			at += n
			more = at < sizes[i]
		}
	}
	e.add(e.plainHeader(tagSequenceEnd, "", 0, c))
}

// offsetTable is the basic offset table, empty where the file had it so and where its 32 bits do not suffice.
func (e *encoder) offsetTable(sizes []int64, c coding) []byte {
	if !e.style.offsets {
		return nil
	}
	var table []byte
	at := int64(0)
	for _, n := range sizes {
		if at > 0xFFFFFFFF {
			return nil
		}
		table = appendUint32(table, order(c), uint32(at))
		at += 8 + n + n%2
	}
	return table
}
