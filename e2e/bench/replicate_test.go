package main

import (
	"os"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/e2e/shareddata"
)

// TestSmokeReplicate runs the replicate scenario as a user would, small: two agents in namespaces, joined by a token, level with the same files.
func TestSmokeReplicate(t *testing.T) {
	shareddata.Dir(t, "bench")
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := os.Stat("/sys/fs/cgroup/cpuacct"); err != nil {
		t.Skip("the harness counts CPU with the first version of cgroups, which is not mounted here")
	}
	b := &replicate{Smoke: true, Dir: t.TempDir()}
	if err := b.Run(t.Context()); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(b.Dir)
	if err != nil || len(left) != 0 {
		t.Errorf("%d files left behind, %v", len(left), err)
	}
}

// TestBounds: a bound is missed by what is beyond it and by what was not measured, and a run that was cut is no measurement.
func TestBounds(t *testing.T) {
	read := func(lines string) rows {
		r, err := readRows(strings.NewReader(lines))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	both := read(`{"contender":"dicomesh","wall":3,"cpuA":1,"cpuB":2,"ok":"complete","differ":0,"bundle":[[0.1,1],[2,8]]}
{"contender":"quicraw-pack","wall":2,"ok":"complete"}`)
	for _, c := range []struct {
		bound  bound
		rows   rows
		missed bool
	}{
		{bound{"a", ratio("wall", "dicomesh", "quicraw-pack"), 0, 1.5}, both, false},
		{bound{"b", ratio("wall", "dicomesh", "quicraw-pack"), 0, 1.4}, both, true},
		{bound{"c", ratio("wall", "dicomesh", "quicraw-pack"), 1.6, 0}, both, true},
		{bound{"d", ratio("wall", "dicomesh", "rsync-sync"), 0, 9}, both, true},
		{bound{"e", median("cpu", "dicomesh"), 3, 3}, both, false},
		{bound{"f", bundle, 8, 8}, both, false},
		{bound{"g", inner("restart", "wall"), 0, 9}, both, true},
	} {
		p := part{title: "t", bounds: []bound{c.bound}}
		var out strings.Builder
		if missed := p.print(&out, c.rows); len(missed) > 0 != c.missed {
			t.Errorf("%s: %v, and prints %s", c.bound.what, missed, out.String())
		}
	}
	for _, bad := range []string{`{"contender":"dicomesh","ok":"cut at limit: 3/4 files"}`, `{"contender":"dicomesh","ok":"complete","differ":1}`, `nothing`} {
		if _, err := readRows(strings.NewReader(bad)); err == nil {
			t.Errorf("%s is taken for a measurement", bad)
		}
	}
}
