package reach

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/e2e/golden"
	"github.com/dicomesh/dicomesh/gossip/roster"
)

var cluster = Cluster{Name: "test", Root: roster.KeyOf(private("root"))}

// sample is a row with everything in it.
func sample() Row {
	return Row{Site: "a", Mark: Mark{7, 300}, Life: Life{1, 2, 3}, Epoch: roster.Epoch{9}, Beat: WAN, Level: true, Links: []Said{
		{Site: "b", Seen: Seen{Life{4}, 77}, In: Way{true, true, 1234 * time.Millisecond}, Out: Way{Known: true, Age: 5 * time.Second}},
		{Site: "c"},
	}}
}

func sampleQuestion() question {
	return question{nonce: Nonce{1, 2, 3}, asker: "a", to: "b", cluster: cluster}
}

var sampleAnswer = Answered{Site: "b", Epoch: roster.Epoch{9}, Boot: 5, Incarnation: "i-1"}

// TestForms holds the bytes on the wire: whoever changes them breaks clusters of sites with different programs. -update writes them anew.
func TestForms(t *testing.T) {
	var out strings.Builder
	for _, form := range []struct {
		name  string
		bytes []byte
	}{
		{"rows", encodeHeld(10*time.Second, cluster.sign(sample(), private("a"), 8*time.Second))},
		{"question", sampleQuestion().encode()},
		{"answer", sampleQuestion().answer(sampleAnswer, private("b"))},
	} {
		fmt.Fprintf(&out, "%s %s\n", form.name, hex.EncodeToString(form.bytes))
	}
	golden.Compare(t, "testdata/forms.txt", out.String())
}

func TestRowsRoundTrip(t *testing.T) {
	h := cluster.sign(sample(), private("a"), 8*time.Second)
	later := encodeHeld(10*time.Second, h, cluster.sign(Row{Site: "b", Mark: Mark{1, 1}, Beat: LAN}, private("b"), 10*time.Second))
	got, err := decodeHeld(30*time.Second, later)
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	if fmt.Sprint(got[0].Row) != fmt.Sprint(sample()) || got[0].compare(h) != 0 || got[0].born != 28*time.Second || got[1].born != 30*time.Second {
		t.Errorf("%+v", got)
	}
	extended := h
	extended.body += "what a newer program adds"
	if more, err := decodeHeld(0, encodeHeld(0, extended)); err != nil || fmt.Sprint(more[0].Row) != fmt.Sprint(sample()) {
		t.Errorf("an extended row: %v", err)
	}
}

// TestMalformed: what is cut off, or in a second form, is nothing.
func TestMalformed(t *testing.T) {
	whole := encodeHeld(0, cluster.sign(sample(), private("a"), 0))
	for n := 1; n < len(whole); n++ {
		if _, err := decodeHeld(0, whole[:n]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
	}
	for what, change := range map[string]func(*Row){
		"no boot":        func(r *Row) { r.Boot = 0 },
		"no number":      func(r *Row) { r.Seq = 0 },
		"last number":    func(r *Row) { r.Seq = maxNumber + 1 },
		"no beat":        func(r *Row) { r.Beat = 0 },
		"slow beat":      func(r *Row) { r.Beat = maxBeat + time.Millisecond },
		"no name":        func(r *Row) { r.Site = "" },
		"bad name":       func(r *Row) { r.Site = "A/../b" },
		"itself":         func(r *Row) { r.Links[0].Site = "a" },
		"twice":          func(r *Row) { r.Links[1].Site = "b" },
		"out of order":   func(r *Row) { r.Links[0].Site = "d" },
		"up, never came": func(r *Row) { r.Links[1].In.Up = true },
		"too many": func(r *Row) {
			r.Links = nil
			for n := range MaxSites + 1 {
				r.Links = append(r.Links, Said{Site: fmt.Sprintf("s%04d", n)})
			}
		},
	} {
		row := sample()
		change(&row)
		if _, err := decodeRow(row.encode()); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzRows(f *testing.F) {
	f.Add(encodeHeld(time.Second, cluster.sign(sample(), private("a"), 0), cluster.sign(Row{Site: "b", Mark: Mark{1, 1}, Beat: LAN}, private("b"), 0)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, message []byte) {
		const now = 2000 * time.Hour
		held, err := decodeHeld(now, message)
		if err != nil {
			return
		}
		if again := encodeHeld(now, held...); !bytes.Equal(again, message) {
			t.Fatalf("%x was read, and written as %x", message, again)
		}
		for _, h := range held {
			if known := h.Row.encode(); !strings.HasPrefix(h.body, known) {
				t.Fatalf("%x has a second form: %x", h.body, known)
			}
		}
	})
}

func FuzzEcho(f *testing.F) {
	q := sampleQuestion()
	f.Add(q.encode())
	f.Add(q.answer(sampleAnswer, private("b")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := decodeQuestion(b); err == nil && !bytes.Equal(got.encode(), b) {
			t.Fatalf("%x was read, and written as %x", b, got.encode())
		}
		if a, err := q.open(b, roster.KeyOf(private("b"))); err == nil && !bytes.Equal(q.answer(a, private("b")), b) {
			t.Fatalf("a forged answer %x", b)
		}
	})
}

// TestAnswers: an answer is good for the nonce, the asker, the site, its key and the cluster that it was given for, and for nothing else.
func TestAnswers(t *testing.T) {
	q := sampleQuestion()
	answer := q.answer(sampleAnswer, private("b"))
	key := roster.KeyOf(private("b"))
	if a, err := q.open(answer, key); err != nil || a != sampleAnswer {
		t.Fatal(a, err)
	}
	for what, f := range map[string]func() (question, []byte, roster.Key){
		"another nonce":   func() (question, []byte, roster.Key) { o := q; o.nonce[31]++; return o, answer, key },
		"another asker":   func() (question, []byte, roster.Key) { o := q; o.asker = "c"; return o, answer, key },
		"another site":    func() (question, []byte, roster.Key) { o := q; o.to = "c"; return o, answer, key },
		"another cluster": func() (question, []byte, roster.Key) { o := q; o.cluster.Name = "other"; return o, answer, key },
		"another key":     func() (question, []byte, roster.Key) { return q, answer, roster.KeyOf(private("c")) },
		"signed by c":     func() (question, []byte, roster.Key) { return q, q.answer(sampleAnswer, private("c")), key },
	} {
		o, b, k := f()
		if _, err := o.open(b, k); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := range len(answer) {
		changed := bytes.Clone(answer)
		changed[n] ^= 1
		if _, err := q.open(changed, key); err == nil {
			t.Errorf("byte %d changed, and nobody noticed", n)
		}
		if _, err := q.open(answer[:n], key); err == nil {
			t.Errorf("cut after %d bytes, and nobody noticed", n)
		}
	}
}
