package faultfs

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ottla/logfile"
)

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
	return &handle{d: d, n: n, path: name, gen: d.gen, told: n.lost}, nil
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

// SyncFS is syncfs(2): it makes everything durable, names and content. After one that failed,
// Linux takes all pages for clean that it could not write, here all that there are.
func (d *FS) SyncFS() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.step("syncfs", "/")
	if errors.Is(err, ErrStopped) {
		return err
	}
	for _, n := range d.names {
		switch {
		case n.dir || len(n.dirty) == 0 && len(n.data) == len(n.synced):
		case err == nil:
			n.sync()
		default:
			n.dirty = nil
			n.lost++
		}
	}
	if err == nil {
		d.durable = maps.Clone(d.names)
	}
	return err
}
