package e2e

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// size is how large a test is: by default so small that it can always run; as large as the environment says, where somebody wants to see it.
func size(t *testing.T, variable string, small int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return small
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no size", variable, text)
	}
	return n
}

// TestClusterKilled kills the receiver, then the sender, again and again while two studies are on their way between them. After each kill nothing torn stands at a
// final name; in the end both are level, and what came before a kill did not come again. In full:
//
//	DICOMESH_INSTANCES=5000 DICOMESH_KILLS=30 go test ./e2e -run TestClusterKilled -v -timeout 40m
func TestClusterKilled(t *testing.T) {
	const studies = 2
	instances, kills := size(t, "DICOMESH_INSTANCES", 500), size(t, "DICOMESH_KILLS", 3)
	for _, victim := range []string{"receiver", "sender"} {
		t.Run(victim, func(t *testing.T) {
			t.Parallel()
			c := foundCluster(t, "sender")
			from := c.sites["sender"]
			folder := noisy(t, "--studies", fmt.Sprint(studies), "--instances", fmt.Sprint(instances/studies), "--size", "128", "--frames", "1")
			if out, code := dicomesh(t, "ingest", "--tree", from.in("tree"), folder); code != 0 {
				t.Fatal(out)
			}
			eventually(t, time.Minute, "the sender knows its studies", func() bool { return len(from.digests()) == studies })
			content := weight(t, from.in("tree"))
			c.net.both("sender", "receiver", func(p *track) { p.pipe = limit(24e6) })
			to := c.join("receiver", "sender")
			for n := range kills {
				// They are spread over the content, so every one falls inside, whatever comes again.
				due := content * int64(n+1) / int64(kills+1)
				eventually(t, time.Minute, fmt.Sprintf("%d of %d bytes have come", due, content), func() bool { return c.net.received("receiver", "") >= due })
				c.sites[victim].kill()
				if weight(t, to.in("tree")) >= content {
					t.Fatalf("all was there before kill %d", n+1)
				}
				if out, code := dicomesh(t, "verify", "--tree", to.in("tree"), "--deep"); code != 0 {
					t.Fatalf("after kill %d: %s", n+1, out)
				}
				c.sites[victim].run()
			}
			took := c.level(time.Minute, studies)
			came := c.net.received("receiver", "")
			t.Logf("%d instances, %d bytes, killed %d times, level %v after the last: %d bytes came, %.3f times", instances, content, kills, took.Round(time.Millisecond), came,
				float64(came)/float64(content))
			most := content * 125 / 100 // what a kill loses is per kill: of so little content it is a larger part
			if instances >= 5000 {
				most = content * 110 / 100
			}
			if came > most {
				t.Errorf("%d bytes came for %d", came, content)
			}
			c.sound(sums(t, folder))
			c.equal()
		})
	}
}
