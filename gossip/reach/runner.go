package reach

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/gossip/roster"
)

// Config makes a Runner. All but Level, Changed and Log must be given.
type Config struct {
	Self   Self          // New draws its Life
	Roster roster.Roster // to begin with; see SetRoster
	// Links tells how the links are, those with sites of the roster alone.
	Links func() []Heard
	// Send sends a message to a site whose Merge is to take it, directly or through a neighbour, at once or not at all: what waits in a queue is old when it comes. It does
	// not block. A message has some 100 bytes and 30 for each site of the roster, so it fits a packet in clusters of up to 30 sites.
	Send func(site string, message []byte)
	// Level says whether this site holds what the others hold, as far as it knows. nil: it does.
	Level func() bool
	// Changed is told of each change but of the ages, in order. It must not block.
	Changed func(Wholeness)
	// Ask sends a question to a site that has a link with this one, whose Answer gets it, and returns what that returned. It fails when ctx ends.
	Ask func(ctx context.Context, site string, question []byte) (answer []byte, err error)
	// Incarnation is that of this site's index, for answers.
	Incarnation func() string
	Log         *slog.Logger     // nil: no log
	Wall        func() time.Time // what the machine's wall clock shows; nil: time.Now
}

// Heard is what a link tells of its beats on the data connection, as Stats of the links have it; zero times are never.
type Heard struct {
	Site   string
	Heard  time.Time // when a beat of theirs came
	Echoed time.Time // when the last of our beats was sent that they are known to have got
}

func (c Config) check() error {
	if c.Links == nil || c.Send == nil || c.Ask == nil || c.Incarnation == nil {
		return errors.New("reach needs links, ways to send to sites and to ask them, and the index's incarnation")
	}
	return nil
}

// Runner is one site's part in it, at work. New makes it, Run runs it; its other methods may be called at any time and from any goroutine, and do not block but
// for Echo and Answer.
type Runner struct {
	config Config
	start  time.Time
	nudged chan struct{}

	mu     sync.Mutex // guards all below
	pulse  pulse
	core   *Core
	judged time.Duration // when verdict was made; 0: it is to be made anew
	last   Wholeness
}

// New makes a Runner and touches nothing.
func New(c Config) (*Runner, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	r := &Runner{config: c, start: time.Now(), nudged: make(chan struct{}, 1)}
	r.pulse.clock = clockFrom(r.start, c.Wall)
	now, _ := r.pulse.take()
	rand.Read(r.config.Self.Life[:])
	var err error
	r.core, err = NewCore(r.config.Self, c.Roster, now.Mono)
	return r, err
}

// Run measures, spreads and judges until ctx ends. It can run once.
func (r *Runner) Run(ctx context.Context) error {
	ticker := time.NewTicker(r.config.Self.Beat / 2)
	defer ticker.Stop()
	told := ""
	for {
		w := r.turn()
		if gist := w.gist(); gist != told {
			told = gist
			r.tell(w)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-r.nudged:
		}
	}
}

func (r *Runner) tell(w Wholeness) {
	if r.config.Log != nil {
		r.config.Log.Info("wholeness", "state", string(w.State), "reason", w.Reason)
	}
	if r.config.Changed != nil {
		r.config.Changed(w)
	}
}

// turn takes in what the links tell, hands on what is new, and judges.
func (r *Runner) turn() Wholeness {
	var beats []Beats
	for _, h := range r.config.Links() {
		beats = append(beats, Beats{h.Site, r.mono(h.Heard), r.mono(h.Echoed)})
	}
	level := r.config.Level == nil || r.config.Level()
	r.mu.Lock()
	now := r.look()
	r.core.Tick(beats, level, now.Mono)
	out := r.core.Out(now.Mono)
	r.judged = 0
	w := r.judge(now)
	r.mu.Unlock()
	for _, m := range out {
		r.config.Send(m.To, m.Row)
	}
	return w
}

// mono is a time on the clock of the pulse.
func (r *Runner) mono(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return max(1, begin+t.Sub(r.start))
}

// look takes the moment; if this process did not run for a while, all that it knew is void. r.mu is held.
func (r *Runner) look() Moment {
	now, gap := r.pulse.take()
	if gap > 0 {
		r.core.Stopped(gap, now.Mono)
		r.judged = 0
		nudge(r.nudged)
	}
	return now
}

// judge is the verdict, which is made anew when it is older than half a beat, or an acknowledgement has ended. r.mu is held.
func (r *Runner) judge(now Moment) Wholeness {
	if r.judged == 0 || now.Mono-r.judged > r.config.Self.Beat/2 || r.last.Over(now.Wall) {
		r.last, r.judged = r.core.Judge(now), now.Mono
	}
	return r.last
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Current is what the cluster is now. It costs a microsecond or so between looks, and notices by itself that this process did not run.
func (r *Runner) Current() Wholeness {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.judge(r.look())
}

// SetRoster takes another roster.
func (r *Runner) SetRoster(to roster.Roster) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.core.SetRoster(to, r.look().Mono)
	r.judged = 0
	nudge(r.nudged)
}

// State is all rows that are known here: what Merge of another site takes. Together they make a topic of gossip, which makes up for what packets lose.
func (r *Runner) State() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.State(r.look().Mono)
}

// Merge takes rows of other sites. It always says that there is no news: what others lack of it is sent by Run, with its age.
func (r *Runner) Merge(message []byte) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.core.Take(message, r.look().Mono); err != nil && r.config.Log != nil {
		r.config.Log.Debug("rows that are not taken", "error", err)
	}
	if len(r.core.news) > 0 || r.core.stale {
		r.judged = 0
		nudge(r.nudged)
	}
	return false
}
