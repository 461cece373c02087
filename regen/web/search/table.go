package search

import (
	"bytes"
	"cmp"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/klauspost/compress/flate"
)

// Table is the published studies of a site, as they are searched. The zero Table is empty and ready. Its methods may be called from several goroutines; searches do not wait for each other.
type Table struct {
	mu      sync.Mutex
	byUID   map[dedup.UID]*entry
	byText  map[exact][]*entry // by what is asked for most, as a whole
	order   []*entry           // newest first; never written into, so that a search reads on in the one that it has
	names   names
	arrived []*entry // that are not in order yet
	gone    int      // in order, and replaced or removed

	writers, readers sync.Pool // of what compresses answers: dear to make
}

// exact is a value of a key, by which studies are found without passing over all.
type exact struct {
	tag   dedup.Tag
	value string
}

// exacts are those of a study.
func (e *entry) exacts() []exact {
	var out []exact
	for _, k := range keys() {
		if k.tag != tagPatientID && k.tag != tagAccession {
			continue
		}
		for v := range strings.SplitSeq(e.own.of(k.at), `\`) {
			if v != "" && !slices.Contains(out, exact{k.tag, v}) {
				out = append(out, exact{k.tag, v})
			}
		}
	}
	return out
}

const (
	tagAccession dedup.Tag = 0x00080050
	tagPatientID dedup.Tag = 0x00100020
	tagStudyUID  dedup.Tag = 0x0020000D
)

// entry is one study. It does not change, but for gone, which the table's lock guards.
type entry struct {
	uid    dedup.UID
	own    values
	series []values
	answer []byte // the study's row, compressed
	gone   bool
}

// before is the order of answers: newest first, and then by UID, so that pages of one query are of one order.
func before(a, b *entry) int {
	return cmp.Or(strings.Compare(b.day(), a.day()), strings.Compare(b.own.of(hourAt), a.own.of(hourAt)), a.uid.Compare(b.uid))
}

// StudyDate and StudyTime are the first keys.
const (
	dayAt  = 0
	hourAt = 1
)

func (e *entry) day() string { return e.own.of(dayAt) }

// Put enters a study, or what became of it. row is what MakeRow made; ErrRow.
func (t *Table) Put(study dedup.UID, row []byte) error {
	answer, own, series, err := parseRow(row)
	if err != nil {
		return err
	}
	e := &entry{uid: study, own: own, series: series, answer: t.deflate(answer)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byUID == nil {
		t.byUID, t.byText = map[dedup.UID]*entry{}, map[exact][]*entry{}
	}
	t.forget(study)
	t.byUID[study] = e
	for _, x := range e.exacts() {
		t.byText[x] = append(t.byText[x], e)
	}
	t.names.add(e)
	t.arrived = append(t.arrived, e)
	return nil
}

// Remove takes a study out: it is not published any more.
func (t *Table) Remove(study dedup.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(study)
	delete(t.byUID, study)
}

func (t *Table) forget(study dedup.UID) {
	old := t.byUID[study]
	if old == nil {
		return
	}
	old.gone = true
	t.gone++
	t.names.remove()
	for _, x := range old.exacts() {
		rest := slices.DeleteFunc(slices.Clone(t.byText[x]), func(e *entry) bool { return e == old })
		if t.byText[x] = rest; len(rest) == 0 {
			delete(t.byText, x)
		}
	}
}

// Len is how many studies there are.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byUID)
}

// UIDs are the studies in the table, in no order.
func (t *Table) UIDs() []dedup.UID {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]dedup.UID, 0, len(t.byUID))
	for u := range t.byUID {
		out = append(out, u)
	}
	return out
}

// sorted is all studies in order. After a change it costs one pass over them, a millisecond for 100,000.
func (t *Table) sorted() []*entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.arrived) == 0 && t.gone == 0 {
		return t.order
	}
	t.arrived = slices.DeleteFunc(t.arrived, func(e *entry) bool { return e.gone })
	slices.SortFunc(t.arrived, before)
	merged, next := make([]*entry, 0, len(t.byUID)), t.arrived
	for _, e := range t.order {
		if e.gone {
			continue
		}
		for len(next) > 0 && before(next[0], e) < 0 {
			merged, next = append(merged, next[0]), next[1:]
		}
		merged = append(merged, e)
	}
	t.order, t.arrived, t.gone = append(merged, next...), nil, 0
	return t.order
}

// Found is a study that a query means.
type Found struct {
	Study  dedup.UID
	Series []dedup.UID // those that the query means, if it looks for series or instances, in the order of the study's answer
	// Instances is how many instances these series have.
	Instances int
	entry     *entry
	table     *Table
}

// Answer is the study's answer to a query for studies, an object of JSON.
func (f Found) Answer() ([]byte, error) { return f.table.inflate(f.entry.answer) }

// Page are the studies of a query for studies that are in its page, and how many there are in all. shown, if not nil, says which may be shown at all.
func (t *Table) Page(q *Query, shown func(dedup.UID) bool) (page []Found, all int) {
	candidates := t.candidates(q)
	if q.at[Study].none() && shown == nil {
		all = len(candidates)
		for _, e := range candidates[min(q.Offset, all):min(q.Offset+q.Limit, all)] {
			page = append(page, Found{Study: e.uid, entry: e, table: t})
		}
		return page, all
	}
	for _, e := range candidates {
		if !q.at[Study].match(&e.own) || shown != nil && !shown(e.uid) {
			continue
		}
		if all++; all > q.Offset && len(page) < q.Limit {
			page = append(page, Found{Study: e.uid, entry: e, table: t})
		}
	}
	return page, all
}

// Studies are all studies that a query means, in order. Those of which it says something about series, or looks for what is below, have such a series.
func (t *Table) Studies(q *Query) []Found {
	var out []Found
	for _, e := range t.candidates(q) {
		if !q.at[Study].match(&e.own) {
			continue
		}
		f := Found{Study: e.uid, entry: e, table: t}
		if q.Level > Study {
			for n := range e.series {
				if !q.at[Series].match(&e.series[n]) {
					continue
				}
				if u, err := dedup.ParseUID(e.series[n].of(seriesAt)); err == nil {
					f.Series = append(f.Series, u)
					n, _ := strconv.Atoi(e.series[n].of(countAt)) // each published series says it
					f.Instances += n
				}
			}
			if len(f.Series) == 0 {
				continue
			}
		}
		out = append(out, f)
	}
	return out
}

// Where the keys of Series Instance UID and Number of Series Related Instances are.
const (
	seriesAt = 9
	countAt  = 11
)

// candidates are the studies that may match, in order: those of a list of UIDs, of a patient, of some days, or all.
func (t *Table) candidates(q *Query) []*entry {
	all := t.sorted()
	for _, c := range q.at[Study].each {
		switch want := c.want.(type) {
		case between:
			if c.key.at == dayAt {
				all = ofDays(all, want)
			}
		case person:
			if prefix := want.prefix(); c.key.tag == tagPatientName && prefix != "" {
				return t.called(prefix)
			}
		case one:
			switch c.key.tag {
			case tagStudyUID:
				return t.some(list{string(want)})
			case tagPatientID, tagAccession:
				return t.having(exact{c.key.tag, string(want)})
			}
		case list:
			if c.key.tag == tagStudyUID {
				return t.some(want)
			}
		}
	}
	return all
}

// some are the studies of a short list.
func (t *Table) some(l list) []*entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*entry
	for _, v := range l {
		u, err := dedup.ParseUID(v)
		if e := t.byUID[u]; err == nil && e != nil && !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, before)
	return out
}

// having are the studies with a value.
func (t *Table) having(x exact) []*entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := slices.Clone(t.byText[x])
	slices.SortFunc(out, before)
	return out
}

// called are the studies of patients whose names begin so.
func (t *Table) called(prefix string) []*entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.names.beginning(prefix)
	slices.SortFunc(out, before)
	return out
}

// ofDays are the studies of a range of days. A study with several dates, which the standard does not allow, is at the first.
func ofDays(all []*entry, b between) []*entry {
	from, to := 0, len(all)
	if b.high != "" {
		from = sort.Search(len(all), func(n int) bool { return all[n].day() <= b.high })
	}
	if b.low != "" {
		to = sort.Search(len(all), func(n int) bool { return all[n].day() < b.low })
	}
	return all[min(from, to):to]
}

// usual is what most answers have in common: what is like it costs next to nothing.
const usual = `{"00080005":{"Value":["ISO_IR 192"],"vr":"CS"},"00080020":{"Value":["20240101"],"vr":"DA"},"00080030":{"Value":["120000"],"vr":"TM"},"00080050":{"Value":["1"],"vr":"SH"},` +
	`"00080056":{"Value":["ONLINE"],"vr":"CS"},"00080061":{"Value":["CT","MR"],"vr":"CS"},"00080062":{"Value":["1.2.840.10008.5.1.4.1.1.2"],"vr":"UI"},"00080090":{"Value":[{"Alphabetic":"A^B"}],"vr":"PN"},` +
	`"00080201":{"vr":"SH"},"00081030":{"Value":["Head"],"vr":"LO"},"00081190":{"Value":["studies/1.2.826.0.1.3680043.8.498."],"vr":"UR"},"0009001B":{"Value":["` +
	`dedupped"],"vr":"LO"},"00100010":{"Value":[{"Alphabetic":"A^B"}],"vr":"PN"},"00100020":{"Value":["1"],"vr":"LO"},"00100030":{"Value":["19700101"],"vr":"DA"},"00100040":{"Value":["F"],"vr":"CS"},` +
	`"00101010":{"Value":["050Y"],"vr":"AS"},"0020000D":{"Value":["1.2.840.113619."],"vr":"UI"},"00200010":{"Value":["1"],"vr":"SH"},"00201206":{"Value":[3],"vr":"IS"},"00201208":{"Value":[100],"vr":"IS"}}`

// deflate compresses an answer.
func (t *Table) deflate(text []byte) []byte {
	var out bytes.Buffer
	w, ok := t.writers.Get().(*flate.Writer)
	var err error
	if ok {
		w.Reset(&out)
	} else {
		w, err = flate.NewWriterDict(&out, 1, []byte(usual))
	}
	if err == nil {
		if _, err = w.Write(text); err == nil {
			err = w.Close()
		}
	}
	if err != nil {
		panic("search: " + err.Error()) // the level is one that there is, and memory takes everything
	}
	t.writers.Put(w)
	return slices.Clone(out.Bytes())
}

func (t *Table) inflate(answer []byte) ([]byte, error) {
	r, ok := t.readers.Get().(io.ReadCloser)
	if ok {
		if err := r.(flate.Resetter).Reset(bytes.NewReader(answer), []byte(usual)); err != nil {
			return nil, err
		}
	} else {
		r = flate.NewReaderDict(bytes.NewReader(answer), []byte(usual))
	}
	defer t.readers.Put(r)
	return io.ReadAll(r)
}
