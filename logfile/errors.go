package logfile

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrPoisoned: a sync of the log failed. Nothing can be written to it any more,
	// and entries that were not acknowledged before count as lost.
	ErrPoisoned = errors.New("the log accepts no more writes since a sync failed")
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("the log is closed")
	// ErrBelowStart: the offset or index is no longer in the log.
	ErrBelowStart = errors.New("below the start of the log")
	// ErrBeyondEnd: the index is not in the log yet.
	ErrBeyondEnd = errors.New("beyond the end of the log")
	// ErrStale: the log was truncated, compacted or reset while it was read. The
	// reader takes a new snapshot and tries again.
	ErrStale = errors.New("the log changed while it was read")
	// ErrNewerFormat: the file was written by a newer version of this program.
	ErrNewerFormat = errors.New("newer format version than this program knows")
	// ErrRefused: the call would break the log; nothing was staged.
	ErrRefused = errors.New("refused")
)

// CorruptError says that bytes on disk are not those that were written. It is
// never returned for a tail that Open may cut.
type CorruptError struct {
	Path   string
	Offset int64 // bytes from the beginning of the file
	Err    error
}

// Error names the file and the position.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s: damaged at byte %d: %v", e.Path, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Err }

// What is wrong at a position of a file, for CorruptError.Err.
var (
	errFewRecords  = errors.New("the entry holds fewer records than its header says")
	errNoFinalLF   = errors.New("the body does not end with LF")
	errSegmentEnds = errors.New("the segment ends before its last entry does")
)

// errNotIndexed says that the index of a segment does not reach down to an entry
// that the segment should hold.
func errNotIndexed(index uint64) error {
	return fmt.Errorf("the index of the segment does not reach down to entry %d", index)
}
