package roster

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// ErrOtherCluster says that two rosters are not of one cluster.
var ErrOtherCluster = errors.New("roster of another cluster")

// ErrNoOperator says that a key may not sign for this cluster.
var ErrNoOperator = errors.New("not the key of an operator of this cluster")

// ErrUnknownSite says that no site of that name counts.
var ErrUnknownSite = errors.New("no such site in the roster")

// ErrTaken says that a name is another machine's.
var ErrTaken = errors.New("the name is in the roster with another key")

// ErrRemoved says that a member was removed, which is for ever.
var ErrRemoved = errors.New("was removed, which is for ever: set it up anew and let it join")

// Epoch is the hash of a roster: equal epochs, equal rosters.
type Epoch [sha256.Size]byte

// String is for people.
func (e Epoch) String() string { return fmt.Sprintf("%x", e[:6]) }

// Roster is the set of records of one cluster. The zero value is no roster; New and Decode make one. It is never changed, so it may be copied and shared.
type Roster struct {
	cluster string
	root    Key
	records map[register]record
	known   *known // nil: Sites works it out each time
}

// known is what follows from the records: it is asked for all the time, and worked out once.
type known struct {
	once  sync.Once
	sites []Site
}

type register struct {
	member
	signer Key
}

// New founds a cluster: root's private key signs the first site's record. Whoever keeps that key can later sign whatever is needed.
func New(cluster string, root ed25519.PrivateKey, first Site) (Roster, error) {
	if err := CheckName(cluster); err != nil {
		return Roster{}, err
	}
	return Roster{cluster: cluster, root: KeyOf(root)}.With(first, root)
}

// Cluster is the cluster's name, and the key that founded it: together they say which cluster it is.
func (r Roster) Cluster() (name string, root Key) { return r.cluster, r.root }

// With returns the roster in which operator (or the root) says this of a member: one that is here, or a new one, which has no Admission yet.
// ErrNoOperator, ErrTaken, ErrRemoved, or what is wrong with the row.
func (r Roster) With(site Site, operator ed25519.PrivateKey) (Roster, error) {
	if !slices.Contains(r.Authorities(), KeyOf(operator)) {
		return r, ErrNoOperator
	}
	if site.Admission == 0 {
		if holder, err := r.Site(site.Name); err == nil {
			return r, fmt.Errorf("site %s (key %s, not %s): %w", site.Name, holder.Key, site.Key, ErrTaken)
		}
		site.Admission = r.nextAdmission()
	}
	counter, m := uint64(1), site.member()
	for at, old := range r.records {
		if at.member == m {
			counter = max(counter, old.counter+1)
		}
		if at.key == site.Key && at.member != m {
			return r, fmt.Errorf("site %s: its key is that of the member %s: %w", site.Name, at.name, ErrTaken)
		}
	}
	now, known := r.effective()[m]
	if known && now.site.Status == Removed && site.Status != Removed {
		return r, fmt.Errorf("site %s %w", site.Name, ErrRemoved)
	}
	if !known && site.Admission != r.nextAdmission() {
		return r, fmt.Errorf("site %s, admission %d: %w", site.Name, site.Admission, ErrUnknownSite)
	}
	added, err := r.sign(counter, site, operator)
	if err != nil {
		return r, err
	}
	return r.plus(added)
}

func (r Roster) nextAdmission() uint64 {
	next := uint64(1)
	for at := range r.records {
		next = max(next, at.admission+1)
	}
	return next
}

// Change returns the roster in which operator says of the site of that name what change leaves in its row. Name, keys and admission stay.
func (r Roster) Change(name string, operator ed25519.PrivateKey, change func(*Site)) (Roster, error) {
	was, err := r.Site(name)
	if err != nil {
		return r, err
	}
	now := was
	now.Addresses, now.Links = slices.Clone(was.Addresses), slices.Clone(was.Links)
	change(&now)
	now.Name, now.Key, now.Operator, now.Admission = was.Name, was.Key, was.Operator, was.Admission
	return r.With(now, operator)
}

// Remove takes the site of that name out for ever. by is the site at which it was said. Whatever rests on the word of the removed site alone is signed
// again by operator.
func (r Roster) Remove(name, by string, operator ed25519.PrivateKey) (Roster, error) {
	gone, err := r.Site(name)
	if err != nil {
		return r, err
	}
	out, err := r.Change(name, operator, func(s *Site) { s.Status, s.Until, s.By = Removed, time.Time{}, by })
	for m, last := range r.effective() {
		rests := !gone.Operator.IsZero() && last.signer == gone.Operator && last.site.Status != Removed && m != gone.member()
		if err == nil && rests {
			out, err = out.With(last.site, operator)
		}
	}
	if err != nil {
		return r, err
	}
	return out, nil
}

// plus is the roster with one more record.
func (r Roster) plus(added record) (Roster, error) {
	return Merge(r, Roster{cluster: r.cluster, root: r.root, records: map[register]record{{added.site.member(), added.signer}: added}})
}

// Merge is the union of two rosters of one cluster. It is commutative, associative and idempotent.
func Merge(a, b Roster) (Roster, error) {
	if a.cluster != b.cluster || a.root != b.root {
		return a, fmt.Errorf("%w: %s (%s), not %s (%s)", ErrOtherCluster, b.cluster, b.root, a.cluster, a.root)
	}
	out := Roster{a.cluster, a.root, make(map[register]record, len(a.records)+1), &known{}}
	maps.Copy(out.records, a.records)
	for at, added := range b.records {
		if old, is := out.records[at]; !is || old.before(added) < 0 {
			out.records[at] = added
		}
	}
	if len(out.records) > MaxRecords {
		return a, fmt.Errorf("%w: more than %d records", ErrMalformed, MaxRecords)
	}
	return out, nil
}

// removedOperators are the keys whose word counts only where there is no other.
func (r Roster) removedOperators() map[Key]bool {
	removed := map[Key]bool{}
	for at, rec := range r.records {
		if rec.site.Status == Removed && !at.operator.IsZero() {
			removed[at.operator] = true
		}
	}
	return removed
}

// effective is what counts for each member: a removal, else the word of a signer who was not removed, else the later.
func (r Roster) effective() map[member]record {
	removed := r.removedOperators()
	best := make(map[member]record, len(r.records))
	for at, rec := range r.records {
		old, is := best[at.member]
		gone, other := rec.site.Status == Removed, old.site.Status == Removed
		switch {
		case !is, gone && !other:
			best[at.member] = rec
		case gone != other:
		case removed[rec.signer] != removed[old.signer]:
			if removed[old.signer] {
				best[at.member] = rec
			}
		case old.before(rec) < 0:
			best[at.member] = rec
		}
	}
	return best
}

// Sites are the members that were not removed, by name. Where two claim a name, it is the one that was admitted first.
func (r Roster) Sites() []Site {
	if r.known == nil {
		return r.sites()
	}
	r.known.once.Do(func() { r.known.sites = r.sites() })
	return slices.Clone(r.known.sites)
}

func (r Roster) sites() []Site {
	holders := map[string]Site{}
	for _, rec := range r.effective() {
		s := rec.site
		if old, is := holders[s.Name]; s.Status != Removed && (!is || s.compare(old) < 0) {
			holders[s.Name] = s
		}
	}
	return slices.SortedFunc(maps.Values(holders), Site.compare)
}

// compare orders sites by name, and members of one name by who was first. It rests on what never changes, so a name does not move from one to another.
func (s Site) compare(o Site) int {
	return cmp.Or(cmp.Compare(s.Name, o.Name), cmp.Compare(s.Admission, o.Admission), bytes.Compare(s.Key[:], o.Key[:]), bytes.Compare(s.Operator[:], o.Operator[:]))
}

// Site is the member that has the name, or ErrUnknownSite.
func (r Roster) Site(name string) (Site, error) {
	for _, s := range r.Sites() {
		if s.Name == name {
			return s, nil
		}
	}
	return Site{}, fmt.Errorf("%.80s: %w", name, ErrUnknownSite)
}

// Removed are the members that were removed, by name.
func (r Roster) Removed() []Site {
	var sites []Site
	for _, rec := range r.effective() {
		if rec.site.Status == Removed {
			sites = append(sites, rec.site)
		}
	}
	slices.SortFunc(sites, Site.compare)
	return sites
}

// Alarm is what operators must look at.
type Alarm struct {
	Site   string
	Reason string
}

// Alarms are what is odd about a roster, by site.
func (r Roster) Alarms() []Alarm {
	var alarms []Alarm
	removed := r.removedOperators()
	for _, rec := range r.effective() {
		s := rec.site
		if s.Status == Removed {
			continue
		}
		if holder, err := r.Site(s.Name); err == nil && holder.member() != s.member() {
			alarms = append(alarms, Alarm{s.Name, fmt.Sprintf("a second machine (key %s) claims the name of key %s: remove one of them", s.Key, holder.Key)})
		}
		if removed[rec.signer] {
			alarms = append(alarms, Alarm{s.Name, fmt.Sprintf("its row rests on the word of a removed site (operator key %s) alone: confirm or remove it", rec.signer)})
		}
	}
	slices.SortFunc(alarms, func(a, b Alarm) int { return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Reason, b.Reason)) })
	return alarms
}

// Authorities are the keys that may sign records now: the root and the operators of sites that were not removed. Sorted.
func (r Roster) Authorities() []Key {
	removed := r.removedOperators()
	return slices.DeleteFunc(r.Issuers(), func(k Key) bool { return removed[k] })
}

// Issuers are the keys that may ever have signed certificates: the root and all operators. A site stays in the cluster when the one that admitted it is
// removed, and its key is pinned anyway.
func (r Roster) Issuers() []Key {
	keys := []Key{r.root}
	for at := range r.records {
		if !at.operator.IsZero() {
			keys = append(keys, at.operator)
		}
	}
	slices.SortFunc(keys, func(a, b Key) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(keys)
}

// Pair are two sites that owe each other a link, in order of their names.
type Pair struct{ A, B string }

// Links are the links that are expected: those between sites of which one at least can be dialled, less what the row of either leaves out.
// So hub and spoke is all that is expected where the spokes can only dial out.
func (r Roster) Links() []Pair {
	var pairs []Pair
	sites := r.Sites()
	lists := func(s Site, other string) bool { return s.Links == nil || slices.Contains(s.Links, other) }
	for i, a := range sites {
		for _, b := range sites[i+1:] {
			if !(a.DialOnly() && b.DialOnly()) && lists(a, b.Name) && lists(b, a.Name) {
				pairs = append(pairs, Pair{a.Name, b.Name})
			}
		}
	}
	return pairs
}
