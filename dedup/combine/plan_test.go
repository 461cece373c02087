package combine

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"pgregory.net/rapid"
)

func TestPlanCombine(t *testing.T) {
	a, ah := record("1.1", "a", dedup.Dedup{})
	a2, _ := record("1.1", "a2", dedup.Dedup{})
	b, _ := record("1.2", "b", dedup.Dedup{})
	gone, _ := record("1.1", "", dedup.Dedup{Delete: true, Replace: []dedup.Hash{ah, hashOf("1.1a")}})
	anyway, _ := record("1.2", "", dedup.Dedup{Delete: true})
	patient, _ := seal(object("00100010", "New"), dedup.Dedup{Type: dedup.TypePatient, Replace: []dedup.Hash{hashOf("old")}})
	encoding, _ := seal(object("00204000", "x"), dedup.Dedup{Type: dedup.TypeEncoding})
	theirs, th := foreign("1.3", "c", dedup.TypeInstance)
	list := listFile(dedup.Dedup{ReplaceFiles: []dedup.Hash{hashOf("older")}}, []dedup.Object{patient}, b)
	removal := listFile(dedup.Dedup{}, nil, gone)
	naming := foreignList("naming", []dedup.Hash{th, hashOf("another record")}, theirs)
	emptying := listFile(dedup.Dedup{ReplaceFiles: []dedup.Hash{list.ID.Ref.Hash()}}, nil, anyway)
	elsewhere := instanceFile(theirs)
	lacking, _ := record("1.4", "lacks", dedup.Dedup{Refs: []dedup.Hash{hashOf("not here")}})
	for _, test := range []struct {
		name    string
		files   []dedup.File
		inputs  int
		records int
		apart   []string
		reason  string
	}{
		{"nothing", nil, 0, 0, nil, reasonApart},
		{"one instance file", []dedup.File{instanceFile(a)}, 1, 1, nil, ""},
		{"one list", []dedup.File{list}, 0, 0, nil, reasonSingle},
		{"one list and what it accounts for", []dedup.File{list, instanceFile(b)}, 0, 0, nil, reasonSingle},
		{"a list and a file", []dedup.File{list, instanceFile(a)}, 2, 2, nil, ""},
		{"a removal knows what it removes", []dedup.File{list, instanceFile(a), removal}, 2, 2, nil, ""}, // of the file of 1.1 nothing is left to say
		{"a conflict", []dedup.File{instanceFile(a), instanceFile(a2)}, 2, 2, nil, ""},
		{"a removal that does not know", []dedup.File{instanceFile(a2), removal, list}, 3, 3, nil, ""},
		{"static-wado's, alone with itself", []dedup.File{foreignList("own", []dedup.Hash{th}, theirs), instanceFile(a)}, 2, 2, nil, ""},
		{"static-wado's, naming others", []dedup.File{naming, instanceFile(a), instanceFile(b)}, 2, 2, []string{apartNames}, ""},
		{"a removal without a hash, and the list that it means", []dedup.File{emptying, list, instanceFile(a), instanceFile(a2)}, 2, 2, []string{apartEmpties, apartNamed}, ""},
		{"nothing that can be combined", []dedup.File{naming, emptying}, 0, 0, []string{apartEmpties, apartNames}, reasonApart},
		{"objects that are no records", []dedup.File{foreignList("odd", nil, a, encoding), instanceFile(b)}, 1, 1, []string{apartOdd}, ""},
		{"kept elsewhere", []dedup.File{elsewhere, instanceFile(a)}, 1, 1, []string{apartElsewhere}, ""},
		{"incomplete", []dedup.File{instanceFile(a), instanceFile(lacking)}, 0, 0, nil, reasonIncomplete},
	} {
		slices.Sort(test.apart)
		in := Input{Files: test.files, Bulk: noBulk{}, Elsewhere: map[dedup.FileID]bool{elsewhere.ID: true}}
		c := PlanCombine(in)
		if len(c.Inputs) != test.inputs || c.Records != test.records || !slices.Equal(reasons(c.Apart), test.apart) || c.Reason != test.reason {
			t.Errorf("%s: %d inputs, %d records, apart %q, %q", test.name, len(c.Inputs), c.Records, reasons(c.Apart), c.Reason)
		}
		if (c.List == dedup.FileID{}) != (test.inputs == 0) {
			t.Errorf("%s: list %v", test.name, c.List)
		}
	}
}

// Where not everything fits, the smallest leaves are combined.
func TestWithin(t *testing.T) {
	var files []dedup.File
	for i := range 10 {
		o, _ := record(fmt.Sprintf("1.%d", i), fmt.Sprint(i), dedup.Dedup{})
		files = append(files, instanceFile(o))
	}
	big := listFile(dedup.Dedup{}, nil, files[0].Objects()[0], files[1].Objects()[0], files[2].Objects()[0])
	size := int64(len(files[0].Objects()[0].AppendJSON(nil)))
	c := planCombine(Input{Files: append(files[3:], big), Bulk: noBulk{}}, 8*size)
	if len(c.Inputs) != 7 || !slices.Equal(reasons(c.Apart), []string{apartLarge}) || c.Apart[0].File != big.ID {
		t.Errorf("%d inputs, apart %v, %s", len(c.Inputs), c.Apart, c.Reason)
	}
}

// A list that lacks something of a record that is not shown speaks for nothing, and is not taken in: the others are combined all the same.
func TestSilentListStaysApart(t *testing.T) {
	a, ah := record("1.1", "a", dedup.Dedup{Refs: []dedup.Hash{hashOf("not here")}})
	b, _ := record("1.2", "b", dedup.Dedup{})
	fixed, _ := record("1.1", "fixed", dedup.Dedup{Replace: []dedup.Hash{ah}})
	silent := listFile(dedup.Dedup{}, nil, a)
	c := PlanCombine(Input{Files: []dedup.File{silent, listFile(dedup.Dedup{}, nil, fixed), instanceFile(b)}, Bulk: noBulk{}})
	if len(c.Inputs) != 2 || !slices.Equal(reasons(c.Apart), []string{apartLacks}) {
		t.Errorf("%d inputs, apart %v, %s", len(c.Inputs), c.Apart, c.Reason)
	}
}

// world makes small studies whose files collide.
type world struct {
	*rapid.T
	records []dedup.Object
	hashes  []dedup.Hash
	files   []dedup.File
}

func (w *world) draw(label string, low, high int) int {
	return rapid.IntRange(low, high).Draw(w.T, label)
}

func drawStudy(rt *rapid.T) *world {
	w := &world{T: rt}
	for n := range w.draw("records", 1, 6) {
		sop := fmt.Sprintf("1.%d", w.draw("sop", 1, 3))
		var d dedup.Dedup
		for range w.draw("replaces", 0, 2) {
			if len(w.hashes) > 0 {
				d.Replace = append(d.Replace, rapid.SampledFrom(w.hashes).Draw(rt, "replaced"))
			}
		}
		d.Delete = w.draw("delete", 0, 4) == 0
		d.Content = hashOf(fmt.Sprint(sop, w.draw("content", 0, 1)))
		o, h := record(sop, fmt.Sprint(n), d)
		if w.draw("writer", 0, 3) == 0 {
			kind := dedup.TypeInstance
			if w.draw("deleted", 0, 3) == 0 {
				kind = dedup.TypeDeleted
			}
			o, h = foreign(sop, fmt.Sprint(w.draw("value", 0, 1)), kind)
		}
		w.records, w.hashes = append(w.records, o), append(w.hashes, h)
	}
	for n := range w.draw("files", 1, 7) {
		w.files = append(w.files, w.file(n))
	}
	return w
}

func (w *world) file(n int) dedup.File {
	if w.draw("kind of file", 0, 2) == 0 {
		return instanceFile(rapid.SampledFrom(w.records).Draw(w.T, "record"))
	}
	records := rapid.SliceOfN(rapid.SampledFrom(w.records), 0, 4).Draw(w.T, "of list")
	var names, refs []dedup.Hash
	for range w.draw("names", 0, 2) {
		for _, f := range w.files {
			if f.ID.Ref.Class == dedup.List && w.draw("named", 0, 1) == 0 {
				names = append(names, f.ID.Ref.Hash())
			}
		}
	}
	if w.draw("refs", 0, 3) == 0 {
		refs = append(refs, rapid.SampledFrom(w.hashes).Draw(w.T, "ref"))
	}
	if w.draw("list's writer", 0, 3) == 0 {
		return foreignList(fmt.Sprint("list", n/2), slices.Concat(names, refs), records...)
	}
	var extracts []dedup.Object
	if w.draw("corrects", 0, 2) == 0 {
		e, _ := seal(object("00100010", fmt.Sprint(w.draw("patient", 1, 3))), dedup.Dedup{Type: dedup.TypePatient, Replace: []dedup.Hash{hashOf("patient")}})
		extracts = append(extracts, e)
	}
	return listFile(dedup.Dedup{ReplaceFiles: names, Refs: refs}, extracts, records...)
}

// Whatever a study is made of: the list is the same in whatever order files come, it accounts for all that went into it, directly and for all that that accounted for, nothing is shown
// otherwise, and a plan that would be wrong is never made.
func TestCombineProperties(t *testing.T) {
	combined, apart := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		w := drawStudy(rt)
		c := PlanCombine(Input{Files: w.files, Bulk: noBulk{}})
		again := PlanCombine(Input{Files: rapid.Permutation(slices.Concat(w.files, w.files[:len(w.files)/2])).Draw(rt, "order"), Bulk: noBulk{}})
		if c.List != again.List || !bytes.Equal(c.Content, again.Content) || !slices.Equal(c.Inputs, again.Inputs) || c.Reason != again.Reason {
			rt.Fatalf("another order gives %v, not %v", again.List, c.List)
		}
		if c.Reason == reasonUnlike {
			rt.Fatalf("a plan was wrong, and not foreseen to be: %v", c.Apart)
		}
		apart += len(c.Apart)
		if c.List == (dedup.FileID{}) {
			return
		}
		combined++
		list := dedup.ParseFile(c.List.Ref, c.Content)
		before := dedup.Resolve(w.files, noBulk{})
		left := slices.DeleteFunc(slices.Clone(w.files), func(f dedup.File) bool { return slices.Contains(c.Inputs, f.ID) })
		if after := dedup.Resolve(append(left, list), noBulk{}); !Same(before, after) {
			rt.Fatalf("without what was combined the study is another one")
		}
		for _, f := range w.files {
			if f.ID.Ref.Class == dedup.List && slices.Contains(c.Inputs, f.ID) && !list.Covers(f) {
				rt.Fatalf("%v does not cover %v", list.ID, f.ID)
			}
		}
		if next := PlanCombine(Input{Files: append(left, list), Bulk: noBulk{}}); next.List != (dedup.FileID{}) && len(c.Apart) == 0 {
			rt.Fatalf("there is always more to do: %v", next.Inputs)
		}
	})
	if combined < 20 || apart < 20 {
		t.Errorf("%d combined, %d left alone", combined, apart)
	}
}
