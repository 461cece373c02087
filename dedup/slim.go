package dedup

import "bytes"

// Slim is the file with no more of it than Resolve looks at, in memory of its own: for whoever keeps many files and resolves them again and again. Resolve makes the
// same of a slim file as of the whole one, but for the Objects of records, which are not fit to be merged, shown or written.
func (f File) Slim() File {
	out := File{ID: f.ID, Fault: f.Fault, info: f.info}
	for _, r := range f.records {
		r.Object = r.slim()
		out.records = append(out.records, r)
	}
	for _, e := range f.extracts {
		out.extracts = append(out.extracts, e.clone())
	}
	return out
}

// slim is what is still asked of a record's object when it was taken apart: its series. What has no content digest is merged to find its content, and that takes all
// of it; and so does a record whose series stands elsewhere.
func (r *Record) slim() Object {
	e, has := r.Object.Find(tagSeriesInstanceUID)
	if r.Dedup.Content.IsZero() || !has {
		return r.Object.clone()
	}
	return Object{e}.clone()
}

// clone is a copy that shares no memory.
func (o Object) clone() Object {
	out := make(Object, len(o))
	for i, e := range o {
		out[i] = Element{e.Tag, bytes.Clone(e.JSON)}
	}
	return out
}

// Memory is about how many bytes the file takes in memory, strings and all.
func (f File) Memory() int64 {
	n := int64(512)
	for i := range f.records {
		r := &f.records[i]
		n += 512 + int64(len(r.refs))*160 + int64(len(r.Dedup.Refs)+len(r.Dedup.Encoding)+len(r.Dedup.Replace))*80 + int64(r.Object.size()+32*len(r.Object))
	}
	for _, o := range f.extracts {
		n += int64(o.size() + 32*len(o))
	}
	for _, o := range f.objects {
		n += int64(24 + 32*len(o))
	}
	return n + int64(len(f.info.Refs)+len(f.info.ReplaceFiles))*80
}
