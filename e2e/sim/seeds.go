package sim

import (
	"encoding/binary"
	"encoding/hex"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Base is the first seed of a usual run, below most: the hash of the tree that is checked out makes it, so every change is met by other seeds, and whoever checks out a change again
// meets the same. Where there is no git, it is the clock.
func Base(t testing.TB, most uint64) uint64 {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "rev-parse", "HEAD^{tree}").Output()
	hash, err2 := hex.DecodeString(strings.TrimSpace(string(out)))
	if err != nil || err2 != nil || len(hash) < 8 {
		base := uint64(time.Now().UnixNano()) % most
		t.Logf("seeds from %d, by the clock: the tree that is tested is not known", base)
		return base
	}
	base := binary.BigEndian.Uint64(hash) % most
	t.Logf("seeds from %d, by the tree %s", base, out[:12])
	return base
}
