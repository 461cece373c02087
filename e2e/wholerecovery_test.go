package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWholeRecovery has a site left alone without a credential that may sign for operators: all others are gone for ever. There the cluster's recovery key, and no other, says that one of them is down and that
// the other is removed; then the site goes on, and a new one can join with its word again.
func TestWholeRecovery(t *testing.T) {
	t.Parallel()
	c := &cluster{t: t, net: newNetwork(t), sites: map[string]*member{}}
	a := c.add("a")
	listen, address := c.net.site("a")
	key := strings.TrimSpace(a.command("init", "--cluster", "test", "--site", "a", "--listen", listen, "--address", address))
	a.run()
	left, gone := c.join("b", "a"), c.join("c", "a")
	c.whole()
	a.drop(sampled(t, "--studies", "1", "--instances", "2"))
	c.within(time.Minute, 1)
	left.stop()
	if err := os.Remove(left.in("state", "cluster", "operator.key")); err != nil {
		t.Fatal(err)
	}
	a.kill()
	gone.kill()
	left.run()
	left.drop(sampled(t, "--studies", "1", "--instances", "3"))

	other := newSite(t, quick)
	foreign, code := dicomesh(t, "init", "--data", other.dir, "--cluster", "test", "--site", "a", "--listen", "127.0.0.1:18730")
	if code != 0 {
		t.Fatal(foreign)
	}
	paper := func(text string) string {
		name := filepath.Join(t.TempDir(), "key.txt")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	mistyped := strings.Replace(key, key[30:31], map[bool]string{true: "B", false: "A"}[key[30] == 'A'], 1)
	orders := [][]string{{"ack-down", "a", "--for", "1h"}, {"remove", "c", "--yes"}}
	for _, order := range orders {
		for _, tt := range []struct {
			what string
			key  []string
			code int
			says string
		}{
			{"no key", nil, 1, "this site has no operator credential: type it at another one, or give the recovery key with --recovery"},
			{"another cluster's key", []string{"--recovery", paper(foreign)}, 1, "that is the recovery key of another cluster: give the one that dicomesh init printed when this cluster was made"},
			{"a typing error", []string{"--recovery", paper(mistyped)}, 2, "that recovery key has a typing error in it"},
			{"something else", []string{"--recovery", paper("open sesame")}, 2, "that is no recovery key: it begins with dicomesh-recovery-"},
			{"a file that is not there", []string{"--recovery", filepath.Join(t.TempDir(), "none")}, 2, "name the file that holds it, or - to type it"},
		} {
			if out, code := said(t, append(append(order, "--data", left.dir), tt.key...)...); code != tt.code || !strings.Contains(out, tt.says) {
				t.Errorf("%v with %s: exit code %d: %s", order, tt.what, code, out)
			}
		}
	}
	if now := left.now(); now.State != "split" || len(now.Sites) != 3 || len(now.Removed) > 0 {
		t.Errorf("an order was refused, and the site says %s of %d sites, %v removed", now.State, len(now.Sites), now.Removed)
	}
	for _, order := range orders {
		left.ask(append(order, "--recovery", paper(strings.ToLower(key)+"\n"))...)
	}
	eventually(t, 30*time.Second, "the site that is left goes on alone", func() bool {
		now := left.now()
		return now.State == "whole" && now.Studies.Settled == 2 && len(now.Sites) == 2
	})
	left.event("operator", "c was removed from the cluster, with the recovery key")
	left.audited(`"kind":"ack-down","by":"b","about":"a"`)
	left.audited(`"kind":"removed","by":"b","about":"c","text":"c was removed from the cluster, with the recovery key"`)
}
