package logfile

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrPoisoned: a sync of the log failed once. Nothing can be written to it
	// again; what was not acknowledged before must be taken for lost.
	ErrPoisoned = errors.New("log is poisoned by a failed sync")
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("log is closed")
	// ErrBelowStart: the offset or index is no longer in the log.
	ErrBelowStart = errors.New("below the start of the log")
	// ErrBeyondEnd: the index is not in the log yet.
	ErrBeyondEnd = errors.New("beyond the end of the log")
	// ErrStale: the log was truncated or reset while it was read; take a new
	// snapshot and try again.
	ErrStale = errors.New("log changed under the reader")
	// ErrNewerFormat: written by a newer version of this program.
	ErrNewerFormat = errors.New("newer format version")
	// ErrRefused: the owner asked for something that would break the log;
	// nothing was staged.
	ErrRefused = errors.New("refused")
)

// CorruptError says that bytes on disk are not what was written. It is never
// returned for a tail that may be cut.
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
