package link

import "slices"

// dial says which connection 0 this is: who dialled it, the how manieth dial of that process, and the process at the other end.
// (The other end of mine is theirs: each end keeps the boot number of the one across.)
type dial struct {
	dialler string
	boot    uint64
	seq     uint64
}

// Both sites may dial at once, and each then has two connections 0. The rules for which one stays, at both ends the same, and why nothing flaps:
//
//  1. The connection that better names is used by both from the moment they know it. The other one is closed by the lower-named site alone, after a
//     drain, so that what is under way on it can end.
//  2. "The newest wins" and "the second is refused" were tried and flap for ever: each end has its own idea of which came later.
//  3. A connection can be dead at one end alone (its CLOSE was lost). A dialler's HELLO says which of the other's dials it has seen and
//     which it still holds. A dial of ours that was seen, and is not held any more, is closed at once: see lost.
//
// better says whether a is used rather than b.
func better(a, b dial) bool {
	switch {
	case a.boot != b.boot: // the other end was started anew, so what its old process held is dead
		return a.boot > b.boot
	case a.dialler != b.dialler:
		return a.dialler < b.dialler
	}
	return a.seq > b.seq
}

// standing is what a dialler says of the dials that it got from the acceptor: the process that made them, the highest seen, the one held (0: none).
type standing struct{ boot, seen, held uint64 }

// lost says whether a dial of our own (of the process boot) is no longer held by the site that says so.
func (s standing) lost(seq, boot uint64) bool {
	return s.boot == boot && seq <= s.seen && seq != s.held
}

// insert puts a connection among those of its site, best first, and returns those that lost to it or to which it lost.
func insert(held []*conn, added *conn) (all, losers []*conn) {
	all = append(slices.Clone(held), added)
	slices.SortStableFunc(all, func(a, b *conn) int {
		switch {
		case better(a.dial, b.dial):
			return -1
		case better(b.dial, a.dial):
			return 1
		}
		return 0
	})
	return all, all[1:]
}
