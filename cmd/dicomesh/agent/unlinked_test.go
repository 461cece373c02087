package agent

import (
	"fmt"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// TestUnlinked holds that what changes here while a site has no link is what it lacks, each study once and from its first change, until both have been compared again.
func TestUnlinked(t *testing.T) {
	var a unlinked
	at := time.Unix(1000, 0)
	lacks := func(site string) string {
		studies := map[string]int64{}
		a.since(site, func(study dedup.UID, at time.Time) bool {
			studies[study.String()] = at.Unix()
			return true
		})
		return fmt.Sprint(studies)
	}
	is := func(what, site, want string) {
		t.Helper()
		if got := lacks(site); got != want {
			t.Errorf("%s: %s lacks %s, want %s", what, site, got, want)
		}
	}
	a.changed(uid(t, "1.1"), at.Add(-2*time.Second))
	is("it has a link", "b", "map[]")
	a.gone("b", at.Add(-time.Second))
	a.changed(uid(t, "1.2"), at)
	is("since it was heard", "b", "map[1.2:1000]")
	a.gone("c", at.Add(-2*time.Second))
	is("since it was heard", "c", "map[1.1:998 1.2:1000]")
	a.changed(uid(t, "1.2"), at.Add(time.Second))
	a.changed(uid(t, "1.3"), at.Add(time.Second))
	is("since it went", "b", "map[1.2:1000 1.3:1001]")
	is("since it went", "c", "map[1.1:998 1.2:1000 1.3:1001]")
	a.gone("b", at.Add(-time.Hour))
	is("it tried again", "b", "map[1.2:1000 1.3:1001]")
	a.back("b")
	a.changed(uid(t, "1.4"), at)
	is("both have been compared", "b", "map[]")
	for n := range mostUnlinked + 10 {
		a.changed(uid(t, fmt.Sprint("2.", n)), at)
	}
	for n := range 2000 {
		a.changed(uid(t, fmt.Sprint("3.", n)), at.Add(time.Duration(n)*time.Hour))
	}
	if n := len(a.late); n == 0 || n > 1024+20 {
		t.Errorf("%d studies changed a moment ago", n)
	}
	n := 0
	a.since("c", func(dedup.UID, time.Time) bool { n++; return n < mostUnlinked+10 })
	if n != mostUnlinked {
		t.Errorf("%d studies are remembered", n)
	}
}
