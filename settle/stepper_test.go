package settle

import (
	"context"
	"io/fs"
	"iter"
	"log/slog"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// kept is Records in memory.
type kept map[dedup.UID]Record

func (k kept) All(context.Context) iter.Seq2[Known, error] { return func(func(Known, error) bool) {} }

func (k kept) Load(_ context.Context, u dedup.UID) (Record, error) { return k[u], nil }

func (k kept) Save(_ context.Context, u dedup.UID, r Record) error {
	k[u] = r
	return nil
}

// TestWallClockIsSet holds that a study is quiet for as long as it is, whatever somebody does to the wall clock meanwhile: it is generated neither before its time, nor hours after it.
func TestWallClockIsSet(t *testing.T) {
	for _, set := range []time.Duration{-20 * time.Hour, 0, 20 * time.Hour} {
		mono, wall, begun := time.Hour, time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC), time.Duration(0)
		uid, err := dedup.ParseUID("1.2.3")
		if err != nil {
			t.Fatal(err)
		}
		var jobs []func()
		s, err := NewStepper(Config{
			Site: "a", Version: "v", Cluster: Alone(), Records: kept{}, Log: slog.New(slog.DiscardHandler), Busy: func(dedup.UID) bool { return false },
			Look: func(context.Context, dedup.UID) (Holding, error) {
				return Holding{Leaf: dedup.Digest{1}, Complete: true, Instances: 1}, nil
			},
			Generate: func(context.Context, Job) (Round, error) {
				if begun == 0 {
					begun = mono
				}
				return Round{}, fs.ErrNotExist
			},
		}, func() (time.Duration, time.Time) { return mono, wall }, func(job func()) { jobs = append(jobs, job) })
		if err != nil {
			t.Fatal(err)
		}
		touched := mono
		s.Touch(uid)
		for n := range 100 {
			if n == 3 {
				wall = wall.Add(set)
				touched = mono // somebody may have stopped the process: quiet begins anew
			}
			s.Beat()
			s.Step(t.Context())
			for len(jobs) > 0 {
				job := jobs[0]
				jobs = jobs[1:]
				job()
				s.Step(t.Context())
			}
			mono, wall = mono+100*time.Millisecond, wall.Add(100*time.Millisecond)
		}
		if waited := begun - touched; begun == 0 || set != 0 && waited < time.Second || waited > 3*time.Second {
			t.Errorf("the wall clock was set by %v: generated after %v", set, waited)
		}
	}
}
