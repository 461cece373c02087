package part10

// itemsFollow reports whether the value of a sequence begins as one. One that does not is kept as bytes.
func (s *scanner) itemsFollow(t token) bool {
	if t.length == 0 {
		return true
	}
	b, err := s.r.Peek(8)
	return err == nil && t.length >= 8 && tagAt(b, t.coding) == tagItem
}

// itemsInValue reports whether a value of unknown VR is a run of items from its first byte to its last.
func (s *scanner) itemsInValue(t token, c coding) bool {
	if s.blind || t.length < 8 || t.length > maxInline || len(s.levels) >= 2*maxNesting {
		return false
	}
	b, err := s.r.Peek(int(t.length))
	return err == nil && tagAt(b, c) == tagItem && wellFormed(b, c, s.vrs)
}

// wellFormed reports whether b is a run of items to its last byte, all the way down.
func wellFormed(b []byte, c coding, vrs *dictionary) bool {
	in := newScanner(&unread{rest: b}, int64(len(b)), c, vrs)
	in.blind = true
	in.levels = append(in.levels, level{end: int64(len(b)), kind: atSequence, coding: c})
	for len(in.levels) > 0 {
		t, err := in.next()
		if err != nil || t.kind == atNoise || t.kind == atPixels {
			return false
		}
		if t.kind == atElement && in.skip() != nil {
			return false
		}
	}
	return true
}
