package search

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// values is what is kept of one study, series or instance: the values of the keys of its level, each folded, one behind the other.
type values struct {
	text string
	ends [most]uint16
}

// of is the value of the n-th key. Several values have backslashes between them.
func (v *values) of(n int) string {
	from := uint16(0)
	if n > 0 {
		from = v.ends[n-1]
	}
	return v.text[from:v.ends[n]]
}

// matcher says whether an attribute has what a query wants.
type matcher interface{ match(value string) bool }

// anyOf reports whether one of the values, which have backslashes between them, is right. Most attributes have one.
func anyOf(value string, right func(string) bool) bool {
	for {
		end := strings.IndexByte(value, '\\')
		if end < 0 {
			return right(value)
		}
		if right(value[:end]) {
			return true
		}
		value = value[end+1:]
	}
}

// one is a single value without wildcards.
type one string

func (o one) match(value string) bool {
	if len(value) < len(o) {
		return false
	}
	return value == string(o) || anyOf(value, func(v string) bool { return v == string(o) })
}

// list is one of several values (PS3.4 C.2.2.2.2).
type list []string

func (l list) match(value string) bool {
	return anyOf(value, func(v string) bool { return slices.Contains(l, v) })
}

// wild is a value with * and ? in it (PS3.4 C.2.2.2.4).
type wild string

func (w wild) match(value string) bool {
	return anyOf(value, func(v string) bool { return like(string(w), v) })
}

// like matches in time that grows with the product of the lengths at most: whoever sends a pattern of many stars waits no longer than that.
func like(pattern, s string) bool {
	p, at, star, mark := 0, 0, -1, 0
	for at < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, at
			p++
		case p < len(pattern) && pattern[p] == '?':
			p, at = p+1, at+width(s[at:])
		case p < len(pattern) && pattern[p] == s[at]:
			p, at = p+1, at+1
		case star >= 0:
			mark += width(s[mark:])
			p, at = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// width is the length of the first character; a ? stands for one, however many bytes it has.
func width(s string) int {
	if s[0] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// person matches a name: the whole of it, or one of its representations (PS3.4 C.2.2.2.1, PS3.5 6.2.1).
type person struct{ matcher }

func (p person) match(value string) bool {
	if p.matcher.match(value) {
		return true
	}
	if strings.IndexByte(value, '=') < 0 {
		return false
	}
	return anyOf(value, func(v string) bool {
		for group := range strings.SplitSeq(v, "=") {
			if p.matcher.match(group) {
				return true
			}
		}
		return false
	})
}

// between is a range of dates or times, both ends included, "" where there is none.
type between struct{ low, high string }

func (b between) match(value string) bool {
	return anyOf(value, func(v string) bool { return v != "" && (b.low == "" || v >= b.low) && (b.high == "" || v <= b.high) })
}

// number is a whole number.
type number int64

func (n number) match(value string) bool {
	return anyOf(value, func(v string) bool {
		i, err := strconv.ParseInt(v, 10, 64)
		return err == nil && i == int64(n)
	})
}

// condition is one parameter of a query.
type condition struct {
	key  key
	want matcher
}

// moment is a date and its time as one range (PS3.4 C.2.2.2.5.3): what lies between two days is in it at any hour.
type moment struct {
	level      Level
	date, hour int // keys
	days       between
	hours      between
}

func (m moment) match(v *values) bool {
	day, hour := v.of(m.date), v.of(m.hour)
	if !m.days.match(day) {
		return false
	}
	if hour == "" {
		return true // the time of that day is not known
	}
	return (day != m.days.low || m.hours.low == "" || hour >= m.hours.low) && (day != m.days.high || m.hours.high == "" || hour <= m.hours.high)
}

// conditions are what a query says of one level.
type conditions struct {
	each    []condition
	moments []moment
}

func (c *conditions) match(v *values) bool {
	for i := range c.each {
		if !c.each[i].want.match(v.of(c.each[i].key.at)) {
			return false
		}
	}
	for _, m := range c.moments {
		if !m.match(v) {
			return false
		}
	}
	return true
}

func (c *conditions) none() bool { return len(c.each) == 0 && len(c.moments) == 0 }
