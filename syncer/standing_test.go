package syncer

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// reported is what Report says of a site and a study; the number of the last change, which moves with every word, aside.
type reported struct {
	Report
	known bool
}

func (p *place) reports(studies int) map[string]map[dedup.UID]reported {
	s := &Syncer{core: p.core, config: Config{Catalog: &crowdOf{sums: p.sums}}}
	all := map[string]map[dedup.UID]reported{}
	for site := range p.w.sites {
		all[site] = map[dedup.UID]reported{}
		for n := range studies {
			r, known := s.Report(site, p.state(study(n)))
			r.State.Change = 0
			all[site][study(n)] = reported{r, known}
		}
	}
	return all
}

// newsFor are the studies of which a site's reports may be others by an event, as those hear it who wait for that; all: any study, as those hear it who wait for a site that is not known, or away.
func newsFor(site string, e event, effects []effect) (studies []dedup.UID, all bool) {
	if h, is := e.(holds); is && h.site == site {
		for _, x := range h.studies {
			studies = append(studies, x.theirs.UID)
		}
	}
	for _, fx := range effects {
		switch fx := fx.(type) {
		case revised:
			studies = append(studies, fx.studies...)
		case standing:
			all = all || fx.site == site
		}
	}
	return studies, all
}

// TestReportOfWhatIsNotKnownYet holds that another site is not reported to hold what has just changed here, in the moment before that is heard of: its root is the one that this site had.
func TestReportOfWhatIsNotKnownYet(t *testing.T) {
	w := newWorld(t, 1, "a", "b")
	a, uid := w.sites["a"], study(1)
	a.add(uid, some("x", 1, 1000))
	w.settle(10 * time.Second)
	if r := a.reports(2)["b"][uid]; !r.known || r.State.Leaf != a.state(uid).Leaf {
		t.Fatalf("%+v", r)
	}
	was, before := a.state(uid), a.summary()
	a.holds[uid]["y"] = 1000
	a.change++
	x, y := a.sum(was), a.sum(a.state(uid))
	a.sums.Replace(&x, &y)
	if r := a.reports(2)["b"][uid]; r.known {
		t.Errorf("b is said to hold %v, which has just come to be here: it said %x, as this site did", r.State.Leaf, before.Root)
	}
	a.handle(local{a.state(uid), a.summary()})
	if r := a.reports(2)["b"][uid]; r.known {
		t.Errorf("b is said to hold what it has not heard of: %+v", r)
	}
}

// TestNewsOfReports holds that Report says nothing new without news of that, whatever happens: who waits for it would wait until he asks by himself. And that what sites say again is no news.
func TestNewsOfReports(t *testing.T) {
	const studies = 6
	told, of := 0, map[string]int{}
	for seed := range uint64(4) {
		w := newWorld(t, seed, "a", "b", "c")
		w.judge = func(p *place, e event, handle func() []effect) []effect {
			before := p.reports(studies)
			effects := handle()
			for site, now := range p.reports(studies) {
				named, all := newsFor(site, e, effects)
				changed := false
				for uid, r := range now {
					was := before[site][uid]
					worse := was
					if worse.Offers = true; !r.known || r == was || r == worse {
						continue
					}
					changed = true
					if enough := all && !(was.known && (was.State != r.State || was.Offers != r.Offers)); !enough && !slices.Contains(named, uid) {
						t.Errorf("seed %d: %s says nothing of what %s reports of %s since %T: %+v, it was %+v", seed, p.name, site, uid, e, r, was)
					}
				}
				of[fmt.Sprintf("%T", e)] += truth(changed)
				told += truth(all)
			}
			return effects
		}
		names := slices.Sorted(maps.Keys(w.sites))
		for step := range 50 {
			p := w.sites[names[w.rand.IntN(len(names))]]
			switch w.rand.IntN(6) {
			case 0:
				w.setLink(names[0], names[1+w.rand.IntN(2)], w.rand.IntN(3) > 0)
			case 1:
				p.handle(room{Room{Low: w.rand.IntN(3) == 0}})
			case 2: // both take in the same, and neither needs to fetch it
				w.sites["a"].add(study(0), some(fmt.Sprint(step), 1, 1000))
				w.sites["b"].add(study(0), some(fmt.Sprint(step), 1, 1000))
			default:
				p.add(study(w.rand.IntN(studies)), some(fmt.Sprintf("%d-%s", step, p.name), 1+w.rand.IntN(3), 50_000))
			}
			w.run(time.Duration(w.rand.IntN(900)) * time.Millisecond)
		}
		for _, name := range names {
			w.sites[name].handle(room{})
		}
		w.setLink("a", "b", true)
		w.setLink("a", "c", true)
		w.settle(2 * time.Minute)
		w.run(time.Minute)
		told = 0
		for _, name := range names {
			w.hello(name)
		}
		if w.run(time.Minute); told > 0 {
			t.Errorf("seed %d: %d pieces of news, and nothing has happened", seed, told)
		}
	}
	for _, e := range []event{said{}, holds{}, local{}, compared{}, pulled{}} {
		if of[fmt.Sprintf("%T", e)] == 0 {
			t.Errorf("no %T told anything: %v", e, of)
		}
	}
}

// TestReportFromBeforeTheCut holds that what a site said before a cut is no report after it, until it has been compared, or says it again: it may have come to hold more.
func TestReportFromBeforeTheCut(t *testing.T) {
	c, s, now := lone(t, linkUp{"a"})
	uid, mine := study(1), wire.StudyState{UID: study(1)}
	c.handle(tick{}, now.Add(20*time.Second))
	c.handle(pulled{study: uid, end: through}, now.Add(21*time.Second)) // all that it offers is accounted for here
	if r, known := s.Report("a", mine); !known || r.Offers || !s.Exhausted("a", mine) {
		t.Fatalf("known %v, offers %v", known, r.Offers)
	}
	before := c.studies[uid].theirs["a"]
	c.handle(linkDown{"a"}, now.Add(22*time.Second))
	c.handle(linkUp{"a"}, now.Add(23*time.Second))
	more := before
	more.Leaf, more.Change = dedup.Digest{2}, 2
	c.handle(said{"a", wire.Summary{Incarnation: "i", Root: c.hash(more), Count: 1, Change: 2}}, now.Add(23*time.Second))
	if r, known := s.Report("a", mine); known || s.Exhausted("a", mine) {
		t.Errorf("it is said to hold what it held before the cut, or to have nothing to give: %+v", r)
	}
	c.handle(holds{"a", []held{{more, mine}}, false}, now.Add(24*time.Second))
	if r, known := s.Report("a", mine); !known || !r.Offers || r.State.Leaf != more.Leaf {
		t.Errorf("known %v: %+v", known, r)
	}
	c.handle(linkDown{"a"}, now.Add(3*time.Minute))
	c.handle(linkUp{"a"}, now.Add(4*time.Minute))
	c.handle(said{"a", wire.Summary{Incarnation: "i", Root: c.hash(more), Count: 1, Change: 2}}, now.Add(4*time.Minute))
	if r, known := s.Report("a", mine); !known || r.State.Leaf != more.Leaf {
		t.Errorf("its root says that it holds the same as before the cut, and it is known: %v, %+v", known, r)
	}
}
