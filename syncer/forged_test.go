package syncer

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/e2e/shareddata"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// forgeries are objects that say that they are the extract of that hash, and are not.
func forgeries(h dedup.Hash) map[string]dedup.Object {
	patient := element(0x00100020, `{"Value":["ANOTHER"],"vr":"LO"}`)
	creator, hash, of := element(0x000900BB, `{"Value":["dedupped"],"vr":"LO"}`), element(0x0009BB11, `{"Value":["`+h.String()+`"],"vr":"LO"}`), element(0x0009BB12, `{"Value":["patient"],"vr":"LO"}`)
	version := func(v string) dedup.Element { return element(0x0009BB18, `{"Value":["`+v+`"],"vr":"LO"}`) }
	return map[string]dedup.Object{
		"without a version":         {creator, hash, of, patient},
		"without a hash":            {creator, of, patient},
		"without a block":           {patient},
		"of this version":           {creator, hash, of, version("1"), patient},
		"of a later version":        {creator, hash, of, version("2"), patient},
		"of the info of a list":     {creator, hash, element(0x0009BB12, `{"Value":["info"],"vr":"LO"}`), patient},
		"an info of a version more": {creator, hash, element(0x0009BB12, `{"Value":["info"],"vr":"LO"}`), version("1"), patient},
	}
}

// TestForgedObjects holds that no object gets in under a name of 64 digits which does not prove that it has it, and that what other writers made does: by its hash, where they gave one that is known,
// and as it comes, where their names say nothing.
func TestForgedObjects(t *testing.T) {
	var j judges
	name := dedup.Ref{Class: dedup.Bulkdata, Name: strings.Repeat("ab", 32), Ext: ".json.gz"}
	check := func(ref dedup.Ref, o dedup.Object) error {
		_, err := j.checkBulk(want{ref: ref}, ref, dedup.Compress(nil, o.AppendJSON(nil)))
		return err
	}
	for what, o := range forgeries(name.Hash()) {
		if err := check(name, o); !errors.Is(err, errFault) {
			t.Errorf("an object %s gets in: %v", what, err)
		}
	}
	old := dedup.Ref{Class: dedup.Bulkdata, Name: strings.Repeat("ab", 20), Ext: ".json.gz"}
	if err := check(old, forgeries(old.Hash())["without a version"]); err != nil {
		t.Errorf("an extract of the old dialect: %v", err)
	}
	foreign := 0
	err := filepath.WalkDir(shareddata.Dir(t, "data", "golden"), func(p string, d fs.DirEntry, err error) error {
		_, inside, is := strings.Cut(filepath.ToSlash(p), "/bulkdata/")
		if err != nil || !is || !strings.HasSuffix(p, ".json.gz") {
			return err
		}
		ref, err := dedup.ParseRef("bulkdata/" + inside)
		stored, again := os.ReadFile(p)
		if err := errors.Join(err, again); err != nil {
			return err
		}
		foreign++
		_, err = j.checkBulk(want{ref: ref}, ref, stored)
		return err
	})
	if err != nil || foreign < 100 {
		t.Errorf("of what static-wado wrote %d extracts get in: %v", foreign, err)
	}
}

// TestForgedExtract: a member that lies gives, for an extract, an object of its own making that says that it is of no version, as another writer's. The instance that names it is not shown with it:
// the liar is blamed, and both come from who has them.
func TestForgedExtract(t *testing.T) {
	m := newMesh()
	liar, honest, b := m.start(t, "liar", t.TempDir()), m.start(t, "honest", t.TempDir()), m.start(t, "b", t.TempDir())
	m.hook = func(_, to string, use Use, s Stream) bool {
		if to != "liar" || use != Fetch {
			return false
		}
		k := newTalk(t.Context(), s)
		q, err := k.hear()
		f, is := q.(*wire.Fetch)
		if err != nil || !is {
			return true
		}
		for i, x := range f.Files {
			stored, err := os.ReadFile(filepath.Join(liar.dir, "tree", x.Ref.In(f.Study)))
			if x.Ref.Ext == ".json.gz" {
				stored = dedup.Compress(nil, forgeries(x.Ref.Hash())["without a version"].AppendJSON(nil))
			}
			if err != nil || give(k, i, stored) != nil {
				return true
			}
		}
		return true
	}
	for n := range 3 {
		liar.instance(study(1), n, 1000)
		honest.instance(study(1), n, 1000)
	}
	liar.look(study(1))
	m.link(t.Context(), liar, b)
	wait(t, func() bool { return strings.Contains(b.blames("liar"), "nothing proves") })
	if n := b.holds(study(1)); n > 0 && b.alike(liar, study(1)) {
		t.Errorf("%d files of a liar are here", n)
	}
	honest.look(study(1))
	m.link(t.Context(), honest, b)
	wait(t, func() bool { return maps.Equal(b.files(), honest.files()) })
	if said := b.blames("honest"); said != "" {
		t.Errorf("the other is blamed for: %s", said)
	}
}
