package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestReachable: what others are told of where this site is.
func TestReachable(t *testing.T) {
	for _, c := range []struct {
		listen string
		given  []string
		want   string
		fails  string
	}{
		{listen: "192.0.2.7:8730", want: "192.0.2.7:8730"},
		{listen: "a.example:8730", want: "a.example:8730"},
		{listen: ":8730", given: []string{"gate.example:99", "192.0.2.1:8730"}, want: "gate.example:99 192.0.2.1:8730"},
		{listen: "[2001:db8::1]:8730", want: "[2001:db8::1]:8730"},
		{listen: "127.0.0.1:0", fails: "port 0"},
		{listen: "8730", fails: "port is missing"},
		{listen: ":8730", given: []string{"nowhere"}, fails: "port is missing"},
		{listen: ":8730", given: []string{":8730"}, fails: "names no host"},
	} {
		got, err := reachable(c.listen, c.given)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %v %v", c, got, err)
		}
	}
	if got, err := reachable(":8730", nil); err != nil || len(got) == 0 {
		t.Errorf("an open host: %v %v", got, err)
	}
}

func TestOfMachine(t *testing.T) {
	var interfaces []net.Addr
	for _, ip := range []string{"127.0.0.1", "2001:db8::2", "fe80::1", "10.1.2.3", "192.0.2.9"} {
		interfaces = append(interfaces, &net.IPNet{IP: net.ParseIP(ip)})
	}
	if got, want := ofMachine(interfaces, "1"), []string{"10.1.2.3:1", "192.0.2.9:1", "[2001:db8::2]:1"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := ofMachine(interfaces[:1], "1"); !slices.Equal(got, []string{"127.0.0.1:1"}) {
		t.Error(got)
	}
}

// fullDisk is a stdout that takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) {
	return 0, &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
}

// TestPrintedInVain holds that a command does not end well when what it printed is lost: here the recovery key, which is printed once.
func TestPrintedInVain(t *testing.T) {
	var said bytes.Buffer
	if err := newTerminal(fullDisk{}, &said, "").ended(nil); err != nil {
		t.Errorf("nothing was printed: %v", err)
	}
	lost := newTerminal(fullDisk{}, &said, "")
	if fmt.Fprintln(lost.out, "words"); lost.ended(nil) == nil {
		t.Error("what was printed is lost, and nobody is told")
	}
	args := []string{"init", "--data", t.TempDir(), "--cluster", "north", "--site", "a", "--listen", "127.0.0.1:4242"}
	if code := run(t.Context(), args, fullDisk{}, &said); code != exitFault || !strings.Contains(said.String(), "is lost") || !strings.Contains(said.String(), "remove ") {
		t.Errorf("exit code %d: %s", code, said.String())
	}
}
