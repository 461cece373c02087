package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/gossip/reach"
	"github.com/dicomesh/dicomesh/settle"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// How long it may take, when all faults have ended, until all is level and settled. A pull that brought nothing is not tried again for ten minutes.
const patience = 25 * time.Minute

// calm lets all faults end, and holds what comes of it against I9: all is level, all studies without conflict are settled, and then nothing is written. Combining and collecting are a
// part of it: they come to an end as well.
func (w *world) calm() {
	w.mended = true
	w.mend()
	w.come("after the faults")
	for round := 0; ; round++ {
		before := w.stands()
		for _, s := range w.sites {
			for _, uid := range w.studies {
				if w.failure == "" {
					s.combineOf(uid)
				}
			}
		}
		w.come("after combining")
		w.run(time.Minute)
		for _, s := range w.sites {
			s.collect()
		}
		w.come("after collecting")
		if w.failure != "" {
			return
		}
		if before == w.stands() {
			break
		}
		if round > 8 {
			w.fail("I9: combining and collecting never end")
		}
	}
	w.retained()
	writes := w.writes()
	w.run(2 * time.Minute)
	if now := w.writes(); now != writes {
		w.fail("I9: all was settled, and something was written: %s, before %s", now, writes)
	}
}

// come waits until all is level and settled.
func (w *world) come(when string) {
	for end := w.now + patience; w.failure == ""; w.run(2 * time.Second) {
		why := w.unsettled()
		if why == "" {
			return
		}
		if w.now > end {
			w.fail("I9: %s, for %v: %s", when, patience, why)
		}
	}
}

// unsettled is what is not yet as it should be, "" if nothing is.
func (w *world) unsettled() string {
	for _, s := range w.sites {
		if !s.awake() {
			return s.name + " does not run"
		}
		if j := s.life.judge(); j.State != reach.Whole || len(j.Without) > 0 {
			return fmt.Sprintf("%s says %s: %s", s.name, j.State, j.Reason)
		}
		for _, uid := range w.studies {
			r, first := s.disk.rows[uid], w.sites[0].disk.rows[uid]
			if r.Leaf != first.Leaf {
				return fmt.Sprintf("study %s is %s at %s and %s at %s", uid, short(first.Leaf), w.sites[0].name, short(r.Leaf), s.name)
			}
			if len(r.files) == 0 {
				continue
			}
			want := settle.Settled
			if r.Flags&wire.Conflict != 0 {
				want = settle.Conflict
			}
			status, err := s.life.loop.Study(s.life.ctx, uid)
			if err != nil || status.State != want || status.Leaf != r.Leaf || s.disk.records[uid].Published != r.Leaf {
				return fmt.Sprintf("study %s is %s at %s (%s: %s); %+v", uid, status.State, s.name, status.Step, status.Reason, s.life.sync.Status())
			}
		}
	}
	return ""
}

// stands is what all sites hold.
func (w *world) stands() string {
	var all []dedup.FileID
	for _, s := range w.sites {
		for _, uid := range w.studies {
			for _, f := range s.disk.rows[uid].files {
				all = append(all, f.ID)
			}
		}
	}
	return fmt.Sprint(all)
}

// writes is what the sites have written, but for the time that they count.
func (w *world) writes() string {
	var all []string
	for _, s := range w.sites {
		for _, uid := range slices.SortedFunc(maps.Keys(s.disk.records), dedup.UID.Compare) {
			o := s.disk.current[uid]
			all = append(all, fmt.Sprint(s.name, uid, s.disk.change, s.disk.records[uid].State, o.made, short(o.view)))
		}
	}
	return fmt.Sprint(all, w.stands())
}
