package dedup

// scanner walks over canonical JSON, which is known to be well formed: it looks only for where things end. On anything else it finds
// nothing more; it never reads out of bounds.
type scanner struct {
	json []byte
	pos  int
}

func scan(json []byte) *scanner { return &scanner{json: json} }

// enter is at the first character inside the bracket, or behind the comma; false at the end.
func (s *scanner) enter(open byte) bool {
	if s.pos >= len(s.json) || s.pos == 0 && s.json[0] != open || s.pos > 0 && s.json[s.pos] != ',' {
		return false
	}
	s.pos++
	return true
}

// item is the next element of an array, nil after the last one.
func (s *scanner) item() Token {
	if !s.enter('[') {
		return nil
	}
	start := s.pos
	s.pos = skip(s.json, start)
	if s.pos == start {
		return nil
	}
	return Token(s.json[start:s.pos:s.pos])
}

// member is the next key, as its quoted token, and value of an object; nil after the last one.
func (s *scanner) member() (key, value Token) {
	if !s.enter('{') {
		return nil, nil
	}
	start := s.pos
	colon := skip(s.json, start)
	if colon == start || colon >= len(s.json) || s.json[start] != '"' || s.json[colon] != ':' {
		s.pos = len(s.json)
		return nil, nil
	}
	s.pos = skip(s.json, colon+1)
	return Token(s.json[start:colon:colon]), Token(s.json[colon+1 : s.pos : s.pos])
}

// find is the value of a key without escapes, nil when there is none.
func (s *scanner) find(name string) Token {
	for key, value := s.member(); key != nil; key, value = s.member() {
		if len(key) == len(name)+2 && string(key[1:len(key)-1]) == name {
			return value
		}
	}
	return nil
}

// skip is where the value that starts at json[i] ends; i itself when there is none.
func skip(json []byte, i int) int {
	for depth := 0; i < len(json); {
		switch json[i] {
		case '"':
			i = skipText(json, i)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
			i++
		case ',', ':':
			if depth == 0 {
				return i
			}
			i++
			continue
		default:
			for i < len(json) && !structural(json[i]) {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
	return len(json)
}

func structural(b byte) bool {
	return b == ',' || b == ':' || b == '}' || b == ']' || b == '{' || b == '[' || b == '"'
}

func skipText(json []byte, i int) int {
	for i++; i < len(json); i++ {
		switch json[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(json)
}
