package main

import (
	"fmt"
	"strings"
	"testing"
)

const someEvents = `{"Action":"run","Package":"github.com/dicomesh/dicomesh/dedup","Test":"TestA"}
{"Action":"pass","Package":"github.com/dicomesh/dicomesh/dedup","Test":"TestA"}
{"Action":"output","Package":"github.com/dicomesh/dicomesh/dedup","Test":"TestB","Output":"    b_test.go:3: no corpus\n"}
{"Action":"output","Package":"github.com/dicomesh/dicomesh/dedup","Test":"TestB","Output":"--- SKIP: TestB\n"}
{"Action":"skip","Package":"github.com/dicomesh/dicomesh/dedup","Test":"TestB"}
{"Action":"pass","Package":"github.com/dicomesh/dicomesh/dedup","Elapsed":0.1}
`

func TestSummary(t *testing.T) {
	failing := `{"Action":"output","Package":"p","Test":"TestC","Output":"what went wrong\n"}
{"Action":"fail","Package":"p","Test":"TestC"}
`
	for _, c := range []struct {
		name, events string
		expected     map[string]bool
		ci, good     bool
		want         string
	}{
		{"skips are told", someEvents, nil, false, true, "skip dedup.TestB: b_test.go:3: no corpus\n1 passed, 0 failed, 1 skipped\n"},
		{"skips fail in CI", someEvents, nil, true, false, "1 passed, 1 failed, 0 skipped\n"},
		{"expected skips do not", someEvents, map[string]bool{"dedup.TestB": true}, true, true, "1 passed, 0 failed, 1 skipped\n"},
		{"failures are shown", someEvents + failing, nil, false, false, "what went wrong\n"},
		{"a build failure counts", `{"Action":"fail","Package":"p"}`, nil, false, false, "0 passed, 1 failed, 0 skipped\n"},
		{"slow tests are shown", `{"Action":"pass","Package":"p","Test":"TestS","Elapsed":1}
{"Action":"pass","Package":"p","Test":"TestM/x","Elapsed":77}
{"Action":"pass","Package":"p","Test":"TestM","Elapsed":77.5}
{"Action":"pass","Package":"p","Test":"TestL","Elapsed":99}
`, nil, false, true, fmt.Sprintf("slow %-50s %7.1fs\nslow %-50s %7.1fs\n4 passed", "p.TestL", 99.0, "p.TestM", 77.5)},
		{"nothing is no success", "", nil, false, false, "0 passed, 1 failed, 0 skipped\n"},
	} {
		var out strings.Builder
		tally := &tally{out: &out, output: map[string][]string{}}
		if err := tally.read(strings.NewReader(c.events)); err != nil {
			t.Fatal(err)
		}
		if good := tally.close(c.expected, c.ci); good != c.good || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: %v\n%s", c.name, good, out.String())
		}
	}
}
