package pixels

import "math/bits"

// A jlsScan decodes the components of one scan (T.87 annex A, and B for several components).
type jlsScan struct {
	coding
	components []jlsComponent
	together   bool // components are interleaved by sample
	gradients  []int8

	bits     bitReader
	contexts [365]jlsContext
	runs     [2]jlsRun
}

type jlsComponent struct {
	line   []uint16 // the line being decoded, between two samples that are its surroundings (T.87 A.2.1)
	before []uint16 // the line above it
	run    int      // RUNindex
	plane  plane
}

// A jlsContext is the variables of one regular context: A, B, C and N of T.87 A.2, and the k that follows from A and N.
type jlsContext struct {
	a    uint32
	b, n int32
	c    int16
	k    uint16
}

// A jlsRun is the variables of one context of run interruption.
type jlsRun struct{ a, n, nn int }

// reset makes all variables as they are at the start of a scan and after a restart marker (T.87 A.8).
func (s *jlsScan) reset() {
	a := max(2, (s.span+32)/64)
	for i := range s.contexts {
		s.contexts[i] = jlsContext{a: uint32(a), n: 1, k: uint16(bits.Len(uint(a - 1)))}
	}
	s.runs = [2]jlsRun{{a: a, n: 1}, {a: a, n: 1}}
	for i := range s.components {
		c := &s.components[i]
		c.run = 0
		clear(c.line)
		clear(c.before)
	}
}

// interval decodes lines y to end, which share one entropy-coded segment.
func (s *jlsScan) interval(dst, segment []byte, y, end int) error {
	s.bits = *newBitReader(segment, true)
	s.reset()
	for ; y < end; y++ {
		if !s.lines() {
			return corrupt("no code in line %d", y)
		}
		if s.bits.overrun() {
			return corrupt("data ends in line %d", y)
		}
		for i := range s.components {
			c := &s.components[i]
			if !c.plane.store(dst, y, c.line[1:len(c.line)-1]) {
				return corrupt("sample beyond the precision in line %d", y)
			}
			c.line, c.before = c.before, c.line
		}
	}
	return nil
}

// lines decodes the next line of each component.
func (s *jlsScan) lines() bool {
	for i := range s.components {
		c := &s.components[i]
		c.line[0] = c.before[1]
		c.before[len(c.before)-1] = c.before[len(c.before)-2]
	}
	if s.together {
		return s.lineOfPixels()
	}
	for i := range s.components {
		if !s.lineOfSamples(&s.components[i]) {
			return false
		}
	}
	return true
}

// lineOfSamples decodes a line of one component. a, b, c, d are the neighbours of T.87 figure 3: left, above, above left, above right.
func (s *jlsScan) lineOfSamples(p *jlsComponent) bool {
	line := p.line
	before := p.before[:len(line)]
	a, b, c := int(line[0]), int(before[1]), int(before[0])
	for x := 1; x < len(line)-1; {
		d := int(before[x+1])
		if q := s.context(a, b, c, d); q != 0 {
			v, ok := s.regular(q, median(a, b, c))
			if !ok {
				return false
			}
			line[x] = v
			a, b, c = int(v), d, b
			x++
			continue
		}
		n, ok := s.runOfSamples(p, x)
		if x += n; !ok || x == len(line)-1 {
			return ok
		}
		a, b, c = int(line[x-1]), int(before[x]), int(before[x-1])
	}
	return true
}

// runOfSamples decodes a run from x on, and the sample that interrupts it, and returns how many samples that is.
func (s *jlsScan) runOfSamples(p *jlsComponent, x int) (int, bool) {
	room := len(p.line) - 1 - x
	a := p.line[x-1]
	n, ok := s.run(&p.run, room)
	if !ok {
		return 0, false
	}
	run := p.line[x : x+n]
	for i := range run {
		run[i] = a
	}
	if n == room {
		return n, true
	}
	b := p.before[x+n]
	v, ok := s.interruption(int(a), int(b), p.run)
	p.line[x+n] = v
	p.run = max(p.run-1, 0)
	return n + 1, ok
}

// lineOfPixels decodes a line of all components, interleaved by sample: a run is of pixels (T.87 B.3).
func (s *jlsScan) lineOfPixels() bool {
	for x := 1; x < len(s.components[0].line)-1; {
		var contexts [4]int // a scan has at most as many components
		run := true
		for i := range s.components {
			p := &s.components[i]
			contexts[i] = s.context(int(p.line[x-1]), int(p.before[x]), int(p.before[x-1]), int(p.before[x+1]))
			run = run && contexts[i] == 0
		}
		if run {
			n, ok := s.runOfPixels(x)
			if !ok {
				return false
			}
			x += n
			continue
		}
		for i := range s.components {
			p := &s.components[i]
			v, ok := s.regular(contexts[i], median(int(p.line[x-1]), int(p.before[x]), int(p.before[x-1])))
			if !ok {
				return false
			}
			p.line[x] = v
		}
		x++
	}
	return true
}

// runOfPixels is runOfSamples for all components. They share the first one's RUNindex.
func (s *jlsScan) runOfPixels(x int) (int, bool) {
	index := &s.components[0].run
	room := len(s.components[0].line) - 1 - x
	n, ok := s.run(index, room)
	if !ok {
		return 0, false
	}
	for i := range s.components {
		p := &s.components[i]
		a, run := p.line[x-1], p.line[x:x+n]
		for i := range run {
			run[i] = a
		}
		if n == room {
			continue
		}
		v, ok := s.interruptionOfOne(int(a), int(p.before[x+n]), *index)
		if !ok {
			return 0, false
		}
		p.line[x+n] = v
	}
	if n == room {
		return n, true
	}
	*index = max(*index-1, 0)
	return n + 1, true
}
