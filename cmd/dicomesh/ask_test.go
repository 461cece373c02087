package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestFit holds that a UID is cut in its middle, to the width that there is, and never where it fits.
func TestFit(t *testing.T) {
	uid := "1.2.826.0.1.3680043.9.7433.3.82970457260936734119270346325882945"
	for columns := 9; columns < 70; columns++ {
		got := fit(uid, columns)
		if n := utf8.RuneCountInString(got); n != min(columns, len(uid)) {
			t.Errorf("%d columns: %s has %d", columns, got, n)
		}
		head, tail, cut := strings.Cut(got, "…")
		if !strings.HasPrefix(uid, head) || !strings.HasSuffix(uid, tail) || cut != (columns < len(uid)) {
			t.Errorf("%d columns: %s", columns, got)
		}
	}
}
