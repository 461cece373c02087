package golden

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPlay(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"one.txt": "a\n\tA\n", "two.txt": "b\n\tB\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	Play(t, filepath.Join(dir, "*.txt"), func(_ *testing.T, text string) string {
		event, _, _ := strings.Cut(text, "\n")
		return event + "\n\t" + strings.ToUpper(event) + "\n"
	})
}

func TestDifference(t *testing.T) {
	for _, c := range [][3]string{
		{"a\nb\nc", "a\nx\nc", "a\nx\nline 2, where was expected:\nb"},
		{"a", "a\nb", "a\nb\nline 2, where was expected:\nnothing"},
		{"a\nb", "a", "a\nline 2, where was expected:\nb"},
	} {
		if got := difference(c[0], c[1]); got != c[2] {
			t.Errorf("%q and %q: %q, want %q", c[0], c[1], got, c[2])
		}
	}
}
