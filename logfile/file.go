package logfile

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"ottla/mutate"
)

const (
	filePerm = 0o640
	dirPerm  = 0o750

	minReserve = 64 << 10
	maxReserve = 4 << 20
)

// state is shared by the files and batches of one log.
type state struct {
	poison atomic.Pointer[error]

	mu     sync.Mutex
	next   uint64 // sequence number of the batch to execute next
	err    error  // why that batch failed the last time
	closed bool   // no batch is executed any more
}

// File is the file of one segment. Its handle is opened when it is needed and
// closed by the cache. That of an active segment is only closed while everything
// written by it is known to be durable: Linux reports a write-back that failed
// once per open file, and one opened later would never hear of it.
type File struct {
	fsys  FS
	path  string
	st    *state
	cache *HandleCache

	end      atomic.Int64  // bytes executed; the file may be longer after a failed write
	epoch    atomic.Uint64 // counts truncations
	sealed   atomic.Bool
	used     atomic.Bool // since the cache looked the last time
	reserved int64       // bytes of the file whose space is allocated; for the disk goroutine only

	mu      sync.Mutex
	h       Handle
	refs    int
	unnamed bool // the file does not have its name yet, and could not be opened again
	gone    bool // the file is unlinked, or about to be
	closed  bool
	changes uint64  // writes and truncations begun; the first stands for those of earlier processes
	durable uint64  // how many of these are known to be durable
	entries []entry // index of a sealed segment, while its handle is open
}

// Path is the path under which the file was created.
func (f *File) Path() string { return f.path }

// open returns the open handle for a reader; release must follow.
func (f *File) open() (Handle, error) {
	h, err := f.acquire()
	if err == nil && f.sealed.Load() {
		f.cache.touch(f)
	}
	return h, err
}

// acquire returns the open handle; release must follow.
func (f *File) acquire() (Handle, error) {
	h, _, err := f.acquireFor(false)
	return h, err
}

// acquireFor returns the open handle, for a change or not, and how many changes
// have begun; release must follow.
func (f *File) acquireFor(change bool) (h Handle, changes uint64, err error) {
	f.mu.Lock()
	opened := f.h == nil
	if err := f.openLocked(); err != nil {
		f.mu.Unlock()
		return nil, 0, err
	}
	f.refs++
	if change {
		f.changes++
	}
	h, changes = f.h, f.changes
	f.mu.Unlock()
	if !f.used.Load() {
		f.used.Store(true)
	}
	if opened {
		f.cache.touch(f)
	}
	return h, changes, nil
}

// openLocked opens the file unless it is open.
func (f *File) openLocked() error {
	switch {
	case f.closed:
		return fmt.Errorf("%s: %w", f.path, ErrClosed)
	case f.h != nil:
		return nil
	case f.gone:
		return fmt.Errorf("%s: %w", f.path, ErrBelowStart)
	}
	h, err := f.fsys.OpenFile(f.path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	if !f.sealed.Load() {
		if size, err := h.Size(); err == nil && size < f.end.Load() {
			closeQuietly(h)
			f.Poison(&CorruptError{Path: f.path, Offset: size, Err: fmt.Errorf("the file ends here, and had %d bytes when it was closed: another one is in its place", f.end.Load())})
			return f.Poisoned()
		}
	}
	f.h = h
	return nil
}

// setHandle makes h the handle of a file that is new or was just read; unnamed says
// that it does not have its name yet.
func (f *File) setHandle(h Handle, unnamed bool) {
	f.mu.Lock()
	old := f.h
	f.h, f.unnamed = h, unnamed
	f.mu.Unlock()
	closeQuietly(old)
	f.cache.touch(f)
}

// setNamed says that the file has its name.
func (f *File) setNamed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unnamed = false
}

func (f *File) release() {
	f.mu.Lock()
	f.refs--
	h := f.dropLocked()
	f.mu.Unlock()
	closeQuietly(h)
}

// dropLocked returns the handle for closing when nobody needs it any more, else
// nil.
func (f *File) dropLocked() Handle {
	if f.refs > 0 || !f.closed && !f.gone {
		return nil
	}
	h := f.h
	f.h, f.entries = nil, nil
	return h
}

// evict closes a handle that nobody uses; the next one who needs it opens it
// again. It returns false when the file is being used, and for an active segment
// that holds what may not be durable or has failed.
func (f *File) evict() bool {
	f.mu.Lock()
	switch {
	case f.h == nil:
	case f.refs > 0, !f.sealed.Load() && (f.unnamed || f.changes != f.durable || f.Poisoned() != nil):
		f.mu.Unlock()
		return false
	}
	h := f.h
	f.h = nil
	if f.sealed.Load() {
		f.entries = nil
	}
	f.mu.Unlock()
	closeQuietly(h)
	return true
}

// retire marks the file before it is unlinked. Readers that have it open go on.
// Nobody opens it again, or opens another file of the same name in its place.
func (f *File) retire() {
	f.mu.Lock()
	f.gone = true
	h := f.dropLocked()
	f.mu.Unlock()
	f.cache.forget(f)
	closeQuietly(h)
}

func (f *File) close() error {
	f.mu.Lock()
	f.closed = true
	h := f.dropLocked()
	f.mu.Unlock()
	f.cache.forget(f)
	if h == nil {
		return nil
	}
	return h.Close()
}

// closeQuietly closes a handle, nil or not, whose content was synced or is not
// needed any more, so that an error does not matter.
func closeQuietly(h Handle) {
	if h != nil {
		_ = h.Close()
	}
}

func (f *File) isGone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone
}

// isIdle reports whether the file was closed because all of it is durable.
func (f *File) isIdle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.h == nil && !f.closed && f.changes == f.durable
}

// Fd returns the file descriptor, for syncfs, or false when there is none. It is
// valid as long as something written is not known to be durable and the log is open.
func (f *File) Fd() (uintptr, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.h == nil || f.closed {
		return 0, false
	}
	return f.h.Fd()
}

// onDevice is a Handle that knows which device it is on.
type onDevice interface{ Device() (uint64, bool) }

// Device returns the number of the device that the file is on, st_dev of
// stat(2), without a system call. It returns false where Fd does, and where the
// FS does not know the device.
func (f *File) Device() (uint64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h, ok := f.h.(onDevice)
	if !ok || f.closed {
		return 0, false
	}
	return h.Device()
}

// Sync makes everything executed so far durable. A failure poisons the log. For a
// file that was unlinked in the meantime it does nothing.
func (f *File) Sync() error {
	s, err := f.StartSync()
	if s == nil {
		return err
	}
	return s.End(s.h.Datasync())
}

// Syncing is a sync of a file that is under way. Its handle stays open until End.
type Syncing struct {
	f       *File
	h       Handle
	changes uint64 // that had begun before
}

// StartSync begins what Sync does, for a caller that makes the system call itself, or
// by Datasync, and then calls End. It returns nil when there is nothing to do, with the
// error of Sync.
func (f *File) StartSync() (*Syncing, error) {
	if err := f.Poisoned(); err != nil {
		return nil, err
	}
	if mutate.On(mutate.AckBeforeSync) {
		return nil, nil
	}
	if f.isIdle() {
		return nil, nil // nothing was written since, also if a write was tried that could not open the file
	}
	h, changes, err := f.acquireFor(false)
	if errors.Is(err, ErrBelowStart) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &Syncing{f, h, changes}, nil
}

// Fd returns the file descriptor, or false when there is none. It is valid until End.
func (s *Syncing) Fd() (uintptr, bool) { return s.h.Fd() }

// Datasync makes the content and the size of the file durable.
func (s *Syncing) Datasync() error { return s.h.Datasync() }

// End ends the sync, which has failed with err unless that is nil, and returns what
// Sync does.
func (s *Syncing) End(err error) error {
	defer s.f.release()
	if err != nil {
		s.f.Poison(err)
		return s.f.Poisoned()
	}
	s.f.Synced(s.changes)
	return nil
}

// Changes is how many writes to the file have begun, for Synced.
func (f *File) Changes() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changes
}

// Synced says that so many changes of the file are durable, as after a syncfs.
func (f *File) Synced(changes uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.durable = max(f.durable, changes)
}

// Poison ends all writing to the file and its log for good. The first cause is
// kept.
func (f *File) Poison(err error) { f.st.setPoison(f.path, err) }

// Poisoned returns an error matching ErrPoisoned and the cause, or nil.
func (f *File) Poisoned() error { return f.st.poisoned() }

func (st *state) setPoison(path string, err error) {
	err = fmt.Errorf("%s: %w: %w", path, ErrPoisoned, err)
	st.poison.CompareAndSwap(nil, &err)
}

func (st *state) poisoned() error {
	if p := st.poison.Load(); p != nil {
		return *p
	}
	return nil
}

// write appends parts at off, the end of what was executed. After a failure nothing
// of them counts, and the same write may be tried again. The exception is a part of
// them that was written and cannot be cut off again: the kernel may write it back,
// and a power cut during the second try would leave a mixture of both that looks
// like damage. That poisons the log.
func (f *File) write(parts [][]byte, off int64) error {
	size := int64(0)
	for _, p := range parts {
		size += int64(len(p))
	}
	h, _, err := f.acquireFor(true)
	if err != nil {
		return err
	}
	defer f.release()
	if end := f.end.Load(); end != off {
		panic(fmt.Sprintf("BUG: %s: write at byte %d, but the file was executed up to byte %d", f.path, off, end))
	}
	if need := off + size; need > f.reserved {
		ahead := min(max(off/8, minReserve), maxReserve)
		err := h.Reserve(off, size+ahead)
		if errors.Is(err, syscall.ENOSPC) { // there may be room for just this
			ahead = 0
			err = h.Reserve(off, size)
		}
		if err != nil {
			return fmt.Errorf("reserve space in %s: %w", f.path, err)
		}
		f.reserved = need + ahead
	}
	if err := writeParts(h, parts, off); err != nil {
		f.reserved = 0
		if cutErr := h.Truncate(off); cutErr != nil {
			f.Poison(fmt.Errorf("write failed: %w; what was written of it cannot be cut off: %w", err, cutErr))
			return f.Poisoned()
		}
		return fmt.Errorf("write to %s: %w", f.path, err)
	}
	f.end.Store(off + size)
	return nil
}

// writeParts writes parts one behind the other.
func writeParts(h Handle, parts [][]byte, off int64) error {
	if len(parts) == 1 {
		_, err := h.WriteAt(parts[0], off)
		return err
	}
	return h.WritePartsAt(parts, off)
}

// truncate cuts the file to size bytes and makes that durable.
func (f *File) truncate(size int64) error {
	h, _, err := f.acquireFor(true)
	if err != nil {
		return err
	}
	defer f.release()
	f.epoch.Add(1)
	if err := h.Truncate(size); err != nil {
		return fmt.Errorf("truncate %s: %w", f.path, err)
	}
	f.end.Store(size)
	f.reserved = 0
	return f.Sync()
}
