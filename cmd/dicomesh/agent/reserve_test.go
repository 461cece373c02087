package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/phantom"
)

// TestReserve fills the disk of a site's state to the last byte while the site is down: it starts with the room that was reserved, and shows what it has. Filled once more, with nothing
// reserved, it does not start, and says why.
func TestReserve(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small disk needs root")
	}
	r := newRunning(t)
	dir := r.config.Paths.State
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=12m,mode=0700"); err != nil {
		t.Skip("a small disk cannot be mounted here: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	r.start()
	r.drop(phantom.Study{Number: 1, Series: 1, Instances: 2, Size: 32})
	r.wait(admin.Condition{Settled: true})
	r.stop()
	state, err := durable.OpenPrivate(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	if err := takeReserve(state); err != nil {
		t.Fatal(err)
	}
	fill := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 12<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("the disk is not full: %v", err)
		}
	}
	fill("somebody")
	r.start()
	r.wait(admin.Condition{Settled: true})
	if s, err := r.client.Status(t.Context()); err != nil || s.Studies.Settled != 1 || !strings.Contains(r.log.String(), "the room that was reserved") {
		t.Errorf("%+v, %v\n%s", s, err, r.log.String())
	}
	r.stop()
	fill("another")
	var no Refusal
	if err := Run(t.Context(), r.config); !errors.As(err, &no) || !strings.Contains(no.What, "is full") {
		t.Errorf("%v", err)
	}
}
