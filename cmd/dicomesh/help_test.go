package main

import (
	"io"
	"reflect"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// parser is what reads the command line.
func parser(t *testing.T) *kong.Kong {
	t.Helper()
	p, err := newParser(t.Context(), new(commands), io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// shellWords end a command in an example.
var shellWords = regexp.MustCompile(`\s*(&&|\||>|<|\)|\s#).*`)

// TestHelp holds that each command tells what it does and shows how it is typed, and that what it shows can be typed.
func TestHelp(t *testing.T) {
	p := parser(t)
	for _, command := range p.Model.Leaves(false) {
		path := command.FullPath()
		detail := strings.ReplaceAll(command.Detail, "\\\n", "")
		if command.Help == "" || !strings.Contains(detail, "Example") {
			t.Errorf("%s --help has no example", path)
		}
		shown := 0
		var examples []string
		for line := range strings.Lines(detail) {
			_, typed, is := strings.Cut(strings.TrimRight(line, "\n"), "dicomesh ")
			if !is || !strings.HasPrefix(line, "    ") {
				continue
			}
			if inner := strings.LastIndex(typed, "$(dicomesh "); inner >= 0 { // "$(dicomesh token ...)" stands for a word
				examples = append(examples, typed[inner+len("$(dicomesh "):])
				typed = typed[:inner] + "word"
			}
			examples = append(examples, typed)
		}
		for _, typed := range examples {
			words := strings.Fields(shellWords.ReplaceAllString(typed, ""))
			for i, w := range words {
				words[i] = strings.Trim(w, `"'`)
			}
			if strings.HasPrefix("dicomesh "+strings.Join(words, " "), path) {
				shown++
			}
			if words[0] == "complete" { // whose words are those of another command
				continue
			}
			if _, err := parser(t).Parse(words); err != nil {
				t.Errorf("%s --help shows dicomesh %s: %v", path, typed, err)
			}
		}
		if shown == 0 {
			t.Errorf("%s --help does not show it", path)
		}
	}
}

// TestHelpText asks each command for its help as people do: it fits 80 columns, and what stands in columns there stays in columns.
func TestHelpText(t *testing.T) {
	columns := regexp.MustCompile(`^(\S+( \S+)?)  +(\S+)`)
	for _, command := range append(parser(t).Model.Leaves(false), parser(t).Model.Node) {
		var out strings.Builder
		p, err := newParser(t.Context(), new(commands), &out, &out)
		if err != nil {
			t.Fatal(err)
		}
		p.Exit = func(int) {}
		_, _ = p.Parse(append(strings.Fields(command.FullPath())[1:], "--help")) // which says that flags are missing, behind the help
		help, _, _ := strings.Cut(out.String(), "\ndicomesh: ")
		if !strings.HasPrefix(help, "Usage: "+command.FullPath()) || longest(help) > usual {
			t.Errorf("%d columns:\n%s", longest(help), help)
		}
		for line := range strings.Lines(command.Detail) {
			if columns.MatchString(line) {
				t.Errorf("%s --help: not indented by four, and flows into the line before: %s", command.FullPath(), line)
			}
		}
	}
}

// TestSlips makes every slip that a parser can see, at every command: an unknown flag, a flag without its value, a value of the wrong kind, a word that the flag does not have. Each is
// exit code 2, says what is wrong with which flag, and which help to look at.
func TestSlips(t *testing.T) {
	slips := 0
	for _, command := range parser(t).Model.Leaves(false) {
		words := strings.Fields(command.FullPath())[1:]
		for _, group := range command.AllFlags(true) {
			for _, f := range group {
				for _, args := range wrong(f) {
					slips++
					slip(t, command.FullPath(), append(append([]string{}, words...), args...), "--"+f.Name)
				}
			}
		}
		slip(t, command.FullPath(), append(words, "--no-such-flag"), "--no-such-flag")
	}
	if slips < 100 {
		t.Errorf("%d slips were made", slips)
	}
}

func slip(t *testing.T, path string, args []string, about string) {
	t.Helper()
	_, errs := say(t, exitUsage, args...)
	first, second, _ := strings.Cut(strings.TrimRight(errs, "\n"), "\n")
	if !strings.HasPrefix(first, "dicomesh: ") || !strings.Contains(first, about) || second != "  see: "+path+" --help" || strings.Contains(errs, "bit int") || strings.Contains(errs, "strconv") {
		t.Errorf("dicomesh %s says\n%s", strings.Join(args, " "), errs)
	}
}

// wrong are ways to get a flag wrong.
func wrong(f *kong.Flag) [][]string {
	name := "--" + f.Name
	if f.IsBool() {
		return [][]string{{name + "=perhaps"}}
	}
	all := [][]string{{name}}
	if f.Enum != "" {
		all = append(all, []string{name, "nonsense"})
	}
	switch f.Target.Kind() {
	case reflect.Int, reflect.Int64, reflect.Uint64: // a length of time is one as well
		all = append(all, []string{name, "nonsense"})
	}
	return all
}

// TestCommit holds that a version says from which commit it is, and when that is not all.
func TestCommit(t *testing.T) {
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "8229e9644a112b7fe2f35a08a4e3e2ab7b1fdc5a"}
	for want, settings := range map[string][]debug.BuildSetting{
		"commit unknown":                     nil,
		"commit 8229e9644a11":                {revision, {Key: "vcs.modified", Value: "false"}},
		"commit 8229e9644a11, changed since": {revision, {Key: "vcs.modified", Value: "true"}},
	} {
		if got := commit(settings); got != want {
			t.Errorf("%v is called %s", settings, got)
		}
	}
}
