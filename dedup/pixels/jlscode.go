package pixels

import "math/bits"

// makeGradients fills the table of context's regions (T.87 A.3.3), for gradients up to T3, beyond which nothing changes.
func (s *jlsScan) makeGradients() {
	s.gradients = make([]int8, 2*s.t3+1)
	for d := range s.t3 + 1 {
		region := int8(0)
		for _, from := range [...]int{s.near + 1, s.t1, s.t2, s.t3} {
			if d >= from {
				region++
			}
		}
		s.gradients[s.t3+d], s.gradients[s.t3-d] = region, -region
	}
}

// context is the context of a sample with these neighbours, negative where its sign is (T.87 A.3); 0 means a run.
func (s *jlsScan) context(a, b, c, d int) int {
	return (s.region(d-b)*9+s.region(b-c))*9 + s.region(c-a)
}

func (s *jlsScan) region(gradient int) int {
	return int(s.gradients[min(max(gradient, -s.t3), s.t3)+s.t3])
}

// median predicts a sample from its neighbours (T.87 A.4.1).
func median(a, b, c int) int {
	low, high := min(a, b), max(a, b)
	return min(max(a+b-c, low), high)
}

// regular decodes a sample of context q (T.87 A.4.2 to A.6). It is false for bits that are no code.
func (s *jlsScan) regular(q, predicted int) (uint16, bool) {
	sign := q >> 63
	t := &s.contexts[(q^sign)-sign]
	predicted = min(max(predicted+(int(t.c)^sign)-sign, 0), s.maxval)
	k := int(t.k)
	if s.bits.valid < 32 {
		s.bits.fill()
	}
	mapped, length := s.bits.golomb(k)
	if length <= s.bits.valid && length <= s.escape+k {
		s.bits.skip(length)
	} else {
		mapped = s.longCode(k, s.escape)
	}
	if mapped > s.span {
		return 0, false
	}
	e := mapped>>1 ^ -(mapped & 1) // T.87 A.5.2
	if k == 0 && s.near == 0 && 2*t.b <= -t.n {
		e = ^e
	}
	t.update(int32(e), int32(s.step), int32(s.preset.reset))
	return s.sample(predicted, (e^sign)-sign), true
}

// sample is what a prediction and its error make (T.87 A.4.4, A.4.5).
func (s *jlsScan) sample(predicted, e int) uint16 {
	v := predicted + e*s.step
	if v < -s.near {
		v += s.period
	} else if v > s.maxval+s.near {
		v -= s.period
	}
	return uint16(min(max(v, 0), s.maxval))
}

// update takes an error into the context's variables (T.87 A.6), and finds the next k (A.5.1).
func (t *jlsContext) update(e, step, reset int32) {
	a, b, n := t.a+uint32(max(e, -e)), t.b+e*step, t.n
	if n == reset {
		a, b, n = a>>1, b>>1, n>>1
	}
	n++
	// A.6.2, without branches, which no processor could predict: each is all ones where the bias is too low, or too high.
	low, high := (b+n-1)>>31, -b>>31
	b = min(max(b+(low&n)-(high&n), 1-n), 0)
	t.c = min(max(t.c+int16(low-high), -128), 127)
	k := max(0, bits.Len32(a)-bits.Len32(uint32(n)))
	if uint32(n)<<(k&31) < a {
		k++
	}
	t.a, t.b, t.n, t.k = a, b, n, uint16(k)
}

// golomb is the code that the next bits are (T.87 A.5.3): as many zeros as the high bits of its value say, a one and the low k bits.
// Nothing is skipped: the code may be longer than what is valid, or be an escape.
func (r *bitReader) golomb(k int) (value, length int) {
	zeros := bits.LeadingZeros64(r.acc)
	return zeros<<(k&31) | int(r.acc<<((zeros+1)&63)>>1>>((63-k)&63)), zeros + 1 + k
}

// longCode decodes a code with at most escape zeros: if it has as many, what follows is not k bits but the whole value (T.87 A.5.3).
// What is no code is a value beyond RANGE. No encoder makes such values; as they are refused, contexts stay small.
func (s *jlsScan) longCode(k, escape int) int {
	zeros := 0
	for s.bits.take(1) == 0 {
		if zeros++; zeros > escape {
			return s.span + 1
		}
	}
	switch {
	case zeros == escape:
		return int(s.bits.take(s.errorBits)) + 1
	case k == 0:
		return zeros
	}
	return zeros<<k | int(s.bits.take(k))
}

// runOrder is J of T.87 A.2.1: the logarithm of a run's length, by RUNindex.
const runOrder = "\x00\x00\x00\x00\x01\x01\x01\x01\x02\x02\x02\x02\x03\x03\x03\x03\x04\x04\x05\x05\x06\x06\x07\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"

// run decodes the length of a run in a line with room for so many more samples (T.87 A.7.1). It is false for a run that does not fit.
func (s *jlsScan) run(index *int, room int) (int, bool) {
	n := 0
	for s.bits.take(1) == 1 {
		step := 1 << runOrder[*index]
		if step > room-n {
			return room, true
		}
		n += step
		*index = min(*index+1, len(runOrder)-1)
		if n == room {
			return n, true
		}
	}
	if order := int(runOrder[*index]); order > 0 {
		n += int(s.bits.take(order))
	}
	return n, n < room
}

// interruption decodes the sample behind a run of a, below b (T.87 A.7.2).
func (s *jlsScan) interruption(a, b, index int) (uint16, bool) {
	if max(a-b, b-a) > s.near {
		return s.interruptionOfOne(a, b, index)
	}
	e, ok := s.runError(1, index)
	return s.sample(a, e), ok
}

// interruptionOfOne decodes such a sample with RItype 0: the only one where components are interleaved by sample.
func (s *jlsScan) interruptionOfOne(a, b, index int) (uint16, bool) {
	e, ok := s.runError(0, index)
	if b < a {
		e = -e
	}
	return s.sample(b, e), ok
}

// runError decodes the error of a sample that interrupts a run; kind is RItype (T.87 A.7.2.1, A.7.2.2).
func (s *jlsScan) runError(kind, index int) (int, bool) {
	t := &s.runs[kind]
	size, k := t.a+kind*(t.n>>1), 0
	for t.n<<k < size {
		k++
	}
	mapped := s.longCode(k, s.escape-int(runOrder[index])-1)
	if mapped > s.span {
		return 0, false
	}
	odd := (mapped + kind) & 1
	e := (mapped + kind + odd) / 2
	if (k != 0 || 2*t.nn >= t.n) == (odd == 1) {
		e = -e
	}
	if e < 0 {
		t.nn++
	}
	t.a += (mapped + 1 - kind) >> 1
	if t.n == s.preset.reset {
		t.a, t.n, t.nn = t.a>>1, t.n>>1, t.nn>>1
	}
	t.n++
	return e, true
}
