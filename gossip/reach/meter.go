package reach

import "time"

// Beats is what a link tells of its beats: when one of theirs came, and when the last of ours was sent that they are known to have got, both on the data
// connection and on this site's monotonic clock. 0 is never.
type Beats struct {
	Site   string
	Heard  time.Duration
	Echoed time.Duration
}

// meter says whether a direction works, from the times at which something came through it.
type meter struct {
	at     time.Duration // the last
	row    int           // so many in a row since it was down
	up     bool
	since  time.Duration // that it is up
	relaps int           // how often it went down lately: what it has to show doubles with each, to four times
}

// next takes in when the last beat came through; beat is the time between two. It is to be called at least once a beat.
func (m meter) next(last, now, beat time.Duration) meter {
	if last > m.at {
		if last-m.at > 3*beat {
			m.row = 0
		}
		m.at, m.row = last, m.row+1
	}
	dead := m.at == 0 || now-m.at > silent*beat
	switch {
	case m.up && dead:
		m.up, m.row, m.relaps = false, 0, min(m.relaps+1, 2)
	case m.up && now-m.since > calm*beat:
		m.relaps = 0
	case !m.up && !dead && m.row >= steady<<m.relaps:
		m.up, m.since = true, now
	}
	return m
}

func (m meter) way(now time.Duration) Way {
	if m.at == 0 {
		return Way{}
	}
	return Way{m.up, true, min(max(0, now-m.at), maxAge).Truncate(time.Millisecond)}
}

// ways are both directions of the link with a site. Beats that came before one of this process's own was answered prove nothing: they may have lain in a buffer.
type ways struct {
	in, out meter
	proven  bool
}

// next takes in what the link tells; floor is when this process began, or went on, to run.
func (w ways) next(b Beats, floor, now, beat time.Duration) ways {
	w.proven = w.proven || b.Echoed > floor
	if !w.proven {
		return w
	}
	w.out = w.out.next(b.Echoed, now, beat)
	w.in = w.in.next(b.Heard, now, beat)
	return w
}
