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
	// View is the newest view of the log: what may be read.
	View() *logfile.View
	// Register has w woken once, when records at or above offset are committed or
	// the replica stops leading. It replaces an earlier registration of w.
	// Unregister removes it.
	Register(w *protocol.Waiter, offset protocol.Offset)
	Unregister(w *protocol.Waiter)
	// Ask hands over a question; its answer comes in the question's own slot.
	Ask(q Question)
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
	Term   uint64 // raft's

	// Memo belongs to the readers: one of them leaves what it read last, so that
	// others need not read it again.
	Memo atomic.Value
}
