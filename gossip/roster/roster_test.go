package roster

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// private is the same key for the same words, each time.
func private(words ...any) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(fmt.Sprint(words...)))
	return ed25519.NewKeyFromSeed(seed[:])
}

func site(name string) Site {
	return Site{Name: name, Key: KeyOf(private(name, "site")), Operator: KeyOf(private(name, "operator")), Role: Full,
		Addresses: []string{name + ".example:7946"}, Status: Active}
}

func founded(t interface{ Fatal(...any) }) Roster {
	r, err := New("test", private("root"), site("a"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func must(t *testing.T, r Roster, err error) Roster {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func names(sites []Site) string {
	var all []string
	for _, s := range sites {
		all = append(all, s.Name)
	}
	return strings.Join(all, " ")
}

func TestAdmission(t *testing.T) {
	r := founded(t)
	b, err := r.With(site("b"), private("a", "operator"))
	b = must(t, b, err)
	c, err := b.With(site("c"), private("b", "operator"))
	c = must(t, c, err)
	if got := names(c.Sites()); got != "a b c" {
		t.Fatal(got)
	}
	if _, err := c.With(site("d"), private("d", "operator")); !errors.Is(err, ErrNoOperator) {
		t.Errorf("a stranger signed itself in: %v", err)
	}
	impostor := site("b")
	impostor.Key = KeyOf(private("impostor"))
	if _, err := c.With(impostor, private("a", "operator")); !errors.Is(err, ErrTaken) {
		t.Errorf("a known name with another key: %v", err)
	}
	twice := site("d")
	twice.Key = site("b").Key
	if _, err := c.With(twice, private("a", "operator")); !errors.Is(err, ErrTaken) {
		t.Errorf("a known key under another name: %v", err)
	}
	edge := site("e")
	edge.Role = "edge"
	if _, err := c.With(edge, private("a", "operator")); !errors.Is(err, ErrEdge) {
		t.Errorf("edge: %v", err)
	}
	if c.Epoch() == b.Epoch() {
		t.Error("another site, the same epoch")
	}
}

func TestRemoval(t *testing.T) {
	r := founded(t)
	r, _ = r.With(site("b"), private("a", "operator"))
	r, _ = r.With(site("c"), private("b", "operator"))
	stolen := r // what the thief of b has

	r, err := r.Remove("b", "a", private("a", "operator"))
	r = must(t, r, err)
	if got := names(r.Sites()); got != "a c" || names(r.Removed()) != "b" {
		t.Fatalf("sites %s, removed %s", got, names(r.Removed()))
	}
	if len(r.Alarms()) != 0 {
		t.Errorf("c was signed by b alone and should have been signed again: %v", r.Alarms())
	}
	if _, err := r.With(site("d"), private("b", "operator")); !errors.Is(err, ErrNoOperator) {
		t.Errorf("a removed operator signs: %v", err)
	}
	// The thief goes on signing, with what counters it likes, and its roster comes in through a site that does not know yet.
	for range 20 {
		stolen, err = stolen.Change("b", private("b", "operator"), func(s *Site) { s.By = "b" })
		stolen = must(t, stolen, err)
		stolen, err = stolen.Change("c", private("b", "operator"), func(s *Site) { s.Addresses = []string{"evil.example:1"} })
		stolen = must(t, stolen, err)
	}
	merged, err := Merge(r, stolen)
	merged = must(t, merged, err)
	if got := names(merged.Sites()); got != "a c" {
		t.Errorf("b came back: %s", got)
	}
	if c, _ := merged.Site("c"); c.Addresses[0] != "c.example:7946" {
		t.Errorf("the word of a removed site moved c to %v", c.Addresses)
	}
	back := site("b")
	back.Key, back.Operator = KeyOf(private("new")), KeyOf(private("new operator"))
	again, err := merged.With(back, private("c", "operator"))
	if again = must(t, again, err); names(again.Sites()) != "a b c" {
		t.Errorf("a machine set up anew: %s", names(again.Sites()))
	}
	root, err := merged.Change("c", private("root"), func(s *Site) { s.By = "root" })
	if root = must(t, root, err); len(root.Alarms()) != 0 {
		t.Error(root.Alarms())
	}
}

func TestTwoRemovalsLoseNobody(t *testing.T) {
	r := founded(t)
	r, _ = r.With(site("b"), private("a", "operator"))
	r, _ = r.With(site("c"), private("a", "operator"))
	atB, err := r.With(site("d"), private("a", "operator")) // c has not heard of d
	atB = must(t, atB, err)
	atB, err = atB.Remove("a", "b", private("b", "operator"))
	atB = must(t, atB, err)
	atC, err := r.Remove("b", "c", private("c", "operator"))
	atC = must(t, atC, err)
	m, err := Merge(atB, atC)
	if m = must(t, m, err); names(m.Sites()) != "c d" {
		t.Fatalf("sites %s", names(m.Sites()))
	}
	if alarms := m.Alarms(); len(alarms) != 2 || alarms[0].Site != "c" || alarms[1].Site != "d" {
		t.Errorf("c and d rest on removed sites alone, and alarms are %v", alarms)
	}
}

func TestTwoOfOneName(t *testing.T) {
	r := founded(t)
	r, _ = r.With(site("b"), private("a", "operator"))
	x, y := site("x"), site("x")
	y.Key, y.Operator = KeyOf(private("other")), KeyOf(private("other operator"))
	left, err := r.With(x, private("a", "operator"))
	left = must(t, left, err)
	later, _ := r.With(site("z"), private("b", "operator"))
	right, err := later.With(y, private("b", "operator"))
	right = must(t, right, err)
	m, err := Merge(left, right)
	m = must(t, m, err)
	if s, _ := m.Site("x"); s.Key != x.Key {
		t.Error("the name moved to the one that was admitted later")
	}
	if alarms := m.Alarms(); len(alarms) != 1 || alarms[0].Site != "x" {
		t.Errorf("alarms %v", alarms)
	}
	m, err = m.Remove("x", "a", private("a", "operator"))
	if m = must(t, m, err); len(m.Alarms()) != 0 {
		t.Error(m.Alarms())
	}
	if s, _ := m.Site("x"); s.Key != y.Key {
		t.Error("the other one should have the name now")
	}
}

func TestAcknowledgedDown(t *testing.T) {
	r := founded(t)
	until := time.Unix(2_000_000_000, 0).UTC()
	r, err := r.Change("a", private("a", "operator"), func(s *Site) { s.Status, s.Until, s.By = AckDown, until, "b" })
	r = must(t, r, err)
	r, err = Decode(r.Encode())
	s, _ := must(t, r, err).Site("a")
	if s.Until != until || s.By != "b" || s.Counts(until.Add(-1)) || !s.Counts(until) {
		t.Errorf("%+v", s)
	}
	if _, err := r.Change("a", private("a", "operator"), func(s *Site) { s.Status, s.Until = AckDown, time.Time{} }); err == nil {
		t.Error("acknowledged for ever")
	}
}

func TestLinks(t *testing.T) {
	r := founded(t)
	for _, name := range []string{"b", "c", "d"} {
		s := site(name)
		if name > "b" {
			s.Addresses = nil
		}
		r, _ = r.With(s, private("a", "operator"))
	}
	if got := fmt.Sprint(r.Links()); got != "[{a b} {a c} {a d} {b c} {b d}]" {
		t.Error(got)
	}
	r, err := r.Change("c", private("a", "operator"), func(s *Site) { s.Links = []string{"b"} })
	if got := fmt.Sprint(must(t, r, err).Links()); got != "[{a b} {a d} {b c} {b d}]" {
		t.Error(got)
	}
	r, _ = Decode(r.Encode())
	r, err = r.Change("a", private("a", "operator"), func(s *Site) { s.Links = []string{} })
	if got := fmt.Sprint(must(t, r, err).Links()); got != "[{b c} {b d}]" {
		t.Error(got)
	}
}

// TestNewerVersion holds that a record with fields that this version does not know is kept as it is, since its signature covers them.
func TestNewerVersion(t *testing.T) {
	r := founded(t)
	s := site("b")
	s.Admission = 2
	body := string(encodeBody(1, s)) + "\x40\x03new"
	rec := record{body: body, signer: KeyOf(private("root"))}
	copy(rec.signature[:], ed25519.Sign(private("root"), r.message(body)))
	var err error
	if rec.counter, rec.site, err = decodeBody([]byte(body)); err != nil {
		t.Fatal(err)
	}
	r, _ = r.plus(rec)
	got, err := Decode(r.Encode())
	if err != nil || names(got.Sites()) != "a b" || got.Epoch() != r.Epoch() {
		t.Errorf("%s, %v", names(got.Sites()), err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	r := founded(t)
	r, _ = r.With(site("b"), private("a", "operator"))
	good := r.Encode()
	if _, err := Decode(good); err != nil {
		t.Fatal(err)
	}
	for i := range good { // no bit of it can change
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, err := Decode(bad); !errors.Is(err, ErrMalformed) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := Decode(good[:i]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	s := site("evil")
	s.Admission = 2
	evil, err := r.sign(1, s, private("evil", "operator"))
	if err != nil {
		t.Fatal(err)
	}
	r, _ = r.plus(evil)
	if _, err := Decode(r.Encode()); !errors.Is(err, ErrMalformed) {
		t.Errorf("a site that admitted itself: %v", err)
	}
}

func TestOtherCluster(t *testing.T) {
	other, err := New("test", private("another root"), site("a"))
	if _, err2 := Merge(founded(t), must(t, other, err)); !errors.Is(err2, ErrOtherCluster) {
		t.Error(err2)
	}
}

// history draws what operators do at a few sites that hear of each other now and then, and returns the roster of each.
func history(t *rapid.T) []Roster {
	at := []Roster{founded(t), founded(t), founded(t)}
	pool := []string{"a", "b", "c", "d", "e"}
	for range rapid.IntRange(0, 12).Draw(t, "steps") {
		i := rapid.IntRange(0, len(at)-1).Draw(t, "at")
		name, by := rapid.SampledFrom(pool).Draw(t, "name"), rapid.SampledFrom(pool).Draw(t, "operator")
		next, err := at[i], error(nil)
		switch rapid.SampledFrom([]string{"admit", "rekey", "remove", "change", "hear"}).Draw(t, "step") {
		case "admit":
			next, err = at[i].With(site(name), private(by, "operator"))
		case "rekey":
			s := site(name)
			s.Key, s.Operator = KeyOf(private(name, "new")), KeyOf(private(name, "new operator"))
			next, err = at[i].With(s, private(by, "operator"))
		case "remove":
			next, err = at[i].Remove(name, by, private(by, "operator"))
		case "change":
			next, err = at[i].Change(name, private(by, "operator"), func(s *Site) { s.By = by })
		case "hear":
			next, err = Merge(at[i], at[(i+1)%len(at)])
		}
		if err == nil {
			at[i] = next
		}
	}
	return at
}

// TestMergeProperties: whatever operators do at sites that do not hear of each other, all end with the same roster, of which every byte is checked;
// nobody leaves it without a removal, and no removal is undone.
func TestMergeProperties(t *testing.T) {
	sometimes, wanted := map[string]int{}, []string{"removed", "alarm", "several"}
	unseen := func(what string) bool { return sometimes[what] == 0 }
	for round := 0; round == 0 || round < 30 && slices.ContainsFunc(wanted, unseen); round++ {
		rapid.Check(t, func(t *rapid.T) { merges(t, sometimes) })
	}
	for _, what := range wanted {
		if unseen(what) {
			t.Errorf("never: %s", what)
		}
	}
}

// merges is one history of TestMergeProperties; what it came to see is counted in sometimes.
func merges(t *rapid.T, sometimes map[string]int) {
	at := history(t)
	merge := func(a, b Roster) Roster {
		m, err := Merge(a, b)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	a, b, c := at[0], at[1], at[2]
	all := merge(merge(a, b), c)
	if all.Epoch() != merge(a, merge(b, c)).Epoch() || all.Epoch() != merge(c, merge(b, a)).Epoch() || merge(all, b).Epoch() != all.Epoch() {
		t.Fatal("the order counts")
	}
	if again, err := Decode(all.Encode()); err != nil || again.Epoch() != all.Epoch() {
		t.Fatalf("not what was written: %v", err)
	}
	for _, r := range at {
		for _, gone := range r.Removed() {
			if slices.ContainsFunc(all.Sites(), func(s Site) bool { return s.member() == gone.member() }) {
				t.Fatalf("%s came back", gone.Name)
			}
		}
		for _, s := range r.Sites() {
			if last, known := all.effective()[s.member()]; !known || last.site.Status != Removed && names(all.Sites()) == "" {
				t.Fatalf("%s left without a word", s.Name)
			}
		}
	}
	if len(all.Removed()) > 0 {
		sometimes["removed"]++
	}
	if len(all.Alarms()) > 0 {
		sometimes["alarm"]++
	}
	if len(all.Sites()) > 2 {
		sometimes["several"]++
	}
}

func FuzzDecode(f *testing.F) {
	r, _ := New("test", private("root"), site("a"))
	f.Add(r.Encode())
	r, _ = r.With(site("b"), private("a", "operator"))
	r, _ = r.Change("a", private("root"), func(s *Site) {
		s.Status, s.Until, s.Links = AckDown, time.Unix(1_900_000_000, 0).UTC(), []string{"b"}
	})
	f.Add(r.Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Decode(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if !bytes.Equal(r.Encode(), data) {
			t.Fatal("two forms of one roster")
		}
	})
}

// FuzzBody gets past the signatures.
func FuzzBody(f *testing.F) {
	s := site("a")
	s.Admission = 1
	f.Add(encodeBody(1, s))
	s.Links = []string{"b", "c"}
	f.Add(append(encodeBody(7, s), "\x40\x03new"...))
	f.Fuzz(func(t *testing.T, body []byte) {
		counter, s, err := decodeBody(body)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if !bytes.HasPrefix(body, encodeBody(counter, s)) {
			t.Fatal("two forms of one body")
		}
	})
}
