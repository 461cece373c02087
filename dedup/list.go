package dedup

import "slices"

// ComposeList makes a list file (FORMAT.md section 8): its name and its content. info says what it supersedes, in ReplaceFiles and Refs; the
// order of neither and of no object matters, and repeated ones count once, so two sites that compose the same make the same bytes.
// The caller keeps closure (PROTOCOL.md section 2): info names all that its inputs dominate. Records and extracts are as they were sealed, by
// whichever writer.
func ComposeList(info Dedup, extracts, records []Object) (name Hash, content []byte) {
	objects := append([]Object{nil}, ordered(extracts)...)
	objects = append(objects, ordered(records)...)
	info = Dedup{Type: TypeInfo, Version: Version, Refs: sortedHashes(info.Refs), ReplaceFiles: sortedHashes(info.ReplaceFiles)}
	objects[0] = Object(nil).with(info.elements(firstBlock))
	name = listName(objects)
	objects[0] = objects[0].with([]Element{textElement(blockTag(firstBlock, elementHash), name.text)})
	return name, appendList(nil, objects)
}

// ordered is each object once, in the order of their canonical JSON's digests.
func ordered(objects []Object) []Object {
	type entry struct {
		id     Digest
		object Object
	}
	entries := make([]entry, len(objects))
	for i, o := range objects {
		entries[i] = entry{o.digest(), o}
	}
	slices.SortFunc(entries, func(a, b entry) int { return slices.Compare(a.id[:], b.id[:]) })
	entries = slices.CompactFunc(entries, func(a, b entry) bool { return a.id == b.id })
	out := make([]Object, len(entries))
	for i, e := range entries {
		out[i] = e.object
	}
	return out
}

func sortedHashes(hashes []Hash) []Hash {
	hashes = slices.Clone(hashes)
	slices.SortFunc(hashes, Hash.Compare)
	return slices.Compact(hashes)
}

// appendList appends the canonical JSON of a list.
func appendList(out []byte, objects []Object) []byte {
	out = append(out, '[')
	for i, o := range objects {
		if i > 0 {
			out = append(out, ',')
		}
		out = o.AppendJSON(out)
	}
	return append(out, ']')
}
