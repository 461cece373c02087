package dedup

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

// bulkMap is bulkdata in memory.
type bulkMap struct {
	objects map[Hash]Object
	files   map[Ref]bool
}

func newBulk() *bulkMap { return &bulkMap{make(map[Hash]Object), make(map[Ref]bool)} }

func (b *bulkMap) Object(h Hash) (Object, error) {
	if o, ok := b.objects[h]; ok {
		return o, nil
	}
	return nil, fs.ErrNotExist
}

func (b *bulkMap) Has(r Ref) bool {
	return slices.ContainsFunc(r.Spellings(), func(r Ref) bool { return b.files[r] })
}

// add seals an object and keeps it.
func (b *bulkMap) add(t testing.TB, text string, d Dedup) Hash {
	t.Helper()
	o, h := seal(t, text, d)
	b.objects[h] = o
	return h
}

func seal(t testing.TB, text string, d Dedup) (Object, Hash) {
	t.Helper()
	o, h, err := Seal(mustObject(t, text), d)
	if err != nil {
		t.Fatal(err)
	}
	return o, h
}

// attributes is the JSON of a data set of texts, in order of tags.
func attributes(pairs ...string) string {
	var parts []string
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		parts = append(parts, fmt.Sprintf(`%q:{"Value":[%s],"vr":"LO"}`, pairs[i], Quote(pairs[i+1])))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// record is a sealed record of an instance with some value in it.
func record(t testing.TB, sop, value string, d Dedup) (Object, Hash) {
	t.Helper()
	if d.Type == "" {
		d.Type = TypeInstance
	}
	return seal(t, attributes("00080018", sop, "00204000", value), d)
}

func instanceFile(t testing.TB, o Object) File {
	t.Helper()
	return ParseFile(Ref{Class: Instance, Name: o.Text(tagSOPInstanceUID)}, appendList(nil, []Object{o}))
}

func listFile(t testing.TB, info Dedup, extracts, records []Object) File {
	t.Helper()
	name, content := ComposeList(info, extracts, records)
	f := ParseFile(Ref{Class: List, Name: name.text}, content)
	if f.Fault != nil {
		t.Fatal(f.Fault)
	}
	return f
}

// foreignList is a list as static-wado writes it.
func foreignList(t testing.TB, refs []Hash, extracts, records []Object) File {
	t.Helper()
	f := File{}
	for _, o := range records {
		f.records = append(f.records, newRecord(o))
	}
	name, _ := ParseHash(f.nodeName())
	info := mustObject(t, `{"00090010":{"vr":"CS","Value":["dedupped"]},"00091011":{"vr":"LO","Value":["`+name.text+`"]},"00091012":{"vr":"LO","Value":["info"]}}`)
	info = info.with([]Element{textElement(0x00091010, hashTexts(refs)...)})
	return ParseFile(Ref{Class: List, Name: name.text}, appendList(nil, slices.Concat([]Object{info}, extracts, records)))
}

// foreign is a record as static-wado writes it; the deleted one has the hash of the live one.
func foreign(t testing.TB, sop, value string, refs []Hash, kind Type) (Object, Hash) {
	t.Helper()
	o := mustObject(t, attributes("00080018", sop, "00204000", value)).with([]Element{textElement(0x00090010, "dedupped")})
	if len(refs) > 0 {
		o = o.with([]Element{textElement(0x00091010, hashTexts(refs)...)})
	}
	h := nodeHash(o.AppendJSON(nil))
	return o.with([]Element{textElement(0x00091011, h.text), textElement(0x00091012, string(kind))}), h
}

// show is a state in words: the instances with the value of each live record, the leaves' number, and what is wrong.
func show(s *State) string {
	var out strings.Builder
	for _, i := range s.Instances {
		fmt.Fprintf(&out, "%s:", i.SOP)
		for _, r := range i.Records {
			out.WriteString(" " + r.Object.Text(0x00204000))
		}
		for word, is := range map[string]bool{" deleted": i.Deleted, " CONFLICT": i.Conflict, " MISSING": len(i.Missing) > 0} {
			if is {
				out.WriteString(word)
			}
		}
		out.WriteString("; ")
	}
	fmt.Fprintf(&out, "%d of %d", len(s.Leaves), len(s.Leaves)+len(s.Dominated))
	if len(s.Faults) > 0 {
		fmt.Fprintf(&out, ", %d faults", len(s.Faults))
	}
	return out.String()
}

func TestResolve(t *testing.T) {
	bulk := newBulk()
	a, ah := record(t, "1.1", "a", Dedup{})
	b, bh := record(t, "1.2", "b", Dedup{})
	b2, _ := record(t, "1.2", "b2", Dedup{})
	fixed, fixedHash := record(t, "1.1", "fixed", Dedup{Replace: []Hash{ah}})
	gone, goneHash := record(t, "1.1", "", Dedup{Delete: true, Replace: []Hash{ah}})
	goneAnyway, _ := record(t, "1.2", "", Dedup{Delete: true})
	moved, _ := record(t, "1.9", "moved", Dedup{Replace: []Hash{ah}})
	back, _ := record(t, "1.1", "back", Dedup{Replace: []Hash{ah, goneHash}})
	circleX, _ := foreign(t, "1.1", "x", nil, TypeInstance)
	circleY, _ := foreign(t, "1.1", "y", nil, TypeInstance)
	_, xh := foreign(t, "1.1", "x", nil, TypeInstance)
	_, yh := foreign(t, "1.1", "y", nil, TypeInstance)
	xDeleted, _ := foreign(t, "1.1", "x", nil, TypeDeleted)
	needs, _ := record(t, "1.1", "needs", Dedup{Refs: []Hash{testHash(77)}, Replace: []Hash{ah}})
	jls, _ := record(t, "1.1", "jls", Dedup{Content: testHash(5)})
	raw, _ := record(t, "1.1", "raw", Dedup{Content: testHash(5)})
	rawFixed, _ := record(t, "1.1", "fixed", Dedup{Content: testHash(6), Replace: []Hash{testHash(5)}})
	other, _ := record(t, "1.1", "other", Dedup{Content: testHash(4)})

	ab := listFile(t, Dedup{}, nil, []Object{a, b})
	fa, fb := instanceFile(t, a), instanceFile(t, b)
	names := func(files ...File) (d Dedup) {
		for _, f := range files {
			d.ReplaceFiles = append(d.ReplaceFiles, f.ID.Ref.Hash())
		}
		return d
	}
	for _, test := range []struct {
		name  string
		files []File
		want  string
	}{
		{"nothing", nil, "0 of 0"},
		{"instance files", []File{fa, fb}, "1.1: a; 1.2: b; 2 of 2"},
		{"a list accounts for instance files", []File{fa, ab, fb}, "1.1: a; 1.2: b; 1 of 3"},
		{"the same file twice", []File{fa, fa}, "1.1: a; 1 of 1"},
		{"a list that names another and has its records", []File{ab, listFile(t, names(ab), nil, []Object{a, b, b2})}, "1.1: a; 1.2: " + contentOrder(t, b, b2) + " CONFLICT; 1 of 2"},
		{"a list that has the records and does not name it", []File{ab, listFile(t, Dedup{}, nil, []Object{a, b, fixed})}, "1.1: fixed; 1.2: b; 2 of 2"},
		{"named, but a record is not accounted for", []File{ab, listFile(t, names(ab), nil, []Object{fixed})}, "1.1: fixed; 1.2: b; 2 of 2"},
		{"named, and the other records of its instances", []File{ab, listFile(t, names(ab), nil, []Object{a, b2})}, "1.1: a; 1.2: " + contentOrder(t, b, b2) + " CONFLICT; 2 of 2"},
		{"named in DeduppedRef", []File{ab, listFile(t, Dedup{Refs: []Hash{ab.ID.Ref.Hash()}}, nil, []Object{a, b})}, "1.1: a; 1.2: b; 1 of 2"},
		{"replaced", []File{fa, listFile(t, Dedup{}, nil, []Object{fixed})}, "1.1: fixed; 1 of 2"},
		{"replaced in a list that stays", []File{ab, listFile(t, Dedup{}, nil, []Object{fixed})}, "1.1: fixed; 1.2: b; 2 of 2"},
		{"deleted by hash", []File{ab, listFile(t, Dedup{}, nil, []Object{gone})}, "1.1: deleted; 1.2: b; 2 of 2"},
		{"an identical resend of what was deleted", []File{fa, listFile(t, Dedup{}, nil, []Object{gone})}, "1.1: deleted; 1 of 2"},
		{"deleted and restored", []File{fa, listFile(t, Dedup{}, nil, []Object{gone}), listFile(t, Dedup{}, nil, []Object{back})}, "1.1: back; 2 of 3"},
		{"deleted, and changed elsewhere", []File{listFile(t, Dedup{}, nil, []Object{gone}), listFile(t, Dedup{}, nil, []Object{fixed})}, "1.1: fixed CONFLICT; 2 of 2"},
		{"deleted without a hash", []File{ab, listFile(t, names(ab), nil, []Object{goneAnyway, a})}, "1.1: a; 1.2: deleted; 1 of 2"},
		{"deleted without a hash, by a record's name", []File{fb, listFile(t, Dedup{Refs: []Hash{bh}}, nil, []Object{goneAnyway})}, "1.2: deleted; 1 of 2"},
		{"deleted without a hash, concurrently", []File{fb, listFile(t, Dedup{}, nil, []Object{goneAnyway})}, "1.2: b CONFLICT; 2 of 2"},
		{"replaced by another instance", []File{fa, listFile(t, Dedup{}, nil, []Object{moved})}, "1.9: moved; 1 of 2"},
		{"one list corrects, another has the old record", []File{ab, listFile(t, Dedup{}, nil, []Object{fixed, b}), listFile(t, Dedup{}, nil, []Object{b2})}, "1.1: fixed; 1.2: " + contentOrder(t, b, b2) + " CONFLICT; 3 of 3"},
		{"a correction of a correction needs no old files", []File{listFile(t, Dedup{}, nil, []Object{func() Object {
			o, _ := record(t, "1.1", "again", Dedup{Replace: []Hash{fixedHash}})
			return o
		}()}), listFile(t, Dedup{}, nil, []Object{fixed}), fa}, "1.1: again; 2 of 3"},
		{"encodings", []File{instanceFile(t, jls), listFile(t, Dedup{}, nil, []Object{raw})}, "1.1: " + map[bool]string{true: "jls raw", false: "raw jls"}[less(jls, raw)] + "; 2 of 2"},
		{"encodings of a content that was replaced", []File{instanceFile(t, jls), listFile(t, Dedup{}, nil, []Object{rawFixed})}, "1.1: fixed; 1 of 2"},
		{"encodings and another content", []File{instanceFile(t, jls), listFile(t, Dedup{}, nil, []Object{raw, other})},
			"1.1: other " + map[bool]string{true: "jls raw", false: "raw jls"}[less(jls, raw)] + " CONFLICT; 2 of 2"},
		{"a list whose extract is not here speaks for nobody", []File{fa, listFile(t, Dedup{}, nil, []Object{needs})}, "1.1: needs MISSING; 2 of 2"},
		{"static-wado replaces by naming", []File{foreignList(t, nil, nil, []Object{circleX}), foreignList(t, []Hash{xh, yh}, nil, []Object{circleY})}, "1.1: y; 2 of 2"},
		{"static-wado deletes", []File{foreignList(t, nil, nil, []Object{circleX}), foreignList(t, []Hash{xh}, nil, []Object{xDeleted})}, "1.1: deleted; 2 of 2"},
		{"static-wado has it live again", []File{foreignList(t, []Hash{xh, foreignList(t, nil, nil, []Object{xDeleted}).ID.Ref.Hash()}, nil, []Object{circleX}), foreignList(t, nil, nil, []Object{xDeleted})}, "1.1: deleted; 2 of 2"},
		{"two lists that supersede each other", []File{foreignList(t, []Hash{yh, foreignList(t, nil, nil, []Object{circleY}).ID.Ref.Hash()}, nil, []Object{circleX}),
			foreignList(t, []Hash{xh, foreignList(t, nil, nil, []Object{circleX}).ID.Ref.Hash()}, nil, []Object{circleY})}, "1.1: " + contentOrder(t, circleX, circleY) + " CONFLICT; 2 of 2"},
		{"no JSON", []File{fa, ParseFile(Ref{Class: List, Name: sha}, []byte("[{"))}, "1.1: a; 2 of 2, 1 faults"},
		{"not its name", []File{fa, ParseFile(Ref{Class: List, Name: sha}, appendList(nil, ab.objects))}, "1.1: a; 2 of 2, 1 faults"},
		{"another instance's name", []File{fb, ParseFile(Ref{Class: Instance, Name: "1.7"}, appendList(nil, []Object{a}))}, "1.2: b; 2 of 2, 1 faults"},
		{"an instance file without a record", []File{ParseFile(Ref{Class: Instance, Name: "1.7"}, []byte("[]"))}, "1 of 1, 1 faults"},
		{"variants", []File{fa, func() File { f := instanceFile(t, fixed); return f }()}, "1.1: fixed; 2 of 2"},
	} {
		s := Resolve(test.files, bulk)
		if got := show(s); got != test.want {
			t.Errorf("%s: %s\nwant %s", test.name, got, test.want)
		}
		slices.Reverse(test.files)
		if got := show(Resolve(test.files, bulk)); got != test.want {
			t.Errorf("%s, the other way round: %s", test.name, got)
		}
	}
}

func less(a, b Object) bool {
	_, x := Split(a)
	_, y := Split(b)
	return x.Hash.Compare(y.Hash) < 0
}

// contentOrder is two records in the order in which a conflict has them.
func contentOrder(t testing.TB, a, b Object) string {
	s := Resolve(nil, newBulk())
	x, y := a.Text(0x00204000), b.Text(0x00204000)
	if s.Content(newRecord(a)).Compare(s.Content(newRecord(b))) < 0 {
		return x + " " + y
	}
	return y + " " + x
}

func TestResolveVariants(t *testing.T) {
	a, _ := record(t, "1.1", "a", Dedup{})
	a2, _ := record(t, "1.1", "a2", Dedup{})
	s := Resolve([]File{instanceFile(t, a), instanceFile(t, a2), instanceFile(t, a)}, newBulk())
	if len(s.Variants) != 1 || s.Variants[0] != (Ref{Class: Instance, Name: "1.1"}) || !s.Conflict() {
		t.Errorf("%v, %s", s.Variants, show(s))
	}
}

func TestMergeFollowsRefs(t *testing.T) {
	bulk := newBulk()
	deep := bulk.add(t, attributes("00080070", "maker"), Dedup{Type: TypeSeries})
	for i := range 20 { // a chain that is longer than is followed
		deep = bulk.add(t, attributes(fmt.Sprintf("0019%04X", 0x1000+i), fmt.Sprint(i)), Dedup{Type: TypeSeries, Refs: []Hash{deep}})
	}
	patient := bulk.add(t, attributes("00100010", "Doe^Jane", "00100020", "5"), Dedup{Type: TypePatient})
	study := bulk.add(t, attributes("0020000D", "1.2", "00100020", "other"), Dedup{Type: TypeStudy})
	o, _ := record(t, "1.1", "x", Dedup{Refs: []Hash{patient, study, deep, testHash(9)}})
	s := Resolve([]File{instanceFile(t, o)}, bulk)
	m := s.Merge(s.Instances[0].Records[0])
	if m.Text(0x00100010) != "Doe^Jane" || m.Text(0x00100020) != "5" || m.Text(0x0020000D) != "1.2" || m.Text(0x00204000) != "x" || m.block() != 0 {
		t.Errorf("merged %s", m.AppendJSON(nil))
	}
	followed := 0
	for _, e := range m {
		if e.Tag.Group() == 0x0019 {
			followed++
		}
	}
	if followed != maxNesting+1 || m.Text(0x00080070) != "" {
		t.Errorf("%d extracts of the chain were followed", followed)
	}
	if closure := s.Closure(s.Instances[0].Records[0]); len(closure) != 3+maxNesting+1 {
		t.Errorf("%d files in the closure", len(closure))
	}
	if missing := s.Instances[0].Missing; len(missing) != 1 || missing[0].Hash() != testHash(9) || s.Complete() {
		t.Errorf("missing %v", missing)
	}
}

// Objects that name each other end, in merging and in closures.
func TestCircularRefs(t *testing.T) {
	bulk := newBulk()
	for i := range 3 { // named by hand: no hash function would do it
		h, next := testHash(100+i), testHash(100+(i+1)%3)
		o := mustObject(t, attributes(fmt.Sprintf("0018%04X", 0x1000+i), "x")).with([]Element{
			textElement(0x00090010, "dedupped"), textElement(0x00091010, next.text), textElement(0x00091011, h.text), textElement(0x00091012, "series")})
		bulk.objects[h] = o
	}
	o, _ := record(t, "1.1", "x", Dedup{Refs: []Hash{testHash(100)}})
	s := Resolve([]File{instanceFile(t, o)}, bulk)
	r := s.Instances[0].Records[0]
	if got := len(s.Closure(r)); got != 3 || len(s.Merge(r)) != 5 || !s.Complete() {
		t.Errorf("closure of %d, merged %s", got, s.Merge(r).AppendJSON(nil))
	}
}

func TestReplacedExtracts(t *testing.T) {
	bulk := newBulk()
	patient := func(name string, replace ...Hash) (Object, Hash) {
		o, h := seal(t, attributes("00100010", name), Dedup{Type: TypePatient, Replace: replace})
		bulk.objects[h] = o
		return o, h
	}
	p1, h1 := patient("Old")
	p2, h2 := patient("New", h1)
	p3, _ := patient("Newer", h2)
	p4, _ := patient("Otherwise", h1)
	same, _ := patient("New", h1, testHash(3))
	loopA, _ := seal(t, attributes("00100010", "A"), Dedup{Type: TypePatient, Replace: []Hash{h1}})
	late, _ := record(t, "1.1", "x", Dedup{Refs: []Hash{h1}})
	for _, test := range []struct {
		name   string
		lists  []File
		want   string
		fights int
	}{
		{"none", nil, "Old", 0},
		{"one", []File{listFile(t, Dedup{}, []Object{p2}, nil)}, "New", 0},
		{"inline old ones do not matter", []File{listFile(t, Dedup{}, []Object{p1, p2}, nil)}, "New", 0},
		{"transitively", []File{listFile(t, Dedup{}, []Object{p2}, nil), listFile(t, Dedup{}, []Object{p3}, nil)}, "Newer", 0},
		{"the same correction twice", []File{listFile(t, Dedup{}, []Object{p2}, nil), listFile(t, Dedup{}, []Object{same}, nil)}, "New", 0},
		{"two ways", []File{listFile(t, Dedup{}, []Object{p3, p2}, nil), listFile(t, Dedup{}, []Object{p4}, nil)}, least("Newer", "Otherwise"), 1},
	} {
		s := Resolve(append(test.lists, instanceFile(t, late)), bulk)
		i, _ := s.Instance(UID{"1.1"})
		if got := s.Merge(i.Records[0]).Text(0x00100010); got != test.want || len(s.Disputes) != test.fights || s.Conflict() != (test.fights > 0) {
			t.Errorf("%s: %s, %v; want %s", test.name, got, s.Disputes, test.want)
		}
	}
	// A list that corrects may go only when what it corrects is known from another.
	first := listFile(t, Dedup{}, []Object{p2}, nil)
	names := Dedup{ReplaceFiles: []Hash{first.ID.Ref.Hash()}}
	p3closed, _ := patient("Newer", h2, h1)
	for extract, leaves := range map[*Object]int{&p3: 2, &p3closed: 1, &p2: 1, &p4: 2, &loopA: 2} {
		if s := Resolve([]File{first, listFile(t, names, []Object{*extract, p1}, nil)}, bulk); len(s.Leaves) != leaves {
			t.Errorf("%s: %d leaves, want %d", extract.Text(0x00100010), len(s.Leaves), leaves)
		}
	}
}

// least is the name whose content has the lesser hash.
func least(names ...string) string {
	slices.SortFunc(names, func(a, b string) int {
		x, y := sha256Of(attributes("00100010", a)), sha256Of(attributes("00100010", b))
		return strings.Compare(x, y)
	})
	return names[0]
}

// Nobody can change a patient's name by writing another extract under its hash into a list.
func TestForgedExtract(t *testing.T) {
	bulk := newBulk()
	h := bulk.add(t, attributes("00100010", "Doe"), Dedup{Type: TypePatient})
	forged := mustObject(t, strings.Replace(string(bulk.objects[h].AppendJSON(nil)), "Doe", "Roe", 1))
	plain := mustObject(t, attributes("00100010", "Roe")).with([]Element{textElement(0x00090010, "dedupped"), textElement(0x00091011, h.text), textElement(0x00091012, "patient")})
	o, _ := record(t, "1.1", "x", Dedup{Refs: []Hash{h}})
	for _, extract := range []Object{forged, plain} {
		s := Resolve([]File{instanceFile(t, o), foreignList(t, nil, []Object{extract}, nil)}, bulk)
		if got := s.Merge(s.Instances[0].Records[0]).Text(0x00100010); got != "Doe" {
			t.Errorf("the name is %s", got)
		}
	}
}

func TestReferences(t *testing.T) {
	h := func(n int) string { return testHash(n).text }
	o, _ := seal(t, `{"00080018":{"Value":["1.1"],"vr":"UI"},"00081115":{"vr":"SQ","Value":[{"00420011":{"vr":"OB","BulkDataURI":"bulkdata/`+h(1)[:3]+`/`+h(1)[3:5]+`/`+h(1)[5:]+`.raw"},
		"00400275":{"vr":"SQ","Value":[{"00420011":{"vr":"OB","BulkDataURI":"http://x/bulkdata/`+h(2)[:3]+`/`+h(2)[3:5]+`/`+h(2)[5:]+`.json"}}]}}]},
		"00204000":{"vr":"LT","Value":["says \"BulkDataURI\" and \"Fragments\""]},
		"7FE00010":{"vr":"OB","BulkDataURI":"series/1/instances/1/frames","DeduppedExt":".jls","DeduppedStreams":["","`+hex32+`"],"Fragments":["`+h(3)+`","`+h(4)+`"]}}`,
		Dedup{Type: TypeInstance, Refs: []Hash{testHash(5)}, Encoding: []Hash{testHash(6), {}, testHash(7), testHash(8)}})
	var want []string
	for _, r := range []Ref{{Name: h(1), Ext: ".raw"}, {Name: h(2), Ext: ".json.gz"}, {Name: h(3), Ext: ".jls"}, {Name: h(4), Stream: hex32, Ext: ".jls"},
		{Name: h(5), Ext: ".json.gz"}, {Name: h(6), Ext: ".json.gz"}, {Name: h(7), Ext: ".residue"}, {Name: h(8), Ext: ".residue"}} {
		r.Class = Bulkdata
		want = append(want, r.Path())
	}
	if got := join(References(o)); got != strings.Join(want, " ") {
		t.Errorf("got  %s\nwant %s", got, strings.Join(want, " "))
	}
	with, _ := record(t, "1.1", "", Dedup{Encoding: []Hash{testHash(6), testHash(7)}})
	if got := References(with); len(got) != 2 || got[1].Ext != ".residue.gz" {
		t.Errorf("got %v", got)
	}
	info, _ := seal(t, `{}`, Dedup{Type: TypeInfo, Refs: []Hash{testHash(5)}})
	if got := References(info); len(got) != 0 {
		t.Errorf("an info object refers to %v", got)
	}
}

// TestFileReferences holds that a file refers to what each of its objects refers to, whatever kind of object that is.
func TestFileReferences(t *testing.T) {
	with := func(n int, d Dedup) Object {
		o, _ := seal(t, fmt.Sprintf(`{"00080018":{"Value":["1.%d"],"vr":"UI"},"00204000":{"BulkDataURI":"../bulkdata/%s/%s/%s.raw","vr":"LT"}}`,
			n, testHash(n).text[:3], testHash(n).text[3:5], testHash(n).text[5:]), d)
		return o
	}
	objects := []Object{with(1, Dedup{Type: "patient"}), with(2, Dedup{Type: TypeSequence}), with(3, Dedup{Type: TypeEncoding}), with(4, Dedup{Refs: []Hash{testHash(9)}}),
		with(5, Dedup{Type: TypeInstance, Encoding: []Hash{testHash(8)}}), with(6, Dedup{Delete: true})}
	f := listFile(t, Dedup{}, objects[:3], objects[3:])
	var want []Ref
	for _, o := range f.Objects() {
		want = append(want, References(o)...)
	}
	slices.SortFunc(want, Ref.Compare)
	if want = slices.Compact(want); len(want) != 8 || !slices.Equal(f.References(), want) {
		t.Errorf("got  %s\nwant %s", join(f.References()), join(want))
	}
}

func TestJudge(t *testing.T) {
	bulk := newBulk()
	a, ah := record(t, "1.1", "a", Dedup{Content: testHash(1)})
	jls, _ := record(t, "1.1", "jls", Dedup{Content: testHash(1)})
	other, _ := record(t, "1.1", "other", Dedup{Content: testHash(2)})
	gone, _ := record(t, "1.1", "", Dedup{Delete: true, Replace: []Hash{ah}})
	goneAll, _ := record(t, "1.1", "", Dedup{Delete: true, Replace: []Hash{ah, testHash(1)}})
	fixed, _ := record(t, "1.1", "fixed", Dedup{Content: testHash(3), Replace: []Hash{ah}})
	theirs, _ := foreign(t, "1.1", "a", nil, TypeInstance)
	theirsDeleted, _ := foreign(t, "1.1", "a", nil, TypeDeleted)
	one := func(o Object) []File { return []File{listFile(t, Dedup{}, nil, []Object{o})} }
	anyway, _ := record(t, "1.1", "", Dedup{Delete: true})
	emptied := append(one(a), listFile(t, Dedup{ReplaceFiles: []Hash{one(a)[0].ID.Ref.Hash()}}, nil, []Object{anyway}))
	for _, test := range []struct {
		name  string
		lists []File
		held  []File
		o     Object
		want  Standing
	}{
		{"nothing held", nil, nil, a, Absent},
		{"in a list", one(a), nil, a, Same},
		{"in a file", nil, []File{instanceFile(t, a)}, a, Same},
		{"another encoding", one(a), nil, jls, Equivalent},
		{"another encoding in a file", nil, []File{instanceFile(t, a)}, jls, Equivalent},
		{"another content", one(a), nil, other, Conflicting},
		{"another content in a file", nil, []File{instanceFile(t, a)}, other, Conflicting},
		{"deleted", one(gone), nil, a, Removed},
		{"deleted, and still in a file", one(gone), []File{instanceFile(t, a)}, a, Removed},
		{"deleted, another encoding", one(goneAll), nil, jls, Removed},
		{"deleted by hash, another encoding", one(gone), nil, jls, Conflicting},
		{"deleted, another content", one(goneAll), nil, other, Conflicting},
		{"deleted without a hash", emptied, nil, a, Removed},
		{"replaced", one(fixed), []File{instanceFile(t, a)}, a, Removed},
		{"replaced by a file", nil, []File{instanceFile(t, fixed)}, fixed, Same},
		{"deleted by static-wado", []File{foreignList(t, nil, nil, []Object{theirsDeleted})}, nil, theirs, Removed},
		{"another instance", one(a), nil, func() Object { o, _ := record(t, "1.2", "x", Dedup{}); return o }(), Absent},
	} {
		s := Resolve(test.lists, bulk)
		if got := s.Judge(test.o, test.held...); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		// All files together say the same.
		if got := Resolve(slices.Concat(test.lists, test.held), bulk).Judge(test.o); got != test.want && test.name != "replaced by a file" {
			t.Errorf("%s, resolved together: %s, want %s", test.name, got, test.want)
		}
		checkJudgement(t, test.name, slices.Concat(test.lists, test.held), test.o, test.want)
	}
}

// checkJudgement adds the record and looks whether Resolve agrees.
func checkJudgement(t *testing.T, name string, files []File, o Object, judged Standing) {
	t.Helper()
	before := Resolve(files, newBulk())
	after := Resolve(append(files, instanceFile(t, o)), newBulk())
	sop := o.uid(tagSOPInstanceUID)
	was, _ := before.Instance(sop)
	is, _ := after.Instance(sop)
	ok := true
	switch judged {
	case Absent:
		ok = len(was.Records) == 0 && len(is.Records) == 1
	case Same, Removed:
		ok = len(was.Records) == len(is.Records) && was.Conflict == is.Conflict
	case Equivalent:
		ok = len(is.Records) == len(was.Records)+1 && is.Conflict == was.Conflict
	case Conflicting:
		ok = len(is.Records) == len(was.Records)+1 && is.Conflict
	}
	if !ok {
		t.Errorf("%s is judged %s, but %s becomes %s", name, judged, show(before), show(after))
	}
}

func TestLeafDigest(t *testing.T) {
	a, _ := record(t, "1.1", "a", Dedup{})
	b, _ := record(t, "1.2", "b", Dedup{})
	x, y := instanceFile(t, a).ID, instanceFile(t, b).ID
	d := LeafDigest([]FileID{x, y})
	if d != LeafDigest([]FileID{y, x, y}) || d == LeafDigest([]FileID{x}) || d == LeafDigest(nil) {
		t.Error("the digest is not one of the set")
	}
	if got := d.String(); got != "a6a5b6a6d7b6a72f04645084eb5c9f309e661272c2505f02de29bb6bd464f29b" {
		t.Errorf("the digest changed to %s", got)
	}
}

func TestFileVerify(t *testing.T) {
	a, _ := record(t, "1.1", "a", Dedup{})
	theirs, _ := foreign(t, "1.1", "a", nil, TypeInstance)
	bad := Object{{0x00080016, []byte(`{"vr":"UI"}`)}}.with(a)
	for name, test := range map[string]struct {
		f    File
		want Answer
	}{
		"ours":             {listFile(t, Dedup{}, nil, []Object{a}), Right},
		"ours, one file":   {instanceFile(t, a), Right},
		"theirs":           {foreignList(t, nil, nil, []Object{theirs}), Right},
		"theirs, renamed":  {ParseFile(Ref{Class: List, Name: sha}, appendList(nil, foreignList(t, nil, nil, []Object{theirs}).objects)), CannotTell},
		"a wrong record":   {listFile(t, Dedup{}, nil, []Object{bad}), Corrupt},
		"a damaged record": {instanceFile(t, bad), Corrupt},
	} {
		if got := test.f.Verify(); got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if f := instanceFile(t, bad); !errors.Is(f.Fault, ErrDamaged) {
		t.Errorf("a damaged record: %v", f.Fault)
	}
}
