package reach

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"

	"github.com/dicomesh/dicomesh/gossip/roster"
)

// Row is what a site says of itself and of what it measured: nothing that it has from others.
type Row struct {
	Site  string
	Mark       // which row of the site it is
	Life  Life // of its process
	Epoch roster.Epoch
	Beat  time.Duration // between its rows, in whole milliseconds
	Level bool          // it holds what the others hold, as far as it knows
	Links []Said        // one for each other site of its roster, by name
}

// Mark numbers a site's rows: later ones are larger, also after a restart.
type Mark struct{ Boot, Seq uint64 }

func (m Mark) compare(o Mark) int {
	return cmp.Or(cmp.Compare(m.Boot, o.Boot), cmp.Compare(m.Seq, o.Seq))
}

// Life is drawn by a process when it begins. Marks can come twice, when an old backup is put back.
type Life [8]byte

// Said is what a row says of another site.
type Said struct {
	Site string
	Seen Seen // the last row of it that has arrived; zero: none
	In   Way  // from it: what was heard
	Out  Way  // to it: what it is known to have got
}

// Seen names a row of a process.
type Seen struct {
	Life Life
	Seq  uint64
}

// acknowledges says whether it is that row, or a later one of the same process.
func (s Seen) acknowledges(row Seen) bool { return s.Life == row.Life && s.Seq >= row.Seq }

// Way is one direction of a link, as one end measured it.
type Way struct {
	Up    bool
	Known bool          // something ever came through, since this end runs
	Age   time.Duration // when that was last, before the row was made; in whole milliseconds
}

// of is what a row says of a site.
func (r Row) of(site string) Said {
	n, is := slices.BinarySearchFunc(r.Links, site, func(s Said, site string) int { return cmp.Compare(s.Site, site) })
	if !is {
		return Said{}
	}
	return r.Links[n]
}

// signed goes before what a row's signature covers, with the cluster: it means nothing elsewhere.
const signedRow = "dicomesh reach row 1\x00"

// Cluster is what signatures are bound to.
type Cluster struct {
	Name string
	Root roster.Key
}

func (c Cluster) message(what, body string) []byte {
	return slices.Concat([]byte(what), appendText(nil, c.Name), c.Root[:], []byte(body))
}

const (
	rowForm = 1

	flagLevel = 1 // of a row

	flagInUp     = 1 // of what it says of a site
	flagOutUp    = 2
	flagInKnown  = 4
	flagOutKnown = 8
)

// encode writes a row; equal rows, equal bytes. What newer programs may add comes after it.
func (r Row) encode() string {
	b := appendText([]byte{rowForm}, r.Site)
	b = appendNumber(appendNumber(b, r.Boot), r.Seq)
	b = append(append(b, r.Life[:]...), r.Epoch[:]...)
	b = appendNumber(b, uint64(r.Beat.Milliseconds()))
	flags := byte(0)
	if r.Level {
		flags = flagLevel
	}
	b = appendNumber(append(b, flags), uint64(len(r.Links)))
	for _, s := range r.Links {
		b = s.append(b)
	}
	return string(b)
}

func (s Said) append(b []byte) []byte {
	b = append(appendText(b, s.Site), s.Seen.Life[:]...)
	b = appendNumber(b, s.Seen.Seq)
	flags := byte(0)
	for _, f := range []struct {
		is  bool
		bit byte
	}{{s.In.Up, flagInUp}, {s.Out.Up, flagOutUp}, {s.In.Known, flagInKnown}, {s.Out.Known, flagOutKnown}} {
		if f.is {
			flags |= f.bit
		}
	}
	b = append(b, flags)
	for _, w := range []Way{s.In, s.Out} {
		if w.Known {
			b = appendNumber(b, uint64(w.Age.Milliseconds()))
		}
	}
	return b
}

// decodeRow reads what encode wrote, in that form alone. ErrMalformed.
func decodeRow(body string) (Row, error) {
	var row Row
	r := reader{rest: []byte(body)}
	if len(body) > maxRow || r.byte() != rowForm {
		return row, fmt.Errorf("row: %w: too large, or of another form", ErrMalformed)
	}
	row.Site = r.name()
	row.Mark = Mark{r.number(maxNumber), r.number(maxNumber)}
	row.Life = Life(r.take(len(row.Life)))
	copy(row.Epoch[:], r.take(len(row.Epoch)))
	row.Beat = r.duration(maxBeat)
	level := r.byte()
	row.Level = level == flagLevel
	count := r.number(MaxSites)
	for range count {
		row.Links = append(row.Links, r.said())
		if r.failed {
			break
		}
	}
	if r.failed || level > flagLevel || row.Boot == 0 || row.Seq == 0 || row.Beat == 0 || !row.ordered() {
		return Row{}, fmt.Errorf("row of %.80q: %w", row.Site, ErrMalformed)
	}
	return row, nil
}

func (r *reader) said() Said {
	s := Said{Site: r.name(), Seen: Seen{Life(r.take(len(Life{}))), r.number(maxNumber)}}
	flags := r.byte()
	s.In = Way{Up: flags&flagInUp != 0, Known: flags&flagInKnown != 0}
	s.Out = Way{Up: flags&flagOutUp != 0, Known: flags&flagOutKnown != 0}
	for _, w := range []*Way{&s.In, &s.Out} {
		if w.Known {
			w.Age = r.duration(maxAge)
		}
		r.failed = r.failed || w.Up && !w.Known
	}
	r.failed = r.failed || flags >= flagOutKnown<<1
	return s
}

// ordered says whether the sites are in order, each once, and not the row's own.
func (r Row) ordered() bool {
	for n, s := range r.Links {
		if s.Site == r.Site || n > 0 && s.Site <= r.Links[n-1].Site {
			return false
		}
	}
	return true
}

// Held is a row that is held here: as it came, because the signature may cover what this version does not know.
type Held struct {
	Row
	body      string
	signature [ed25519.SignatureSize]byte
	born      time.Duration // when it was made at the latest, on this site's monotonic clock
}

// age is how old the row is, at least.
func (h Held) age(now time.Duration) time.Duration { return max(0, now-h.born) }

// sign makes a row that others believe.
func (c Cluster) sign(r Row, key ed25519.PrivateKey, now time.Duration) Held {
	h := Held{Row: r, body: r.encode(), born: now}
	copy(h.signature[:], ed25519.Sign(key, c.message(signedRow, h.body)))
	return h
}

// genuine says whether a row is signed with that key, by verify.
func (c Cluster) genuine(h Held, key roster.Key, verify Verify) bool {
	return verify(key, c.message(signedRow, h.body), h.signature[:])
}

// Verify says whether a signature of a message is by that key.
type Verify func(key roster.Key, message, signature []byte) bool

func verify(key roster.Key, message, signature []byte) bool {
	return ed25519.Verify(key[:], message, signature)
}

// compare orders the rows of one site: the last counts. Two rows of one mark are of two machines with one key; then the choice only has to be the same everywhere.
func (h Held) compare(o Held) int {
	return cmp.Or(h.Mark.compare(o.Mark), cmp.Compare(h.body, o.body), bytes.Compare(h.signature[:], o.signature[:]))
}
