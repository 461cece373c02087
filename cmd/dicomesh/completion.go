package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCommand prints what makes a shell complete the words of a command.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Help is shown by dicomesh completion --help.
func (completionCommand) Help() string {
	return `Prints a script for the shell, which then completes commands, flags, words that a flag takes, folders and files. It asks the binary that is typed, so it need not be made
anew for another version.

Examples:

    source <(dicomesh completion bash)   # in ~/.bashrc
    source <(dicomesh completion zsh)    # in ~/.zshrc, after compinit
    dicomesh completion fish > ~/.config/fish/completions/dicomesh.fish`
}

// Run prints the script.
func (c *completionCommand) Run(t *terminal) error {
	_, err := fmt.Fprint(t.out, map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[c.Shell])
	return err
}

// completeCommand is what the scripts ask. A line is a word and, behind a tab, what it is; wantsFolders and wantsFiles are for the shell to complete.
type completeCommand struct {
	Words []string `arg:"" optional:"" help:"The words behind dicomesh, up to the one that is being typed, which may be empty."`
}

// What the shell completes by itself.
const (
	wantsFolders = ":folders"
	wantsFiles   = ":files"
)

// Help is shown by dicomesh complete --help.
func (completeCommand) Help() string {
	return `For the scripts that dicomesh completion prints.

Example:

    dicomesh complete -- status --da`
}

// Run prints the words that may stand where the last one is.
func (c *completeCommand) Run(app *kong.Kong, t *terminal) error {
	if len(c.Words) == 0 {
		c.Words = []string{""}
	}
	for _, p := range possible(app.Model.Node, c.Words) {
		line := p.word
		if p.what != "" {
			line += "\t" + p.what
		}
		if _, err := fmt.Fprintln(t.out, line); err != nil {
			return err
		}
	}
	return nil
}

// proposal is a word that may be typed, and what it is.
type proposal struct{ word, what string }

// possible are the words that may stand where the last of words is.
func possible(app *kong.Node, words []string) []proposal {
	before, last := words[:len(words)-1], words[len(words)-1]
	at := position{node: app}
	for _, w := range before {
		at.take(w)
	}
	flag, value, joined := strings.Cut(last, "=")
	var all []proposal
	switch {
	case at.value != nil && last == "=": // bash makes words of --flag=value
		return valuesOf(at.value)
	case at.value != nil:
		all = valuesOf(at.value)
	case joined && at.flag(flag) != nil:
		for _, p := range valuesOf(at.flag(flag).Value) {
			if strings.HasPrefix(p.word, value) && !strings.HasPrefix(p.word, ":") {
				all = append(all, proposal{flag + "=" + p.word, p.what})
			}
		}
		return all
	case strings.HasPrefix(last, "-"):
		all = at.flags()
	default:
		all = at.arguments()
	}
	return slices.DeleteFunc(all, func(p proposal) bool { return !strings.HasPrefix(p.word, last) && !strings.HasPrefix(p.word, ":") })
}

// position is how far a command line has come.
type position struct {
	node  *kong.Node
	value *kong.Value // of a flag that was typed and wants one
	args  int         // that were typed for the node
}

// take goes on by a word that is typed already.
func (p *position) take(word string) {
	switch {
	case p.value != nil && word == "=":
	case p.value != nil:
		p.value = nil
	case strings.HasPrefix(word, "-") && word != "-":
		if f := p.flag(word); f != nil && !f.IsBool() {
			p.value = f.Value
		}
	default:
		for _, c := range p.node.Children {
			if c.Name == word {
				p.node, p.args = c, 0
				return
			}
		}
		p.args++
	}
}

// flag is the flag that a word names, nil if there is none.
func (p *position) flag(word string) *kong.Flag {
	for _, group := range p.node.AllFlags(true) {
		for _, f := range group {
			if word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short) {
				return f
			}
		}
	}
	return nil
}

// flags are those that may be typed here.
func (p *position) flags() (all []proposal) {
	for _, group := range p.node.AllFlags(true) {
		for _, f := range group {
			all = append(all, proposal{"--" + f.Name, firstSentence(f.Help)})
		}
	}
	slices.SortFunc(all, func(a, b proposal) int { return cmp.Compare(a.word, b.word) })
	return all
}

// arguments are commands, or what the next argument may be.
func (p *position) arguments() (all []proposal) {
	for _, c := range p.node.Children {
		if !c.Hidden {
			all = append(all, proposal{c.Name, firstSentence(c.Help)})
		}
	}
	if n := len(p.node.Positional); n > 0 {
		next := p.node.Positional[min(p.args, n-1)]
		if p.args < n || next.IsSlice() {
			all = append(all, valuesOf(next)...)
		}
	}
	return all
}

// valuesOf are what a flag or an argument may be: words that it lists, or a folder or file, as its placeholder says.
func valuesOf(v *kong.Value) (all []proposal) {
	words := v.Enum
	if words == "" {
		words = v.Tag.Get("words")
	}
	for w := range strings.SplitSeq(words, ",") {
		if w != "" {
			all = append(all, proposal{w, ""})
		}
	}
	switch {
	case v.Tag.PlaceHolder == "DIR":
		all = append(all, proposal{wantsFolders, ""})
	case v.Tag.PlaceHolder == "FILE", v.Name == "path":
		all = append(all, proposal{wantsFiles, ""})
	}
	return all
}

// firstSentence is what stands beside a proposal.
func firstSentence(help string) string {
	sentence, _, _ := strings.Cut(help, ".")
	return sentence
}

const bashCompletion = `# dicomesh in bash: source <(dicomesh completion bash)
_dicomesh() {
    local line word=${COMP_WORDS[COMP_CWORD]}
    [[ $word == "=" ]] && word=
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
        :folders) compopt -o filenames; mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- "$word") ;;
        :files) compopt -o filenames; mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$word") ;;
        *) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <("${COMP_WORDS[0]}" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _dicomesh dicomesh
`

const zshCompletion = `#compdef dicomesh
# dicomesh in zsh: source <(dicomesh completion zsh), after compinit
_dicomesh() {
    local line
    local -a found
    for line in "${(@f)$("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
        :folders) _files -/ ;;
        :files) _files ;;
        ?*) found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done
    if (( $#found )); then
        _describe dicomesh found
    fi
}
compdef _dicomesh dicomesh
`

const fishCompletion = `# dicomesh in fish: dicomesh completion fish > ~/.config/fish/completions/dicomesh.fish
function __dicomesh
    set -l typed (commandline -opc)
    for line in ($typed[1] complete -- $typed[2..-1] (commandline -ct) 2>/dev/null)
        switch $line
            case :folders
                __fish_complete_directories (commandline -ct)
            case :files
                __fish_complete_path (commandline -ct)
            case '*'
                echo $line
        end
    end
end
complete -c dicomesh -f -a '(__dicomesh)'
`
