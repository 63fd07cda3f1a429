package actors

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/logfile"
)

// diskGroup names a partition within a cluster's directory: replicas of the
// same group on one filesystem share a sync where they can.
type diskGroup struct {
	TopicID   string
	Partition int
}

// All messages from and to Disk travel as pointers.

// diskWrite asks Disk to execute a batch and make it durable. The answer is
// exactly one diskDone to From, after a sync that began after this write and
// all earlier writes of From were executed.
//
// Writes of one From are executed and answered in order. When one fails, Disk
// holds that From: every later write is refused with the same cause, because
// its bytes would leave a hole, until the failed Seq (or an earlier one) is
// sent again. An owner that gets a retriable error therefore sends the failed
// write and those after it once more, in order, under their old Seq.
type diskWrite struct {
	From     *actor.PID // one incarnation of a replica; the next one needs another name
	Seq      uint64     // comes back in diskDone; ascending per From
	Batch    diskBatch  // *logfile.Batch; nil or empty is answered in its turn
	Group    diskGroup
	Index    uint64 // last raft index in the batch, 0 if none
	Siblings int    // co-located replicas expected to write this index too; Disk waits for them, briefly
	Priority bool   // votes and internal topics go first
	NoSync   bool   // answered when written; a periodic background sync covers the files
}

// diskDone answers a diskWrite. Err nil means durable (with NoSync: written).
// An error for which retriable holds had no effect; every other one is final
// for the replica: it may not ack, vote or write again.
type diskDone struct {
	Seq uint64
	Err error
}

// diskFailed tells a replica that the background sync of bytes written with
// NoSync, and answered long ago, failed. It is final, like a diskDone error.
type diskFailed struct{ Err error }

// diskStalled reports that a round has been running for longer than the
// deadline, or (Over) that the round so reported has ended after all.
type diskStalled struct {
	Dir   string        // the Disk's directory
	For   time.Duration // how long the round has been running
	Froms []*actor.PID  // whose writes hang in it, each once
	Over  bool
}

// diskBatch is what Disk needs of a *logfile.Batch.
type diskBatch interface {
	Empty() bool
	Bytes() int
	Execute() error
}

// diskFile is what Disk needs of a *logfile.File. Sync poisons the file when
// it fails. Fd is false for files that are not the operating system's.
type diskFile interface {
	Sync() error
	Fd() (uintptr, bool)
}

// errDiskStopped is the cause of writes that Disk refuses because it stops.
var errDiskStopped = errors.New("disk is stopping")

// heldError refuses a write because an earlier one of the same replica failed.
type heldError struct {
	seq   uint64 // the write that failed
	cause error
}

func (e *heldError) Error() string {
	return fmt.Sprintf("write %d before it failed: %v", e.seq, e.cause)
}

func (e *heldError) Unwrap() error { return e.cause }

// syncError is a failed sync, final whatever its cause: after one, nobody
// knows which bytes the disk holds.
type syncError struct{ cause error }

func (e *syncError) Error() string { return "sync: " + e.cause.Error() }
func (e *syncError) Unwrap() error { return e.cause }

// retriable reports whether a diskDone error left everything as it was, so
// that the same write may succeed later: no space, quota. A failed sync never is.
func retriable(err error) bool {
	var s *syncError
	if errors.As(err, &s) {
		return false
	}
	if errors.Is(err, logfile.ErrPoisoned) {
		return false
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
