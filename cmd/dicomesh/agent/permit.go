package agent

import (
	"strings"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// permitted is the current tree during one round: whatever a reader could see changes only with leave, which ends when the cluster is not whole any more, or when
// this process was stopped and does not know what happened meanwhile.
type permitted struct {
	durable.FS
	permit func() error
}

// own reports whether a name is dicomesh's own, which no reader sees.
func own(name string) bool { return strings.HasPrefix(name, ".dicomesh/") }

// Rename asks for leave.
func (p permitted) Rename(from, to string) error {
	return p.ask(to, func() error { return p.FS.Rename(from, to) })
}

// Replace asks for leave.
func (p permitted) Replace(from, to string) error {
	return p.ask(to, func() error { return p.FS.Replace(from, to) })
}

// Link asks for leave.
func (p permitted) Link(from, to string) error {
	return p.ask(to, func() error { return p.FS.Link(from, to) })
}

// Remove asks for leave.
func (p permitted) Remove(name string) error {
	return p.ask(name, func() error { return p.FS.Remove(name) })
}

func (p permitted) ask(name string, change func() error) error {
	if !own(name) {
		if err := p.permit(); err != nil {
			return err
		}
	}
	return change()
}
