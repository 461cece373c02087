package main

import (
	"net"
	"slices"
	"strings"
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
