package demo

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLive holds how the demo tells what it waits for: on a terminal in one line, which is written over, fits and is gone in the end; elsewhere in plain lines, one every five seconds.
func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, screen strings.Builder
		sites := []*site{{name: "hospital"}, {name: "centre"}, {name: "standby"}}
		words := []string{"0 of 3 settled", "1 of 3 settled", "3 of 3 settled"}
		const line = "  hospital: 0 of 3 settled  centre: 1 of 3 settled  standby: 3 of 3 settled"
		elsewhere, terminal := &demo{config: Config{Out: &out}, sites: sites, told: time.Now()}, &demo{config: Config{Out: &out, Live: &screen}, sites: sites}
		for began := time.Now(); time.Since(began) < 12*time.Second; <-time.After(50 * time.Millisecond) {
			elsewhere.live(words)
			terminal.live(words)
		}
		elsewhere.live(nil)
		terminal.live(nil)
		if out.String() != strings.Repeat("  ..."+line+"\n", 2) {
			t.Errorf("elsewhere:\n%s", out.String())
		}
		all := strings.Split(screen.String(), "\r\x1b[K")
		if len(all) < 200 || all[1] != line || all[len(all)-1] != "" || strings.Contains(screen.String(), "\n") || len("  ..."+line) > 80 {
			t.Errorf("on a terminal: %d lines, %q", len(all), all[1])
		}
	})
}
