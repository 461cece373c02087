// Package raced says whether the race detector runs, so that tests can be thinned out under it.
//
// The detector makes everything ten times slower, and what it finds it finds in any of a hundred runs that are alike. A sweep (power off at operation 0, 1,
// 2 ...; each byte flipped; each file of the corpus) therefore takes only some of its steps under the detector:
//
//	for k := 0; k < ops; k += raced.Pick(1, 23) {
//
// Nothing is lost by that: e2e/test runs the packages whose tests import this one a second time, without the detector, and there every step is taken. A package that is dear in
// both runs, as e2e with its whole processes is, does not import it.
package raced

// Pick is all, or few under the race detector.
func Pick(all, few int) int {
	if On {
		return few
	}
	return all
}
