package regen_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/regen"
)

var errNot = errors.New("not now")

// A study that was cleaned has no files, says so, and comes back as it was; one that may not be is left alone.
func TestClean(t *testing.T) {
	archive, current := crashfs.New(), crashfs.New()
	put(t, archive, parts(t, small())...)
	uid := uidOf(t, small().UID())
	g := regen.New(regen.Config{Archive: archive, Current: current})
	round(t, g, uid, noon())
	before := contents(t, current)
	size, err := regen.Size(current, uid)
	must(t, err)
	if _, err := g.Clean(uid, func() error { return errNot }); !errors.Is(err, errNot) || !maps.Equal(contents(t, current), before) || regen.Cleaned(current, uid) {
		t.Errorf("one that may not be cleaned: %v", err)
	}
	bytes, err := g.Clean(uid, func() error { return nil })
	must(t, err)
	// The status is no file of the record, so it is little more than the record says.
	if left := contents(t, current); len(left) > 0 || bytes < size || bytes > size+2000 || size < 1000 || !regen.Cleaned(current, uid) {
		t.Errorf("cleaned: %d files are left, %d bytes went, the record said %d", len(left), bytes, size)
	}
	if _, err := regen.Size(current, uid); err == nil {
		t.Error("a study without files has a size")
	}
	round(t, g, uid, noon())
	if !maps.Equal(contents(t, current), before) || regen.Cleaned(current, uid) {
		t.Error("made again, it is another")
	}
	_, err = g.Clean(uid, func() error { return nil })
	must(t, err)
	must(t, regen.Wanted(current, uid))
	if regen.Cleaned(current, uid) {
		t.Error("its files are wanted, and it counts as cleaned")
	}
	must(t, regen.Wanted(current, uid))
}

// Whenever the power is cut while a study is cleaned: it is whole, or not there and marked, and a round makes all of it again.
func TestCleanCrash(t *testing.T) {
	archive, whole := crashfs.New(), crashfs.New()
	put(t, archive, parts(t, tiny())...)
	uid := uidOf(t, tiny().UID())
	round(t, regen.New(regen.Config{Archive: archive, Current: whole}), uid, noon())
	before := contents(t, whole)
	there, marked := 0, 0
	for k, done := 0, false; !done; k++ {
		current := crashfs.New()
		g := regen.New(regen.Config{Archive: archive, Current: current})
		round(t, g, uid, noon())
		current.Hook = crashfs.CrashAt(current.Ops() + k)
		_, err := g.Clean(uid, func() error { return nil })
		done = err == nil
		after := current.Crash(rand.New(rand.NewPCG(uint64(k), 1)))
		switch _, err := regen.ReadStatus(after, uid); {
		case err == nil:
			if there++; !maps.Equal(contents(t, after), before) {
				t.Fatalf("cut at %d: it has a status, and not all of its files", k)
			}
		case regen.Cleaned(after, uid):
			marked++
		default:
			t.Fatalf("cut at %d: it has no status and no mark", k)
		}
		round(t, regen.New(regen.Config{Archive: archive, Current: after}), uid, noon())
		if !maps.Equal(contents(t, after), before) || regen.Cleaned(after, uid) {
			t.Fatalf("cut at %d: a round does not make it whole", k)
		}
	}
	if there < 3 || marked < 3 {
		t.Errorf("whole after %d cuts, marked after %d", there, marked)
	}
}
