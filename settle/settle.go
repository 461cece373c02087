package settle

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// State is where a study is, in the words of `dicomesh status`. A study is in exactly one.
type State string

const (
	Syncing    State = "syncing"    // something of it changed, or is on its way here: it is looked at, waited for, generated
	Incomplete State = "incomplete" // files that it refers to are not here, or cannot be read: nothing is made of it; what was published stays
	Held       State = "held"       // it could be published here, but the cluster does not allow it
	Published  State = "published"  // readers see it; it is not verified, or not every site has it yet
	Conflict   State = "conflict"   // published and verified, and waits for a human to resolve it
	Settled    State = "settled"    // published, verified, the same at every site that its certificate names
)

// Holding is what a study is at this site.
type Holding struct {
	Leaf      dedup.Digest // of its live lists and instance files
	Complete  bool         // everything that is live is here and can be read
	Missing   int          // files that are referred to and are not here
	Faults    int          // lists and instance files that cannot be read
	Conflict  bool         // variants, or records of which none replaces the other
	Instances int          // live ones
	Change    uint64       // the index's number of the state that was looked at
}

// Job is a round that is to be done.
type Job struct {
	Study dedup.UID
	// Provisional asks for output that is kept apart from the current tree and marked: the cluster is split, and the operator chose to see something.
	Provisional bool
	// Permit is to be asked before the first name is given in the current tree, and again before each further one; it costs about a microsecond. An
	// error means that the round must end at once with it, because the gate closed, or because this process was stopped for a while and knows
	// nothing of what happened meanwhile.
	Permit func() error
}

// Round is what a round found and did.
type Round struct {
	Leaf    dedup.Digest // what the files are of now
	Wrote   int          // files that were written
	Changed bool         // whether a reader sees anything else than before
	Due     time.Time    // when another round is to remove what was replaced; zero: nothing is to be removed
}

// Wholeness is what the cluster is; every other word than these counts as Split, the empty one too.
type Wholeness string

const (
	Whole   Wholeness = "whole"
	Partial Wholeness = "partial"
	Split   Wholeness = "split"
)

// Gate says whether the cluster allows to generate.
type Gate struct {
	State   Wholeness
	Reason  string   // in words, where it is not whole: "a -> c: no answer for 14 s"
	Epoch   string   // of the roster
	Sites   []string // the other active sites that are full or standby: all of them have to answer an echo and stand in a certificate
	Without []string // sites that are acknowledged down: not counted, and named
}

// SiteReport is what another active site says of a study. What it said before it was cut off does not count: as long as sets have not been compared again, or when its index is
// another one than before (Incarnation), Lacking is -1.
type SiteReport struct {
	Site        string
	Leaf        dedup.Digest // zero: it has nothing of the study, has not said, or holds other files beside its leaves than this site
	Complete    bool
	Durable     bool
	Lacking     int    // leaves that it reports and that are missing here; -1: not compared yet
	Joining     bool   // it is not level with the cluster yet: named in certificates as an exception, and holds nobody
	Full        bool   // its disk is full: the same
	Away        bool   // its archive is not there, so what it reports is what it once held: nothing is settled until it has come back
	Number      uint64 // of the report
	Incarnation string // of its index
}

// Proof is an echo that was answered by all sites that it names.
type Proof struct {
	Nonce string // issued when Echo was called, never before
	Epoch string // of the roster that it was answered under
	Sites []string
	// Incarnations are those of the indexes of these sites as they answered. A report made under another one is void: that site has come back as something else since.
	Incarnations map[string]string
}

// Cluster is what a site knows of the others. Its functions are called from several goroutines, must not block but for Echo, and may call [Loop.Touch].
type Cluster struct {
	Gate   func() Gate
	Others func(dedup.UID) []SiteReport
	// Echo issues a nonce and returns when all other active sites have answered it, directly or relayed and signed; an error says who did not. It serves all
	// studies that wait for one, so one is under way at a time.
	Echo func(context.Context) (Proof, error)
}

// Alone is the cluster of a site that has no others.
func Alone() Cluster {
	return Cluster{
		Gate:   func() Gate { return Gate{State: Whole} },
		Others: func(dedup.UID) []SiteReport { return nil },
		Echo:   func(ctx context.Context) (Proof, error) { return Proof{}, ctx.Err() },
	}
}

// Records keeps what was decided of studies, with the study's row in the index. It is called from several goroutines, for one study from one at a time.
type Records interface {
	// All returns every study that the index has, with its present leaf digest, and what was last saved of it. A record whose files are not in the current tree any
	// more is to be left out (the zero Record): they will be made again.
	All(context.Context) iter.Seq2[Known, error]
	// Load returns what was last saved; the zero Record if nothing was.
	Load(context.Context, dedup.UID) (Record, error)
	// Save is the moment at which a study is published: when it has returned nil, queries and readers find what Record.Published names, and not before.
	Save(context.Context, dedup.UID, Record) error
}

// Known is a study as the index has it.
type Known struct {
	Study  dedup.UID
	Leaf   dedup.Digest
	Record Record
}

// Policy is what the operator chose for a cluster that is not whole.
type Policy struct {
	Partial bool // settle.when_partial is "settle": generate and settle while every site is reached through others; false: hold
	Split   bool // settle.when_split is "provisional": make provisional output of studies that are held; false: hold
}

// Timing is how long the loop waits for what. A zero field has its default.
type Timing struct {
	Quiet    time.Duration // how long a study has to be quiet before it is generated, at first: 1 s. It doubles with each round that was in vain
	Longest  time.Duration // what Quiet grows to at most: 30 s
	Patience time.Duration // after this time of constant change a study is generated and published all the same: 2 min
	Echo     time.Duration // how old an echo may be when it is used, by either clock, and how long one may take: 10 s
}

// Config is what a Loop is made of. All functions are required.
type Config struct {
	Site string // this site's name, for certificates
	// Incarnation is that of this site's index, likewise.
	Incarnation string
	Version     string // the generator's: studies that were published by another are generated again
	// Look finds out what the study is here now. fs.ErrNotExist: there is nothing of it.
	Look func(context.Context, dedup.UID) (Holding, error)
	// Generate does a round. Its error says what stands in the way; the study is then looked at again, later and later. It may panic.
	Generate func(context.Context, Job) (Round, error)
	// Busy reports whether files of the study are staged or being ingested here; so may files be of which nobody knows yet which study they are of. It must not block.
	Busy    func(dedup.UID) bool
	Cluster Cluster
	Records Records
	Policy  Policy
	Timing  Timing
	Workers int         // rounds at once: 0 means half of the processors
	Weight  int         // live instances of the studies in rounds at once: 0 means 20,000; a study that has more runs alone
	Event   func(Event) // nil, or called in order, one at a time, when something happened to a study. It must not block
	Log     *slog.Logger
	Wall    func() time.Time // what the machine's wall clock shows; nil: time.Now
}

// Kind is what happened to a study.
type Kind string

const (
	WasTouched    Kind = "touched"    // something may have changed, after it was at rest
	WasIncomplete Kind = "incomplete" // it refers to files that are not here
	WasHeld       Kind = "held"       // the cluster does not allow it; Reason says why
	WasGenerated  Kind = "generated"  // a round ended well
	WasFailed     Kind = "failed"     // looking, generating or saving ended in an error; it is tried again
	WasPublished  Kind = "published"  // readers see it
	WasConflict   Kind = "conflict"   // it is published and waits for a human
	WasSettled    Kind = "settled"    // its certificate was made
	WasGone       Kind = "gone"       // there is nothing of it here, though there was: no deletion, something is wrong
)

// Event is something that happened to a study.
type Event struct {
	Kind   Kind
	Study  dedup.UID
	Leaf   dedup.Digest
	Reason string // in words; may quote the paths of an error, no patient's data
	Time   time.Time

	cause string // of a failure, without what may name a study
}

// ErrStopped is what Job.Permit and an echo end with when this process did not run for a while: what it believed is old.
var ErrStopped = errors.New("this process was stopped for a while")

// ErrClosed is what Job.Permit ends with when the gate has closed, or the roster changed, since the round began.
var ErrClosed = errors.New("the gate is closed")
