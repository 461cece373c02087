// Package raced says whether the race detector runs, so that tests can be thinned out under it.
//
// The detector makes everything ten times slower, and what it finds it finds in any of a hundred runs that are alike. A sweep (power off at operation 0, 1,
// 2 ...; each byte flipped; each file of the corpus) therefore takes only some of its steps under the detector:
//
//	for k := 0; k < ops; k += raced.Pick(t, 1, 23) {
//
// Nothing is lost by that: a test that asks here says so in its output (testing.TB.Attr), and command summary runs those that did, and no others, a second time without the
// detector, where every step is taken.
package raced

import (
	"sync"
	"testing"
)

// Thinned is the key of the attribute that a thinned test has.
const Thinned = "thinned"

var said sync.Map // names of tests that have said it

// On reports whether the race detector runs. Then the test is thinned, and is run again without it.
func On(t testing.TB) bool {
	if !runs {
		return false
	}
	if _, done := said.LoadOrStore(t.Name(), true); !done {
		t.Attr(Thinned, "by the race detector")
	}
	return true
}

// Pick is all, or few under the race detector.
func Pick(t testing.TB, all, few int) int {
	if On(t) {
		return few
	}
	return all
}
