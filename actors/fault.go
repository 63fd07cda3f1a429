package actors

import (
	"errors"
	"fmt"
	"io/fs"

	"ottla/logfile"
)

// replicaFault names why a replica does not run although it should. The names
// are told to people, in /readyz and in the log.
type replicaFault string

const (
	faultDamage  replicaFault = "damaged"     // bytes of its files are not what was written
	faultMissing replicaFault = "missing"     // its files are gone, or another replica's stand there
	faultDisk    replicaFault = "disk failed" // a write or a sync failed: nobody knows what the disk holds
	faultOpen    replicaFault = "not opened"  // no space, no descriptor, no permission, a read error
	faultPanic   replicaFault = "panicked"    // a fault of the program
)

// rebuilds reports whether the replica needs the others to be whole again.
func (f replicaFault) rebuilds() bool {
	return f == faultDamage || f == faultMissing || f == faultDisk
}

// passes reports whether the same files may do at another try.
func (f replicaFault) passes() bool { return f == faultOpen || f == faultPanic }

// openFault names why a log could not be opened or created.
func openFault(err error) replicaFault {
	var bad *logfile.CorruptError
	switch {
	case errors.Is(err, logfile.ErrNewerFormat): // reported as corrupt, but it only needs another program
		return faultOpen
	case errors.As(err, &bad):
		return faultDamage
	case errors.Is(err, fs.ErrNotExist):
		return faultMissing
	case errors.Is(err, logfile.ErrPoisoned):
		return faultDisk
	}
	return faultOpen
}

// runFault names why a running replica's storage failed.
func runFault(err error) replicaFault {
	var bad *logfile.CorruptError
	var state *stateError
	switch {
	case errors.As(err, &bad):
		return faultDamage
	case errors.As(err, &state):
		return faultPanic
	}
	return faultDisk
}

// panicFault names why a replica's actor panicked: raft panics when entries
// cannot be read.
func panicFault(err error) replicaFault {
	var bad *logfile.CorruptError
	if errors.As(err, &bad) {
		return faultDamage
	}
	return faultPanic
}

// stateError says that a committed entry could not be applied: the bytes are
// right and another copy of them would not help.
type stateError struct {
	index uint64
	err   error
}

func (e *stateError) Error() string { return fmt.Sprintf("apply entry %d: %v", e.index, e.err) }
func (e *stateError) Unwrap() error { return e.err }
