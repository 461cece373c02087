// Package admin is the agent's face: what it answers to commands, to people and to monitoring.
//
// It has two doors. The socket in the state folder (agent.sock) is for commands on this machine: who may open the folder may ask and tell. The HTTP port
// listens on loopback and answers questions; on any other address, and wherever http.access says so, it asks who is there (package access): a token or a
// certificate, with a role. Both doors have:
//
//	/                     a page for people (package page)
//	/dicomweb/...         the current tree, for viewers (package regen/web)
//	/api/v1/status        Status
//	/api/v1/sites         []Site
//	/api/v1/studies       []Row, those that changed last at the end; after=CHANGE, limit=N, state=WORD, find=TEXT; before=CHANGE: those that changed last first
//	/api/v1/studies/UID   Study
//	/api/v1/conflicts     []Row of the studies that wait for a human; after, limit
//	/api/v1/events        []events.Event; after=N, limit=N; follow=true: lines of JSON, for ever
//	/api/v1/events/all    Everywhere; limit=N
//	/api/v1/live          what the page shows, as server-sent events (live.go)
//	/api/v1/session       Session: who asks
//	/api/v1/wait          Answer; whole, level, settled, study=UID, timeout=60s
//	/api/v1/diff          Diff; site, limit
//	/metrics              for Prometheus (METRICS.md)
//	/healthz, /readyz     200, or 503 and why; /healthz is answered to everybody
//
// and the socket, and the port for whoever may operate:
//
//	/api/v1/touch         POST: studies in which a command has written something
//	/api/v1/ack-down      POST: site, until (RFC 3339; none: it is waited for again); the body is empty, or the recovery key
//	/api/v1/remove        POST: site; likewise
//
// Where the port asks who is there, POST /session begins a session with a token and sets its cookie, and DELETE /session ends it.
//
// The types of the answers are here, and Client asks for them. Fields are only ever added. Nothing that is answered names a patient, but for what viewers are
// served under /dicomweb. This package knows no part of the agent: whoever builds it hands in functions (Config).
package admin

import (
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
)

// Status is how a site and its cluster are.
type Status struct {
	Site    string    `json:"site"`
	Cluster string    `json:"cluster"`
	State   string    `json:"state"`            // of the cluster: whole, partial or split
	Reason  string    `json:"reason,omitempty"` // why it is not whole
	Since   time.Time `json:"since"`            // of State
	Sites   []Site    `json:"sites"`
	Links   []Line    `json:"links"`             // all expected ones, those between other sites as well
	Alarms  []Alarm   `json:"alarms"`            // what is odd about the roster
	Removed []string  `json:"removed,omitempty"` // sites that an operator removed for ever
	Studies Studies   `json:"studies"`
	Disk    Disk      `json:"disk"`

	Agent       string    `json:"agent"` // starting, running or stopping
	Started     time.Time `json:"started"`
	Version     string    `json:"version"`
	Incarnation string    `json:"incarnation,omitempty"` // of the index: what was said under another one is void
	HTTP        string    `json:"http"`                  // address of the port for people
	Page        string    `json:"page"`                  // URL of the status page
	Certificate string    `json:"certificate,omitempty"` // why that of the port for people has to be seen to
	Inbox       Inbox     `json:"inbox"`
	Watch       Watch     `json:"watch"`
	Work        Work      `json:"work"`
	Combining   Combining `json:"combining"`
}

// Words of Status.Agent.
const (
	Starting = "starting"
	Running  = "running"
	Stopping = "stopping"
)

// Site is what this site knows of a member of the cluster, itself included.
type Site struct {
	Name     string  `json:"name"`
	Role     string  `json:"role"`  // full or standby
	State    string  `json:"state"` // up, or why not
	Links    []Link  `json:"links"`
	LastSeen float64 `json:"last_seen_s"` // seconds ago; 0 for this site
	Lag      Lag     `json:"lag"`
	// NotLevel is why it is not known to hold the same as this site, of everything; none where it does, or an operator has said that it is down.
	NotLevel string `json:"not_level,omitempty"`
	Waived   bool   `json:"waived,omitempty"` // nobody waits for it: an operator has said that it is down
	// Mark is of a site that sent what it should not have, or did not give what it had offered; none of others.
	Mark *Mark `json:"mark,omitempty"`
}

// Mark says of a site that what it sent was refused: it lies, or its disk or memory does. It ends a day after the last time, or with the agent that set it. It changes nothing
// that is taken from the site: each item is checked, whoever sends it.
type Mark struct {
	Times     int       `json:"times"`      // since the mark was set
	Seconds   float64   `json:"last_s"`     // since the last time
	Until     time.Time `json:"until"`      // when the mark ends, if nothing more comes
	Reason    string    `json:"reason"`     // the last time
	AskedLast bool      `json:"asked_last"` // it is asked after all others, until a study has come from it
}

// Link is an expected link of a site to another one.
type Link struct {
	To    string `json:"to"`
	State string `json:"state"`
	// Of a link of this site that is up: connections that carry data now, those that are wanted, the round trip and how much is lost lately.
	Connections int     `json:"connections,omitempty"`
	Wanted      int     `json:"wanted,omitempty"`
	RTT         float64 `json:"rtt_s,omitempty"`
	Loss        float64 `json:"loss,omitempty"` // 0 to 1
	// Bytes that this site sent over it and got, since the start of the agent.
	Sent     uint64 `json:"sent_bytes,omitempty"`
	Received uint64 `json:"received_bytes,omitempty"`
}

// Line is an expected link between two sites of the cluster, as State rests on it.
type Line struct {
	A      string `json:"a"`
	B      string `json:"b"`
	There  Way    `json:"there"`            // from A to B
	Back   Way    `json:"back"`             // from B to A
	Reason string `json:"reason,omitempty"` // why it does not work both ways
}

// Way is one direction of a link.
type Way struct {
	State  string  `json:"state"`    // up, down, or unknown: neither end is heard
	Silent float64 `json:"silent_s"` // since the last that came through, as far as is known; -1: nothing is known to have
}

// Alarm is what whoever operates the cluster must look at: a second machine that claims a site's name, a site in which nobody but a removed one believes.
type Alarm struct {
	Site   string `json:"site"`
	Reason string `json:"reason"`
}

// Lag is what a site has not got of what the others have.
type Lag struct {
	Studies int     `json:"studies"`
	Bytes   int64   `json:"bytes"`   // at most: of a study of which it has a part, all that is here
	Seconds float64 `json:"seconds"` // since when the oldest of them differs
}

// Diff is what another site holds otherwise than this one.
type Diff struct {
	Site     string       `json:"site"`
	Linked   bool         `json:"linked"`
	Compared bool         `json:"compared"` // it has said what it holds since the link came up
	Level    bool         `json:"level"`    // both hold the same of everything
	Dated    time.Time    `json:"dated"`    // when it last held its index against its disk
	Total    int          `json:"total"`    // studies that differ
	Studies  []Difference `json:"studies"`  // those that have differed longest
}

// Difference is a study that two sites hold otherwise.
type Difference struct {
	Study   string  `json:"study"`
	Name    string  `json:"name"` // what the page calls it
	Here    string  `json:"here"` // nothing, incomplete or complete
	There   string  `json:"there"`
	Lacks   bool    `json:"lacks"`   // the other site has not got something that is here, as far as is known
	Seconds float64 `json:"seconds"` // since when
	Why     string  `json:"why"`     // on its way, refused, no source, held back, no link: a word or two, and more
}

// Studies counts studies. Each is in one state; Total is the sum.
type Studies struct {
	Total      int `json:"total"`
	Settled    int `json:"settled"`    // published, and nothing changes any more
	Published  int `json:"published"`  // the current files are those of what is held, not yet settled
	Syncing    int `json:"syncing"`    // something changed, or is on its way: looked at, waited for, generated
	Held       int `json:"held"`       // may not be published now
	Conflict   int `json:"conflict"`   // published, and wait for a human
	Incomplete int `json:"incomplete"` // something that they refer to is missing
	// Provisional is of how many readers are shown provisional output, whatever their state: made apart while the cluster was split, and marked.
	Provisional int `json:"provisional"`
}

// Disk is the room on the file system that has least of it among those of the site's folders.
type Disk struct {
	Path      string `json:"path"`
	Free      uint64 `json:"free"`
	Size      uint64 `json:"size"`
	Watermark uint64 `json:"watermark"` // below it the site is low
	Floor     uint64 `json:"floor"`     // below it nothing new is taken
	State     string `json:"state"`     // ok, low, full or read-only
	Reason    string `json:"reason,omitempty"`
}

// Words of Disk.State.
const (
	DiskOK       = "ok"
	DiskLow      = "low"
	DiskFull     = "full"
	DiskReadOnly = "read-only"
)

// Inbox is how the inbox is doing. The counts are since the start of the agent.
type Inbox struct {
	Waiting   int    `json:"waiting"`              // files that are in it now
	LeftAlone int    `json:"left_alone,omitempty"` // files and folders besides, whose names say that they are not finished: .NAME, NAME.part and the like
	Stuck     int    `json:"stuck,omitempty"`      // files and folders that this user may not read, or not remove from where they are
	StuckWhy  string `json:"stuck_why,omitempty"`  // of one of them, and what to do
	Paused    string `json:"paused,omitempty"`     // why none is taken
	Stored    uint64 `json:"stored"`
	Duplicate uint64 `json:"duplicate"`
	Conflict  uint64 `json:"conflict"`
	Refused   uint64 `json:"refused"`
}

// Watch is how new files in the tree are noticed.
type Watch struct {
	Watches     int       `json:"watches"`
	Hot         int       `json:"hot"`        // studies whose folders are watched
	Cold        int       `json:"cold"`       // studies that are only looked at now and then
	Unseen      int       `json:"unseen"`     // studies that have not been looked at since the start of the agent
	Unfinished  int       `json:"unfinished"` // files that are not complete yet
	Overflows   uint64    `json:"overflows"`
	LastCycle   time.Time `json:"last_cycle"` // when every study had last been looked at
	Rescanned   time.Time `json:"rescanned"`  // when every file had last been held against the index; zero: not since the start of the agent
	Limited     string    `json:"limited,omitempty"`
	Unreachable string    `json:"unreachable,omitempty"` // why the tree is not there
}

// Work is what was done to settle studies since the start of the agent.
type Work struct {
	Rounds   uint64 `json:"rounds"`   // of regeneration that ended well
	Written  uint64 `json:"written"`  // current files
	Failures uint64 `json:"failures"` // each is tried again
	Faults   uint64 `json:"faults"`   // files of the archive that were found corrupt or gone
	Busy     int    `json:"busy"`     // looks and rounds under way
}

// Combining is what the site did by itself to keep its archive small, since the start of the agent.
type Combining struct {
	On        bool   `json:"on"`               // false: the operator turned it off
	Lists     uint64 `json:"lists"`            // that were made
	Inputs    uint64 `json:"inputs"`           // instance files and lists that went into them
	Collected uint64 `json:"collected"`        // instance files and lists that were removed
	Failures  uint64 `json:"failures"`         // each is tried again
	Waiting   int    `json:"waiting"`          // studies that will be looked at, most of them when they have rested for long enough
	Reason    string `json:"reason,omitempty"` // of the last failure, if it has not been made good
}

// Row is a study in a list.
type Row struct {
	Change    uint64 `json:"change"` // grows with everything that happens to studies: rows are in this order
	Study     string `json:"study"`
	Name      string `json:"name"` // short, and the same at every site of the cluster: what the page calls the study
	State     string `json:"state"`
	Leaf      string `json:"leaf_digest,omitempty"`
	Instances int    `json:"instances"`
	Series    int    `json:"series"`
	Bytes     int64  `json:"bytes"`
	Reason    string `json:"reason,omitempty"`
}

// Study is everything that a site knows of a study without opening it.
type Study struct {
	Row
	Provisional  bool     `json:"provisional"`
	Holders      []Holder `json:"holders"`
	MissingCount int      `json:"missing_count"`
	Missing      []string `json:"missing"` // the first of them, as paths in the study
	Faults       []Fault  `json:"faults,omitempty"`
	// Certificate is why a settled study is: what each site reported of it.
	Certificate *Certificate `json:"certificate,omitempty"`
}

// Certificate is the evidence that all sites hold the same of a study. It is true as of the reports that it names.
type Certificate struct {
	Leaf       string   `json:"leaf_digest"`
	Generator  string   `json:"generator"`            // the version that made the current files here
	Epoch      string   `json:"epoch,omitempty"`      // of the roster
	Nonce      string   `json:"nonce,omitempty"`      // of the echo that all other sites answered after the round that wrote nothing; none where a site is alone
	Sites      []Report `json:"sites"`                // by name, this site among them
	Exceptions []string `json:"exceptions,omitempty"` // sites that it says nothing of, by name, each with why
}

// Report is what a site said that it holds of a study.
type Report struct {
	Site        string `json:"site"`
	Leaf        string `json:"leaf_digest"`
	Complete    bool   `json:"complete"`
	Durable     bool   `json:"durable"`
	Number      uint64 `json:"number"`                // of the last change at that site when it said so
	Incarnation string `json:"incarnation,omitempty"` // of its index
}

// Holder is a site and what it says that it has of a study.
type Holder struct {
	Site     string `json:"site"`
	Level    bool   `json:"level"` // it holds the same as this site
	Complete bool   `json:"complete"`
	Durable  bool   `json:"durable"`
	// Why is why it is not safe there, or not known to be, in words; Waived says that nobody waits for the site: an operator said that it is down.
	Why    string `json:"why,omitempty"`
	Waived bool   `json:"waived,omitempty"`
}

// Safe reports whether the study would survive at that site alone.
func (h Holder) Safe() bool { return h.Level && h.Complete && h.Durable }

// Fault is a file that does not count, and why.
type Fault struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// Everywhere is what happened at all sites of the cluster, by time: as many of the last events as were asked for.
type Everywhere struct {
	Events []events.Event `json:"events"`
	Silent []Silent       `json:"silent"` // sites that could not be asked, by name: what happened there is not among Events
}

// Silent is a site that could not be asked, and why.
type Silent struct {
	Site   string `json:"site"`
	Reason string `json:"reason"`
}

// Order is what an operator says of a site.
type Order struct {
	Site  string
	Until time.Time // for ack-down; zero: it is waited for again
	// Recovery is the cluster's recovery key; "": the credential of the site at which it is typed.
	Recovery string
}

// Condition is what somebody waits for: everything that is set.
type Condition struct {
	Whole   bool
	Level   bool   // all sites hold the same: of Study, or of everything
	Settled bool   // Study is settled; or all studies are, and nothing waits in the inbox
	Study   string // "" is everything
}

// Answer is what became of waiting.
type Answer struct {
	Holds  bool   `json:"holds"`
	Reason string `json:"reason,omitempty"` // what is wanting
}
