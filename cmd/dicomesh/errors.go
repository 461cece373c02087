package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// The exit codes, which scripts rely on.
const (
	exitFault       = 1 // found a fault, or some items failed
	exitUsage       = 2
	exitUnreachable = 3 // no agent answers
	exitInVain      = 4 // the time is over
)

// fault is an error that says what to do about it: the exit code, and a line with what to type next.
type fault struct {
	code int
	err  error
	next string
}

func (f fault) Error() string { return f.err.Error() }
func (f fault) Unwrap() error { return f.err }

// tell prints an error for a person, what is wrong and what to do next, and returns the exit code that it stands for.
func tell(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	known := fault{code: exitFault, err: err}
	errors.As(err, &known)
	if known.next == "" {
		known.next = remedy(err)
	}
	name := "dicomesh:"
	if isTerminal(stderr) && coloured() {
		name = bad + name + plain
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	fmt.Fprintf(stderr, "%s %s\n", name, inWords(err))
	if known.next != "" {
		fmt.Fprintf(stderr, "  %s\n", known.next)
	}
	return known.code
}

// remedy is what to do about an error of which no command has said it.
func remedy(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "nothing that was called stored is lost: type the same again to go on"
	case err == nil:
		return ""
	case durable.IsFull(err), strings.HasSuffix(textWords(err.Error()), "disk is full"):
		return "make room on that disk, and type the same again: what was finished is whole"
	case errors.Is(err, fs.ErrPermission):
		return "type it as the user who owns it, as: sudo -u dicomesh dicomesh ..."
	case errors.Is(err, syscall.EROFS):
		return "mount that file system for writing, or name another folder"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return "name another folder"
	case errors.Is(err, syscall.EIO):
		return "see what the kernel says of that disk (dmesg), before anything else is written to it"
	}
	return ""
}

// inWords is the text of an error, with what the system says of files and addresses as a person would.
func inWords(err error) string {
	text := err.Error()
	for _, e := range causes(err) {
		text = strings.Replace(text, e.Error(), causeWords(e), 1)
	}
	return textWords(text)
}

// textWords is the same for a text that others have made of an error.
func textWords(text string) string {
	for _, r := range []struct {
		form  *regexp.Regexp
		words string
	}{
		{regexp.MustCompile(`\w+ (\S+): no space left on device`), "the disk of $1 is full"},
		{regexp.MustCompile(`\w+ (\S+): permission denied`), "this user may not use $1"},
		{regexp.MustCompile(`(index: )?database or disk is full \(13\)(\nindex: database or disk is full \(13\))*`), "the disk is full"},
	} {
		text = r.form.ReplaceAllString(text, r.words)
	}
	return text
}

// causes are the errors of the system in an error, those of joined ones too.
func causes(err error) []error {
	switch e := err.(type) {
	case nil:
		return nil
	case *fs.PathError, *os.LinkError, *net.OpError:
		return []error{err}
	case interface{ Unwrap() []error }:
		var all []error
		for _, inner := range e.Unwrap() {
			all = append(all, causes(inner)...)
		}
		return all
	}
	return causes(errors.Unwrap(err))
}

// causeWords says what is wrong with a file, or with an address.
func causeWords(err error) string {
	about, why := "", errors.Unwrap(err)
	switch e := err.(type) {
	case *fs.PathError:
		about, why = e.Path, e.Err
	case *os.LinkError:
		about, why = e.New, e.Err
	case *net.OpError:
		if e.Addr == nil {
			return err.Error()
		}
		about, why = e.Addr.String(), e.Err
	}
	for _, known := range []struct {
		is    error
		words string
	}{
		{fs.ErrNotExist, "%s is not there"}, {fs.ErrPermission, "this user may not use %s"}, {syscall.ENOTDIR, "%s: a file lies where a folder should be"}, {syscall.EISDIR, "%s is a folder"},
		{syscall.ENOSPC, "the disk of %s is full"}, {syscall.EDQUOT, "the disk of %s is full for this user"}, {syscall.EROFS, "the file system of %s can only be read"},
		{fs.ErrExist, "%s is there already"}, {syscall.EIO, "the disk of %s fails"}, {syscall.EADDRINUSE, "%s is taken by another program"},
		{syscall.EADDRNOTAVAIL, "%s is no address of this machine"},
	} {
		if errors.Is(why, known.is) {
			return fmt.Sprintf(known.words, about)
		}
	}
	return err.Error()
}

// usage is a parser's error with the help to ask for.
func usage(err error) error {
	var at *kong.Node
	var parse *kong.ParseError
	if errors.As(err, &parse) {
		at = parse.Context.Selected()
	}
	return helped(fault{code: exitUsage, err: errors.New(parserWords(err.Error()))}, at)
}

// helped names the help of a command to whoever used it wrongly, unless the command itself says better what to do.
func helped(err error, command *kong.Node) error {
	var known fault
	if !errors.As(err, &known) || known.code != exitUsage || known.next != "" {
		return err
	}
	path := "dicomesh"
	if command != nil {
		path = command.FullPath()
	}
	return fault{code: exitUsage, err: err, next: "see: " + path + " --help"}
}

// studyUID reads a Study Instance UID that was typed as name.
func studyUID(name, text string) (dedup.UID, error) {
	uid, err := dedup.ParseUID(text)
	if err != nil {
		err = fault{code: exitUsage, err: fmt.Errorf("%s: %q is no UID: it has digits, with single dots between them, and at most 64 characters", name, text)}
	}
	return uid, err
}

// parserWords is what the parser says, for people.
func parserWords(text string) string {
	for _, r := range []struct {
		form  *regexp.Regexp
		words string
	}{
		{regexp.MustCompile(`expected a valid \d+ bit u?int but got (.*)`), "$1 is no whole number"},
		{regexp.MustCompile(`expected duration but got (.*?): time:.*`), "$1 is no length of time: write 90s, 30m or 24h"},
		{regexp.MustCompile(`missing flags: `), "this is missing: "},
		{regexp.MustCompile(`^expected "<([^"]*)>"$`), "<$1> is missing"},
		{regexp.MustCompile(`^expected "<([^"]*)> \.\.\."$`), "<$1> is missing"},
		{regexp.MustCompile(`^expected one of (.*)$`), "say which: $1"},
		{regexp.MustCompile(`expected \w+ value but got "EOL" \(<EOL>\)`), "its value is missing"},
		{regexp.MustCompile(`expected \w+ value but got ("-[^"]*") \(.*; perhaps try (.*)\?$`), "$1 was taken for a flag: if it is meant, write $2"},
		{regexp.MustCompile(`bool value must be .* but got (.*)`), "$1 is neither true nor false"},
		{regexp.MustCompile(` must be one of (.*?)(,"")? but got (.*)`), ": $3 is none of $1"},
		{regexp.MustCompile(`parsing time ("[^"]*") as .*`), "$1 is no time: write it as 2026-01-31T18:00"},
		{regexp.MustCompile(`did you mean one of ("[^"]*")\?`), "did you mean $1?"},
	} {
		text = r.form.ReplaceAllString(text, r.words)
	}
	return text
}
