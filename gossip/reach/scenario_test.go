package reach

import (
	"crypto/ed25519"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/e2e/golden"
	"github.com/dicomesh/dicomesh/gossip/roster"
)

// TestScenarios plays testdata/scenarios/*.txt: each line that is not indented is something that happens; the indented lines below it are what sites say, each
// time that it changes, at which second. Run with -update they are written anew, to be read as a change of behaviour.
//
//	sites lan|wan NAME...      the cluster; -NAME can only dial out. The sites start
//	+D                         time goes on
//	cut A B, cut A > B         both directions, or one; heal A B, heal A > B
//	loss N                     of 100 packets, on every way
//	kill A, start A BOOT       the process
//	pause A, resume A          the machine stands still; suspend A: and so does its monotonic clock
//	clock A D                  somebody sets the wall clock
//	level A yes|no             what the syncer says
//	down B D at A              an operator at A says that B is down for so long; return B at A, remove B at A
//	say A                      what A says now, in full
func TestScenarios(t *testing.T) {
	golden.Play(t, "testdata/scenarios/*.txt", play)
}

func play(t *testing.T, text string) string {
	var out strings.Builder
	var w *world
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if strings.HasPrefix(line, "\t") {
			continue
		}
		out.WriteString(line + "\n")
		words := strings.Fields(line)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		if words[0] == "sites" {
			w = newWorld(t, 1, map[string]time.Duration{"lan": LAN, "wan": WAN}[words[1]], words[2:]...)
			said := map[string]string{}
			w.changed = func(site string, now Wholeness) {
				without := now
				without.Reason = now.Cause
				if said[site] != short(without) {
					said[site] = short(without)
					fmt.Fprintf(&out, "\t%s %s: %s\n", second(w.now), site, short(now))
				}
			}
			continue
		}
		if words[0] == "say" {
			say(&out, w, words[1])
			continue
		}
		if !w.do(words) {
			t.Fatalf("not understood: %s", line)
		}
	}
	return out.String()
}

func second(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// short is a judgement on a line.
func short(w Wholeness) string {
	out := string(w.State)
	if w.Reason != "" {
		out += ": " + w.Reason
	}
	for _, s := range w.Sites {
		if s.Joining {
			out += ", " + s.Name + " joining"
		}
		if s.Back {
			out += ", " + s.Name + " back"
		}
	}
	return out
}

func say(out *strings.Builder, w *world, site string) {
	now := w.sites[site].verdict
	fmt.Fprintf(out, "\t%s; others %v, without %v\n", short(now), now.Others, now.Without)
	for _, s := range now.Sites {
		fmt.Fprintf(out, "\t\t%s: %s", s.Name, s.Standing)
		if s.Standing == Stale {
			fmt.Fprintf(out, " (%s)", words(s.Age))
		}
		if !s.Counts {
			out.WriteString(", does not count")
		}
		out.WriteString("\n")
	}
	for _, l := range now.Links {
		state := "up"
		if !l.Up {
			state = l.Reason
		}
		fmt.Fprintf(out, "\t\t%s - %s: %s\n", l.A, l.B, state)
	}
}

func duration(word string) time.Duration {
	d, err := time.ParseDuration(word)
	if err != nil {
		return 0
	}
	return d
}

// do does what a line says.
func (w *world) do(words []string) bool {
	arg := func(n int) string { return append(words, "", "", "", "")[n] }
	switch verb := words[0]; {
	case verb[0] == '+':
		w.run(duration(verb[1:]))
	case verb == "cut" || verb == "heal":
		change := map[string]func(from, to string){"cut": w.cut, "heal": w.heal}[verb]
		if arg(2) == ">" {
			change(arg(1), arg(3))
			return true
		}
		change(arg(1), arg(2))
		change(arg(2), arg(1))
	case verb == "loss":
		percent, _ := strconv.Atoi(arg(1))
		w.loss = float64(percent) / 100
	case verb == "kill":
		w.kill(arg(1))
	case verb == "start":
		boot, _ := strconv.Atoi(arg(2))
		w.start(arg(1), uint64(boot))
	case verb == "pause":
		w.pause(arg(1))
	case verb == "suspend":
		w.suspend(arg(1))
	case verb == "resume":
		w.resume(arg(1))
	case verb == "clock":
		w.sites[arg(1)].skew += duration(arg(2))
	case verb == "level":
		w.sites[arg(1)].level = arg(2) == "yes"
	default:
		return w.operate(words)
	}
	return true
}

// operate does what an operator does.
func (w *world) operate(words []string) bool {
	site, at := words[1], words[len(words)-1]
	var f func(roster.Roster, ed25519.PrivateKey) (roster.Roster, error)
	switch words[0] {
	case "down":
		now := w.sites[at].clock().Wall
		d := roster.Down{Site: site, Until: now.Add(duration(words[2])), By: at, Now: now}
		f = func(r roster.Roster, key ed25519.PrivateKey) (roster.Roster, error) { return r.AckDown(d, key) }
	case "return":
		f = func(r roster.Roster, key ed25519.PrivateKey) (roster.Roster, error) { return r.Return(site, at, key) }
	case "remove":
		f = func(r roster.Roster, key ed25519.PrivateKey) (roster.Roster, error) { return r.Remove(site, at, key) }
	default:
		return false
	}
	w.change(at, f)
	return true
}
