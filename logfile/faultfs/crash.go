package faultfs

import (
	"math/rand"
	"path/filepath"
	"slices"
)

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
