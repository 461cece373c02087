package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCompletion has real shells complete what is typed, with the scripts that dicomesh prints.
func TestCompletion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"archive", "arctic"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "arc.dcm"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	shells := map[string]string{
		// What bash does when TAB is typed: it calls the function that is registered, with the words in COMP_WORDS.
		"bash": `source <(dicomesh completion bash); [[ $(complete -p dicomesh) == "complete -F _dicomesh dicomesh" ]] || exit 9
			COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dicomesh 2>/dev/null; printf '%s\n' "${COMPREPLY[@]}"`,
		// The parts of zsh's completion system that the script calls say what they were given.
		"zsh": `compdef() { [[ $1 == _dicomesh && $2 == dicomesh ]] || exit 9 }; _describe() { print -l -- ${(P)2%%:*} }
			_files() { [[ $1 == -/ ]] && print -l arc*(/) || print -l arc* }
			source <(dicomesh completion zsh); words=("$@"); CURRENT=$#; _dicomesh`,
		"fish": `dicomesh completion fish | source; complete -C "$argv" | string replace -r '\t.*' '' | string replace -r '/$' ''; true`,
	}
	for shell, script := range shells {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				missing(t, shell)
			}
			for _, c := range []struct{ typed, want string }{
				{"stud", "studies study"},
				{"access ", "add list remove"},
				{"studies --js", "--json"},
				{"studies --state s", "settled syncing"},
				{"token --role ", "full standby"},
				{"verify --tree arc", "archive arctic"},
				{"ingest --tree archive arc", "arc.dcm archive arctic"},
				{"--log-level w", "warn"},
				{"completion z", "zsh"},
				{"complet", "completion"},
			} {
				if got := completed(t, shell, script, dir, "dicomesh "+c.typed); strings.Join(got, " ") != c.want {
					t.Errorf("dicomesh %s: %v, want %s", c.typed, got, c.want)
				}
			}
		})
	}
}

// completed are the words that a shell offers for what is typed, sorted.
func completed(t *testing.T, shell, script, dir, typed string) []string {
	t.Helper()
	words := strings.Split(typed, " ")
	args := append([]string{"-c", script, shell}, words...)
	if shell == "fish" {
		args = []string{"-N", "-c", script, typed}
	}
	c := exec.Command(shell, args...)
	c.Dir, c.Env = dir, append(os.Environ(), "PATH="+path(), "HOME="+dir)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", typed, err, out)
	}
	got := strings.Fields(string(out))
	slices.Sort(got)
	return slices.Compact(got)
}
