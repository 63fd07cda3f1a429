package disk

import (
	"sync"
	"sync/atomic"
)

// Together makes files durable for many who ask at the same time, as thousands of logs do
// that are opened at a start: those who ask while the filesystem is being synced share the
// next sync. Safe for concurrent use.
type Together struct {
	fs fileSystem

	// failed is set for good by the first sync that fails: the kernel reports a failed write
	// once, and it may have been that of a file whose owner waits for the next sync. After
	// that each file is synced by its own descriptor, which knows of its own failures.
	failed atomic.Bool

	syncing chan struct{} // holds one of the one who syncs

	mu   sync.Mutex
	next *sharedSync // begins after everything that was asked for so far
}

// sharedSync is one sync and those who wait for it.
type sharedSync struct {
	begun bool // somebody will carry it out
	ended chan struct{}
	ok    bool // set before ended is closed
}

// NewTogether makes it for the filesystem of dir. If that cannot be opened nothing is synced
// together. Close it when nobody asks any more.
func NewTogether(dir string) *Together {
	fs, err := openFileSystem(dir)
	if err != nil {
		fs = plainFileSystem{}
	}
	return newTogether(fs)
}

func newTogether(fs fileSystem) *Together {
	return &Together{fs: fs, syncing: make(chan struct{}, 1), next: newSharedSync()}
}

func newSharedSync() *sharedSync { return &sharedSync{ended: make(chan struct{})} }

// Sync makes all that was written to f so far durable, and the names in its directory. It
// reports whether it did so: if not, the caller has to do it, who then learns the error, too.
func (t *Together) Sync(f File) bool {
	if t.failed.Load() || !t.fs.covers(f) {
		return false
	}
	changes := f.Changes()
	t.mu.Lock()
	s, lead := t.next, !t.next.begun
	s.begun = true
	t.mu.Unlock()
	if lead {
		t.carryOut(s)
	}
	<-s.ended
	if s.ok {
		f.Synced(changes)
	}
	return s.ok
}

func (t *Together) carryOut(s *sharedSync) {
	t.syncing <- struct{}{}
	defer func() { <-t.syncing }()
	// From here on whoever asks has written after this sync began, perhaps.
	t.mu.Lock()
	t.next = newSharedSync()
	t.mu.Unlock()
	defer close(s.ended)
	if !t.failed.Load() {
		s.ok = t.fs.syncfs() == nil
		t.failed.Store(!s.ok)
	}
}

// Close releases the filesystem.
func (t *Together) Close() error { return t.fs.close() }
