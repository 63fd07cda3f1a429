package faultfs

import (
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
)

// ErrStopped is returned by every operation after the stop, until Restart or
// PowerCut.
var ErrStopped = errors.New("faultfs: the process is dead")

// Op describes one operation that changes or syncs something.
type Op struct {
	Kind string // "create", "write", "truncate", "sync", "syncfs", "reserve", "remove", "rename", "syncdir", "mkdir", "read"
	Path string // of a rename the new one
	Len  int    // bytes of a read
}

// FS is the disk. Safe for concurrent use.
type FS struct {
	mu      sync.Mutex
	names   map[string]*inode // directory entries as processes see them
	durable map[string]*inode // directory entries that are on disk
	stopAt  int               // operations from now on; negative: never
	stopped bool
	space   int64 // bytes left to write; negative: no limit
	gen     int   // counts restarts; handles of an earlier one are dead

	// Fault, when set, is asked before every operation; a non-nil error is
	// returned instead of doing it. It must not call the FS.
	Fault func(Op) error

	readHook func(path string)
}

type inode struct {
	dir    bool
	data   []byte
	synced []byte
	dirty  map[int]bool // numbers of the sectors that the next sync writes
	lost   int          // how often writing back has failed other than for a sync of this file
}

const sector = 512

func (n *inode) touch(from, to int) {
	if n.dirty == nil {
		n.dirty = make(map[int]bool)
	}
	for at := from / sector; at*sector < to; at++ {
		n.dirty[at] = true
	}
}

// flush returns the content on disk, cut or extended to size, after writing those
// dirty sectors for which keep returns true.
func (n *inode) flush(size int, keep func() bool) []byte {
	out := make([]byte, size)
	copy(out, n.synced)
	for at := 0; at*sector < size; at++ {
		from, to := at*sector, min((at+1)*sector, size)
		if n.dirty[at] && keep() {
			clear(out[from:to])
			copy(out[from:to], n.data[min(from, len(n.data)):])
		}
	}
	return out
}

// New returns an empty disk.
func New() *FS {
	root := &inode{dir: true}
	return &FS{
		names: map[string]*inode{"/": root}, durable: map[string]*inode{"/": root},
		stopAt: -1, space: -1,
	}
}

// StopAfter lets n more operations happen. All later ones fail with ErrStopped.
func (d *FS) StopAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopAt = n
}

// Stopped reports whether an operation has been refused for StopAfter.
func (d *FS) Stopped() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stopped
}

// SetSpace lets n more bytes be written before the disk is full; negative
// means no limit.
func (d *FS) SetSpace(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.space = n
}

// SetReadHook calls fn before every read, without holding the disk, so that it
// may wait for something.
func (d *FS) SetReadHook(fn func(path string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.readHook = fn
}

// Restart is a kill -9: handles are dead, and everything that was written is kept.
func (d *FS) Restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.restart()
}

func (d *FS) restart() {
	d.gen++
	d.stopAt, d.stopped, d.space, d.Fault = -1, false, -1, nil
}

func sortedKeys(m map[string]*inode) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// step counts an operation and decides whether it fails.
func (d *FS) step(kind, path string) error {
	if d.stopped || d.stopAt == 0 {
		d.stopped = true
		return &fs.PathError{Op: kind, Path: path, Err: ErrStopped}
	}
	if d.Fault != nil {
		if err := d.Fault(Op{Kind: kind, Path: path}); err != nil {
			return &fs.PathError{Op: kind, Path: path, Err: err}
		}
	}
	if d.stopAt > 0 {
		d.stopAt--
	}
	return nil
}

// ReadFile returns a copy of a file's content.
func (d *FS) ReadFile(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[filepath.Clean(name)]
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return slices.Clone(n.data), nil
}

// WriteFile replaces a file's content durably, without an operation that could
// fail: it is how tests damage files.
func (d *FS) WriteFile(name string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	n := d.names[name]
	if n == nil {
		n = &inode{}
		d.names[name], d.durable[name] = n, n
	}
	n.data, n.synced, n.dirty = slices.Clone(data), slices.Clone(data), nil
}

// Clone returns an independent copy of the disk, without the faults that are set.
func (d *FS) Clone() *FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &FS{names: map[string]*inode{}, durable: map[string]*inode{}, stopAt: -1, space: -1}
	seen := map[*inode]*inode{}
	clone := func(n *inode) *inode {
		if seen[n] == nil {
			seen[n] = &inode{dir: n.dir, data: slices.Clone(n.data), synced: slices.Clone(n.synced), dirty: maps.Clone(n.dirty), lost: n.lost}
		}
		return seen[n]
	}
	for p, n := range d.names {
		c.names[p] = clone(n)
	}
	for p, n := range d.durable {
		c.durable[p] = clone(n)
	}
	return c
}
