package agent

import (
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/settle"
	"github.com/dicomesh/dicomesh/syncer"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// TestReported holds what settle is told of another site: that it is level only where it holds all of the study, a letter beside the images too.
func TestReported(t *testing.T) {
	mine := wire.StudyState{Leaf: dedup.Digest{1}, Others: dedup.Digest{9}, Flags: wire.Complete}
	with := func(change func(*syncer.Report)) syncer.Report {
		r := syncer.Report{State: mine, Incarnation: "i"}
		r.State.Change = 7
		change(&r)
		return r
	}
	whole := settle.SiteReport{Site: "b", Leaf: dedup.Digest{1}, Complete: true, Durable: true, Number: 7, Incarnation: "i"}
	want := func(change func(*settle.SiteReport)) settle.SiteReport {
		x := whole
		change(&x)
		return x
	}
	for name, x := range map[string]struct {
		report syncer.Report
		want   settle.SiteReport
	}{
		"the same":         {with(func(*syncer.Report) {}), whole},
		"other leaves":     {with(func(r *syncer.Report) { r.State.Leaf[0] = 2 }), want(func(x *settle.SiteReport) { x.Leaf[0] = 2 })},
		"without a letter": {with(func(r *syncer.Report) { r.State.Others = dedup.Digest{} }), want(func(x *settle.SiteReport) { x.Leaf = dedup.Digest{} })},
		"incomplete":       {with(func(r *syncer.Report) { r.State.Flags = 0 }), want(func(x *settle.SiteReport) { x.Complete, x.Durable = false, false })},
		"with more":        {with(func(r *syncer.Report) { r.Offers = true }), want(func(x *settle.SiteReport) { x.Lacking = 1 })},
		"a full disk":      {with(func(r *syncer.Report) { r.Low = true }), want(func(x *settle.SiteReport) { x.Full = true })},
		"away":             {with(func(r *syncer.Report) { r.Low, r.Away = true, true }), want(func(x *settle.SiteReport) { x.Away = true })},
	} {
		if got := reported("b", x.report, mine); got != x.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
