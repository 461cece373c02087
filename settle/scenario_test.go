package settle

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/e2e/golden"
)

// TestScenarios plays testdata/*.txt: each line that is not indented is something that happens to one study; the indented lines below it are what next makes of
// it, and what it waits for or asks for. Run with -update they are written anew, to be read as a change of behaviour.
//
//	policy partial|split          the operator's choices
//	record WORD LEAF              what is saved of the study, by this generator (record old WORD LEAF: by another; record none -: nothing)
//	gate STATE [EPOCH] [SITES]    the gate answers this from now on; a line of its own because nobody may be told:
//	changed                       ... and the loop noticed
//	clock D                       somebody sets the wall clock, by D
//	busy yes|no                   something of it is being ingested
//	site NAME [leaf=X] [lacking=N] [complete] [durable] [joining] [full]
//	touch, begin                  begin: the job was taken up; results imply it
//	look LEAF [missing=N] [conflict] | look gone | look error
//	round LEAF [wrote=N] [due=D] | round error | round closed | round stopped
//	echo [NONCE] [EPOCH] [SITES, each with =INCARNATION where it is not i] | echo silence | echo stopped
//	save | save error | save closed
//	news of the study | of a site  others may say something else of it; or of all that wait for that
//	stopped                       this process was stopped for a while
//	+D                            time goes on; facts.wake is obeyed
func TestScenarios(t *testing.T) {
	golden.Play(t, "testdata/*.txt", play)
}

// stage is one study and the world around it, as a scenario tells.
type stage struct {
	t      *testing.T
	uid    dedup.UID
	rules  rules
	facts  facts
	view   view
	record Record // saved
	saving Record
	began  bool
	now    time.Duration
	out    *strings.Builder
}

func play(t *testing.T, text string) string {
	s := &stage{t: t, uid: uid(t, "1.2.3"), now: time.Hour, out: &strings.Builder{}}
	s.rules = rules{site: "a", incarnation: "o", version: "v1", timing: Timing{}.set()}
	s.facts.step = dirty
	s.view = view{gate: Gate{State: Whole, Epoch: "e1"}, wall: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "\t") {
			continue
		}
		fmt.Fprintln(s.out, line)
		words := strings.Fields(line)
		if len(words) > 0 && words[0] != "#" {
			s.do(words)
		}
	}
	return s.out.String()
}

func uid(t testing.TB, text string) dedup.UID {
	t.Helper()
	u, err := dedup.ParseUID(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// leaf is a digest that one letter stands for, and its letter.
func leaf(letter string) (d dedup.Digest) {
	copy(d[:], letter)
	return d
}

func letter(d dedup.Digest) string {
	if d == (dedup.Digest{}) {
		return "-"
	}
	return strings.TrimRight(string(d[:]), "\x00")
}

func (s *stage) do(words []string) {
	args := words[1:]
	switch verb := words[0]; {
	case strings.HasPrefix(verb, "+"):
		s.pass(verb[1:])
	case verb == "policy":
		s.rules.policy = Policy{Partial: has(args, "partial"), Split: has(args, "split")}
	case verb == "record":
		s.keep(args)
	case verb == "gate":
		s.view.gate = Gate{State: Wholeness(args[0]), Epoch: "e1"}
		if len(args) > 1 {
			s.view.gate.Epoch, s.view.gate.Sites = args[1], args[2:]
		}
	case verb == "busy":
		s.view.busy = args[0] == "yes"
	case verb == "clock":
		s.view.wall = s.view.wall.Add(duration(s.t, args[0]))
	case verb == "site":
		s.site(args)
	case verb == "changed":
		s.happen(event{kind: gated})
	case verb == "touch":
		s.happen(event{kind: touched})
	case verb == "news":
		s.happen(event{kind: reported, news: map[string]news{"study": ofStudy, "site": ofSite}[args[len(args)-1]]})
	case verb == "stopped":
		s.happen(event{kind: resumed})
	case verb == "begin":
		s.began = true
		s.happen(event{kind: began})
	default:
		s.end(verb, args)
	}
}

// keep is what an earlier life saved.
func (s *stage) keep(args []string) {
	version := "v1"
	if args[0] == "old" {
		version, args = "v0", args[1:]
	}
	s.record = Record{State: State(args[0]), Leaf: leaf(args[1]), Published: leaf(args[1]), Version: version}
	if args[0] == "none" {
		s.record = Record{}
	}
}

func (s *stage) site(args []string) {
	o := SiteReport{Site: args[0], Leaf: leaf(value(args, "leaf")), Complete: has(args, "complete"), Durable: has(args, "durable"),
		Joining: has(args, "joining"), Full: has(args, "full"), Number: 7, Incarnation: "i"}
	o.Lacking, _ = strconv.Atoi(value(args, "lacking"))
	for i := range s.view.others {
		if s.view.others[i].Site == o.Site {
			s.view.others[i] = o
			return
		}
	}
	s.view.others = append(s.view.others, o)
}

// end is how a job ends.
func (s *stage) end(verb string, args []string) {
	if !s.began && s.facts.job != idle {
		s.facts, _ = s.rules.next(s.uid, s.facts, event{kind: began}, s.now)
	}
	if verb == "round" != (s.facts.job == generate || s.facts.job == verify || s.facts.job == aside) || verb != "round" && jobs[s.facts.job] != verb {
		s.t.Fatalf("%s %v: but what is under way is %s\n%s", verb, args, jobs[s.facts.job], s.out)
	}
	e := event{err: outcome(args)}
	switch verb {
	case "look":
		missing, _ := strconv.Atoi(value(args, "missing"))
		e.kind, e.record = looked, s.record
		e.holding = Holding{Leaf: leaf(args[0]), Complete: missing == 0, Missing: missing, Conflict: has(args, "conflict"), Instances: 3, Change: 5}
	case "round":
		wrote, _ := strconv.Atoi(value(args, "wrote"))
		e.kind, e.round = made, Round{Leaf: leaf(args[0]), Wrote: wrote, Changed: wrote > 0}
		if due := value(args, "due"); due != "" {
			e.round.Due = s.view.wall.Add(duration(s.t, due))
		}
	case "echo":
		e.kind = echoed
		s.view.proof = proofOf(append([]string{"n1", s.view.gate.Epoch}, s.view.gate.Sites...)) // beside an error too: it must not count then
		if len(args) > 1 {
			s.view.proof = proofOf(args)
		}
	case "save":
		e.kind, e.record = saved, s.saving
		if e.err == nil {
			s.record = s.saving
		}
	default:
		s.t.Fatalf("unknown line %q", verb)
	}
	s.happen(e)
	s.view.proof = nil
}

// proofOf is an echo: a nonce, an epoch, and the sites that answered.
func proofOf(words []string) *Proof {
	p := &Proof{Nonce: words[0], Epoch: words[1], Incarnations: map[string]string{}}
	for _, word := range words[2:] {
		site, incarnation, other := strings.Cut(word, "=")
		if !other {
			incarnation = "i"
		}
		p.Sites = append(p.Sites, site)
		p.Incarnations[site] = incarnation
	}
	return p
}

// outcome is the error that a job ends in.
func outcome(args []string) error {
	if len(args) == 0 {
		return nil
	}
	switch args[0] {
	case "gone":
		return fs.ErrNotExist
	case "error":
		return errors.New("input/output error")
	case "closed":
		return ErrClosed
	case "stopped":
		return ErrStopped
	case "silence":
		return errors.New("c did not answer")
	}
	return nil
}

// pass lets time go on, and stops wherever the study asked to be woken.
func (s *stage) pass(text string) {
	end := s.now + duration(s.t, text)
	for wakes := 0; s.facts.wake != 0 && s.facts.wake <= end && s.facts.job == idle; wakes++ {
		if wakes > 1000 {
			s.t.Fatal("it wakes for ever")
		}
		s.until(max(s.now, s.facts.wake))
		s.happen(event{kind: woke})
	}
	s.until(end)
}

func (s *stage) until(then time.Duration) {
	s.view.wall = s.view.wall.Add(then - s.now)
	s.now = then
}

func (s *stage) happen(e event) {
	e.view = s.view
	var out effect
	s.facts, out = s.rules.next(s.uid, s.facts, e, s.now)
	for _, n := range out.notices {
		fmt.Fprintf(s.out, "\t! %s %s", n.Kind, letter(n.Leaf))
		if n.Reason != "" {
			fmt.Fprintf(s.out, " (%s)", n.Reason)
		}
		fmt.Fprintln(s.out)
	}
	if e.kind == began {
		return
	}
	fmt.Fprintf(s.out, "\t%v %s", s.now-time.Hour, steps[s.facts.step])
	if s.facts.reason != "" {
		fmt.Fprintf(s.out, " (%s)", s.facts.reason)
	}
	switch {
	case out.rest:
		fmt.Fprintf(s.out, ": rests, %s", s.facts.record.State)
		s.facts = facts{step: dirty}
	case out.job == save:
		s.saving = out.record
		fmt.Fprintf(s.out, ": save %s", describe(out.record))
	case out.job != idle:
		fmt.Fprintf(s.out, ": %s", jobs[out.job])
	case s.facts.job != idle:
		fmt.Fprintf(s.out, ": %s goes on", jobs[s.facts.job])
	case s.facts.wake != 0:
		fmt.Fprintf(s.out, ": until %v", s.facts.wake-time.Hour)
	}
	fmt.Fprintln(s.out)
	if out.job != idle {
		s.began = false
	}
}

func describe(r Record) string {
	text := fmt.Sprintf("%s %s, readers see %s", r.State, letter(r.Leaf), letter(r.Published))
	if r.Provisional != (dedup.Digest{}) {
		text += ", provisional " + letter(r.Provisional)
	}
	if !r.Due.IsZero() {
		text += ", due"
	}
	if c := r.Certificate; c != nil {
		text += fmt.Sprintf(", certificate %s %s", c.Epoch, c.Nonce)
		for _, site := range c.Sites {
			text += " " + site.Site + "=" + letter(site.Leaf) + "/" + site.Incarnation
		}
		for _, x := range c.Exceptions {
			text += " [" + x + "]"
		}
	}
	return text
}

func has(args []string, word string) bool {
	for _, a := range args {
		if a == word {
			return true
		}
	}
	return false
}

func value(args []string, name string) string {
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, name+"="); ok {
			return v
		}
	}
	return ""
}

func duration(t testing.TB, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
