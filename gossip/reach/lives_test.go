package reach

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/e2e/raced"
)

// two says whether a site takes another one for two machines.
func two(c *Core, site string, now time.Duration) bool {
	return c.Judge(Moment{now, time.Now()}).site(site).Twin
}

// TestTwins: a machine is copied with its key, and both run. They push each other off the links to a, so that a hears now one and now the other, and neither hears of the other.
// a says that they are two, and that the cluster is split; when one is stopped that is over after a while.
func TestTwins(t *testing.T) {
	r := rosterOf(t, "a", "b")
	a, b, clone := coreOf(t, "a", 1, 1, r), coreOf(t, "b", 4, 2, r), coreOf(t, "b", 4, 3, r)
	now := begin
	exchange := func(with *Core, beats int) {
		for range beats {
			now += LAN
			a.Tick(nil, true, now)
			b.Tick(nil, true, now)
			clone.Tick(nil, true, now)
			for _, m := range a.Out(now) {
				_ = with.Take(m.Row, now)
			}
			for _, m := range with.Out(now) {
				_ = a.Take(m.Row, now)
			}
		}
	}
	exchange(b, 20)
	if two(a, "b", now) {
		t.Fatal("one machine is taken for two")
	}
	for range 3 {
		exchange(clone, 4)
		exchange(b, 4)
	}
	if w := a.Judge(Moment{now, time.Now()}); w.State != Split || !strings.Contains(w.Reason, "two machines use the name and the key of b: stop one of them") {
		t.Errorf("a says %s: %s", w.State, w.Reason)
	}
	exchange(b, twinned+8)
	if two(a, "b", now) {
		t.Error("one was stopped long ago, and b is still taken for two")
	}
}

// TestNoTwins: b is started anew again and again, sometimes from an old backup, and every message that was ever sent may come again, to anybody and at any time. That never looks
// like two machines.
func TestNoTwins(t *testing.T) {
	r := rosterOf(t, "a", "b", "c")
	for seed := range uint64(raced.Pick(t, 12, 2)) { // nothing here runs beside anything else
		random := rand.New(rand.NewPCG(seed, 1))
		sites := []*Core{coreOf(t, "a", 1, 1, r), coreOf(t, "b", 10, 2, r), coreOf(t, "c", 1, 3, r)}
		now, sent, life := begin, [][]byte{}, byte(3)
		for step := range 600 {
			now += LAN / 2
			if random.IntN(60) == 0 {
				life++
				sites[1] = coreOf(t, "b", 5+uint64(random.IntN(8)), life, r)
			}
			for _, s := range sites {
				s.Tick(nil, true, now)
				sent = append(sent, s.State(now))
				for _, m := range s.Out(now) {
					sent = append(sent, m.Row)
				}
			}
			for range 6 {
				near := len(sent) - min(len(sent), 30)
				if random.IntN(4) == 0 {
					near = 0
				}
				_ = sites[random.IntN(3)].Take(sent[near+random.IntN(len(sent)-near)], now)
			}
			for _, s := range []*Core{sites[0], sites[2]} {
				if two(s, "b", now) || two(s, "a", now) || two(s, "c", now) {
					t.Fatalf("seed %d, step %d: %s takes one machine for two", seed, step, s.self.Site)
				}
			}
		}
	}
}
