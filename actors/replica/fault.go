package replica

import (
	"errors"
	"fmt"
	"io/fs"

	"ottla/logfile"
)

// Fault is why a replica does not run although it should. The values are told to
// people, in /readyz and in the log.
type Fault string

// The faults.
const (
	FaultDamage  Fault = "damaged"     // bytes of its files are not what was written
	FaultMissing Fault = "missing"     // its files are gone, or another replica's stand there
	FaultDisk    Fault = "disk failed" // a write or a sync failed: nobody knows what the disk holds
	FaultOpen    Fault = "not opened"  // no space, no descriptor, no permission, a read error
	FaultPanic   Fault = "panicked"    // a bug of the program
	FaultLost    Fault = "lost"        // with its broker's directory; its successor is being decided on
)

// NeedsPeers reports whether the replica can only be made whole from its peers.
func (f Fault) NeedsPeers() bool {
	return f == FaultDamage || f == FaultMissing || f == FaultDisk
}

// Transient reports whether opening the same files again may succeed.
func (f Fault) Transient() bool { return f == FaultOpen || f == FaultPanic }

// OpenFault names why a log could not be opened or created.
func OpenFault(err error) Fault {
	var bad *logfile.CorruptError
	switch {
	case errors.Is(err, logfile.ErrNewerFormat): // reported as corrupt, but it only needs another program
		return FaultOpen
	case errors.As(err, &bad):
		return FaultDamage
	case errors.Is(err, fs.ErrNotExist):
		return FaultMissing
	case errors.Is(err, logfile.ErrPoisoned):
		return FaultDisk
	}
	return FaultOpen
}

// RunFault names why a running replica's storage failed.
func RunFault(err error) Fault {
	var bad *logfile.CorruptError
	var state *stateError
	switch {
	case errors.As(err, &bad):
		return FaultDamage
	case errors.As(err, &state):
		return FaultPanic
	}
	return FaultDisk
}

// PanicFault names why a replica's actor panicked: raft panics when entries
// cannot be read.
func PanicFault(err error) Fault {
	var bad *logfile.CorruptError
	if errors.As(err, &bad) {
		return FaultDamage
	}
	return FaultPanic
}

// stateError says that a committed entry could not be applied: the bytes are
// right and another copy of them would not help.
type stateError struct {
	index uint64
	err   error
}

func (e *stateError) Error() string { return fmt.Sprintf("apply entry %d: %v", e.index, e.err) }
func (e *stateError) Unwrap() error { return e.err }
