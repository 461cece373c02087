package syncer

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// packer compresses and expands values for all streams of a site. A coder has megabytes of tables, and there are a thousand requests for a gigabyte: so there are
// two coders, and whoever finds both busy waits.
type packer struct {
	once sync.Once
	in   *zstd.Encoder
	out  *zstd.Decoder
	err  error
}

// The shape of compression on its way: as a LAN's neighbour would have it, because slower links do not mind. What of a file is tried first tells whether the rest
// is worth it, and where a few files in a row were not, most of a request is sent as it is.
const (
	packers    = 2
	packWindow = 1 << 20
	packSample = 64 << 10
	packMisses = 4
	packAgain  = 16
)

func (p *packer) open() error {
	p.once.Do(func() {
		p.in, p.err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(packers), zstd.WithWindowSize(packWindow),
			zstd.WithLowerEncoderMem(true))
		if p.err == nil {
			p.out, p.err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(packers), zstd.WithDecoderMaxMemory(wholeFile))
		}
	})
	return p.err
}

// pack compresses plain behind into, and reports whether that makes it a tenth smaller at least. Where the beginning does not shrink the rest is not tried.
func (p *packer) pack(plain, into []byte) (packed []byte, smaller bool, err error) {
	if err := p.open(); err != nil {
		return into, false, fmt.Errorf("compress: %w", err)
	}
	if sample := plain[:min(packSample, len(plain))]; len(sample) < len(plain) {
		if into = p.in.EncodeAll(sample, into); len(into) >= len(sample)/10*9 {
			return into, false, nil
		}
		into = into[:0]
	}
	into = p.in.EncodeAll(plain, into)
	return into, len(into) < len(plain)/10*9, nil
}

// expand is what was packed.
func (p *packer) expand(packed []byte) ([]byte, error) {
	if err := p.open(); err != nil {
		return nil, fmt.Errorf("expand: %w", err)
	}
	plain, err := p.out.DecodeAll(packed, nil)
	if err != nil {
		return nil, fault("bytes that do not decompress")
	}
	return plain, nil
}
