package agent

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

var (
	north = Mark{Version: 1, Cluster: "c", Site: "north", ID: "aa"}
	south = Mark{Version: 1, Cluster: "c", Site: "south", ID: "bb"}
	fresh = Mark{Version: 1, Cluster: "new", Site: "new", ID: "cc"}
)

// TestJudge has every way in which tree and state can be found, and what becomes of it.
func TestJudge(t *testing.T) {
	begun, namesake := north, north
	begun.Begun, namesake.ID = true, "dd"
	tests := []struct {
		name    string
		found   found
		loss    Loss
		want    plan
		refused string // part of what is said
	}{
		{"nothing at all", found{}, NoLoss, plan{mark: fresh, tree: true, state: true}, ""},
		{"a site that ran before", found{tree: &north, state: &north, archive: true, known: true}, NoLoss, plan{mark: north}, ""},
		{"the same, emptied by its owner", found{tree: &north, state: &north}, NoLoss, plan{mark: north}, ""},
		{"state lost", found{tree: &north, archive: true}, NoLoss, plan{}, "--accept-loss state"},
		{"state lost, tree empty", found{tree: &north}, NoLoss, plan{}, "--accept-loss state"},
		{"state lost for good", found{tree: &north, archive: true}, StateLost, plan{mark: north, state: true, said: "the state was lost"}, ""},
		{"tree not mounted", found{state: &north, known: true}, NoLoss, plan{}, "--accept-loss tree"},
		{"another tree is there, without a marker", found{state: &north, archive: true, known: true}, NoLoss, plan{}, "--accept-loss tree"},
		{"tree lost for good", found{state: &north, known: true}, TreeLost, plan{mark: north, tree: true, said: "the tree was lost"}, ""},
		{"the wrong loss is given up", found{state: &north}, StateLost, plan{}, "--accept-loss tree"},
		{"the other wrong loss", found{tree: &north}, TreeLost, plan{}, "--accept-loss state"},
		{"two sites mixed up", found{tree: &north, state: &south}, NoLoss, plan{}, "do not belong together"},
		{"two sites mixed up, and nobody can give that up", found{tree: &north, state: &south}, TreeLost, plan{}, "do not belong together"},
		{"two sites of one name", found{tree: &north, state: &namesake}, NoLoss, plan{}, "do not belong together"},
		{"died between the markers", found{state: &begun}, NoLoss, plan{mark: north, tree: true, state: true}, ""},
		{"died before the last", found{tree: &north, state: &begun}, NoLoss, plan{mark: north, state: true}, ""},
		{"filled by hand", found{archive: true}, NoLoss, plan{mark: fresh, tree: true, state: true, said: "the tree had no site yet"}, ""},
		{"filled and indexed by hand", found{archive: true, known: true}, NoLoss, plan{mark: fresh, tree: true, state: true, said: "the tree had no site yet"}, ""},
		{"indexed by hand, tree not mounted", found{known: true}, NoLoss, plan{}, "probably not mounted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := judge(tt.found, tt.loss, fresh)
			if tt.refused != "" {
				if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("says %v, want %s", err, tt.refused)
				}
				return
			}
			said := got.said
			got.said = ""
			want := tt.want
			want.said = ""
			if err != nil || got != want || !strings.HasPrefix(said, tt.want.said) || (said == "") != (tt.want.said == "") {
				t.Errorf("got %+v (%s), %v", got, said, err)
			}
		})
	}
}

// start is what a start does about the marks.
func start(tree, state durable.FS, fresh Mark) (Mark, error) {
	var f found
	var err error
	if f.tree, err = readMark(tree, treeMark); err != nil {
		return Mark{}, err
	}
	if f.state, err = readMark(state, stateMark); err != nil {
		return Mark{}, err
	}
	p, err := judge(f, NoLoss, fresh)
	if err != nil {
		return Mark{}, err
	}
	return p.mark, writeMarks(p, tree, state)
}

// TestFirstStartCrashes cuts the power at every operation of a first start, on both file systems: the next start never refuses, and whatever it finds becomes one site.
func TestFirstStartCrashes(t *testing.T) {
	again := 0
	for k := 0; ; k++ {
		done := false
		for seed := range uint64(20) {
			tree, state, n := crashfs.New(), crashfs.New(), 0
			count := func(o crashfs.Op) (bool, error) {
				if n++; n > k {
					return crashfs.CrashAt(0)(o)
				}
				return true, nil
			}
			tree.Hook, state.Hook = count, count
			_, err := start(tree, state, north)
			done = err == nil
			rng := rand.New(rand.NewPCG(uint64(k), seed))
			tree, state = tree.Crash(rng), state.Crash(rng)
			m, err := start(tree, state, south)
			if err != nil {
				t.Fatalf("power cut at operation %d, seed %d: the next start says %v", k, seed, err)
			}
			if m == north {
				again++
			}
			if third, err := start(tree, state, fresh); err != nil || third != m {
				t.Fatalf("power cut at operation %d: the start after the next is %+v, %v, not %+v", k, third, err, m)
			}
		}
		if done {
			break
		}
	}
	if again == 0 {
		t.Error("no start went on with what the one before had begun")
	}
}

// TestReadMark holds that a marker which cannot be read is never taken for one that is not there.
func TestReadMark(t *testing.T) {
	for text, want := range map[string]string{
		"": "damaged", "{": "damaged", "{}": "damaged", `{"site":"x"}`: "damaged", `{"version":2,"site":"x","id":"y"}`: "newer dicomesh",
		`{"version":1,"cluster":"c","site":"north","id":"aa","more":1}`: "",
	} {
		f := crashfs.New()
		if err := durable.WriteFile(f, stateMark, []byte(text)); err != nil {
			t.Fatal(err)
		}
		m, err := readMark(f, stateMark)
		switch {
		case want == "" && (err != nil || *m != north):
			t.Errorf("%s reads as %+v, %v", text, m, err)
		case want != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want)):
			t.Errorf("%s reads as %+v, %v, want %s", text, m, err, want)
		}
	}
	f := crashfs.New()
	f.Hook = crashfs.FailAt(0, false, errors.New("EIO"))
	if m, err := readMark(f, stateMark); err == nil {
		t.Errorf("a disk that fails reads as %v", m)
	}
}

// TestSiteName holds that every machine gets a name that may stand in a certificate and a packet.
func TestSiteName(t *testing.T) {
	good := regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	for host, want := range map[string]string{"North": "north", "pacs-1.example.org": "pacs-1", "": "site", "...": "site", "Röntgen": "r-ntgen",
		strings.Repeat("a", 62) + "-b": strings.Repeat("a", 62)} {
		if got := siteName(host); got != want || !good.MatchString(got) {
			t.Errorf("%q is called %q, want %q", host, got, want)
		}
	}
	if a, b := freshMark("x"), freshMark("x"); a.ID == b.ID || len(a.ID) != 32 {
		t.Error(fmt.Sprint("two sites have one id: ", a, b))
	}
}
