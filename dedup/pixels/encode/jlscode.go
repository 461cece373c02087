package encode

// line encodes line y of each component, one after the other or all together.
func (m *model) line(samples [][]uint16, y int, together bool) {
	columns := len(m.line1[0]) - 2
	for c := range samples {
		m.line1[c][0] = m.line0[c][1]
		m.line0[c][columns+1] = m.line0[c][columns]
		for x := range columns {
			m.line1[c][x+1] = int(samples[c][y*columns+x])
		}
	}
	if together {
		all := make([]int, len(samples))
		for c := range all {
			all[c] = c
		}
		m.pixels(all)
	} else {
		for c := range samples {
			m.pixels([]int{c})
		}
	}
	m.line0, m.line1 = m.line1, m.line0
}

// pixels encodes the line of some components, interleaved by sample.
func (m *model) pixels(components []int) {
	columns := len(m.line1[0]) - 2
	for x := 1; x <= columns; x++ {
		run := true
		for _, c := range components {
			run = run && m.context(c, x) == 0
		}
		if !run {
			for _, c := range components {
				m.regular(c, x)
			}
			continue
		}
		n := 0
		for x+n <= columns && m.continues(components, x, n) {
			for _, c := range components {
				m.line1[c][x+n] = m.line1[c][x-1]
			}
			n++
		}
		index := &m.run[components[0]]
		m.runLength(index, n, x+n > columns)
		if x += n; x > columns {
			return
		}
		for _, c := range components {
			m.interruption(c, x, *index, len(components) > 1)
		}
		*index = max(*index-1, 0)
	}
}

// continues says whether the run that begins at x goes on to x+n.
func (m *model) continues(components []int, x, n int) bool {
	for _, c := range components {
		if abs(m.line1[c][x+n]-m.line1[c][x-1]) > m.near {
			return false
		}
	}
	return true
}

func abs(n int) int { return max(n, -n) }

// context is T.87 A.3: the quantized gradients around x as one number.
func (m *model) context(c, x int) int {
	up, line := m.line0[c], m.line1[c]
	return 81*m.quantize(up[x+1]-up[x]) + 9*m.quantize(up[x]-up[x-1]) + m.quantize(up[x-1]-line[x-1])
}

func (m *model) quantize(d int) int {
	size := abs(d)
	region := 4
	switch {
	case size <= m.near:
		region = 0
	case size < m.T1:
		region = 1
	case size < m.T2:
		region = 2
	case size < m.T3:
		region = 3
	}
	if d < 0 {
		return -region
	}
	return region
}

// regular encodes one sample (T.87 A.4 to A.6).
func (m *model) regular(c, x int) {
	q, sign := m.context(c, x), 1
	if q < 0 {
		q, sign = -q, -1
	}
	v := &m.contexts[q]
	a, b, corner := m.line1[c][x-1], m.line0[c][x], m.line0[c][x-1]
	predicted := a + b - corner
	if corner >= max(a, b) {
		predicted = min(a, b)
	} else if corner <= min(a, b) {
		predicted = max(a, b)
	}
	predicted = min(max(predicted+sign*v.c, 0), m.MaxVal)
	e := m.encodeError(&m.line1[c][x], predicted, sign)
	k := 0
	for v.n<<k < v.a {
		k++
	}
	mapped := 2 * e
	if e < 0 {
		mapped = -2*e - 1
	}
	if k == 0 && m.near == 0 && 2*v.b <= -v.n { // A.5.2, table A.1 turned round
		mapped = 2*e + 1
		if e < 0 {
			mapped = -2 * (e + 1)
		}
	}
	m.golomb(mapped, k, m.limit)
	v.update(e, m.near, m.Reset)
}

// encodeError quantizes the error of a sample, makes the sample what the decoder will have, and reduces the error (T.87 A.4.4, A.4.5).
func (m *model) encodeError(sample *int, predicted, sign int) int {
	e, step := sign*(*sample-predicted), 2*m.near+1
	if e > 0 {
		e = (e + m.near) / step
	} else {
		e = -((m.near - e) / step)
	}
	*sample = min(max(predicted+sign*e*step, 0), m.MaxVal)
	if e < 0 {
		e += m.span
	}
	if e >= (m.span+1)/2 {
		e -= m.span
	}
	return e
}

// update is T.87 A.6.
func (v *variables) update(e, near, reset int) {
	v.b += e * (2*near + 1)
	v.a += abs(e)
	if v.n == reset {
		v.a, v.b, v.n = v.a>>1, v.b>>1, v.n>>1
	}
	v.n++
	switch {
	case v.b <= -v.n:
		v.b = max(v.b+v.n, 1-v.n)
		v.c = max(v.c-1, -128)
	case v.b > 0:
		v.b = min(v.b-v.n, 0)
		v.c = min(v.c+1, 127)
	}
}

// golomb is T.87 A.5.3.
func (m *model) golomb(mapped, k, limit int) {
	escape := limit - m.errorBits - 1
	zeros := min(mapped>>k, escape)
	for range zeros {
		m.stream.put(0, 1)
	}
	m.stream.put(1, 1)
	if zeros < escape {
		m.stream.put(uint32(mapped), k)
	} else {
		m.stream.put(uint32(mapped-1), m.errorBits)
	}
}

// runOrder is J of T.87 A.2.1.
func runOrder(index int) int {
	return [...]int{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15}[index]
}

// runLength is T.87 A.7.1.2.
func (m *model) runLength(index *int, n int, endOfLine bool) {
	for n >= 1<<runOrder(*index) {
		m.stream.put(1, 1)
		n -= 1 << runOrder(*index)
		*index = min(*index+1, 31)
	}
	switch {
	case !endOfLine:
		m.stream.put(uint32(n), runOrder(*index)+1)
	case n > 0:
		m.stream.put(1, 1)
	}
}

// interruption encodes the sample that ends a run (T.87 A.7.2).
func (m *model) interruption(c, x, index int, together bool) {
	a, b := m.line1[c][x-1], m.line0[c][x]
	kind, predicted, sign := 0, b, 1
	if a > b {
		sign = -1
	}
	if !together && abs(a-b) <= m.near {
		kind, predicted, sign = 1, a, 1
	}
	e := m.encodeError(&m.line1[c][x], predicted, sign)
	v := &m.contexts[365+kind]
	k := 0
	for v.n<<k < v.a+kind*(v.n>>1) {
		k++
	}
	odd := 0
	if k == 0 && e > 0 && 2*v.nn < v.n || e < 0 && (2*v.nn >= v.n || k != 0) {
		odd = 1
	}
	mapped := 2*abs(e) - kind - odd
	m.golomb(mapped, k, m.limit-runOrder(index)-1)
	if e < 0 {
		v.nn++
	}
	v.a += (mapped + 1 - kind) >> 1
	if v.n == m.Reset {
		v.a, v.n, v.nn = v.a>>1, v.n>>1, v.nn>>1
	}
	v.n++
}
