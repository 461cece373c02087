package agent

import (
	"context"
	"fmt"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/dedup/ingest/inbox"
	"github.com/dicomesh/dicomesh/watch"
)

// seen is what parts that have no events of their own said of themselves last.
type seen struct {
	paused      string // why the inbox takes nothing
	stuck       string // why something stays in it
	unreachable string // why the tree is not there
	limited     string // why fewer folders are watched
	overflows   uint64
}

func see(b inbox.Status, w watch.Status) seen {
	n := seen{paused: b.Paused, stuck: b.StuckWhy, limited: w.Limited, overflows: w.Overflows}
	if !w.Unreachable.IsZero() {
		n.unreachable = w.Reason
	}
	return n
}

// happened is an event without its time.
type happened struct {
	kind   events.Kind
	reason string
}

// between says what has happened from one look to the next.
func between(was, is seen) []happened {
	var list []happened
	turn := func(kind events.Kind, was, is, before, after string) {
		switch {
		case was == "" && is != "":
			list = append(list, happened{kind, before + is})
		case was != "" && is == "":
			list = append(list, happened{kind, after})
		}
	}
	turn(events.Inbox, was.paused, is.paused, "nothing is taken: ", "files are taken again")
	turn(events.Inbox, was.stuck, is.stuck, "something stays there: ", "nothing stays there any more")
	turn(events.Watch, was.unreachable, is.unreachable, "the tree is not there: ", "the tree is there again, all of it is looked at")
	turn(events.Watch, was.limited, is.limited, "fewer folders are watched than wanted: ", "all folders are watched that were wanted")
	if n := is.overflows - was.overflows; n > 0 {
		list = append(list, happened{events.Watch, fmt.Sprintf("notifications were lost %d times: what is watched is looked at again", n)})
	}
	return list
}

// observe turns what the inbox and the watcher say of themselves into events, and sees to it that the cluster's state has its time although nobody asks for it.
func (s *site) observe(ctx context.Context) error {
	var was seen
	return regularly(ctx, func() error {
		s.since(string(s.loop.Status().Gate.State))
		is := see(s.inbox.Status(), s.watcher.Status())
		for _, h := range between(was, is) {
			s.events.Add(h.kind, "", h.reason)
		}
		was = is
		return nil
	})
}
