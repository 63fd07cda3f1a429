package routing

import (
	"sync/atomic"

	"ottla/logfile"
	"ottla/protocol"
)

// Leader is a replica that leads a partition and serves. All methods may be
// called from any goroutine and return at once. Answers come by the reply slots
// and waiters that are handed over. A replica that does not lead any more refuses
// with protocol.ErrNotLeader, and then nothing happened.
type Leader interface {
	// Produce appends a client's records; the answer comes in req.Reply.
	Produce(req *protocol.ProduceRequest)
	// View is the newest view of the log: what may be read. Where the leader is in
	// another process it asks there, so it may block, for no longer than a control
	// request. Errors: the leader does not answer, or does not lead any more.
	View() (LogView, *protocol.Error)
	// LogBytes is the size of the log as far as this process knows it, 0 where the
	// leader is in another one.
	LogBytes() int64
	// Register has w woken once, when records at or above offset are committed or
	// the replica stops leading. It replaces an earlier registration of w.
	// Unregister removes it.
	Register(w *protocol.Waiter, offset protocol.Offset)
	Unregister(w *protocol.Waiter)
	// Ask hands over a question; its answer comes in the question's own slot.
	Ask(q Question)
}

// LogView is an immutable picture of a partition's log: what may be read up to a
// high watermark. Reads of a leader in another process ask it; their errors are
// those of logfile.View, and *protocol.Error where it does not answer.
type LogView interface {
	Earliest() int64
	HighWatermark() int64
	// Estimate is about how many bytes n records from offset on take.
	Estimate(offset int64, n int) int64
	// OffsetForTime is the first offset at or after a time in milliseconds since 1970.
	OffsetForTime(ms int64) (int64, error)
	// Each reads records from offset on and calls emit with each, Read appends them
	// to dst. What they read is only valid until emit returns, or belongs to the
	// caller.
	Each(offset int64, maxRecords, maxBytes int, emit func(*logfile.Record)) error
	Read(dst []logfile.Record, offset int64, maxRecords, maxBytes int) ([]logfile.Record, error)
}

// Question is a message that somebody waits for an answer to.
type Question interface {
	// Refuse answers the question when nobody works on it, or not any more.
	Refuse(err *protocol.Error)
}

// Leadership is one replica's leadership in one term.
type Leadership struct {
	Leader
	Broker int    // where the replica is
	Away   bool   // at another node
	Term   uint64 // raft's

	// Memo belongs to the readers: one of them leaves what it read last, so that
	// others need not read it again.
	Memo atomic.Value
}
