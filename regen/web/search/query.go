package search

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
)

// Query is a search, read.
type Query struct {
	Level  Level // what is looked for
	at     [levels]conditions
	Limit  int  // rows at most; -1: the query names no limit
	Offset int  // rows that are left out before the first
	Fuzzy  bool // fuzzy matching was asked for, which is not done: the answer has to say so (PS3.18 section 8.3.4.2)
}

// Refused is why a query is not answered, in words for whoever sent it. It quotes nothing of it.
type Refused string

// Error implements error.
func (r Refused) Error() string { return string(r) }

// maxParameters bounds a query, and maxUIDs a list in it.
const (
	maxParameters = 64
	maxUIDs       = 10_000
)

// Parse reads the parameters of a search for what is at a level. Parameters of that level and those above it narrow it; an error is a Refused.
func Parse(parameters url.Values, level Level) (Query, error) {
	q := Query{Level: level, Limit: -1}
	if len(parameters) > maxParameters {
		return Query{}, Refused("the query has too many parameters")
	}
	known := map[string]key{}
	for _, k := range keys() {
		for _, n := range k.names() {
			known[strings.ToLower(n)] = k
		}
	}
	for _, n := range sorted(parameters) {
		if err := q.parameter(n, parameters[n], known); err != nil {
			return Query{}, err
		}
	}
	for l := range q.at {
		q.at[l].combine(Level(l))
	}
	return q, nil
}

func sorted(parameters url.Values) []string {
	names := make([]string, 0, len(parameters))
	for n := range parameters {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// parameter takes one parameter in, which may stand several times.
func (q *Query) parameter(name string, given []string, known map[string]key) (err error) {
	if k, ok := known[strings.ToLower(name)]; ok {
		return q.attribute(k, given)
	}
	switch name {
	case "accept", "charset":
		return nil // accept is of package web, and all text is UTF-8 (PS3.18 section 8.3.3)
	case "includefield":
		return fields(given)
	}
	if len(given) != 1 {
		return Refused("a parameter stands more than once")
	}
	switch name {
	case "limit":
		q.Limit, err = count(given[0])
	case "offset":
		q.Offset, err = count(given[0])
	case "fuzzymatching":
		if given[0] != "true" && given[0] != "false" {
			return Refused("fuzzymatching is true or false")
		}
		q.Fuzzy = given[0] == "true"
	default:
		return Refused("a parameter is not known here, or is none for this search. Known are: " + q.names())
	}
	return err
}

// names are the keywords that may be asked for.
func (q *Query) names() string {
	var all []string
	for _, k := range keys() {
		if k.level <= q.Level {
			all = append(all, k.names()[0])
		}
	}
	return strings.Join(all, ", ") + ", includefield, limit, offset"
}

func count(given string) (int, error) {
	n, err := strconv.ParseUint(given, 10, 31)
	if err != nil {
		return 0, Refused("limit and offset are whole numbers")
	}
	return int(n), nil
}

// field is an attribute as includefield names it: keyword or tag, with its sequences before it.
var field = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9]{0,63}|[0-9A-Fa-f]{8})(\.([A-Za-z][A-Za-z0-9]{0,63}|[0-9A-Fa-f]{8})){0,8}$`)

// fields checks includefield: everything is included anyway.
func fields(given []string) error {
	for _, text := range given {
		for part := range strings.SplitSeq(text, ",") {
			if !field.MatchString(part) {
				return Refused("includefield is all, or names attributes by tag or keyword")
			}
		}
	}
	return nil
}

// attribute takes a condition in. Without a value it is one that all match (PS3.4 C.2.2.2.3).
func (q *Query) attribute(k key, given []string) error {
	if k.level > q.Level {
		return Refused(k.keyword + " is an attribute of what is below: search for series or instances by it")
	}
	if k.kind != uid && k.kind != code && len(given) != 1 {
		return Refused(k.keyword + " stands more than once")
	}
	want, err := k.matcher(given)
	if err != nil || want == nil {
		return err
	}
	q.at[k.level].each = append(q.at[k.level].each, condition{k, want})
	return nil
}

// matcher reads the value of a parameter; nil matches everything.
func (k key) matcher(given []string) (matcher, error) {
	if k.kind == uid || k.kind == code {
		return k.several(given)
	}
	v := strings.TrimSpace(given[0])
	if v == "" || strings.Trim(v, "*") == "" {
		return nil, nil
	}
	if len(v) > maxValue {
		return nil, Refused("the value of " + k.keyword + " is too long")
	}
	switch k.kind {
	case date:
		return k.interval(v, day)
	case hour:
		return k.interval(v, clock)
	case whole:
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return nil, Refused(k.keyword + " is a whole number")
		}
		return number(n), nil
	case name:
		return person{pattern(foldName(v))}, nil
	}
	return pattern(v), nil
}

func pattern(v string) matcher {
	if strings.ContainsAny(v, "*?") {
		return wild(v)
	}
	return one(v)
}

// several reads a list: values that repeat, or stand in one with commas or backslashes between them. Of codes one may have wildcards.
func (k key) several(given []string) (matcher, error) {
	var all list
	for _, text := range given {
		for v := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\\' }) {
			if v = strings.TrimSpace(v); v == "" {
				continue
			}
			if k.kind == uid {
				if u, err := dedup.ParseUID(v); err != nil || u.String() != v {
					return nil, Refused(k.keyword + " is one UID or a list of them")
				}
			}
			if all = append(all, v); len(all) > maxUIDs {
				return nil, Refused("the list of " + k.keyword + " is too long")
			}
		}
	}
	switch {
	case len(all) == 0:
		return nil, nil
	case len(all) == 1 && strings.Trim(all[0], "*") == "":
		return nil, nil
	case len(all) == 1:
		return pattern(all[0]), nil
	case slices.ContainsFunc(all, func(v string) bool { return strings.ContainsAny(v, "*?") }):
		return nil, Refused("a list of " + k.keyword + " has no wildcards")
	case len(all) > 16:
		return setOf(all), nil
	}
	return all, nil
}

// set is a long list.
type set map[string]bool

func setOf(l list) set {
	s := make(set, len(l))
	for _, v := range l {
		s[v] = true
	}
	return s
}

func (s set) match(value string) bool {
	return anyOf(value, func(v string) bool { return s[v] })
}

// interval reads a value or a range of a date or a time: A, A-B, A- and -B. What is not given to its end is all that begins so.
func (k key) interval(v string, read func(string) (low, high string, ok bool)) (matcher, error) {
	from, to, ranged := strings.Cut(v, "-")
	if !ranged {
		to = from
	}
	var b between
	for _, end := range []struct {
		text string
		high bool
	}{{from, false}, {to, true}} {
		if end.text == "" {
			continue
		}
		low, high, ok := read(end.text)
		if !ok {
			return nil, Refused(k.keyword + " is a value or a range, as 20240131, 20240101-20240131, 20240101- or -20240131; times as 0930 or 093000-120000")
		}
		if end.high {
			b.high = high
		} else {
			b.low = low
		}
	}
	if b == (between{}) {
		return nil, Refused("the range of " + k.keyword + " has no end")
	}
	return b, nil
}

var days = regexp.MustCompile(`^[0-9]{8}$`)

func day(v string) (low, high string, ok bool) { return v, v, days.MatchString(v) }

var clocks = regexp.MustCompile(`^([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9]|60)?)?$|^([01][0-9]|2[0-3])[0-5][0-9]([0-5][0-9]|60)\.[0-9]{1,6}$`)

// clock is the first and the last moment of a time as it is written: 10 is from 100000.000000 to 105959.999999.
func clock(v string) (low, high string, ok bool) {
	if !clocks.MatchString(v) {
		return "", "", false
	}
	return v + "000000.000000"[len(v):], v + "235959.999999"[len(v):], true
}

// combine makes one range of a date's and its time's, as PS3.18 wants it (PS3.4 C.2.2.2.5.3).
func (c *conditions) combine(level Level) {
	for _, pair := range [][2]dedup.Tag{{0x00080020, 0x00080030}, {0x00080021, 0x00080031}, {0x00400244, 0x00400245}, {0x00080022, 0x00080032}, {0x00080023, 0x00080033}} {
		d := slices.IndexFunc(c.each, func(c condition) bool { return c.key.tag == pair[0] })
		h := slices.IndexFunc(c.each, func(c condition) bool { return c.key.tag == pair[1] })
		if d < 0 || h < 0 {
			continue
		}
		dates, hours := c.each[d].want.(between), c.each[h].want.(between)
		if dates.low == dates.high {
			continue // of one day each is matched by itself, and that is the same
		}
		c.moments = append(c.moments, moment{level, c.each[d].key.at, c.each[h].key.at, dates, hours})
		c.each = slices.DeleteFunc(c.each, func(c condition) bool { return c.key.tag == pair[1] })
	}
}

// Narrows reports whether the query says anything of a level, so that not all of it is meant.
func (q *Query) Narrows(l Level) bool { return !q.at[l].none() }

// Plain reports whether the query is answered by everything there is: it narrows nothing, and asks for no page.
func (q *Query) Plain() bool {
	return q.Limit < 0 && q.Offset == 0 && !q.Fuzzy && !q.Narrows(Study) && !q.Narrows(Series) && !q.Narrows(Instance)
}

// Match reports whether an object, an answer at a level, is what the query says of that level.
func (q *Query) Match(l Level, o dedup.Object) bool {
	if q.at[l].none() {
		return true
	}
	v := valuesOf(l, o)
	return q.at[l].match(&v)
}
