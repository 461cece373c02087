package reach

import (
	"cmp"
	"slices"
	"time"
)

// A site is one process at a time: the one before is dead when the next begins. So what two processes say tells whether both run, as two do when a machine was copied with its
// key: each has heard a row of this site that was made after the other was known to be there. No row that lay somewhere, and no backup that was put back, looks like that.

// mostLives is how many processes of a site are remembered.
const mostLives = 4

// live is a process of another site, as its rows tell of it.
type live struct {
	life  Life
	met   uint64        // this site's last row when the first of that process came
	heard uint64        // the last row of this site that it has acknowledged
	at    time.Duration // when it acknowledged that
}

// meet takes in which process a row is of, and what it has heard.
func (c *Core) meet(h Held, now time.Duration) {
	lives := c.lives[h.Site]
	n := slices.IndexFunc(lives, func(l live) bool { return l.life == h.Life })
	if n < 0 {
		if len(lives) == mostLives { // the one that said nothing for longest
			oldest := slices.MinFunc(lives, func(a, b live) int { return cmp.Compare(a.at, b.at) })
			lives = slices.DeleteFunc(lives, func(l live) bool { return l == oldest })
		}
		lives, n = append(lives, live{life: h.Life, met: c.mark.Seq}), len(lives)
	}
	if seen := h.of(c.self.Site).Seen; seen.Life == c.self.Life && seen.Seq > lives[n].heard {
		lives[n].heard, lives[n].at = seen.Seq, now
	}
	c.lives[h.Site] = lives
}

// twins are the sites of which two processes were there at once, each with the time until which both are known to have been.
func (c *Core) twins() map[string]time.Duration {
	var found map[string]time.Duration
	for site, lives := range c.lives {
		for n, a := range lives {
			for _, b := range lives[:n] {
				if both := min(a.at, b.at); a.heard > b.met && b.heard > a.met && both > found[site] {
					if found == nil {
						found = make(map[string]time.Duration)
					}
					found[site] = both
				}
			}
		}
	}
	return found
}
