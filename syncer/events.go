package syncer

import (
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// The events. Each is a fact that the caller has seen; the order in which facts of one site are handed in is that in which they happened.
type (
	event interface{ event() }

	linkUp   struct{ site string }
	linkDown struct{ site string }
	// beyond says whether a site without a link can be asked by way of a neighbour.
	beyond struct {
		site string
		up   bool
	}
	// said is what a site says of itself: in its hello, and with every hint.
	said struct {
		site    string
		summary wire.Summary
	}
	// holds is what a site holds of some studies, and what this one holds of them, by a hint (hint) or found by a feed or a comparison.
	holds struct {
		site    string
		studies []held
		hint    bool
	}
	// claimed is what a site says that it is fetching.
	claimed struct {
		site    string
		studies []wire.Claimed
	}
	// compared is the end of a comparison or of a feed. err is nil, or why it did not come to its end.
	compared struct {
		site string
		feed bool
		some bool   // of a comparison: only of the studies that the other site had found
		next uint64 // of a feed: what to ask for next time
		err  error
		// partial says that a comparison found as much as was asked for, and that there may be more.
		partial bool
	}
	// walked says that a site compares its tree with this one's, or, with the keys of what it has found to differ, that it is through: what they are of need not be found once more.
	walked struct {
		site string
		keys []wire.Key
	}
	// local is what this site holds of a study now, and of everything.
	local struct {
		study   wire.StudyState
		summary wire.Summary
	}
	// room says whether this site takes anything in.
	room struct{ Room }
	// asked says that a viewer waits for a study.
	asked struct{ study dedup.UID }
	// fetched is how far a pull is.
	fetched struct {
		study dedup.UID
		bytes uint64
	}
	// pulled is the end of a pull. What this site holds now was told before by local.
	pulled struct {
		study dedup.UID
		end   end
		why   string // what went wrong, or was not taken, in words
	}
	tick struct{}
	// fence is nothing that happened: it passes when all events before it were taken.
	fence struct{ passed chan struct{} }
)

// held is a study as two sites hold it. A site that has nothing of it holds a zero leaf and no flags.
type held struct{ theirs, mine wire.StudyState }

// end is what became of a pull.
type end uint8

const (
	through  end = iota // all that the source offered is here, or was refused as accounted for
	linkLost            // the source could not be reached any more: nobody's fault
	notHere             // this site could not store it: disk
	atFault             // the source sent what it should not have, or did not send what it offered
)

func (linkUp) event()   {}
func (linkDown) event() {}
func (beyond) event()   {}
func (said) event()     {}
func (holds) event()    {}
func (claimed) event()  {}
func (compared) event() {}
func (walked) event()   {}
func (local) event()    {}
func (room) event()     {}
func (asked) event()    {}
func (fetched) event()  {}
func (pulled) event()   {}
func (tick) event()     {}
func (fence) event()    {}

// The effects. The caller performs them in order.
type (
	effect interface{ effect() }

	// tell sends a message on control streams.
	tell struct {
		sites   []string
		message wire.Message
	}
	// compare walks the digest trees of this site and another, or only asks about the studies that the other one has found by that, and answers with holds and compared.
	compare struct {
		site string
		keys []wire.Key
	}
	// feed asks a site for its changes, and answers with holds and compared.
	feed struct {
		site, incarnation string
		since             uint64
	}
	// startPull pulls a study from a site, and answers with fetched now and then, local and pulled.
	startPull struct {
		study dedup.UID
		site  string
		lane  Lane
	}
	// raise makes a running pull more urgent.
	raise struct {
		study dedup.UID
		lane  Lane
	}
	// revised says that what Report says of some studies may be something else, though no site has just spoken of them.
	revised struct{ studies []dedup.UID }
	// standing says that a site's word of any study counts, which did not before, or that it is another site, or one in another state, than it was.
	standing struct{ site string }
	// blame is for an operator: a site sent what it should not have.
	blame struct {
		study dedup.UID
		site  string
	}
)

func (tell) effect()      {}
func (compare) effect()   {}
func (feed) effect()      {}
func (startPull) effect() {}
func (raise) effect()     {}
func (revised) effect()   {}
func (standing) effect()  {}
func (blame) effect()     {}
