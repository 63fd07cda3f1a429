package replica

import (
	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
)

// Effects is what a step asks the shell to do.
type Effects struct {
	Messages           []raftpb.Message
	Writes             []*Write
	HighWatermarkMoved bool           // publish a view, wake waiters
	RoleChanged        bool           // leadership was gained, lost, or has become ready to serve
	MembersChanged     bool           // the membership changed
	Committed          []PendingEntry // to be answered, after the view was published
	FetchParts         bool           // compacted records of the held snapshot are wanted
	Flush              bool           // something was gathered: call flush after the mailbox's present content
}

// Write is one storage message of raft on its way through the disk.
type Write struct {
	Seq       uint64 // 0: nothing to write, only responses that wait in line
	Batch     *logfile.Batch
	entries   []raftpb.Entry
	snapshot  *raftpb.Snapshot
	responses []raftpb.Message
	mustSync  bool // term, vote or membership changed
	Priority  bool
	then      func() // called when it is durable
}

// LastIndex is the raft index of the last entry in the write, 0 if it has none.
func (w *Write) LastIndex() uint64 {
	if len(w.entries) == 0 {
		return 0
	}
	return w.entries[len(w.entries)-1].Index
}
