package dedup

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestCovers(t *testing.T) {
	a, ah := record(t, "1.1", "a", Dedup{})
	b, _ := record(t, "1.2", "b", Dedup{})
	gone, goneHash := record(t, "1.1", "", Dedup{Delete: true, Replace: []Hash{ah}})
	back, _ := record(t, "1.1", "back", Dedup{Replace: []Hash{goneHash}})
	backWhole, _ := record(t, "1.1", "back", Dedup{Replace: []Hash{goneHash, ah}})
	live, lh := foreign(t, "1.3", "x", nil, TypeInstance)
	next, _ := foreign(t, "1.3", "y", nil, TypeInstance)
	older := listFile(t, Dedup{ReplaceFiles: []Hash{testHash(7)}}, nil, []Object{gone, b})
	theirs := foreignList(t, []Hash{lh}, nil, []Object{next})
	names := func(more ...Hash) Dedup {
		return Dedup{ReplaceFiles: append(more, older.ID.Ref.Hash(), theirs.ID.Ref.Hash())}
	}
	for _, test := range []struct {
		name  string
		list  File
		older File
		want  bool
	}{
		{"all that it was made of", listFile(t, names(testHash(7)), nil, []Object{gone, b, a}), older, true},
		{"a list that the older one names is not named", listFile(t, names(), nil, []Object{gone, b}), older, false},
		{"the older one is not named", listFile(t, Dedup{ReplaceFiles: []Hash{testHash(7)}}, nil, []Object{gone, b}), older, false},
		{"a record is not there", listFile(t, names(testHash(7)), nil, []Object{gone}), older, false},
		{"it replaces the removal, and what was removed is forgotten", listFile(t, names(testHash(7)), nil, []Object{back, b}), older, false},
		{"it replaces both", listFile(t, names(testHash(7)), nil, []Object{backWhole, b}), older, true},
		{"it does not supersede what static-wado's did", listFile(t, names(), nil, []Object{next}), theirs, false},
		{"nor if it has the record", listFile(t, Dedup{ReplaceFiles: names().ReplaceFiles, Refs: []Hash{lh}}, nil, []Object{next, live}), theirs, false},
		{"it does", listFile(t, Dedup{ReplaceFiles: names().ReplaceFiles, Refs: []Hash{lh}}, nil, []Object{next}), theirs, true},
		{"itself", older, older, false},
	} {
		if got := test.list.Covers(test.older); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
		if got := test.list.Slim().Covers(test.older.Slim()); got != test.want {
			t.Errorf("%s: %v of slim files", test.name, got)
		}
	}
}

// A list that covers another accounts for whatever that accounts for, whatever it may be.
func TestCoversAll(t *testing.T) {
	covered := 0
	rapid.Check(t, func(rt *rapid.T) {
		files := study(t, rt, false, true)
		var lists []File
		for _, f := range files {
			if f.ID.Ref.Class == List {
				lists = append(lists, f)
			}
		}
		for _, older := range slices.Clone(lists) { // what would be composed of it and another
			for _, other := range files {
				names := Dedup{Refs: slices.Concat(older.info.Refs, other.info.Refs), ReplaceFiles: []Hash{older.ID.Ref.Hash()}}
				var records []Object
				for _, r := range slices.Concat(older.records, other.records) {
					if rapid.IntRange(0, 9).Draw(rt, "leave out") > 0 {
						records = append(records, r.Object)
					}
				}
				lists = append(lists, listFile(t, names, nil, records))
			}
		}
		for _, l := range lists {
			for _, older := range lists {
				if !l.Covers(older) {
					continue
				}
				covered++
				for _, x := range slices.Concat(files, lists) {
					mutual := x.ID.Ref.Class == List && newListIndex(&x).names[l.ID.Ref.Hash()]
					if x.ID == l.ID || x.ID == older.ID || mutual || !accountedBy(older, x) {
						continue
					}
					if !accountedBy(l, x) {
						rt.Fatalf("%v covers %v, and does not account for %v", l.ID, older.ID, x.ID)
					}
				}
			}
		}
	})
	if covered < 20 {
		t.Errorf("%d lists covered another", covered)
	}
}

func accountedBy(list, x File) bool {
	return slices.Contains(Resolve([]File{list, x}, newBulk()).Dominated, x.ID)
}

// A name among the files that a list replaces says nothing of a record that has that hash.
func TestFileNamesAreNoRecords(t *testing.T) {
	a, ah := foreign(t, "1.1", "a", nil, TypeInstance)
	b, _ := foreign(t, "1.1", "b", nil, TypeInstance)
	for _, test := range []struct {
		info     Dedup
		conflict bool
	}{{Dedup{ReplaceFiles: []Hash{ah}}, true}, {Dedup{Refs: []Hash{ah}}, false}} {
		s := Resolve([]File{instanceFile(t, a), listFile(t, test.info, nil, []Object{b})}, newBulk())
		if s.Conflict() != test.conflict || (len(s.Leaves) == 2) != test.conflict {
			t.Errorf("%+v: %s", test.info, show(s))
		}
	}
}
