package web

import (
	"bytes"
	"slices"
	"sync"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// unpackedCache remembers the metadata of the series that was asked for last, unpacked: who asks for one instance's asks for a thousand of them, one by one.
type unpackedCache struct {
	mu   sync.Mutex
	held []*unpacked // the newest last
	size int
}

// unpacked is the metadata of a series, and where each instance's stands in it.
type unpacked struct {
	file identity
	text []byte
	at   map[string][2]int // by SOP Instance UID
}

// maxUnpacked bounds the text that is remembered.
const maxUnpacked = 32 << 20

// of is the metadata in an open file.
func (c *unpackedCache) of(f durable.File) (*unpacked, error) {
	id := identity{}
	if info, err := describe(f); err == nil {
		id = identityOf(info)
	}
	if m := c.get(id); m != nil {
		return m, nil
	}
	text, err := unzip(f)
	if err != nil {
		return nil, err
	}
	m := &unpacked{file: id, text: text, at: places(text)}
	if id != (identity{}) && len(text) <= maxUnpacked {
		c.put(m)
	}
	return m, nil
}

func (c *unpackedCache) get(id identity) *unpacked {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := slices.IndexFunc(c.held, func(m *unpacked) bool { return m.file == id && id != (identity{}) })
	if n < 0 {
		return nil
	}
	m := c.held[n]
	c.held = append(slices.Delete(c.held, n, n+1), m)
	return m
}

func (c *unpackedCache) put(m *unpacked) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held, c.size = append(c.held, m), c.size+len(m.text)
	for c.size > maxUnpacked {
		c.size -= len(c.held[0].text)
		c.held = slices.Delete(c.held, 0, 1)
	}
}

// places is where the objects of an array stand, by their SOP Instance UIDs. They are not parsed: a thousand of them to find one would cost a thousand times as much.
func places(text []byte) map[string][2]int {
	out := map[string][2]int{}
	key := []byte(`"00080018":{"Value":["`)
	depth, from, sop := 0, 0, ""
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			if depth == 1 && bytes.HasPrefix(text[i:], key) {
				rest := text[i+len(key):]
				sop = string(rest[:max(0, bytes.IndexByte(rest, '"'))])
			}
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '{':
			if depth++; depth == 1 {
				from, sop = i, ""
			}
		case '}':
			if depth--; depth == 0 && sop != "" {
				out[sop] = [2]int{from, i + 1}
			}
		}
	}
	return out
}
