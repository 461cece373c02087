package dedup

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// fast fails when something takes so long that it must grow faster than its input. The limit is generous: machines are shared.
func fast(t *testing.T, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if d := time.Since(start); d > 2*time.Minute {
		t.Errorf("%s took %v", what, d)
	}
}

// A study of 10,000 instances, once in a list and once in as many files.
func TestManyRecords(t *testing.T) {
	const n = 10_000
	bulk := newBulk()
	patient := bulk.add(t, attributes("00100010", "Doe"), Dedup{Type: TypePatient})
	records := make([]Object, n)
	files := make([]File, n)
	for i := range records {
		records[i], _ = record(t, fmt.Sprintf("1.2.%d", i+1), "x", Dedup{Refs: []Hash{patient}})
		files[i] = instanceFile(t, records[i])
	}
	fast(t, "resolving", func() {
		s := Resolve(append(files, listFile(t, Dedup{}, nil, records)), bulk)
		if len(s.Instances) != n || len(s.Leaves) != 1 || len(s.Dominated) != n {
			t.Errorf("%d instances, %d leaves", len(s.Instances), len(s.Leaves))
		}
	})
}

// Files made to be slow: everybody replaces everybody, everybody deletes everybody, each list names all others, one hash for all.
func TestHostileRecords(t *testing.T) {
	const n = 5_000
	h := testHash(1)
	replace := fmt.Sprintf(`{"Value":[%q],"vr":"LO"}`, h)
	block := `"00090010":{"Value":["dedupped"],"vr":"LO"},"00091011":` + replace + `,"00091013":{"Value":["1"],"vr":"LO"}`
	var all, emptying []string
	for i := range n {
		head := fmt.Sprintf(`{"00080018":{"Value":["1.2"],"vr":"UI"},"00080100":{"Value":["%d"],"vr":"SH"},`, i)
		kind := TypeInstance
		if i%2 == 0 {
			kind = TypeDeleted
		}
		all = append(all, head+block+`,"00091012":{"Value":["`+string(kind)+`"],"vr":"LO"},"00091014":`+fmt.Sprintf(`{"Value":[%q],"vr":"LO"}`, testHash(2))+`}`)
		emptying = append(emptying, head+block+"}")
	}
	info := `{"00090010":{"Value":["dedupped"],"vr":"LO"},"00091010":{"Value":["` + sha + `","` + h.text + `","` + sha1 + `"],"vr":"LO"},"00091012":{"Value":["info"],"vr":"LO"}}`
	text := func(objects []string) []byte { return []byte("[" + info + "," + strings.Join(objects, ",") + "]") }
	fast(t, "resolving", func() {
		s := Resolve([]File{
			ParseFile(Ref{Class: List, Name: sha}, text(all)), ParseFile(Ref{Class: List, Name: sha1}, text(emptying)), ParseFile(Ref{Class: List, Name: sha1}, text(all[1:])),
		}, newBulk())
		if len(s.Instances) != 1 {
			t.Errorf("%d instances", len(s.Instances))
		}
	})
}

// Many lists, each with all that came before: what static-wado leaves behind.
func TestManyLists(t *testing.T) {
	const n = 200
	var records []Object
	var names []Hash
	var files []File
	for i := range n {
		o, h := foreign(t, fmt.Sprintf("1.%d", i+1), "x", nil, TypeInstance)
		records, names = append(records, o), append(names, h)
		f := foreignList(t, names, nil, records)
		files, names = append(files, f), append(names, f.ID.Ref.Hash())
	}
	fast(t, "resolving", func() {
		if s := Resolve(files, newBulk()); len(s.Leaves) != 1 || len(s.Instances) != n {
			t.Errorf("%d leaves, %d instances", len(s.Leaves), len(s.Instances))
		}
	})
}

func TestHostileText(t *testing.T) {
	fast(t, "parsing", func() {
		for _, text := range []string{
			strings.Repeat(`{"00080018":`, 1<<20), strings.Repeat("[", 1<<22), `{"00080018":{"Value":[` + strings.Repeat(`{"00080018":{"Value":[`, 1000),
			`[` + strings.Repeat(`{},`, 1<<20) + `{}]x`, `{"00080018":{"Value":["` + strings.Repeat(`\u0000`, 1<<20) + `"]}`,
		} {
			if list, err := ParseList([]byte(text)); err == nil {
				t.Errorf("%.30q is taken for %d objects", text, len(list))
			}
		}
		// Every level out of order, so that every level is rewritten.
		deep := `{"vr":"SQ","Value":[]}`
		for range 80 {
			deep = `{"vr":"SQ","Value":[{"00400275":` + deep + `,"00080018":{"vr":"UI"}}]}`
		}
		if _, err := ParseObject([]byte(`{"00400275":` + deep + `}`)); err != nil {
			t.Error(err)
		}
		many := make([]string, 1<<16)
		for i := range many {
			many[i] = fmt.Sprintf(`"%08X":{"vr":"LO"}`, 1<<17-i)
		}
		if o, err := ParseObject([]byte("{" + strings.Join(many, ",") + "}")); err != nil || len(o) != len(many) {
			t.Error(len(o), err)
		}
	})
}

// Whatever stands in a file, reading it ends with a File, and Resolve with a State.
func FuzzFile(f *testing.F) {
	o, h := foreign(f, "1.2", "x", []Hash{testHash(1)}, TypeInstance)
	f.Add(string(appendList(nil, []Object{o})), string(foreignList(f, []Hash{h}, nil, []Object{o}).ID.Ref.Name))
	_, content := ComposeList(Dedup{Refs: []Hash{h}}, []Object{o}, []Object{o})
	f.Add(string(content), sha)
	f.Fuzz(func(t *testing.T, a, b string) {
		files := []File{
			ParseFile(Ref{Class: List, Name: sha}, []byte(a)), ParseFile(Ref{Class: List, Name: sha1}, []byte(b)), ParseFile(Ref{Class: Instance, Name: "1.2"}, []byte(b)),
		}
		s := Resolve(files, newBulk())
		if len(s.Leaves)+len(s.Dominated) != 3 {
			t.Fatalf("%d leaves, %d dominated", len(s.Leaves), len(s.Dominated))
		}
		for _, i := range s.Instances {
			for _, r := range i.Records {
				for _, ref := range s.Closure(r) {
					if ref.Path() == "" {
						t.Fatalf("a reference without a path: %+v", ref)
					}
				}
			}
		}
		for _, f := range files {
			f.Verify()
		}
	})
}

func BenchmarkResolve(b *testing.B) {
	const n = 10_000
	bulk := newBulk()
	patient := bulk.add(b, attributes("00100010", "Doe"), Dedup{Type: TypePatient})
	records := make([]Object, n)
	for i := range records {
		records[i], _ = record(b, fmt.Sprintf("1.2.%d", i+1), strings.Repeat("x", 2000), Dedup{Refs: []Hash{patient}})
	}
	name, content := ComposeList(Dedup{}, nil, records)
	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		b.ReportAllocs()
		for b.Loop() {
			ParseFile(Ref{Class: List, Name: name.text}, content)
		}
	})
	f := ParseFile(Ref{Class: List, Name: name.text}, content)
	files := make([]File, n)
	for i := range files {
		files[i] = ParseFile(Ref{Class: Instance, Name: fmt.Sprintf("1.2.%d", i+1)}, appendList(nil, records[i:i+1]))
	}
	b.Run("list", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Resolve([]File{f}, bulk)
		}
	})
	b.Run("files", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Resolve(files, bulk)
		}
	})
	state := Resolve([]File{f}, bulk)
	b.Run("judge", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			state.Judge(records[5])
		}
	})
	b.Run("seal", func(b *testing.B) {
		content, d := Split(records[5])
		b.ReportAllocs()
		for b.Loop() {
			_, _, _ = Seal(content, d)
		}
	})
	b.Run("compress", func(b *testing.B) {
		text := records[5].AppendJSON(nil)
		var compressor Compressor
		b.ReportAllocs()
		for b.Loop() {
			compressor.Append(nil, text)
		}
	})
}
