package replica

import (
	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
)

// Effects is what the owner of a Replica has to do after a call, in this order.
type Effects struct {
	Messages           []raftpb.Message // to be sent to peers; none of them needs to arrive
	Old                []raftpb.Message // likewise, of what followers that are far behind lack: others go first
	Reads              []*Read          // to be done on other goroutines; Fed takes them back, unless their Context has ended
	Writes             []*Write         // to be handed to the disk, in order; DiskDone takes the answers
	RoleChanged        bool             // leadership was gained, lost, or has become ready to serve
	MembersChanged     bool             // Voters has changed
	HighWatermarkMoved bool             // publish a view, wake waiters
	Committed          []PendingEntry   // to be answered, after the view was published
	FetchParts         bool             // MissingParts has compacted records to be fetched from a peer
	Flush              bool             // call Flush once what is in the mailbox now has been handled
}

// Write is a batch of the replica's log on its way through the disk, and what
// becomes possible when it is durable.
type Write struct {
	Seq      uint64         // ascending; 0: nothing to write, only responses that wait in line
	Batch    *logfile.Batch // to be executed, then synced
	Priority bool           // it goes first: elections and internal topics
	Urgent   bool           // likewise, and waits for nobody else's: elections

	entries   []raftpb.Entry
	snapshot  *raftpb.Snapshot // which replaces the log, or nil
	responses []raftpb.Message // to be sent when the write and all before it are durable
	mustSync  bool             // the term, the vote or the membership changed
	then      func()           // called when the write is durable; may be nil
}

// LastIndex is the raft index of the last entry in the write, 0 if it has none.
func (w *Write) LastIndex() uint64 {
	if len(w.entries) == 0 {
		return 0
	}
	return w.entries[len(w.entries)-1].Index
}
