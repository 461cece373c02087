package dedup

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// ErrObject says that a text is not what it should be: not strict JSON, nested too deep, not a DICOM JSON object, or not an
// attribute. The reader should treat the whole file as unreadable. Error texts give positions and never quote the text: it may be a patient's.
var ErrObject = errors.New("not a well-formed object")

// maxDepth is how many brackets may be open at once (FORMAT.md section 2).
const maxDepth = 256

// canon copies one JSON text into canonical form: no white space, keys ascending, strings escaped as RFC 8785 does, numbers as they were
// written. It keeps its own stack, so that a deeply nested text costs an error and not the goroutine's stack.
//
// It is strict where leniency would give one text two readings: a duplicate key, a lone surrogate and a byte that is no UTF-8 are errors
// (RFC 8785 section 3.2.2.2 asks for it), as are a byte order mark and anything after the value.
// It is lenient in one thing: a tag in lower-case hex becomes upper-case.
type canon struct {
	in      []byte
	pos     int
	out     []byte // never longer than in: no spelling of a value is shorter than the canonical one
	frames  []frame
	members []member // of all open objects, outermost first
	scratch []byte

	anyKeys bool // leave keys as they are: the text is no DICOM JSON
	open    int  // objects that are open now; at odd depths they are data sets, at even depths attributes

	// What Objects are made of: the members of each object that stands with so many brackets around it.
	level  int // maxDepth for none: no object has that many brackets around it
	values int // that stand there
	spans  []span
	ends   []int // where in spans each object ends
}

// frame is an open bracket.
type frame struct {
	start   int // of the bracket in out
	members int // where its members start; -1 for an array
}

// member is one key and value of an open object.
type member struct {
	start, colon, end int  // out[start:colon] is the quoted key, out[colon+1:end] the value
	plain             bool // the key is ASCII and has no escapes: its bytes are in the order of its characters
}

// span is one attribute of a root object.
type span struct {
	tag        Tag
	start, end int
}

func newCanon(in []byte, level int) *canon {
	return &canon{in: in, out: make([]byte, 0, len(in)), level: level}
}

func (c *canon) fail(what string) error {
	return fmt.Errorf("JSON at byte %d: %s: %w", c.pos, what, ErrObject)
}

// document reads the whole text.
func (c *canon) document() error {
	for {
		opened, err := c.value()
		if err != nil {
			return err
		}
		if opened && !c.closesHere() {
			if err := c.key(); err != nil {
				return err
			}
			continue
		}
		switch more, err := c.next(); {
		case err != nil:
			return err
		case !more:
			if c.space(); c.pos != len(c.in) {
				return c.fail("something follows the value")
			}
			return nil
		}
	}
}

// space skips white space and returns the byte that follows, 0 at the end.
func (c *canon) space() byte {
	for ; c.pos < len(c.in); c.pos++ {
		if b := c.in[c.pos]; b != ' ' && b != '\n' && b != '\r' && b != '\t' {
			return b
		}
	}
	return 0
}

// value reads a scalar, or the opening bracket of something and then reports true.
func (c *canon) value() (opened bool, err error) {
	if len(c.frames) == c.level {
		c.values++
	}
	switch b := c.space(); {
	case b == '{':
		return true, c.push(len(c.members))
	case b == '[':
		return true, c.push(-1)
	case b == '"':
		_, err = c.text()
		return false, err
	case b == '-' || b >= '0' && b <= '9':
		return false, c.number()
	default:
		return false, c.literal()
	}
}

func (c *canon) push(members int) error {
	if len(c.frames) == maxDepth {
		return c.fail("nested too deep")
	}
	c.frames = append(c.frames, frame{len(c.out), members})
	c.out = append(c.out, c.in[c.pos])
	c.pos++
	if members >= 0 {
		c.open++
	}
	return nil
}

// closesHere reports whether the bracket that was just opened is closed at once.
func (c *canon) closesHere() bool {
	b := c.space()
	return b == '}' || b == ']'
}

// next is called after a value. It closes what ends here and reports whether another value follows.
func (c *canon) next() (more bool, err error) {
	for len(c.frames) > 0 {
		object := c.frames[len(c.frames)-1].members >= 0
		switch b := c.space(); {
		case b == ',':
			c.endMember()
			c.out = append(c.out, ',')
			c.pos++
			return true, c.key()
		case b == '}' && object, b == ']' && !object:
			c.endMember()
			if err := c.pop(); err != nil {
				return false, err
			}
		default:
			return false, c.fail("expected a comma or the closing bracket")
		}
	}
	return false, nil
}

// key reads a member's key and colon when the open bracket is an object's.
func (c *canon) key() error {
	if c.frames[len(c.frames)-1].members < 0 {
		return nil
	}
	if c.space() != '"' {
		return c.fail("expected a key")
	}
	start := len(c.out)
	plain, err := c.text()
	if err != nil {
		return err
	}
	if c.space() != ':' {
		return c.fail("expected a colon")
	}
	c.pos++
	if c.open&1 == 1 && !c.anyKeys {
		upperTag(c.out[start:])
	}
	c.members = append(c.members, member{start: start, colon: len(c.out), plain: plain})
	c.out = append(c.out, ':')
	return nil
}

// upperTag makes a quoted key of eight hex digits upper-case and leaves any other alone.
func upperTag(quoted []byte) {
	if len(quoted) != 10 {
		return
	}
	if _, ok := parseTag(quoted[1:9]); !ok {
		return
	}
	for i, b := range quoted {
		if b >= 'a' {
			quoted[i] = b - 'a' + 'A'
		}
	}
}

func (c *canon) endMember() {
	if f := c.frames[len(c.frames)-1]; f.members >= 0 && f.members < len(c.members) {
		c.members[len(c.members)-1].end = len(c.out)
	}
}

// pop closes the innermost bracket; an object's members get into order.
func (c *canon) pop() error {
	f := c.frames[len(c.frames)-1]
	c.frames = c.frames[:len(c.frames)-1]
	c.out = append(c.out, c.in[c.pos])
	c.pos++
	if f.members < 0 {
		return nil
	}
	c.open--
	members := c.members[f.members:]
	if !c.sorted(members) {
		if err := c.sort(f.start, members); err != nil {
			return err
		}
	}
	if len(c.frames) == c.level {
		if err := c.keep(members); err != nil {
			return err
		}
	}
	c.members = c.members[:f.members]
	return nil
}

func (c *canon) compare(a, b member) int {
	x, y := c.out[a.start:a.colon], c.out[b.start:b.colon]
	if a.plain && b.plain {
		return bytes.Compare(x[:len(x)-1], y[:len(y)-1])
	}
	s, _ := Token(x).Text()
	t, _ := Token(y).Text()
	return compareUTF16(s, t)
}

func (c *canon) sorted(members []member) bool {
	for i := 1; i < len(members); i++ {
		if c.compare(members[i-1], members[i]) >= 0 {
			return false
		}
	}
	return true
}

// order sorts members: short objects, which most are, without any allocation.
func (c *canon) order(members []member) {
	if len(members) > 16 {
		slices.SortFunc(members, c.compare)
		return
	}
	for i := 1; i < len(members); i++ {
		for j := i; j > 0 && c.compare(members[j-1], members[j]) > 0; j-- {
			members[j-1], members[j] = members[j], members[j-1]
		}
	}
}

// sort rewrites the object that starts at out[start], with the same length, and its members to match.
func (c *canon) sort(start int, members []member) error {
	c.order(members)
	c.scratch = append(c.scratch[:0], c.out[start:]...)
	at := start + 1
	for i := range members {
		m := &members[i]
		if i > 0 {
			if c.compareIn(members[i-1], *m, start) == 0 {
				return c.fail("a key stands twice in an object")
			}
			c.out[at] = ','
			at++
		}
		n := copy(c.out[at:], c.scratch[m.start-start:m.end-start])
		m.colon, m.end, m.start = at+m.colon-m.start, at+n, at
		at += n
	}
	return nil
}

// compareIn compares a member that was moved already with one that is still where the scratch copy has it.
func (c *canon) compareIn(moved, other member, start int) int {
	return bytes.Compare(c.out[moved.start:moved.colon], c.scratch[other.start-start:other.colon-start])
}

// keep notes the members of a root object as attributes.
func (c *canon) keep(members []member) error {
	for _, m := range members {
		tag, ok := parseTag(c.out[m.start+1 : m.colon-1])
		if !ok {
			return c.fail("a key of the object is not a tag")
		}
		if c.out[m.colon+1] != '{' {
			return c.fail("an attribute is not an object")
		}
		c.spans = append(c.spans, span{tag, m.colon + 1, m.end})
	}
	c.ends = append(c.ends, len(c.spans))
	return nil
}

// objects builds the Objects that were kept. Their JSON is part of out.
func (c *canon) objects() []Object {
	elements := make([]Element, len(c.spans))
	for i, s := range c.spans {
		elements[i] = Element{s.tag, c.out[s.start:s.end:s.end]}
	}
	objects, start := make([]Object, len(c.ends)), 0
	for i, end := range c.ends {
		objects[i] = elements[start:end:end]
		start = end
	}
	return objects
}

// canonical is the canonical form of any JSON text, keys untouched.
func canonical(in []byte) ([]byte, error) {
	c := newCanon(in, maxDepth)
	c.anyKeys = true
	err := c.document()
	return c.out, err
}
