package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dicomesh/dicomesh/e2e/raced"
)

// job is tests of one package.
type job struct {
	pkg   string
	tests []string
}

// mostJobs is more than there are packages.
const mostJobs = 1000

// runWhole has the tests that say that they were thinned run once more as soon as their package has ended: one package at a time, beside what runs still. The caller calls end when no more will
// come; it returns when they have run.
func (t *tally) runWhole(run runner) (end func() error) {
	jobs, failed := make(chan job, mostJobs), make(chan error, 1)
	t.jobs = jobs
	go func() {
		var err error
		for j := range jobs {
			events, wrong := run(module+j.pkg, j.tests)
			if wrong == nil {
				wrong = t.read(events)
			}
			if wrong != nil && err == nil {
				err = fmt.Errorf("%s without the race detector: %w", j.pkg, wrong)
			}
		}
		failed <- err
	}()
	return func() error {
		close(jobs)
		return <-failed
	}
}

// note takes an attribute of a test.
func (t *tally) note(e event) {
	if e.Key != raced.Thinned {
		return
	}
	if t.thinned[e.pkg()] == nil {
		t.thinned[e.pkg()] = map[string]bool{}
	}
	test, _, _ := strings.Cut(e.Test, "/")
	t.thinned[e.pkg()][test] = true
}

// hand hands the thinned tests of a package that has ended to who runs them whole.
func (t *tally) hand(pkg string) {
	if tests := t.thinned[pkg]; t.jobs != nil && len(tests) > 0 {
		t.jobs <- job{pkg, slices.Sorted(maps.Keys(tests))}
	}
	delete(t.thinned, pkg)
}
