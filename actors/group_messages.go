package actors

import (
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/group"
	"ottla/protocol"
)

// pollHandle is how a group reaches a poll that may be parked at partitions.
type pollHandle struct {
	number uint64 // of the poll: later ones have higher numbers
	waiter *protocol.Waiter
	signal atomic.Int32
}

// What a group tells a parked poll.
const (
	pollGoesOn     int32 = iota
	pollRebalanced       // a new generation: ask for the assignment again
	pollLeft             // its consumer is no member any more
	pollSuperseded       // a newer poll of this consumer took over
)

func (h *pollHandle) tell(signal int32) {
	for {
		old := h.signal.Load()
		if old >= signal || h.signal.CompareAndSwap(old, signal) {
			break
		}
	}
	h.waiter.Wake()
}

// Messages of a group's actor. Each is answered through its Reply.
type (
	// groupPoll subscribes a consumer and asks for its share.
	groupPoll struct {
		Consumer  protocol.ConsumerID
		Topics    []group.SubscribedTopic
		SessionMs int64
		WaitMs    int64 // how long the poll may stay parked
		Ack       string
		After     string
		Continue  bool // After may be of an older generation: it counts where nothing moved
		Handle    *pollHandle
		Reply     protocol.Future[groupShare]
	}
	// groupShare is what a consumer may read in this generation.
	groupShare struct {
		Generation protocol.Generation
		Assigned   []group.AssignedPartition
		After      []group.CursorPosition // where an after= cursor reads on
		Err        *protocol.Error
	}
	// groupStart commits where the group starts on partitions without offset.
	groupStart struct {
		Consumer   protocol.ConsumerID
		Generation protocol.Generation
		Starts     []group.PartitionOffset
		Reply      protocol.Future[groupOffsets]
	}
	// groupDelivered notes a response before it is sent and, with Commit, makes
	// it durable first.
	groupDelivered struct {
		Consumer   protocol.ConsumerID
		Generation protocol.Generation
		Positions  []group.PartitionOffset
		Commit     bool
		Handle     *pollHandle
		Reply      protocol.Future[groupCursor]
	}
	groupCursor struct {
		Cursor *group.Cursor
		Err    *protocol.Error
	}
	// groupPollEnded ends a poll that delivers nothing. Its consumer was last
	// known to be alive SilentMs ago.
	groupPollEnded struct {
		Consumer protocol.ConsumerID
		Handle   *pollHandle
		SilentMs int64
	}
	// groupCommit is POST /offset. Without Offsets the positions are committed.
	groupCommit struct {
		Consumer   protocol.ConsumerID
		TopicID    string
		Offsets    []group.PartitionOffset
		Generation *protocol.Generation
		Force      bool
		Reply      protocol.Future[groupOffsets]
	}
	groupOffsets struct {
		Offsets []group.PartitionOffset
		Err     *protocol.Error
	}
	// groupRead asks for offsets, owners and positions: linearizably or, with
	// AsKnown, as this coordinator knows them, which may lead no more.
	groupRead struct {
		AsKnown bool
		Reply   protocol.Future[groupReading]
	}
	groupReading struct {
		Info      protocol.GroupInfo
		Offsets   []group.PartitionOffset
		Owners    map[protocol.PartitionID]protocol.ConsumerID
		Positions map[protocol.PartitionID]protocol.Offset
		Topics    map[string]string // subscribed: id to name
		Err       *protocol.Error
	}
	// groupChange is an administrative change: leave, seek or delete.
	groupChange struct {
		Leave  protocol.ConsumerID
		Seek   []group.PartitionOffset
		Delete bool
		Reply  protocol.Future[*protocol.Error]
	}
	// groupResign says that this coordinator does not lead any more.
	groupResign struct{}
	// groupFailed tells the coordinator that a group cannot go on: what it
	// decided is not in the log.
	groupFailed struct{ PID *actor.PID }
	// groupExpire deletes the group if nobody has used it for so long.
	groupExpire struct{ RetentionMs int64 }
	// groupCommitted is the log's answer to proposal number seq.
	groupCommitted struct {
		seq uint64
		err *protocol.Error
	}
	// groupConfirmed lets a linearizable read go on.
	groupConfirmed struct {
		read *groupRead
		err  *protocol.Error
	}
	// groupLeases looks for leases that have run out.
	groupLeases struct{}
	// groupTopicGone says that a topic was deleted.
	groupTopicGone struct{ TopicID string }
)

func (m *groupPoll) refuse(err *protocol.Error)      { m.Reply.Put(groupShare{Err: err}) }
func (m *groupStart) refuse(err *protocol.Error)     { m.Reply.Put(groupOffsets{Err: err}) }
func (m *groupDelivered) refuse(err *protocol.Error) { m.Reply.Put(groupCursor{Err: err}) }
func (m *groupPollEnded) refuse(*protocol.Error)     {}
func (m *groupCommit) refuse(err *protocol.Error)    { m.Reply.Put(groupOffsets{Err: err}) }
func (m *groupRead) refuse(err *protocol.Error)      { m.Reply.Put(groupReading{Err: err}) }
func (m *groupChange) refuse(err *protocol.Error)    { m.Reply.Put(err) }
func (m *groupTopicGone) refuse(*protocol.Error)     {}
func (m *groupExpire) refuse(*protocol.Error)        {}
