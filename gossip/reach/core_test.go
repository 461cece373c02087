package reach

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/gossip/roster"
)

func coreOf(t *testing.T, name string, boot uint64, life byte, r roster.Roster) *Core {
	t.Helper()
	c, err := NewCore(Self{name, private(name), boot, Life{life}, LAN}, r, begin)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRefused: rows that are not a site's own, or of no site, change nothing.
func TestRefused(t *testing.T) {
	r := rosterOf(t, "a", "b")
	e := Expect(r)
	a := coreOf(t, "a", 1, 1, r)
	good := Row{Site: "b", Mark: Mark{1, 5}, Life: Life{2}, Epoch: e.Epoch, Beat: LAN}
	stranger := good
	stranger.Site = "x"
	if err := a.Take(encodeHeld(begin, e.Cluster.sign(good, private("b"), begin)), begin); err != nil {
		t.Fatal(err)
	}
	good.Seq = 6
	other := e.Cluster
	other.Name = "other"
	for what, h := range map[string]Held{
		"not its key":     e.Cluster.sign(good, private("a"), begin),
		"another cluster": other.sign(good, private("b"), begin),
		"a stranger":      e.Cluster.sign(stranger, private("x"), begin),
	} {
		if err := a.Take(encodeHeld(begin, h), begin); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	changed := e.Cluster.sign(good, private("b"), begin)
	changed.signature[3] ^= 1
	mixed := encodeHeld(begin, changed, e.Cluster.sign(Row{Site: "b", Mark: Mark{1, 7}, Life: Life{2}, Epoch: e.Epoch, Beat: LAN}, private("b"), begin))
	if err := a.Take(mixed, begin); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	if got := a.rows["b"].Mark; got != (Mark{1, 7}) || len(a.rows) != 2 {
		t.Errorf("%v: the good row beside a forged one is not taken, or a forged one is", a.rows)
	}
	if err := a.Take([]byte("nonsense"), begin); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}

// TestRosterForgets: rows of a site that left the roster are forgotten, and come not back.
func TestRosterForgets(t *testing.T) {
	r := rosterOf(t, "a", "b", "c")
	a, c := coreOf(t, "a", 1, 1, r), coreOf(t, "c", 1, 3, r)
	message := c.State(begin)
	if err := a.Take(message, begin); err != nil || len(a.rows) != 2 {
		t.Fatal(err, a.rows)
	}
	gone, err := r.Remove("c", "a", operator("a"))
	if err != nil {
		t.Fatal(err)
	}
	a.SetRoster(gone, begin)
	if _, is := a.rows["c"]; is {
		t.Error("the row of c is still here")
	}
	if err := a.Take(message, begin); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}

// TestTwoMachines: a second machine with b's key. Each of the two finds out; a restore of an old backup is no such thing.
func TestTwoMachines(t *testing.T) {
	r := rosterOf(t, "a", "b")
	a, b, clone := coreOf(t, "a", 1, 1, r), coreOf(t, "b", 4, 2, r), coreOf(t, "b", 4, 3, r)
	now := begin
	exchange := func(sites ...*Core) {
		now += LAN
		for _, from := range sites {
			from.Tick(nil, true, now)
		}
		for _, from := range sites {
			for _, to := range sites {
				if from != to {
					_ = to.Take(from.State(now), now)
				}
			}
		}
	}
	for range 100 {
		exchange(a, b)
	}
	restored := coreOf(t, "b", 2, 4, r)
	for range 10 {
		exchange(a, restored)
	}
	if restored.double() {
		t.Error("a site that came back with old numbers takes itself for two")
	}
	if a.rows["b"].Life != (Life{4}) {
		t.Error("the rows of the site that came back are not taken")
	}
	for range 10 {
		exchange(a, restored, clone)
	}
	for _, c := range []*Core{restored, clone} {
		if w := c.Judge(Moment{now, time.Now()}); w.State != Split || !c.double() {
			t.Errorf("%s: %s", w.State, w.Reason)
		}
		if c.taken > 3 {
			t.Errorf("the two outdid each other %d times", c.taken)
		}
	}
}

// TestLainRows: b stood still, and finds rows of a in its buffers: the last that a made before it stood still as well. Handed on as if they were new they would prove to c that a is
// there, and has links with both. What a makes after it has heard b again is handed on.
func TestLainRows(t *testing.T) {
	r := rosterOf(t, "a", "b", "c")
	a, b, c := coreOf(t, "a", 1, 1, r), coreOf(t, "b", 1, 2, r), coreOf(t, "c", 1, 3, r)
	give := func(from, to *Core, now time.Duration) {
		t.Helper()
		if err := to.Take(from.State(now), now); err != nil {
			t.Fatal(err)
		}
	}
	now := begin
	for range 5 {
		now += LAN
		for _, x := range []*Core{a, b, c} {
			x.Tick(nil, true, now)
		}
		for _, pair := range [][2]*Core{{a, b}, {b, a}, {b, c}, {c, b}, {a, c}, {c, a}} {
			give(pair[0], pair[1], now)
		}
		b.Out(now)
	}
	handedOn := func() (rows []string) {
		for _, m := range b.Out(now) {
			held, err := decodeHeld(now, m.Row)
			if err != nil {
				t.Fatal(err)
			}
			if m.To == "c" && held[0].Site == "a" {
				rows = append(rows, fmt.Sprint(held[0].Seq))
			}
		}
		return rows
	}
	before := c.rows["a"].Seq
	var lain [][]byte
	for range lag + 2 { // c hears none of these
		now += LAN
		a.Tick(nil, true, now)
		lain = append(lain, a.State(now))
	}
	now += time.Minute
	b.Stopped(time.Minute, now)
	for _, message := range lain {
		if err := b.Take(message, now); err != nil {
			t.Fatal(err)
		}
	}
	if rows := handedOn(); len(rows) > 0 || b.rows["a"].Seq <= before+lag {
		t.Errorf("rows %q of a are handed on, of which nobody knows how long they lay there", rows)
	}
	if give(b, c, now); c.rows["a"].Seq != before {
		t.Error("what b knows tells c a row of a, of which nobody knows how long it lay there")
	}
	give(b, a, now)
	now += LAN
	a.Tick(nil, true, now)
	give(a, b, now)
	if rows := handedOn(); len(rows) != 1 {
		t.Errorf("a has heard b, and rows %q of it are handed on", rows)
	}
}

// TestLyingRelay: whoever hands a row on cannot make it younger than it is known to be here.
func TestLyingRelay(t *testing.T) {
	r := rosterOf(t, "a", "b")
	a, b := coreOf(t, "a", 1, 1, r), coreOf(t, "b", 1, 2, r)
	if err := b.Take(a.State(begin), begin); err != nil {
		t.Fatal(err)
	}
	b.Tick(nil, true, begin+LAN)
	row := b.State(begin + LAN)
	for n := range 20 { // the same row again and again, as if it were new
		if err := a.Take(row, begin+time.Duration(n)*LAN); err != nil {
			t.Fatal(err)
		}
	}
	w := a.Judge(Moment{begin + 20*LAN, time.Now()})
	if s := w.site("b"); s.Standing != Stale || s.Age != 20*LAN {
		t.Errorf("%+v", s)
	}
}

// TestQueued: a row that lay in a queue for long, as it may while a site is cut off, is old, though whoever brings it says that it is new.
func TestQueued(t *testing.T) {
	r := rosterOf(t, "a", "b")
	a, b := coreOf(t, "a", 1, 1, r), coreOf(t, "b", 1, 2, r)
	now := begin
	standing := func() Standing {
		w := a.Judge(Moment{now, time.Now()})
		return w.site("b").Standing
	}
	var queued []byte
	for n := range 10 {
		now += LAN
		a.Tick(nil, true, now)
		if err := b.Take(a.State(now), now); err != nil {
			t.Fatal(err)
		}
		b.Tick(nil, true, now)
		if queued = b.State(now); n < 9 {
			if err := a.Take(queued, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := standing(); got != Fresh {
		t.Fatal(got)
	}
	for range 20 {
		now += LAN
		a.Tick(nil, true, now)
	}
	if err := a.Take(queued, now); err != nil {
		t.Fatal(err)
	}
	if got := standing(); got != Deaf {
		t.Errorf("a row of 20 beats ago is %s", got)
	}
}

// TestTraffic: where all hear each other, each site sends each other its own row twice a beat, and nothing else.
func TestTraffic(t *testing.T) {
	w := newWorld(t, 1, LAN, "a", "b", "c", "d", "-e")
	w.run(20 * LAN)
	w.sent = 0
	w.run(100 * LAN)
	if want := 5 * 4 * 2 * 100; w.sent < want*95/100 || w.sent > want*105/100 {
		t.Errorf("%d messages in 100 beats of 5 sites, not about %d", w.sent, want)
	}
}

// TestPulse: a stop shows on either clock, and once.
func TestPulse(t *testing.T) {
	now := Moment{begin, time.Unix(1e9, 0)}
	p := pulse{clock: func() Moment { return now }}
	for _, c := range []struct{ mono, wall, want time.Duration }{
		{time.Second, time.Second, 0}, {longest, longest, 0}, {time.Minute, time.Minute, time.Minute}, {0, 0, 0},
		{time.Second, time.Hour, time.Hour}, {time.Second, -time.Hour, time.Hour}, {time.Minute, 0, time.Minute},
	} {
		p.take()
		now.Mono, now.Wall = now.Mono+c.mono, now.Wall.Add(c.wall)
		if _, gap := p.take(); gap != c.want {
			t.Errorf("%+v: %v", c, gap)
		}
	}
	if p.stops != 4 {
		t.Error(p.stops)
	}
}
