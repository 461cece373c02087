package ingest_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/bits"

	"github.com/dicomesh/dicomesh/dedup"
)

func gunz(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func hashed(root string, u dedup.UID) string {
	h := fmt.Sprintf("%06x", murmur3(u.String()))
	return root + "/" + h[:3] + "/" + h[3:6] + "/" + u.String()
}

func murmur3(s string) uint32 {
	mix := func(k uint32) uint32 { return bits.RotateLeft32(k*0xcc9e2d51, 15) * 0x1b873593 }
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
