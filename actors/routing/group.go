package routing

import (
	"hash/fnv"
	"sync/atomic"

	"ottla/actors/group"
	"ottla/protocol"
)

// PollHandle is how a group reaches a poll, which may be parked.
type PollHandle struct {
	Waiter *protocol.Waiter
	Node   uint64 // the node that the poll is parked at, 0: this one
	ID     uint64 // there
	signal atomic.Int32
	onEnd  atomic.Pointer[func()]
}

// Same reports whether both are of one poll. Those of a poll at another node are
// made anew with each of its messages.
func (h *PollHandle) Same(other *PollHandle) bool {
	return h == other || h != nil && other != nil && h.Node != 0 && h.Node == other.Node && h.ID == other.ID
}

// OnEnd has f called by End, instead of what an earlier call has named.
func (h *PollHandle) OnEnd(f func()) { h.onEnd.Store(&f) }

// End says that the poll does not use the handle any more.
func (h *PollHandle) End() {
	if f := h.onEnd.Swap(nil); f != nil {
		(*f)()
	}
}

// PollSignal is what a group tells a poll. Of two signals the greater one counts.
type PollSignal int32

// The signals.
const (
	PollGoesOn     PollSignal = iota
	PollRebalanced            // a new generation: ask for the assignment again
	PollLeft                  // its consumer is no member any more
	PollSuperseded            // a newer poll of this consumer took over
)

// Signal is what the group has told the poll.
func (h *PollHandle) Signal() PollSignal { return PollSignal(h.signal.Load()) }

// Tell gives the poll a signal, unless it has a greater one, and wakes it.
func (h *PollHandle) Tell(signal PollSignal) {
	for {
		old := h.signal.Load()
		if old >= int32(signal) || h.signal.CompareAndSwap(old, int32(signal)) {
			break
		}
	}
	h.Waiter.Wake()
}

// GroupRequest is a message for a group, by way of the leader of the partition
// of __consumer_offsets that keeps it.
type GroupRequest struct {
	Group string
	Msg   Question
}

// ListGroups asks a coordinator which groups it has; with Consumer set, only
// those that this consumer is or was in.
type ListGroups struct {
	Consumer protocol.ConsumerID
	Reply    protocol.Future[GroupList] `json:"-"`
}

// GroupList answers ListGroups.
type GroupList struct {
	Groups []string
	Err    *protocol.Error `json:"-"`
}

// GroupPartition is the partition of __consumer_offsets that keeps a group.
func GroupPartition(group string, partitions int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(group)) // a hash never fails
	return int(h.Sum32() % uint32(partitions))
}

// Messages of a group's actor. Each is answered through its Reply.
type (
	// GroupPoll subscribes a consumer and asks for its share.
	GroupPoll struct {
		Consumer  protocol.ConsumerID
		Topics    []group.SubscribedTopic
		SessionMs int64
		WaitMs    int64 // how long the poll may stay parked
		Ack       string
		After     string
		Continue  bool                        // After may be of an older generation: it is used for the partitions that have not moved since
		Number    uint64                      // of the poll, as in GroupShare; 0: it has none yet
		Records   int                         // of a queue: how many at most,
		Bytes     int                         // and how many bytes, about
		Ahead     *GroupAhead                 // what it has read already; nil: nothing
		Handle    *PollHandle                 `json:"-"`
		Reply     protocol.Future[GroupShare] `json:"-"`
	}
	// GroupAhead is what a poll has read before it asks. If it is what the poll would read
	// anyway, the group takes it as delivered, as by GroupDelivered; else it is ignored.
	GroupAhead struct {
		group.Ahead
		Token uint64 // of the poll, not 0: nobody else's is the same
		Again bool   // it is asked again, and nobody knows what became of it
	}
	// GroupShare is what a consumer may read in this generation. With a Cursor it answers a
	// GroupPoll whose Ahead was taken as delivered, and says no more than the cursor.
	GroupShare struct {
		Generation protocol.Generation
		Number     uint64 // of the poll: later polls of a consumer have higher numbers
		Assigned   []group.AssignedPartition
		After      []group.CursorPosition // where the cursor of GroupPoll.After continues
		Queue      *QueueShare            // of a queue: the records that are given; else nil
		Cursor     *group.Cursor          // what the poll had read ahead is delivered; nil: it is not
		Err        *protocol.Error        `json:"-"`
	}
	// GroupStart commits where the group starts on partitions without offset.
	GroupStart struct {
		Consumer   protocol.ConsumerID
		Generation protocol.Generation
		Starts     []group.PartitionOffset
		Reply      protocol.Future[GroupOffsets] `json:"-"`
	}
	// GroupDelivered notes a response before it is sent and, with Commit, makes
	// it durable first: if reading did not begin at the committed offset, because another poll
	// has committed since, it is refused. With Stay the consumer's next poll has begun with that: the group
	// knows it by the same handle.
	GroupDelivered struct {
		Consumer   protocol.ConsumerID
		Generation protocol.Generation
		Positions  []group.PartitionOffset
		From       []protocol.Offset // with automatic commits: where reading began, of each of Positions; nil: where a cursor said, or it does not matter
		Commit     bool
		Poll       uint64 // what this delivery is known by when it is asked for again, not 0: nobody else's is the same
		Stay       bool
		Number     uint64                       // of the poll
		Handle     *PollHandle                  `json:"-"`
		Reply      protocol.Future[GroupCursor] `json:"-"`
	}
	// GroupCursor answers GroupDelivered.
	GroupCursor struct {
		Cursor *group.Cursor
		Err    *protocol.Error `json:"-"`
	}
	// GroupPollEnded ends a poll that delivers nothing. Its consumer was last
	// known to be alive SilentMs ago. With a Number instead of a Handle it says that
	// the client of a stream has left after the poll with that number.
	GroupPollEnded struct {
		Consumer protocol.ConsumerID
		Handle   *PollHandle `json:"-"`
		SilentMs int64
		Left     bool // the client has ended the connection
		Number   uint64
	}
	// GroupCommit is POST /offset. Without Offsets the positions are committed.
	GroupCommit struct {
		Consumer   protocol.ConsumerID
		TopicID    string
		Offsets    []group.PartitionOffset
		Generation *protocol.Generation
		Force      bool
		Reply      protocol.Future[GroupOffsets] `json:"-"`
	}
	// GroupHeartbeat renews a member's lease.
	GroupHeartbeat struct {
		Consumer   protocol.ConsumerID
		Generation *protocol.Generation        // if not nil, must be the current one
		SessionMs  int64                       // 0: as it is
		Reply      protocol.Future[GroupLease] `json:"-"`
	}
	// GroupLease answers GroupHeartbeat.
	GroupLease struct {
		protocol.HeartbeatReply
		Err *protocol.Error `json:"-"`
	}
	// GroupOffsets answers GroupStart and GroupCommit: what is committed now.
	GroupOffsets struct {
		Offsets []group.PartitionOffset
		Moved   []group.PartitionOffset // of a commit without Offsets: not committed, because they belong to others now
		Err     *protocol.Error         `json:"-"`
	}
	// GroupRead asks for offsets, owners and positions: linearizably or, with
	// AsKnown, as this coordinator knows them. It may not lead any more.
	GroupRead struct {
		AsKnown bool
		Reply   protocol.Future[GroupReading] `json:"-"`
	}
	// GroupReading answers GroupRead.
	GroupReading struct {
		Info      protocol.GroupInfo
		Offsets   []group.PartitionOffset
		Owners    map[protocol.PartitionID]protocol.ConsumerID
		Positions map[protocol.PartitionID]protocol.Offset
		Topics    map[string]string // subscribed: id to name
		Err       *protocol.Error   `json:"-"`
	}
	// GroupChange is an administrative change: leave, seek or delete.
	GroupChange struct {
		Leave  protocol.ConsumerID
		Seek   []group.PartitionOffset
		Create bool // with Seek: the group is made where there is none
		Delete bool
		Reply  protocol.Future[*protocol.Error] `json:"-"`
	}
)

// Refuse implements Question.
func (m *GroupPoll) Refuse(err *protocol.Error) { m.Reply.Put(GroupShare{Err: err}) }

// Refuse implements Question.
func (m *GroupStart) Refuse(err *protocol.Error) { m.Reply.Put(GroupOffsets{Err: err}) }

// Refuse implements Question.
func (m *GroupDelivered) Refuse(err *protocol.Error) { m.Reply.Put(GroupCursor{Err: err}) }

// Refuse implements Question.
func (m *GroupPollEnded) Refuse(*protocol.Error) {}

// Refuse implements Question.
func (m *GroupCommit) Refuse(err *protocol.Error) { m.Reply.Put(GroupOffsets{Err: err}) }

// Refuse implements Question.
func (m *GroupHeartbeat) Refuse(err *protocol.Error) { m.Reply.Put(GroupLease{Err: err}) }

// Refuse implements Question.
func (m *GroupRead) Refuse(err *protocol.Error) { m.Reply.Put(GroupReading{Err: err}) }

// Refuse implements Question.
func (m *GroupChange) Refuse(err *protocol.Error) { m.Reply.Put(err) }

// Refuse implements Question.
func (m *GroupRequest) Refuse(err *protocol.Error) { m.Msg.Refuse(err) }

// Refuse implements Question.
func (m *ListGroups) Refuse(err *protocol.Error) { m.Reply.Put(GroupList{Err: err}) }
