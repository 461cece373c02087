package crashfs

import (
	"fmt"
	"io"
	"io/fs"
	"syscall"
)

// file is an open file. Only Create opens one for writing, and nothing moves its offset back, so a write is always at the end.
type file struct {
	fs       *FS
	node     *node
	name     string
	at       int
	writable bool
	closed   bool
	losses   int // of the node's, how many this descriptor was told of
}

func (h *file) do(kind string, bytes int, act func() error) error {
	return h.fs.do(Op{Kind: kind, Name: h.name, Bytes: bytes, node: h.node}, func() error {
		if h.closed {
			return fs.ErrClosed
		}
		return act()
	})
}

func (h *file) Read(p []byte) (n int, err error) {
	err = h.do("read", len(p), func() error {
		n, err = h.read(p, h.at)
		h.at += n
		return err
	})
	return n, err
}

func (h *file) ReadAt(p []byte, off int64) (n int, err error) {
	err = h.do("readat", len(p), func() error {
		if off < 0 {
			return fs.ErrInvalid
		}
		n, err = h.read(p, int(min(off, int64(len(h.node.data)))))
		if n < len(p) {
			err = io.EOF
		}
		return err
	})
	return n, err
}

func (h *file) read(p []byte, at int) (int, error) {
	n := copy(p, h.node.data[at:])
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (h *file) Write(p []byte) (n int, err error) {
	err = h.do("write", len(p), func() error {
		if !h.writable {
			return syscall.EBADF
		}
		n = int(min(int64(len(p)), h.fs.room()))
		h.node.data = append(h.node.data, p[:n]...)
		h.node.dirty = h.node.dirty || n > 0
		h.at = len(h.node.data)
		if n < len(p) {
			return syscall.ENOSPC
		}
		return nil
	})
	return n, err
}

func (h *file) Sync() error {
	err := h.do("sync", 0, func() error {
		h.node.sync()
		if h.losses < h.node.losses {
			return h.fs.loss
		}
		return nil
	})
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	h.losses = h.node.losses // told once: the next one succeeds
	return err
}

// Close closes, whatever the hook says: so does the kernel.
func (h *file) Close() error {
	err := h.do("close", 0, func() error { return nil })
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	h.closed = true
	return err
}

// Size is no operation that could fail.
func (h *file) Size() (int64, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.closed {
		return 0, fmt.Errorf("size %s: %w", h.name, fs.ErrClosed)
	}
	return int64(len(h.node.data)), nil
}
