package settle

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"pgregory.net/rapid"
)

// TestNextProperties plays random histories of one study and judges what next asks for by what the world is, kept apart from the facts.
func TestNextProperties(t *testing.T) {
	sometimes := make(map[string]int)
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.sometimes = sometimes
		t.Repeat(map[string]func(*rapid.T){
			"change": func(*rapid.T) { w.change() },
			"spurious touch": func(*rapid.T) {
				w.touch()
			},
			"time": func(t *rapid.T) {
				w.pass(time.Duration(rapid.Int64Range(1, int64(90*time.Second)).Draw(t, "time")))
			},
			"moment": func(t *rapid.T) {
				w.pass(time.Duration(rapid.Int64Range(1, int64(700*time.Millisecond)).Draw(t, "time")))
			},
			"gate": func(t *rapid.T) {
				w.view.gate.State = rapid.SampledFrom([]Wholeness{Whole, Whole, Partial, Split, ""}).Draw(t, "gate")
				if rapid.Bool().Draw(t, "noticed") {
					w.happen(event{kind: gated})
				}
			},
			"roster": func(t *rapid.T) {
				w.view.gate.Epoch = rapid.SampledFrom([]string{"e1", "e2"}).Draw(t, "epoch")
				w.happen(event{kind: gated})
			},
			"other": func(t *rapid.T) {
				o := &w.view.others[0]
				o.Lacking = rapid.SampledFrom([]int{0, 0, 1, -1}).Draw(t, "lacking")
				o.Leaf = rapid.SampledFrom([]dedup.Digest{w.leaf, leaf("other")}).Draw(t, "leaf")
				o.Complete, o.Durable = rapid.Bool().Draw(t, "complete"), rapid.Bool().Draw(t, "durable")
				o.Joining = rapid.Int().Draw(t, "joining")%4 == 0
				if rapid.Bool().Draw(t, "told") {
					w.happen(event{kind: reported, news: rapid.SampledFrom([]news{ofStudy, ofSite}).Draw(t, "news")})
				}
			},
			"missing": func(t *rapid.T) { w.missing = rapid.IntRange(0, 2).Draw(t, "missing") },
			"conflict": func(t *rapid.T) {
				w.missing, w.conflict = 0, rapid.Bool().Draw(t, "conflict")
				w.view.gate = Gate{State: Whole, Epoch: "e1", Sites: []string{"b"}}
				w.change()
				w.work(12, 500*time.Millisecond)
			},
			"gone": func(*rapid.T) {
				w.touch()
				w.end(2)
			},
			"busy":    func(t *rapid.T) { w.view.busy = rapid.Bool().Draw(t, "busy") },
			"stopped": func(*rapid.T) { w.happen(event{kind: resumed}) },
			"work":    func(*rapid.T) { w.work(12, 500*time.Millisecond) },
			"split for a while": func(*rapid.T) {
				w.view.gate.State = Split
				w.happen(event{kind: gated})
				w.change()
				w.work(12, 500*time.Millisecond)
			},
			"stream": func(*rapid.T) {
				for range 130 {
					w.touch()
					w.work(2, 450*time.Millisecond)
				}
			},
			"restart":  func(*rapid.T) { w.restart() },
			"job ends": func(t *rapid.T) { w.end(rapid.IntRange(0, 9).Draw(t, "luck")) },
			"job ends well": func(*rapid.T) {
				w.end(9)
			},
		})
		w.calm()
	})
	for _, what := range []string{"generate", "verify", "provisional", "echo", "save published", "save settled", "save conflict", "held", "incomplete",
		"patience", "gone"} {
		if sometimes[what] == 0 {
			t.Errorf("in no history: %s", what)
		}
	}
}

// world is one study, what is around it, and what a judge remembers.
type world struct {
	t     *rapid.T
	stage stage // for its rules, now and out
	facts facts
	view  view

	leaf     dedup.Digest
	changes  int
	missing  int
	conflict bool
	record   Record // saved
	current  dedup.Digest

	rests     bool
	job       job
	saving    effect
	complete  bool // as the last look found it
	seen      dedup.Digest
	lastTouch time.Duration
	firstNew  time.Duration // of the first touch since the last publication
	roundEnd  time.Duration
	echoBegan time.Duration
	still     dedup.Digest // what a round wrote nothing of, last
	proven    bool
	published int
	log       []line
	sometimes map[string]int // how often something happened, in all histories
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, leaf: leaf("0")}
	w.stage.rules = rules{site: "a", version: "v", timing: Timing{}.set()}
	w.stage.rules.policy = Policy{Partial: rapid.Bool().Draw(t, "when_partial"), Split: rapid.Bool().Draw(t, "when_split")}
	w.stage.now, w.sometimes = time.Hour, make(map[string]int)
	w.view.gate = Gate{State: Whole, Epoch: "e1", Sites: []string{"b"}}
	w.view.others = []SiteReport{{Site: "b"}}
	w.facts.step, w.rests = dirty, true
	return w
}

// line is what happened, for a failure's message.
type line struct {
	at           time.Duration
	kind         happening
	err          error
	before, then step
	job          job
}

// history is the last of it.
func (w *world) history() string {
	var text strings.Builder
	for _, l := range w.log[max(0, len(w.log)-60):] {
		fmt.Fprintf(&text, "%v event %d err %v: %s -> %s, %s\n", l.at-time.Hour, l.kind, l.err, steps[l.before], steps[l.then], jobs[l.job])
	}
	return text.String()
}

func (w *world) open() bool {
	return w.view.gate.State == Whole || w.view.gate.State == Partial && w.stage.rules.policy.Partial
}

func (w *world) change() {
	w.changes++
	w.leaf = leaf(fmt.Sprint(w.changes))
	w.touch()
}

func (w *world) touch() {
	w.lastTouch = w.stage.now
	if w.firstNew == 0 {
		w.firstNew = w.stage.now
	}
	w.happen(event{kind: touched})
}

func (w *world) pass(d time.Duration) {
	end := w.stage.now + d
	for n := 0; w.facts.wake != 0 && w.facts.wake <= end && w.job == idle; n++ {
		if n > 2000 {
			w.t.Fatalf("it wakes for ever\n%s", w.history())
		}
		w.stage.now = max(w.stage.now, w.facts.wake)
		w.happen(event{kind: woke})
	}
	w.stage.now = end
}

func (w *world) happen(e event) {
	if w.rests && e.kind != touched {
		return // the loop does not know it any more
	}
	w.rests = false
	proof := e.view.proof
	e.view = w.view
	e.view.proof = proof
	e.view.wall = time.Unix(0, int64(w.stage.now))
	before := w.facts.step
	var out effect
	w.facts, out = w.stage.rules.next(dedup.UID{}, w.facts, e, w.stage.now)
	w.sometimes[steps[w.facts.step]]++
	w.log = append(w.log, line{w.stage.now, e.kind, e.err, before, w.facts.step, out.job})
	w.must(w.facts.job == idle || w.facts.wake == 0, "an alarm is set though a job is under way: it would ring without a pause until that has ended")
	w.must(w.facts.awaits == nothing || w.facts.wake != 0 || w.facts.job != idle, "it awaits news, and would never ask by itself")
	w.judge(e, out)
	if w.rests = out.rest; out.rest {
		w.facts = facts{step: dirty}
	}
}

func (w *world) must(holds bool, what string) {
	if !holds {
		w.t.Helper()
		w.t.Fatalf("%s: %v, gate %v, others %v\n%s", what, w.stage.now-time.Hour, w.view.gate, w.view.others, w.history())
	}
}

// judge holds what must be true whenever something is asked for.
func (w *world) judge(e event, out effect) {
	if out.job == idle {
		w.must(!out.rest || !w.facts.stale, "rests though it was touched")
		return
	}
	w.must(w.job == idle, "two jobs at once")
	w.must(out.job == w.facts.job, "a job that is not remembered")
	w.job, w.saving = out.job, out
	w.sometimes[strings.TrimSpace(jobs[out.job]+" "+string(out.record.State))]++
	allowed := w.open() && lacking(w.view.others) == ""
	patience := w.firstNew != 0 && w.stage.now-w.firstNew >= w.stage.rules.timing.Patience
	switch out.job {
	case generate:
		if patience {
			w.sometimes["patience"]++
		}
		w.must(allowed, "a round that the cluster does not allow")
		w.must(w.complete, "a round of a study that is not complete")
		w.must(patience || w.stage.now-w.lastTouch >= w.stage.rules.timing.Quiet, "a round of a study that is not quiet")
		w.must(patience || !w.view.busy, "a round of a study that is being ingested")
	case verify:
		w.must(w.open(), "a verifying round that the cluster does not allow")
		w.must(w.complete, "a verifying round of a study that is not complete")
	case aside:
		w.must(!w.open() && w.stage.rules.policy.Split && w.complete, "provisional output that nobody asked for")
	case echo:
		w.echoBegan = w.stage.now
	case save:
		w.judgeSave(e, out.record, allowed)
	}
}

func (w *world) judgeSave(e event, r Record, allowed bool) {
	switch {
	case r.Published != w.record.Published || r.Version != w.record.Version:
		w.must(allowed, "published though the cluster does not allow it")
		w.must(e.kind == echoed && e.err == nil && w.proven && w.echoBegan >= w.roundEnd, "published without an echo that began after the round ended")
		w.must(r.Published == w.current, "published something else than what is in the current tree")
	case r.State == Settled && w.record.State != Settled:
		w.must(allowed && e.kind == echoed && e.err == nil && w.proven && w.echoBegan >= w.roundEnd, "settled without an echo")
		w.must(w.still == r.Leaf, "settled without a round that wrote nothing")
		o := w.view.others[0]
		w.must(o.Joining || o.Leaf == r.Leaf && o.Complete && o.Durable, "settled though b is not level")
		w.must(r.Certificate != nil && r.Certificate.Leaf == r.Leaf && r.Certificate.Epoch == w.view.gate.Epoch, "settled without a certificate of now")
	}
}

// work lets jobs end well, one after another.
func (w *world) work(times int, each time.Duration) {
	for range times {
		w.pass(each)
		w.end(9)
	}
}

// restart is a new process: what was under way may have been done or not, and only what was saved is known.
func (w *world) restart() {
	w.job, w.complete = idle, false
	w.facts = facts{step: dirty, record: w.record, known: true, stale: true, last: w.stage.now, lookAt: w.stage.now, due: w.record.Due}
	w.lastTouch, w.firstNew = w.stage.now, w.stage.now
	w.rests = false
	w.happen(event{kind: woke})
}

// end lets the job under way end, well if luck is high.
func (w *world) end(luck int) {
	did := w.job
	if did == idle {
		return
	}
	w.facts, _ = w.stage.rules.next(dedup.UID{}, w.facts, event{kind: began}, w.stage.now)
	w.job = idle
	var err error
	switch luck {
	case 0:
		err = errors.New("bad luck")
	case 1:
		err = ErrStopped
	case 2:
		err = ErrClosed
	}
	switch did {
	case look:
		w.endLook(err)
	case echo:
		proof := Proof{Epoch: w.view.gate.Epoch, Sites: w.view.gate.Sites}
		w.proven = luck > 3
		if luck == 3 {
			proof.Sites = nil
		}
		w.happen(event{kind: echoed, err: err, view: view{proof: &proof}})
	case save:
		w.endSave(err)
	default:
		w.endRound(did, err)
	}
}

func (w *world) endLook(err error) {
	if err == ErrClosed {
		err = fs.ErrNotExist
		w.sometimes["gone"]++
	}
	if err == nil {
		w.complete, w.seen = w.missing == 0, w.leaf
	}
	w.happen(event{kind: looked, err: err, record: w.record,
		holding: Holding{Leaf: w.leaf, Complete: w.missing == 0, Missing: w.missing, Conflict: w.conflict}})
}

func (w *world) endSave(err error) {
	r := w.saving.record
	if err == nil {
		if r.Published != w.record.Published {
			w.published++
			if w.firstNew = 0; w.facts.stale {
				w.firstNew = w.stage.now
			}
		}
		w.record = r
	}
	w.happen(event{kind: saved, err: err, record: r})
}

// endRound does a round as regen does: it generates nothing of a study that is not complete.
func (w *world) endRound(did job, err error) {
	if w.missing > 0 && err == nil {
		err = errors.New("incomplete")
	}
	round := Round{Leaf: w.leaf}
	if did != aside && err == nil {
		w.roundEnd = w.stage.now
		if w.still = w.leaf; w.current != w.leaf {
			w.still, w.current, round.Wrote, round.Changed = dedup.Digest{}, w.leaf, 1, true
		}
	}
	w.happen(event{kind: made, err: err, round: round})
}

// calm is the end of all faults: everything must settle, and then nothing be written.
func (w *world) calm() {
	w.missing, w.conflict, w.view.busy = 0, false, false
	w.view.gate = Gate{State: Whole, Epoch: "e3", Sites: []string{"b"}}
	w.view.others[0] = SiteReport{Site: "b", Leaf: w.leaf, Complete: true, Durable: true}
	w.happen(event{kind: gated})
	w.touch()
	for end := w.stage.now + 20*time.Minute; w.stage.now < end && (w.job != idle || w.facts.wake != 0); {
		if w.job == idle { // what happens by itself, and nothing in between
			w.pass(max(0, min(w.facts.wake, end)-w.stage.now))
		}
		w.end(9)
	}
	done := w.record.State == Settled && w.record.Leaf == w.leaf && w.current == w.leaf && w.record.Published == w.leaf
	w.must(done && w.job == idle && w.facts.wake == 0, fmt.Sprintf("not settled 20 minutes after all faults ended: %v", w.record))
	record := w.record
	w.touch()
	for range 100 {
		w.end(9)
		w.pass(100 * time.Millisecond)
	}
	w.must(w.record == record && w.facts == (facts{step: dirty}), "a touch that changed nothing did not come to rest")
}

// TestConstantIngestIsPublished holds that a study which never stops changing is published again and again.
func TestConstantIngestIsPublished(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.view.busy = rapid.Bool().Draw(t, "busy")
		gap := time.Duration(rapid.Int64Range(int64(400*time.Millisecond), int64(20*time.Second)).Draw(t, "gap"))
		for w.stage.now < 90*time.Minute {
			w.change()
			w.view.others[0] = SiteReport{Site: "b", Leaf: w.leaf, Complete: true, Durable: true}
			for range 4 {
				w.pass(gap / 4)
				w.end(9)
			}
		}
		w.must(w.published >= 10, fmt.Sprintf("published %d times in half an hour of changes every %v", w.published, gap))
	})
}
