package disk

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/logfile"
)

// Group names a partition: its replicas on one filesystem are siblings, whose
// writes of the same entry share a sync where they can.
type Group struct {
	TopicID   string
	Partition int
}

// All messages from and to Disk travel as pointers.

// Write asks Disk to execute a batch and make it durable. The answer is
// exactly one Done to From, after a sync that began after this write and
// all earlier writes of From were executed.
//
// Writes of one From are executed and answered in order. A write that fails
// blocks that From: every later one is refused with the same cause, because its
// bytes would leave a hole, until the failed Seq (or an earlier one) is sent
// again. An owner that gets a retriable error therefore sends the failed write
// and those after it once more, in order, under their old Seq. After any other
// error the From stays blocked for good.
type Write struct {
	From     *actor.PID // one incarnation of a replica; the next one needs another name
	Seq      uint64     // comes back in Done; ascending per From
	Batch    Batch      // *logfile.Batch; nil or empty is answered in its turn
	Group    Group
	Index    uint64 // last raft index in the batch, 0 if none
	Siblings int    // other replicas of the group on this filesystem that are about to write Index too; Disk waits for them, briefly
	Priority bool   // votes and internal topics go first,
	Urgent   bool   // and a round with votes does not wait for siblings either
	NoSync   bool   // answered when written; a periodic background sync covers the files
}

// Done answers a Write. Err nil means durable (with NoSync: written).
// A Retriable error had no effect; every other one is final for the replica: it
// may not acknowledge, vote or write again.
type Done struct {
	Seq uint64
	Err error
}

// Failed tells a replica that the background sync of bytes written with
// NoSync, and answered long ago, failed. It is final, like a Done error.
type Failed struct{ Err error }

// Stalled reports that a round has been running for longer than
// Options.StallAfter, or (Over) that the round so reported has ended after all.
type Stalled struct {
	Dir   string        // the Disk's directory
	For   time.Duration // how long the round has been running
	Froms []*actor.PID  // whose writes hang in it, each once
	Over  bool
}

// Batch is what Disk needs of a *logfile.Batch, besides its Files.
type Batch interface {
	Empty() bool
	Bytes() int
	Execute() error
}

// File is what Disk needs of a *logfile.File. When Sync has failed once it fails
// for ever: what the disk holds is not known. Fd is false for files that are not
// the operating system's. Synced says that another way of syncing has made so many
// of the file's Changes durable.
type File interface {
	Sync() error
	Fd() (uintptr, bool)
	Changes() uint64
	Synced(changes uint64)
}

// ErrStopped is the cause of writes that Disk refuses because it stops.
var ErrStopped = errors.New("disk is stopping")

// earlierError refuses a write because an earlier one of the same replica
// failed.
type earlierError struct {
	seq   uint64 // the write that failed
	cause error
}

func (e *earlierError) Error() string {
	return fmt.Sprintf("write %d before it failed: %v", e.seq, e.cause)
}

func (e *earlierError) Unwrap() error { return e.cause }

// SyncError is a failed sync, final whatever its cause: after one, nobody
// knows which bytes the disk holds.
type SyncError struct{ Cause error }

func (e *SyncError) Error() string { return "sync: " + e.Cause.Error() }
func (e *SyncError) Unwrap() error { return e.Cause }

// Retriable reports whether a Done error left everything as it was, so
// that the same write may succeed later: no space, a quota, or no descriptor. A failed sync is
// never retriable, not even for lack of space: the kernel may have dropped the
// bytes, and a second sync would succeed without them.
func Retriable(err error) bool {
	var s *SyncError
	if errors.As(err, &s) {
		return false
	}
	if errors.Is(err, logfile.ErrPoisoned) {
		return false
	}
	for _, cause := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}
