package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/settle"
)

// kept is a folder in memory.
type kept struct{ *crashfs.FS }

func (kept) Close() error { return nil }

// apart is provisional output whose files are removed as a test says.
type apart struct {
	*provisional
	tree *crashfs.FS
	fail error
	gone []string
	busy func() // while a study's files are about to be removed
}

func newApart() *apart {
	a := &apart{tree: crashfs.New(), busy: func() {}}
	a.provisional = &provisional{current: kept{crashfs.New()}, allowed: true, log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1), has: map[dedup.UID]bool{}, over: map[dedup.UID]bool{},
		open: func() (Folder, error) { return kept{a.tree}, nil },
		clean: func(Folder) provisionalGone {
			return func(study dedup.UID, may func() error) error {
				a.busy()
				if err := errors.Join(a.fail, may()); err != nil {
					return err
				}
				a.gone = append(a.gone, study.String())
				return nil
			}
		}}
	return a
}

// goes tidies, and holds which studies' files are removed by it.
func (a *apart) goes(t *testing.T, what string, want ...string) {
	t.Helper()
	a.gone = nil
	if err := a.tidy(t.Context()); !slices.Equal(a.gone, want) || !errors.Is(err, a.fail) {
		t.Errorf("%s: %v went (%v), want %v", what, a.gone, err, want)
	}
}

// TestProvisional holds from when to when readers are shown provisional output, and that its files go then and not before: also those of a round of which no record came to speak, those that could
// not be removed at first, and never those that are being made again.
func TestProvisional(t *testing.T) {
	a, one, two := newApart(), uid(t, "1.1"), uid(t, "1.2")
	made := settle.Record{Provisional: dedup.Digest{1}}
	published := settle.Record{State: settle.Published, Published: dedup.Digest{1}}
	shows := func(what string, study dedup.UID, want bool) {
		t.Helper()
		if a.shown(study) != want {
			t.Errorf("%s: shown %v", what, !want)
		}
	}
	for _, study := range []dedup.UID{one, two} {
		if _, err := a.begin(study); err != nil {
			t.Fatal(err)
		}
	}
	shows("its round ended a moment ago", one, false)
	a.saved(one, made)
	shows("its record speaks of it", one, true)
	if n := a.count(); n != 1 {
		t.Errorf("%d studies have some", n)
	}
	a.goes(t, "while it is shown")
	a.saved(two, settle.Record{State: settle.Incomplete})
	a.goes(t, "no record ever spoke of it", "1.2")
	a.saved(one, published)
	shows("it is published", one, false)
	a.fail = errors.New("a broken disk")
	a.goes(t, "and its files cannot be removed")
	a.fail = nil
	a.goes(t, "and then they can", "1.1")
	a.goes(t, "once")
	a.saved(one, published)
	a.goes(t, "a study that had none")

	a.saved(two, made)
	a.saved(two, published)
	a.busy = func() {
		if _, err := a.begin(two); err != nil { // the cluster is split again
			t.Error(err)
		}
	}
	a.goes(t, "a round makes it anew")
	a.saved(two, made)
	a.goes(t, "and it is shown again")
	shows("it is shown again", two, true)
}

// TestProvisionalLeft holds what a start does with the output of an earlier run: what a record speaks of is shown, the rest goes; all of it where the operator does not want any more.
func TestProvisionalLeft(t *testing.T) {
	records := map[string]settle.Record{"1.1": {Provisional: dedup.Digest{1}}, "1.2": {Published: dedup.Digest{2}, State: settle.Settled}, "1.3": {Provisional: dedup.Digest{3}}}
	for allowed, want := range map[bool][]string{true: {"1.2", "1.3"}, false: {"1.1", "1.2", "1.3"}} {
		a := newApart()
		a.allowed = allowed
		for study := range records {
			if err := durable.MkdirAll(a.tree, "studies/"+study); err != nil {
				t.Fatal(err)
			}
			if study == "1.3" { // a crash while it was removed
				continue
			}
			if err := durable.WriteFile(a.tree, regen.StatusPath(uid(t, study)), nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.find(func(study dedup.UID) (settle.Record, error) { return records[study.String()], nil }); err != nil {
			t.Fatal(err)
		}
		if a.shown(uid(t, "1.1")) != allowed || a.shown(uid(t, "1.3")) {
			t.Errorf("wanted %v: %v is shown", allowed, a.has)
		}
		a.goes(t, fmt.Sprint("wanted ", allowed), want...)
	}
	a := newApart()
	a.open = func() (Folder, error) { return nil, fs.ErrNotExist }
	if err := a.find(nil); err != nil {
		t.Errorf("there never was any: %v", err)
	}
}

// TestView holds who answers for a study, and that every answer with provisional output says so.
func TestView(t *testing.T) {
	a := newApart()
	by := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) })
	}
	v := &view{aside: a.provisional, published: by("published"), found: by("found"), apart: by("apart")}
	asks := func(method, path, want string, marked bool) {
		t.Helper()
		w := httptest.NewRecorder()
		v.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader("")))
		if header, warning := w.Header().Get("Dicomesh-Provisional"), w.Header().Get("Warning"); w.Body.String() != want || marked != (header != "") || marked != strings.HasPrefix(warning, "299 dicomesh \"") {
			t.Errorf("%s %s: by %s, marked %q, warned %q", method, path, w.Body, header, warning)
		}
	}
	asks("GET", "/studies/1.1/metadata", "published", false)
	asks("GET", "/studies", "found", false)
	a.saved(uid(t, "1.1"), settle.Record{Provisional: dedup.Digest{1}})
	asks("GET", "/studies/1.1/metadata", "apart", true)
	asks("HEAD", "/studies/1.1", "apart", true)
	asks("GET", "/studies/1.2/metadata", "published", false)
	asks("GET", "/studies", "found", true)
	asks("GET", "/series", "found", true)
	asks("GET", "/instances", "found", true)
	asks("POST", "/studies/1.1", "published", false)
	asks("POST", "/studies", "published", false)
	a.saved(uid(t, "1.1"), settle.Record{})
	asks("GET", "/studies/1.1/metadata", "published", false)
	asks("GET", "/studies", "found", false)
}
