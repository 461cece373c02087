package dedup

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// verdicts are everything that a state says but the attributes of its records.
func verdicts(s *State) string {
	var out strings.Builder
	fmt.Fprintln(&out, s.Leaves, s.Dominated, s.Variants, s.Disputes, s.Faults, s.Complete(), s.Conflict())
	for _, i := range s.Instances {
		fmt.Fprint(&out, i.SOP, i.Series, i.Deleted, i.Conflict, i.Missing)
		for _, r := range i.Records {
			fmt.Fprint(&out, " ", r.Dedup.Hash, s.Content(r), s.Closure(r))
		}
		fmt.Fprintln(&out)
	}
	return out.String()
}

// TestSlim holds that slim files resolve to what whole ones do, whoever wrote them.
func TestSlim(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		files := study(t, rt, false, true)
		var slim []File
		for _, f := range files {
			slim = append(slim, f.Slim())
		}
		if whole, kept := verdicts(Resolve(files, newBulk())), verdicts(Resolve(slim, newBulk())); whole != kept {
			rt.Fatalf("of whole files\n%s\nof slim ones\n%s", whole, kept)
		}
	})
}

// TestSlimParts holds it where a record's series is in an extract, where a list corrects extracts, and where bulkdata is missing.
func TestSlimParts(t *testing.T) {
	bulk := newBulk()
	h := bulk.add(t, `{"0020000E":{"Value":["1.7"],"vr":"UI"}}`, Dedup{Type: TypeSeries})
	corrected, _ := seal(t, `{"0020000E":{"Value":["1.8"],"vr":"UI"}}`, Dedup{Type: TypeSeries, Replace: []Hash{h}})
	o, _ := record(t, "1.1", "a", Dedup{Refs: []Hash{h}, Content: testHash(1)})
	p, _ := record(t, "1.2", "b", Dedup{Refs: []Hash{testHash(9)}, Encoding: []Hash{testHash(8)}, Content: testHash(2)})
	// Two contents of one instance, which nothing but all of their attributes tells.
	x, _ := seal(t, attributes("00080018", "1.3", "0020000E", "1.7", "00204000", "x"), Dedup{Type: TypeInstance})
	y, _ := seal(t, attributes("00080018", "1.3", "0020000E", "1.7", "00204000", "y"), Dedup{Type: TypeInstance})
	files := []File{instanceFile(t, o), instanceFile(t, p), instanceFile(t, x), instanceFile(t, y), listFile(t, Dedup{}, []Object{corrected}, []Object{o})}
	slim := slices.Clone(files)
	for i := range slim {
		slim[i] = slim[i].Slim()
	}
	whole := Resolve(files, bulk)
	if len(whole.Instances) != 3 || !whole.Instances[2].Conflict || whole.Instances[0].Series.String() != "1.8" || whole.Complete() {
		t.Fatalf("the test's study is %s", verdicts(whole))
	}
	if kept := verdicts(Resolve(slim, bulk)); kept != verdicts(whole) {
		t.Errorf("of whole files\n%s\nof slim ones\n%s", verdicts(whole), kept)
	}
	if slim[0].Memory() >= files[0].Memory()+1 || slim[0].Memory() < 512 {
		t.Errorf("a slim file takes %d bytes, the whole one %d", slim[0].Memory(), files[0].Memory())
	}
}
