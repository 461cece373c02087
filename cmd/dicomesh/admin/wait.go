package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// glance is how often a condition that somebody waits for is looked at.
const glance = 100 * time.Millisecond

// wait answers when a condition holds, when the time is over, or when the agent ends.
func (s *Server) wait(w http.ResponseWriter, r *http.Request) {
	what, timeout, err := condition(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		// Once after the time is over as well: with a timeout of 0 it is a question.
		found, err := s.holds(r.Context(), what)
		switch {
		case err != nil:
			s.failed(w, err)
			return
		case found.Holds || ctx.Err() != nil:
			answer(w, found)
			return
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// condition reads what is waited for.
func condition(r *http.Request) (Condition, time.Duration, error) {
	ask := r.URL.Query()
	what := Condition{Whole: ask.Get("whole") == "true", Level: ask.Get("level") == "true", Settled: ask.Get("settled") == "true", Study: ask.Get("study")}
	if !what.Whole && !what.Level && !what.Settled {
		return what, 0, errors.New("say what to wait for: whole, level or settled")
	}
	timeout := time.Minute
	if text := ask.Get("timeout"); text != "" {
		var err error
		if timeout, err = time.ParseDuration(text); err != nil || timeout < 0 {
			return what, 0, fmt.Errorf("timeout: %q is not a length of time", text)
		}
	}
	return what, min(timeout, longestWait), nil
}

// holds looks whether a condition holds now, and says what is wanting.
func (s *Server) holds(ctx context.Context, what Condition) (Answer, error) {
	// Before the studies are counted: a file leaves the inbox after its study was touched, so it is seen in one place at least.
	empty, err := s.config.Empty()
	if err != nil {
		return Answer{}, err
	}
	status := s.config.Source.Status()
	if status.Agent != Running {
		return Answer{Reason: "the agent is " + status.Agent}, nil
	}
	if !empty {
		status.Inbox.Waiting = max(1, status.Inbox.Waiting)
	}
	var wanting []string
	if what.Whole && status.State != "whole" {
		wanting = append(wanting, strings.TrimSuffix("the cluster is "+status.State+": "+status.Reason, ": "))
	}
	if what.Study != "" {
		wanting, err = s.studyWanting(ctx, what, wanting)
	} else {
		wanting = status.wanting(what, wanting)
	}
	return Answer{Holds: len(wanting) == 0, Reason: strings.Join(wanting, "; ")}, err
}

// wanting adds what keeps all studies from being level, or settled.
func (s Status) wanting(what Condition, words []string) []string {
	if what.Level {
		for _, site := range s.Sites {
			switch n := site.Lag.Studies; {
			case site.Waived:
			case n > 0:
				words = append(words, fmt.Sprintf("%s lacks something of %d studies", site.Name, n))
			case site.NotLevel != "":
				words = append(words, site.Name+": "+site.NotLevel)
			}
		}
	}
	if !what.Settled {
		return words
	}
	if s.Watch.Unreachable != "" {
		words = append(words, "the tree is not there: "+s.Watch.Unreachable)
	}
	if s.Watch.Unseen > 0 {
		words = append(words, fmt.Sprintf("%d studies have not been looked at since the start", s.Watch.Unseen))
	}
	if s.Inbox.Waiting > 0 {
		words = append(words, strings.TrimSuffix(fmt.Sprintf("%d files wait in the inbox: %s", s.Inbox.Waiting, cmp.Or(s.Inbox.Paused, s.Inbox.StuckWhy)), ": "))
	}
	// A study in conflict is as settled as it gets before a human has decided.
	for _, c := range []struct {
		n    int
		word string
	}{{s.Studies.Syncing, "syncing"}, {s.Studies.Incomplete, "incomplete"}, {s.Studies.Held, "held"}, {s.Studies.Published, "published and not yet settled"}} {
		if c.n > 0 {
			words = append(words, fmt.Sprintf("%d of %d studies are %s", c.n, s.Studies.Total, c.word))
		}
	}
	return words
}

// studyWanting adds what keeps one study from being level, or settled.
func (s *Server) studyWanting(ctx context.Context, what Condition, words []string) ([]string, error) {
	uid, err := dedup.ParseUID(what.Study)
	if err != nil {
		return append(words, "this is no UID"), nil
	}
	study, err := s.config.Source.Study(ctx, uid)
	if errors.Is(err, ErrUnknown) {
		return append(words, "nothing is known of the study"), nil
	}
	if err != nil {
		return words, err
	}
	if what.Level {
		for _, h := range study.Holders {
			if !h.Safe() && !h.Waived {
				words = append(words, strings.TrimSuffix(h.Site+" has not got all of it: "+h.Why, ": "))
			}
		}
	}
	if what.Settled && study.State != "settled" {
		words = append(words, strings.TrimSuffix("it is "+study.State+": "+study.Reason, ": "))
	}
	return words, nil
}
