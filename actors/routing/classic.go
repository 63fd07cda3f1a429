package routing

import (
	"ottla/actors/classic"
	"ottla/actors/group"
	"ottla/protocol"
)

// Classic asks a group as Kafka's classic protocol does. One of its fields says what
// is asked.
type Classic struct {
	Join      *classic.JoinRequest
	Sync      *classic.SyncRequest
	Heartbeat *protocol.ClassicMember
	Leave     []protocol.ClassicMember
	Commit    *ClassicCommit
	Drop      []protocol.PartitionID // offsets that are to go; only while nobody is a member
	Describe  bool

	Reply protocol.Future[ClassicAnswer] `json:"-"`
}

// ClassicCommit commits offsets.
type ClassicCommit struct {
	protocol.ClassicMember
	Offsets []group.PartitionOffset
}

// ClassicAnswer answers Classic. Code is Kafka's, 0 if it was done.
type ClassicAnswer struct {
	Code  int16
	Codes []int16 // of Leave, in its order
	Join  classic.JoinReply
	Sync  classic.SyncReply
	Group classic.Description
	Err   *protocol.Error `json:"-"`
}

// Refuse implements Question.
func (m *Classic) Refuse(err *protocol.Error) { m.Reply.Put(ClassicAnswer{Err: err}) }

// Creates reports whether the question may bring a group into being.
func (m *Classic) Creates() bool { return m.Join != nil || m.Commit != nil }
