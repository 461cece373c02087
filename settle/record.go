package settle

import (
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// Record is what is kept of a study while nothing happens to it, and through restarts. It is about one leaf digest: of a study that has another one now only what it
// says of readers (Published, Provisional) still holds.
type Record struct {
	State       State        // Published, Conflict, Settled, or Incomplete; "" in the zero Record
	Leaf        dedup.Digest // what State is about
	Published   dedup.Digest // what readers see; zero: nothing was published
	Provisional dedup.Digest // what the provisional output is of; zero: there is none, or none any more
	Version     string       // of the generator that made Published
	Due         time.Time    // Round.Due of the last round
	Reason      string
	Certificate *Certificate // of a settled study
}

// Certificate is why a study is settled: what every site reported of it when an echo had shown that this site hears them all.
type Certificate struct {
	Study      dedup.UID
	Leaf       dedup.Digest
	Version    string   // of the generator here
	Epoch      string   // of the roster
	Nonce      string   // of the echo, issued after the round that wrote nothing
	Sites      []Stand  // by name; this site is one of them
	Exceptions []string // by name, with why: "c: joining", "d: disk full", "e: acknowledged down"
}

// Stand is a site's report in a certificate.
type Stand struct {
	Site        string
	Leaf        dedup.Digest
	Complete    bool
	Durable     bool
	Number      uint64 // of the report; at this site the index's change number
	Incarnation string // of its index
}
