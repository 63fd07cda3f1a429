package faultfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"syscall"
)

// handle is an open file. It dies with the process that opened it: after Restart
// or PowerCut every call fails with ErrStopped.
type handle struct {
	d    *FS
	n    *inode
	path string
	gen  int
	told int // how many of the inode's losses it has reported
}

func (h *handle) alive() error {
	if h.gen != h.d.gen {
		return &fs.PathError{Op: "use", Path: h.path, Err: ErrStopped}
	}
	return nil
}

// ReadAt implements logfile.Handle. The read hook runs without the lock.
func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	h.d.mu.Lock()
	if hook := h.d.readHook; hook != nil {
		h.d.mu.Unlock()
		hook(h.path)
		h.d.mu.Lock()
	}
	defer h.d.mu.Unlock()
	if err := h.alive(); err != nil {
		return 0, err
	}
	if h.d.Fault != nil {
		if err := h.d.Fault(Op{Kind: "read", Path: h.path, Len: len(p)}); err != nil {
			return 0, &fs.PathError{Op: "read", Path: h.path, Err: err}
		}
	}
	if len(p) > 0 && off >= int64(len(h.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.n.data[min(off, int64(len(h.n.data))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements logfile.Handle. Like a real disk it may write a part of p
// before it fails: half at a stop, as much as there is space for on a full disk.
func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.alive(); err != nil {
		return 0, err
	}
	if err := h.d.step("write", h.path); err != nil {
		if errors.Is(err, ErrStopped) {
			h.put(p[:len(p)/2], off) // the process is killed in the middle of the call
		}
		return 0, err
	}
	n := len(p)
	if h.d.space >= 0 {
		n = int(min(int64(n), h.d.space))
		h.d.space -= int64(n)
	}
	h.put(p[:n], off)
	if n < len(p) {
		return n, &fs.PathError{Op: "write", Path: h.path, Err: syscall.ENOSPC}
	}
	return n, nil
}

// WritePartsAt implements logfile.Handle. Like a real one it leaves parts changed.
func (h *handle) WritePartsAt(parts [][]byte, off int64) error {
	_, err := h.WriteAt(bytes.Join(parts, nil), off)
	clear(parts)
	return err
}

// put writes p at off and marks its sectors as dirty.
func (h *handle) put(p []byte, off int64) {
	if grow := int(off) + len(p) - len(h.n.data); grow > 0 {
		h.n.data = append(h.n.data, make([]byte, grow)...)
	}
	copy(h.n.data[off:], p)
	h.n.touch(int(off), int(off)+len(p))
}

// Truncate implements logfile.Handle. The sector at the new end becomes dirty, and
// the size too is durable with the next sync only.
func (h *handle) Truncate(size int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.alive(); err != nil {
		return err
	}
	if err := h.d.step("truncate", h.path); err != nil {
		return err
	}
	if size <= int64(len(h.n.data)) {
		h.n.data = h.n.data[:size:size]
	} else {
		h.put(nil, size)
	}
	h.n.touch(int(size), int(size)+1)
	return nil
}

// Datasync makes the content durable. After one that failed, Linux takes the
// pages for clean: the next one succeeds without writing them. What a SyncFS lost is reported
// once by each handle that was open then.
func (h *handle) Datasync() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.alive(); err != nil {
		return err
	}
	if err := h.d.step("sync", h.path); err != nil {
		if !errors.Is(err, ErrStopped) {
			h.n.dirty = nil
		}
		return err
	}
	h.n.sync()
	if h.told != h.n.lost {
		h.told = h.n.lost
		return &fs.PathError{Op: "sync", Path: h.path, Err: syscall.EIO}
	}
	return nil
}

func (n *inode) sync() {
	n.synced = n.flush(len(n.data), func() bool { return true })
	n.dirty = nil
}

func (h *handle) Size() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return int64(len(h.n.data)), h.alive()
}

func (h *handle) Fd() (uintptr, bool) { return 0, false }

func (h *handle) Reserve(_, n int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.alive(); err != nil {
		return err
	}
	return h.d.step("reserve", h.path)
}

func (h *handle) Close() error { return nil }
