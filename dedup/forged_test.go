package dedup

import (
	"slices"
	"strings"
	"testing"
)

// forgeries are objects that say that they are the extract of that hash, and are not: each says of another writer or version that it may have made it.
func forgeries(t *testing.T, h Hash) map[string]Object {
	t.Helper()
	say := func(pairs ...string) Object {
		return mustObject(t, attributes(append(append([]string{"000900BB", creator, "0009BB11", h.text}, pairs...), "00100020", "ANOTHER")...))
	}
	return map[string]Object{
		"without a version":  say("0009BB12", "patient"),
		"of this version":    say("0009BB12", "patient", "0009BB18", Version),
		"of a later version": say("0009BB12", "patient", "0009BB18", "2"),
	}
}

// TestForgedInline holds that an extract in a list stands in for the file of its hash, which is lost, only if it proves that hash: neither is it shown, nor is a list evidence because it has it.
func TestForgedInline(t *testing.T) {
	whole, h := seal(t, attributes("00100020", "TRUE"), Dedup{Type: TypePatient})
	r, _ := record(t, "1.2.3", "a value", Dedup{Refs: []Hash{h}})
	resolve := func(extract Object) (*State, SOPInstance) {
		s := Resolve([]File{listFile(t, Dedup{}, []Object{extract}, []Object{r}), instanceFile(t, r)}, newBulk())
		i, has := s.Instance(UID{"1.2.3"})
		if !has {
			t.Fatal("there is no instance")
		}
		return s, i
	}
	want := []Ref{{Class: Bulkdata, Name: h.text, Ext: ".json.gz"}}
	for what, forged := range forgeries(t, h) {
		s, i := resolve(forged)
		if shown := s.Merge(i.Records[0]).Text(0x00100020); shown != "" || s.Complete() || !slices.Equal(i.Missing, want) || len(s.Dominated) > 0 {
			t.Errorf("one %s is shown as patient %q; complete %v, missing %v, accounted for %v", what, shown, s.Complete(), i.Missing, s.Dominated)
		}
	}
	s, i := resolve(whole)
	if shown := s.Merge(i.Records[0]).Text(0x00100020); shown != "TRUE" || !s.Complete() || len(s.Dominated) != 1 {
		t.Errorf("the extract itself is shown as %q; complete %v, accounted for %v", shown, s.Complete(), s.Dominated)
	}
}

// TestOldInline holds that an extract under a name of 40 digits, which proves nothing, is read from a list as before.
func TestOldInline(t *testing.T) {
	h := Hash{strings.Repeat("ab", 20)}
	old := mustObject(t, attributes("000900BB", creator, "0009BB11", h.text, "0009BB12", "patient", "00100020", "OLD"))
	r, _ := record(t, "1.2.3", "a value", Dedup{Refs: []Hash{h}})
	s := Resolve([]File{listFile(t, Dedup{}, []Object{old}, []Object{r}), instanceFile(t, r)}, newBulk())
	i, _ := s.Instance(UID{"1.2.3"})
	if shown := s.Merge(i.Records[0]).Text(0x00100020); shown != "OLD" || !s.Complete() || len(s.Dominated) != 1 {
		t.Errorf("it is shown as %q; complete %v, accounted for %v", shown, s.Complete(), s.Dominated)
	}
}
