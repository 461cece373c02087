package agent

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/syncer/link"
)

// disowned keeps which sites refuse this one as a stranger. A site that was removed while it was away is told by nobody in words: all that it meets are neighbours that close the
// door, and what it says of itself is that it hears nobody. One that has just joined meets that too, for a moment, at those that have not heard of it.
type disowned struct {
	mu sync.Mutex // guards what follows
	by map[string]time.Time
}

// settling is how long a site that has joined may be a stranger to another one.
const settling = time.Minute

// note takes up what happened to a link.
func (d *disowned) note(e link.Event, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch _, known := d.by[e.Site]; {
	case e.Kind != link.Up && e.Kind != link.Failed:
	case e.Kind == link.Up || e.Reason != link.NotInRoster:
		delete(d.by, e.Site)
	case !known:
		if d.by == nil {
			d.by = map[string]time.Time{}
		}
		d.by[e.Site] = now
	}
}

// alarm is what an operator has to know of it; "" where there is nothing.
func (d *disowned) alarm(now time.Time) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name, since := range d.by {
		if now.Sub(since) >= settling {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return "it is refused as a stranger by " + strings.Join(names, ", ") + ": it was removed from the cluster, which dicomesh status says there, or its key is another one than it joined with"
}
