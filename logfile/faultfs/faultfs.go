// Package faultfs is a disk in memory for tests of package logfile. It fails when
// a test wants it to, stops at a given operation like the disk of a process that
// is killed, and forgets what was not synced like that of a machine that loses
// power: content, sizes and directory entries.
package faultfs

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ottla/logfile"
)

// ErrStopped is returned by every operation after the stop, until Restart or
// PowerCut.
var ErrStopped = errors.New("faultfs: the process is dead")

// Op describes one operation that changes or syncs something.
type Op struct {
	Kind string // "create", "write", "truncate", "sync", "reserve", "remove", "rename", "syncdir", "mkdir", "read"
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

// PowerCut is a crash of the machine. What was synced is kept. Of the rest, rnd
// decides for each directory entry and for each sector of 512 bytes whether it
// survives; with nil nothing does.
func (d *FS) PowerCut(rnd *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	keep := func() bool { return rnd != nil && rnd.Intn(2) == 0 }
	d.tearNames(keep)
	for path := range d.durable {
		if !d.reachable(path) {
			delete(d.durable, path)
		}
	}
	d.names = make(map[string]*inode, len(d.durable))
	for _, path := range sortedKeys(d.durable) {
		d.names[path] = d.durable[path]
		d.names[path].tear(rnd, keep)
	}
	d.restart()
}

// tearNames decides which changes of directory entries survive. A rename survives
// as a whole or not at all.
func (d *FS) tearNames(keep func() bool) {
	for _, path := range sortedKeys(d.names) {
		n := d.names[path]
		if d.durable[path] == n || !keep() {
			continue
		}
		for old, other := range d.durable {
			if other == n && d.names[old] != n {
				delete(d.durable, old)
			}
		}
		d.durable[path] = n
	}
	for _, path := range sortedKeys(d.durable) {
		if d.names[path] == nil && !d.named(d.durable[path]) && keep() {
			delete(d.durable, path)
		}
	}
}

// named reports whether processes see a file under some name.
func (d *FS) named(n *inode) bool {
	for _, other := range d.names {
		if other == n {
			return true
		}
	}
	return false
}

func (d *FS) reachable(path string) bool {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if n := d.durable[dir]; n == nil || !n.dir {
			return false
		}
		if dir == "/" {
			return true
		}
	}
}

// tear replaces the content by a mixture of synced and unsynced sectors.
func (n *inode) tear(rnd *rand.Rand, keep func() bool) {
	if n.dir || len(n.dirty) == 0 && slices.Equal(n.data, n.synced) {
		return
	}
	size := len(n.synced)
	if lo, hi := min(size, len(n.data)), max(size, len(n.data)); rnd != nil {
		size = lo + rnd.Intn(hi-lo+1)
		if keep() {
			size = len(n.data)
		}
	}
	n.data = n.flush(size, keep)
	n.synced, n.dirty = slices.Clone(n.data), nil
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
			seen[n] = &inode{dir: n.dir, data: slices.Clone(n.data), synced: slices.Clone(n.synced), dirty: maps.Clone(n.dirty)}
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

var _ logfile.FS = (*FS)(nil)

type info struct {
	name string
	n    *inode
	size int64
}

func (i info) Name() string               { return i.name }
func (i info) Size() int64                { return i.size }
func (i info) ModTime() time.Time         { return time.Time{} }
func (i info) IsDir() bool                { return i.n.dir }
func (i info) Sys() any                   { return nil }
func (i info) Info() (fs.FileInfo, error) { return i, nil }
func (i info) Type() fs.FileMode          { return i.Mode().Type() }
func (i info) Mode() fs.FileMode {
	if i.n.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}

// OpenFile implements logfile.FS.
func (d *FS) OpenFile(name string, flag int, _ fs.FileMode) (logfile.Handle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	n := d.names[name]
	if d.stopped {
		return nil, &fs.PathError{Op: "open", Path: name, Err: ErrStopped}
	}
	if n == nil {
		if flag&os.O_CREATE == 0 || d.names[filepath.Dir(name)] == nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		if err := d.step("create", name); err != nil {
			return nil, err
		}
		n = &inode{}
		d.names[name] = n
	} else if flag&os.O_TRUNC != 0 {
		if err := d.step("truncate", name); err != nil {
			return nil, err
		}
		n.data, n.dirty = nil, nil
	}
	return &handle{d: d, n: n, path: name, gen: d.gen}, nil
}

// MkdirAll implements logfile.FS.
func (d *FS) MkdirAll(name string, _ fs.FileMode) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	var missing []string
	for p := name; d.names[p] == nil; p = filepath.Dir(p) {
		missing = append(missing, p)
	}
	slices.Reverse(missing)
	for _, p := range missing {
		if err := d.step("mkdir", p); err != nil {
			return err
		}
		d.names[p] = &inode{dir: true}
	}
	return nil
}

// Remove implements logfile.FS.
func (d *FS) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	if d.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	if err := d.step("remove", name); err != nil {
		return err
	}
	delete(d.names, name)
	return nil
}

// RemoveAll implements logfile.FS.
func (d *FS) RemoveAll(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	if err := d.step("remove", name); err != nil {
		return err
	}
	for p := range d.names {
		if p == name || strings.HasPrefix(p, name+"/") {
			delete(d.names, p)
		}
	}
	return nil
}

// Rename implements logfile.FS, for files.
func (d *FS) Rename(oldName, newName string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	oldName, newName = filepath.Clean(oldName), filepath.Clean(newName)
	n := d.names[oldName]
	if n == nil {
		return &fs.PathError{Op: "rename", Path: oldName, Err: fs.ErrNotExist}
	}
	if err := d.step("rename", newName); err != nil {
		return err
	}
	delete(d.names, oldName)
	d.names[newName] = n
	return nil
}

// ReadDir implements logfile.FS.
func (d *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	if n := d.names[name]; n == nil || !n.dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	var list []fs.DirEntry
	for _, p := range sortedKeys(d.names) {
		if p != "/" && filepath.Dir(p) == name {
			list = append(list, info{filepath.Base(p), d.names[p], int64(len(d.names[p].data))})
		}
	}
	return list, nil
}

// Stat implements logfile.FS.
func (d *FS) Stat(name string) (fs.FileInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	n := d.names[name]
	if n == nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return info{filepath.Base(name), n, int64(len(n.data))}, nil
}

// SyncDir implements logfile.FS.
func (d *FS) SyncDir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	if err := d.step("syncdir", name); err != nil {
		return err
	}
	for p := range d.durable {
		if filepath.Dir(p) == name && p != "/" {
			delete(d.durable, p)
		}
	}
	for p, n := range d.names {
		if filepath.Dir(p) == name {
			d.durable[p] = n
		}
	}
	return nil
}
