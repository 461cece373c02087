package syncer

import (
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// queueing is a core whose pulls end when the test says so.
type queueing struct {
	*core
	now     time.Time
	running map[string][]dedup.UID
}

func newQueueing() *queueing {
	sums := index.NewSums([32]byte{7}, 0)
	rules := DefaultRules()
	rules.Turn = 0 // nobody waits for another site to take a study first
	return &queueing{newCore("me", rules, func(s wire.StudyState) [32]byte { return sums.Hash(sumOf(s)) }), time.Unix(1_800_000_000, 0), map[string][]dedup.UID{}}
}

func (q *queueing) do(e event) {
	for _, fx := range q.handle(e, q.now) {
		if s, is := fx.(startPull); is {
			q.running[s.site] = append(q.running[s.site], s.study)
		}
	}
}

// offer says that a site holds some studies of which nothing is here.
func (q *queueing) offer(site string, from, to int) {
	var all []held
	for n := from; n < to; n++ {
		all = append(all, held{wire.StudyState{UID: study(n), Leaf: dedup.Digest{1}, Flags: wire.Complete}, wire.StudyState{UID: study(n)}})
	}
	q.do(holds{site, all, true})
}

// end ends the oldest pull from a site well.
func (q *queueing) end(site string) {
	uid := q.running[site][0]
	q.running[site] = q.running[site][1:]
	q.do(local{study: wire.StudyState{UID: uid, Leaf: dedup.Digest{1}, Flags: wire.Complete}})
	q.do(pulled{study: uid, end: through})
}

// TestSlowSite holds that a site which offers much and gives it slowly keeps no study of another site waiting, and that its own come in their order as its pulls end.
func TestSlowSite(t *testing.T) {
	q := newQueueing()
	q.do(linkUp{"slow"})
	q.do(linkUp{"quick"})
	q.offer("slow", 0, 1000)
	q.offer("quick", 1000, 1100)
	for n := range 100 {
		if len(q.running["quick"]) == 0 {
			t.Fatalf("%d of 100 studies came from a site while another one gives nothing", n)
		}
		q.end("quick")
		q.now = q.now.Add(time.Millisecond)
		q.do(tick{})
	}
	for n := range 1000 {
		if len(q.running["slow"]) == 0 || q.running["slow"][0] != study(n) {
			t.Fatalf("after %d studies of the slow site %v are under way", n, q.running["slow"])
		}
		q.end("slow")
	}
	if len(q.studies) > 0 {
		t.Errorf("%d studies are still known to differ", len(q.studies))
	}
}

// TestParkedFindsAnother holds that a study which waits for a busy site is taken from another one as soon as that has it.
func TestParkedFindsAnother(t *testing.T) {
	q := newQueueing()
	q.do(linkUp{"slow"})
	q.offer("slow", 0, 20)
	q.do(linkUp{"quick"})
	q.offer("quick", 10, 12)
	if n := len(q.running["quick"]); n != 2 {
		t.Errorf("%d studies are pulled from a site that is idle and has two that wait for a busy one", n)
	}
	q.do(linkDown{"slow"})
	q.do(linkUp{"slow"})
	for len(q.running["slow"])+len(q.running["quick"]) > 0 {
		for site, running := range q.running {
			if len(running) > 0 {
				q.end(site)
			}
		}
		q.now = q.now.Add(time.Second)
		q.do(tick{})
	}
	if len(q.studies) > 0 {
		t.Errorf("%d studies wait for nothing", len(q.studies))
	}
}

// TestQueueBounded holds that what comes and goes while this site takes nothing in, or has no room for a pull, takes no memory.
func TestQueueBounded(t *testing.T) {
	q := newQueueing()
	q.do(linkUp{"fickle"})
	q.do(room{Room{Low: true}})
	for range 10_000 {
		q.offer("fickle", 0, 1)
		q.do(holds{"fickle", []held{{wire.StudyState{UID: study(0)}, wire.StudyState{UID: study(0)}}}, true})
	}
	if n := len(q.queue.due[Fresh]); n > 1000 {
		t.Errorf("%d places in a queue for a study that is none", n)
	}
	q.do(room{})
	q.offer("fickle", 0, 1)
	if len(q.running["fickle"]) != 1 {
		t.Error("a study that came and went is not pulled when it comes again")
	}
}
