package dedup

import (
	"fmt"
	"math/bits"
	"path"
	"strings"
)

// The folders at the root of a tree that hold studies. The second and third are other writers'.
const (
	studiesRoot  = "studies"
	listRoot     = "deduplicated"
	instanceRoot = "instances"
)

// In is the path in the tree at which dicomesh keeps the file, "" if the Ref is not well formed or study is the zero UID.
func (r Ref) In(study UID) string {
	p := r.Path()
	if p == "" || study.text == "" {
		return ""
	}
	return studiesRoot + "/" + study.text + "/" + p
}

// studyFolders are the places where known writers put a study's files under one of the roots: in a folder named by its UID, or that two
// levels further down (static-wado --hash-study-uid-path).
func studyFolders(root string, u UID) [2]string {
	h := fmt.Sprintf("%06x", murmur3(u.text))
	return [2]string{root + "/" + u.text, root + "/" + h[:3] + "/" + h[3:6] + "/" + u.text}
}

// murmur3 is MurmurHash3 for x86, 32 bits, seed 0.
func murmur3(s string) uint32 {
	var h, k uint32
	for i := 0; i < len(s); i++ {
		k |= uint32(s[i]) << (i % 4 * 8)
		if i%4 == 3 {
			h = bits.RotateLeft32(h^mix(k), 13)*5 + 0xe6546b64
			k = 0
		}
	}
	h ^= mix(k)
	h ^= uint32(len(s))
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

func mix(k uint32) uint32 { return bits.RotateLeft32(k*0xcc9e2d51, 15) * 0x1b873593 }

// hashLevel reports whether a folder's name may be one of the levels between a root and its studies.
func hashLevel(name string) bool { return len(name) == 3 && lowerHex(name) }

// ignored reports whether a name in a study says nothing about the archive, so that it is no finding either: other writers' unfinished files, and
// their copy of the current state beside their lists.
func ignored(p string) bool {
	return Temporary(path.Base(p)) || p == listFolder+"/index.json.gz"
}

// listed is the Ref of a file in a folder that holds nothing but lists, or nothing but instance files: a name and maybe .gz.
func listed(c Class, name string) (Ref, bool) {
	r := Ref{Class: c, Name: strings.TrimSuffix(name, ".gz")}
	return r, r.wellFormed()
}
