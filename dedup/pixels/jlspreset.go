package pixels

import (
	"encoding/binary"
	"math/bits"
)

// A preset is what an LSE segment says of the coding; 0 means the default (T.87 C.2.4.1.1).
type preset struct{ maxval, t1, t2, t3, reset int }

func newPreset(body []byte) preset {
	n := func(i int) int { return int(binary.BigEndian.Uint16(body[2*i:])) }
	return preset{n(0), n(1), n(2), n(3), n(4)}
}

// A coding is a preset with nothing left open, and what follows from it (T.87 A.2.1).
type coding struct {
	preset
	near      int
	span      int // RANGE: how many values an error can have
	errorBits int // qbpp: bits of such an error
	escape    int // zeros of a code that is an escape: LIMIT - qbpp - 1
	period    int // RANGE * (2*NEAR+1): what errors are modulo of
	step      int // 2*NEAR+1
}

// coding fills in the defaults for samples of precision bits. It is false for values beyond T.87 tables C.1 and C.3.
func (p preset) coding(precision, near int) (coding, bool) {
	if p.maxval == 0 {
		p.maxval = 1<<precision - 1
	}
	if p.maxval >= 1<<precision || near > min(255, p.maxval/2) {
		return coding{}, false
	}
	t1, t2, t3 := thresholds(p.maxval, near)
	p.t1, p.t2, p.t3, p.reset = either(p.t1, t1), either(p.t2, t2), either(p.t3, t3), either(p.reset, 64)
	if p.t1 < near+1 || p.t2 < p.t1 || p.t3 < p.t2 || p.t3 > p.maxval || p.reset < 3 || p.reset > max(255, p.maxval) {
		return coding{}, false
	}
	c := coding{preset: p, near: near, step: 2*near + 1}
	c.span = (p.maxval+2*near)/c.step + 1
	c.period = c.span * c.step
	c.errorBits = bits.Len(uint(c.span - 1))
	bpp := max(2, bits.Len(uint(p.maxval)))
	c.escape = 2*(bpp+max(8, bpp)) - c.errorBits - 1
	return c, true
}

func either(value, otherwise int) int {
	if value != 0 {
		return value
	}
	return otherwise
}

// thresholds are the defaults of T1 to T3 (T.87 C.2.4.1.1.1).
func thresholds(maxval, near int) (t1, t2, t3 int) {
	clamp := func(value, low int) int {
		if value > maxval || value < low {
			return low
		}
		return value
	}
	if maxval >= 128 {
		factor := (min(maxval, 4095) + 128) / 256
		t1 = clamp(factor*(3-2)+2+3*near, near+1)
		t2 = clamp(factor*(7-3)+3+5*near, t1)
		t3 = clamp(factor*(21-4)+4+7*near, t2)
		return t1, t2, t3
	}
	factor := 256 / (maxval + 1)
	t1 = clamp(max(2, 3/factor+3*near), near+1)
	t2 = clamp(max(3, 7/factor+5*near), t1)
	t3 = clamp(max(4, 21/factor+7*near), t2)
	return t1, t2, t3
}
