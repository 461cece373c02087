package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// joinedFile, in the state, has the incarnation of the index under which this site has caught up.
const joinedFile = "joined"

// joining is whether this site still catches up with the others, and is named as an exception in their certificates, so that nobody waits for it: from its first start, or from
// when it was acknowledged as down, until it has held all that they hold. From then on a site that lacks something lacks what has just come, and it is waited for: were it an
// exception whenever a study is on its way to it, that study would be called settled where it came from, and be nowhere else. It is kept through restarts, for the same reason.
type joining struct {
	mu   sync.Mutex
	over bool
	kept bool // over, as it is on disk
}

// openJoining reads what was kept. What was of another incarnation, or cannot be read, is not: the site has to catch up anew, and nobody waits meanwhile.
func openJoining(state durable.Reader, incarnation string) *joining {
	f, err := state.Open(joinedFile)
	if err != nil {
		return &joining{}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1<<10))
	over := err == nil && incarnation != "" && strings.TrimSpace(string(text)) == incarnation
	return &joining{over: over, kept: over}
}

// level is what the site says of itself: whether it has caught up. counts says that the others wait for it, level that it holds all that they hold now.
func (j *joining) level(counts bool, level func() bool) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !counts {
		j.over = false
		return level() // with which it will count again
	}
	j.over = j.over || level()
	return j.over
}

// keep makes durable what has changed since it was called last.
func (j *joining) keep(state durable.FS, incarnation string) error {
	j.mu.Lock()
	over, kept := j.over, j.kept
	j.mu.Unlock()
	var err error
	switch {
	case over == kept:
		return nil
	case over:
		err = durable.ReplaceFile(state, joinedFile, []byte(incarnation+"\n"))
	default:
		if err = state.Remove(joinedFile); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("keep whether this site has caught up: %w", err)
	}
	j.mu.Lock()
	j.kept = over
	j.mu.Unlock()
	return nil
}
