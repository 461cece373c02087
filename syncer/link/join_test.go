package link

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// ask joins at site a from a port of its own.
func ask(t *testing.T, k *cluster, keyWords string, make func(binding []byte) ([]byte, error), others ...string) ([]byte, error) {
	t.Helper()
	port := strangerPort(t, k)
	defer port.Close()
	return Join(t.Context(), port, publicOf(keyWords), append(others, addressOf("a")), make)
}

func withAdmit(t *testing.T, f func(t *testing.T, k *cluster, a *testSite), admit func(context.Context, Application) ([]byte, error)) {
	synctest.Test(t, func(t *testing.T) {
		k := newCluster(t, 20*time.Millisecond, "a")
		config := k.configFor("a")
		config.Admit = admit
		f(t, k, k.start(config))
	})
}

// TestJoin: one request, bound to its connection, and one answer, from the site that the token names.
func TestJoin(t *testing.T) {
	var seen Application
	large := bytes.Repeat([]byte("roster"), 100_000)
	withAdmit(t, func(t *testing.T, k *cluster, a *testSite) {
		var bound []byte
		answer, err := ask(t, k, "a", func(binding []byte) ([]byte, error) { bound = binding; return []byte("may I"), nil }, addressOf("z"))
		if err != nil || !bytes.Equal(answer, large) {
			t.Errorf("%d bytes, %v", len(answer), err)
		}
		if len(bound) != 32 || !bytes.Equal(bound, seen.Binding) || string(seen.Request) != "may I" {
			t.Errorf("binding %x here, %x there", bound, seen.Binding)
		}
		first := bound
		ask(t, k, "a", func(binding []byte) ([]byte, error) { bound = binding; return []byte("may I"), nil })
		if bytes.Equal(first, bound) {
			t.Error("two connections have one binding")
		}
		pass(time.Second)
		if len(a.told(Joined)) != 2 {
			t.Errorf("events %v", a.told(Joined))
		}
	}, func(_ context.Context, ap Application) ([]byte, error) { seen = ap; return large, nil })
}

func TestJoinRefused(t *testing.T) {
	withAdmit(t, func(t *testing.T, k *cluster, a *testSite) {
		request := func([]byte) ([]byte, error) { return []byte("x"), nil }
		if _, err := ask(t, k, "a", request); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "the token is over") {
			t.Errorf("the answer was no, and the error is: %v", err)
		}
		asked := false
		_, err := ask(t, k, "not a", func([]byte) ([]byte, error) { asked = true; return nil, nil })
		if err == nil || asked {
			t.Errorf("a site with another key was told the request: %v", err)
		}
		if _, err := ask(t, k, "a", func([]byte) ([]byte, error) { return make([]byte, maxJoin+1), nil }); err == nil {
			t.Error("a request that is too large was taken")
		}
	}, func(context.Context, Application) ([]byte, error) { return nil, errors.New("the token is over") })
}

// TestJoinIsLimited: strangers who ask all the time are turned away, and the sites' links are not disturbed.
func TestJoinIsLimited(t *testing.T) {
	asked := 0
	withAdmit(t, func(t *testing.T, k *cluster, a *testSite) {
		refused := 0
		for range 40 {
			if _, err := ask(t, k, "a", func([]byte) ([]byte, error) { return []byte("x"), nil }); err != nil {
				refused++
			}
		}
		if asked > 25 || refused < 15 {
			t.Errorf("%d of 40 were answered, %d refused", asked, refused)
		}
	}, func(context.Context, Application) ([]byte, error) { asked++; return nil, nil })
}
