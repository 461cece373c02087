package web

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"sync"
	"syscall"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/regen"
	"golang.org/x/sys/unix"
)

// view is a published study at one moment.
type view struct {
	status regen.Status
	file   identity // of the status
}

// identity tells a file from every other that had its name: files of the current tree are replaced and never written into. The zero identity is that of a file
// system that cannot tell.
type identity struct {
	inode       uint64
	size, mtime int64
	ctime       int64
}

func identityOf(info fs.FileInfo) identity {
	switch stat := info.Sys().(type) {
	case *unix.Stat_t:
		return identity{stat.Ino, stat.Size, stat.Mtim.Nano(), stat.Ctim.Nano()}
	case *syscall.Stat_t: // of an open file
		return identity{stat.Ino, stat.Size, stat.Mtim.Nano(), stat.Ctim.Nano()}
	}
	return identity{}
}

// view finds a study. It is a problem when it is not published.
func (h *Handler) view(study dedup.UID) (view, error) {
	v, err := h.look(study)
	if err == nil && (h.config.Published == nil || h.config.Published(study)) {
		if h.config.Used != nil {
			h.config.Used(study)
		}
		return v, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return view{}, err
	}
	if h.config.Held != nil {
		if reason, held := h.config.Held(study); held {
			return view{}, problem{http.StatusServiceUnavailable, "the study is held back: " + reason}
		}
	}
	return view{}, errUnpublished
}

// errUnpublished says that a study has no current files, and is not held back.
var errUnpublished = problem{http.StatusNotFound, "this site has published no such study: see studies"}

// find is view for a request: a study that is not there is made, if that can be done here.
func (h *Handler) find(ctx context.Context, study dedup.UID) (view, error) {
	v, err := h.view(study)
	if err != errUnpublished || h.config.Generate == nil {
		return v, err
	}
	err = h.config.Generate(ctx, study)
	if errors.Is(err, fs.ErrNotExist) {
		return view{}, errUnpublished
	} else if err != nil {
		return view{}, err
	}
	return h.view(study)
}

// look reads a study's status, or remembers it.
func (h *Handler) look(study dedup.UID) (view, error) {
	info, err := h.config.Current.Lstat(regen.StatusPath(study))
	if err != nil {
		return view{}, err
	}
	id := identityOf(info)
	if v, ok := h.statuses.get(study, id); ok {
		return v, nil
	}
	status, err := regen.ReadStatus(h.config.Current, study)
	if err != nil {
		return view{}, err
	}
	v := view{status, id}
	// What was read may be a newer file than what was looked at; then the next look does not find this one's identity, and reads again.
	h.statuses.put(study, v)
	return v, nil
}

// unchanged reports whether the study's status is still that of v.
func (h *Handler) unchanged(study dedup.UID, v view) bool {
	if v.file != (identity{}) {
		info, err := h.config.Current.Lstat(regen.StatusPath(study))
		return err == nil && identityOf(info) == v.file
	}
	now, err := regen.ReadStatus(h.config.Current, study)
	return err == nil && now.Leaves == v.status.Leaves && now.Version == v.status.Version && slices.Equal(now.Replacing, v.status.Replacing)
}

// statusCache remembers the statuses of studies that were asked for lately. A scroll through a series asks for one study's a thousand times.
type statusCache struct {
	mu    sync.Mutex
	views map[dedup.UID]view
}

// maxRemembered bounds the cache; a status is some hundred bytes, unless the study is large and mixed.
const maxRemembered = 128

func (c *statusCache) get(study dedup.UID, id identity) (view, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.views[study]
	return v, ok && id != (identity{}) && v.file == id
}

func (c *statusCache) put(study dedup.UID, v view) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.views == nil || len(c.views) >= maxRemembered {
		c.views = make(map[dedup.UID]view)
	}
	c.views[study] = v
}
