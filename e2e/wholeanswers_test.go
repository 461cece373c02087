package e2e

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWholeAnswers asks one of three sites, whatever is wrong with the others, whether a study is safe at each of them, what each lacks and why, and what happened everywhere; programs that wait hear by their
// exit codes whether what they wait for holds, does not, or cannot be known.
func TestWholeAnswers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b", "c")
	c.whole()
	a, b, away := c.sites["a"], c.sites["b"], c.sites["c"]
	studies := parts(t, sampled(t, "--studies", "2", "--series", "1", "--instances", "2"))
	first, second := studyOf(t, studies[0]), studyOf(t, studies[1])
	a.drop(studies[0])
	c.within(time.Minute, 1)
	const safe = `: safe: it holds the same as this site, all of it, durably\n`
	a.says(0, `at +b`+safe+`at +c`+safe, "study", first)
	a.says(0, `^$`, "wait", "--level", "--study", first)
	a.says(0, `^$`, "wait", "--whole", "--level", "--settled")
	a.says(0, `b +level: it holds the same of every study`, "diff", "b")
	a.says(0, `(?s)  a  +settled .*  b  +settled .*|  b  +settled .*  a  +settled`, "events", "--all")

	b.stop()
	b.configure(strings.Replace(quick, "watermark: 0,", "watermark: 900 TB,", 1))
	b.run()
	c.net.cut("a", "c")
	c.net.cut("b", "c")
	c.see(15*time.Second, "split", map[string]string{"a": "a <-> c: no answer", "b": "b <-> c: no answer"})
	a.drop(studies[1])
	a.held(second, 2, "^the cluster is split: ")
	const full, gone = `held back: the disk there is below its watermark`, `no link: it was last heard \d+ s ago`
	lags := regexp.MustCompile(`(?m)^b +full +up +\d+ s ago +1 study, \d+\.\d kB,(?s:.*)^c +full .* \d+ s ago +at least 1 study,\s+\d+\.\d kB,`)
	eventually(t, 20*time.Second, "a knows what both lack, and why", func() bool {
		out, _ := said(t, "study", second, "--data", a.dir)
		return strings.Contains(out, full) && regexp.MustCompile(gone).MatchString(out) && lags.MatchString(a.ask("sites"))
	})
	a.says(0, `safe +at no other site yet: b, c may not hold all of it\n.*\nat +b: not safe yet: `+full+`\nat +c: not safe yet: `+gone, "study", second)
	a.says(1, `(?m)^b +1 study differs$(?s:.*)^`+regexp.QuoteMeta(second)+`\n +missing there for \d+ s: complete here, nothing there\n +`+full+`$`, "diff", "b")
	a.says(1, `c +no link: what is known is from before\n`+regexp.QuoteMeta(second)+`\n +missing there for \d+ s: complete here, not known there\n +no link: it changed here since that site was last heard\n`, "diff", "c")
	a.says(4, `waited 0s in vain: the cluster is split: `, "wait", "--whole", "--timeout", "0s")
	a.says(4, `waited 0s in vain: b has not got all of it: `+full+`; c has not got all of it: `+gone, "wait", "--level", "--study", second, "--timeout", "0s")
	a.says(4, `waited 0s in vain: it is held: the cluster is split: `, "wait", "--settled", "--study", second, "--timeout", "0s")
	a.says(2, `say what to wait for: --whole, --level or --settled`, "wait")
	a.says(1, `(?s)  b  +disk-low .*not all sites could be asked \(c: no link\)`, "events", "--all")
	a.says(0, `at +c: not known to be safe: acknowledged down until `, "ack-down", "c", "--for", "1h", "&&", "study", second)

	b.stop()
	b.configure(quick)
	b.run()
	eventually(t, 30*time.Second, "b has it", func() bool { return b.knows(second).Instances == 2 })
	a.says(0, `^$`, "wait", "--level", "--study", second, "--timeout", "60s") // nobody waits for c
	a.says(0, `^$`, "wait", "--whole", "--level", "--timeout", "60s")
	c.net.mend()
	c.within(time.Minute, 2)
	a.says(0, `^$`, "wait", "--whole", "--level", "--settled", "--timeout", "60s")
	sites := map[string]bool{}
	for line := range strings.Lines(a.ask("events", "--all", "--json", "-n", "1000")) {
		var e struct{ Site, Kind string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		sites[e.Site] = true
	}
	if len(sites) != 3 {
		t.Errorf("what happened at %v is told", sites)
	}
	away.stop()
	away.says(3, `start it: dicomesh agent`, "wait", "--whole", "--timeout", "1s")
}

// says holds what a command answers, and its exit code; after "&&" another one begins, which is judged.
func (s *member) says(code int, pattern string, args ...string) {
	s.t.Helper()
	for n, arg := range args {
		if arg == "&&" {
			s.ask(slices.Clone(args[:n])...)
			args = args[n+1:]
			break
		}
	}
	out, got := said(s.t, append(args, "--data", s.dir)...)
	if got != code || !regexp.MustCompile(pattern).MatchString(out) {
		s.t.Errorf("dicomesh %s at %s: exit code %d, want %d, and no %s in:\n%s", strings.Join(args, " "), s.name, got, code, pattern, out)
	}
}
