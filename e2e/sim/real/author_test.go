package real

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/phantom"
)

// instance is a Part 10 file of one of a few small studies. A twisted one has another patient's name: beside the other it is a conflict.
func (w *world) instance(number int, twisted bool) []byte {
	shape := phantom.Study{Number: []int{1, 2, 4}[number%3], Series: 2, Instances: 3, Size: 8}
	var all []phantom.Instance
	for i := range shape.All() {
		all = append(all, i)
	}
	var b bytes.Buffer
	if err := all[number%len(all)].Write(&b); err != nil {
		w.t.Fatal(err)
	}
	if !twisted {
		return b.Bytes()
	}
	return bytes.Replace(b.Bytes(), []byte("Phantom^"), []byte("Phantum^"), 1)
}

func hashOf(text string) dedup.Hash { return dedup.HashOf(sha256.Sum256([]byte(text))) }

// object is an object of text values, given as tags and values in ascending order.
func object(pairs ...string) dedup.Object {
	text := []byte{'{'}
	for i := 0; i < len(pairs); i += 2 {
		value, _ := json.Marshal(pairs[i+1])
		text = fmt.Appendf(text, `%q:{"Value":[%s],"vr":"LO"},`, pairs[i], value)
	}
	o, err := dedup.ParseObject(append(bytes.TrimSuffix(text, []byte{','}), '}'))
	if err != nil {
		panic(err)
	}
	return o
}

// foreign is a list as another writer makes one: its name says nothing of its content, so two sites may come to have one name with different bytes.
func (w *world) foreign() (dedup.UID, dedup.File) {
	uid := mustUID(fmt.Sprintf("1.2.826.0.1.%d", 1+w.rng.IntN(2)))
	name, version := w.rng.IntN(3), w.rng.IntN(3)
	sop := fmt.Sprintf("%s.9.%d", uid, name)
	list, value := hashOf(fmt.Sprint("list", name)).String(), fmt.Sprint("written ", version)
	text := fmt.Appendf(nil, `[{"00090010":{"vr":"CS","Value":["dedupped"]},"00091011":{"vr":"LO","Value":[%q]},"00091012":{"vr":"LO","Value":["info"]}},`, list)
	text = object("00080018", sop, "00090010", "dedupped", "00091011", hashOf("record"+sop+value).String(), "00091012", "instance",
		"0020000D", uid.String(), "0020000E", uid.String()+".9", "00204000", value).AppendJSON(text)
	ref := dedup.Ref{Class: dedup.List, Name: list}
	return uid, dedup.ParseFile(ref, content(dedup.ParseFile(ref, append(text, ']'))))
}

// change is a list that changes or removes an instance, and replaces all that is live of it: what is in conflict is so no more.
func (w *world) change(i dedup.SOPInstance, remove bool) dedup.File {
	w.serial++
	first, was := dedup.Split(i.Records[0].Object)
	d := dedup.Dedup{Type: dedup.TypeInstance, Refs: was.Refs, Delete: remove}
	for _, r := range i.Records {
		d.Replace = append(d.Replace, r.Dedup.Hash)
		if !r.Dedup.Content.IsZero() {
			d.Replace = append(d.Replace, r.Dedup.Content)
		}
	}
	content := object("00080018", i.SOP.String(), "0020000E", i.Series.String())
	if !remove {
		content = dedup.Merge(object("00204000", fmt.Sprintf("corrected %d", w.serial)), first)
		d.Content = dedup.HashOf(sha256.Sum256(content.AppendJSON(nil)))
	} else {
		d.Refs = nil
	}
	record, _, err := dedup.Seal(content, d)
	if err != nil {
		w.t.Fatal(err)
	}
	name, text := dedup.ComposeList(dedup.Dedup{}, nil, []dedup.Object{record})
	return dedup.ParseFile(dedup.Ref{Class: dedup.List, Name: name.String()}, text)
}

// put writes a list into a tree as another program does: durably, and without asking or telling anybody. It is not written where there is one of that name.
func put(fsys durable.FS, uid dedup.UID, f dedup.File) error {
	name := f.ID.Ref.In(uid)
	if err := durable.MkdirAll(fsys, path.Dir(name)); err != nil {
		return err
	}
	b, err := fsys.Barrier() // the folders' names too are durable then
	if err != nil {
		return err
	}
	return errors.Join(durable.WriteFile(fsys, name, dedup.Compress(nil, content(f))), b.SyncAll(), b.Close())
}

// content is a file's content, as it is written here.
func content(f dedup.File) []byte {
	text := []byte{'['}
	for i, o := range f.Objects() {
		if i > 0 {
			text = append(text, ',')
		}
		text = o.AppendJSON(text)
	}
	return append(text, ']')
}

func mustUID(text string) dedup.UID {
	u, err := dedup.ParseUID(text)
	if err != nil {
		panic(err)
	}
	return u
}
