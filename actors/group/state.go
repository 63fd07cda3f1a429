package group

import (
	"slices"

	"ottla/actors/few"
	"ottla/actors/level"
	"ottla/protocol"
)

// Actions of records in __consumer_offsets. All but COMMIT carry the whole
// membership of a group.
const (
	actionCommit       = "COMMIT"
	actionDropOffset   = "DROP_OFFSET" // the topic or the group is gone
	actionJoin         = "JOIN"
	actionResubscribe  = "RESUBSCRIBE" // other topics, or more partitions
	actionUpdateMember = "UPDATE_MEMBER"
	actionLeave        = "LEAVE"
	actionExpire       = "EXPIRE"
	actionSeek         = "SEEK"
	actionTopicDeleted = "TOPIC_DELETED"
	actionDeleteGroup  = "DELETE_GROUP"
	actionExpireGroup  = "EXPIRE_GROUP" // nobody has used it for long
)

// Bounds of what clients can make grow in a group.
const (
	maxGroupMembers   = 1000
	maxFormerMembers  = 256
	maxCommitMetadata = 4096 // bytes
)

// SubscribedTopic is a topic that a poll subscribes to, as the routing table of
// the moment has it.
type SubscribedTopic struct {
	Name       string
	ID         string
	Partitions int
}

// PartitionOffset is a position in a partition: the next offset to read.
type PartitionOffset struct {
	Topic     string // the name, for people; the identity is TopicID
	TopicID   string
	Partition int
	Offset    protocol.Offset
	Metadata  string // at most 4096 bytes
	At        int64  // of a committed one: when, in milliseconds since 1970
}

// Key names the partition.
func (o *PartitionOffset) Key() protocol.PartitionID {
	return protocol.PartitionID{TopicID: o.TopicID, Partition: o.Partition}
}

// committedOffset is what the group has committed on one partition; At is in
// milliseconds since 1970.
type committedOffset struct {
	Offset   protocol.Offset `json:"offset"`
	Metadata string          `json:"metadata,omitempty"`
	Topic    string          `json:"topic"`
	At       int64           `json:"at"`

	// Poll is the delivery that has committed it, while it was under way: what a poll drew to
	// be known by. 0: nobody's, or not known.
	Poll uint64 `json:"poll,omitempty"`
}

// Member is a consumer of the group.
type Member struct {
	ID        protocol.ConsumerID `json:"id"`
	Topics    []string            `json:"topics"`     // ids of what it subscribes to, ascending
	SessionMs int64               `json:"session_ms"` // length of its lease, in milliseconds

	// LapsedAt is when its lease ran out, in milliseconds since 1970, once that is in the
	// log; 0: it runs, as far as is known. So a coordinator that begins does not take a
	// member for alive of which nothing was heard for long.
	LapsedAt int64 `json:"lapsed_at,omitempty"`
}

// Topic is a topic that some member subscribes to.
type Topic struct {
	ID     string                `json:"id"`
	Name   string                `json:"name"`
	Owners []protocol.ConsumerID `json:"owners"` // by partition; 0: nobody

	// First is how many partitions the topic had when the group first subscribed to it.
	// Those from there on were added while the group existed, and it reads them from their
	// earliest record wherever its members begin; 0: not known.
	First int `json:"first,omitempty"`
}

// membership is the part of a group's state that changes as a whole. Values
// in a State are immutable; decisions work on a clone.
type membership struct {
	Generation protocol.Generation   `json:"generation"`
	Members    []Member              `json:"members"`          // ascending by id
	Topics     []Topic               `json:"topics"`           // ascending by id
	Former     []protocol.ConsumerID `json:"former,omitempty"` // who left or expired, oldest first, bounded
	CreatedAt  int64                 `json:"created_at"`
	ChangedAt  int64                 `json:"at"`
}

// State is the pure core of one consumer group.
//
// The durable part is changed by Apply only, and equal on every replay. The soft
// part is known to this coordinator alone, and changed by Polled, RenewLease,
// ExtendLease, ResumeLeases and Delivered; after a failover leases are full
// again, positions unknown, and all owners as of the current generation.
//
// Decisions are made on a state to which all earlier records were applied and
// change nothing themselves. Whoever applies records before they are committed
// must hold back the replies until they are, and throw the state away when
// one is not. Times are in milliseconds since 1970. Not safe for concurrent
// use.
//
// # Leases
//
// A member whose lease has run out is lapsed. It stays a member and keeps its
// partitions as long as nobody else wants them: it may still commit or poll,
// which renews the lease. It is expired, in the record of a new generation, as
// soon as there is a live member that can take over one of its partitions (or
// that is live at all, if it owns none): at the deadline by Expire, or with
// the poll of a member that comes later. From then on it is a former member,
// and its commits are refused as stale.
type State struct {
	name string
	Wall func() int64 // dates commits, in milliseconds since 1970; nil: the time of the call

	// Level is that of the fleet, which what is written may not be above; nil:
	// level.Newest.
	Level func() int

	// Durable.
	now     *membership // never nil; Generation 0: the group does not exist yet
	offsets few.Map[protocol.PartitionID, committedOffset]

	// Soft.
	leases    few.Map[protocol.ConsumerID, int64]               // when they end
	told      few.Map[protocol.ConsumerID, protocol.Generation] // the generation that a member has been told of
	positions few.Map[protocol.ConsumerID, *memberPositions]
	since     few.Map[protocol.PartitionID, protocol.Generation] // since when the partition has had its owner, or since the last seek
	aliveAt   int64                                              // the last sign of life of any member
}

// memberPositions are the offsets after a member's latest response.
type memberPositions struct {
	generation protocol.Generation // of the response
	at         few.Map[protocol.PartitionID, PartitionOffset]
}

// New returns a group that nobody has joined.
func New(name string) *State {
	return &State{name: name, now: &membership{}}
}

// namesPolls reports whether commits may say which poll has made them.
func (g *State) namesPolls() bool { return g.Level == nil || g.Level() >= level.PollNames.Level }

// exists reports whether the group has ever had a member and was not deleted.
func (g *State) exists() bool { return g.now.Generation > 0 }

// Generation is the current one, 0 before the first member.
func (g *State) Generation() protocol.Generation { return g.now.Generation }

// createdAt tells a group from a deleted one of the same name.
func (g *State) createdAt() int64 { return g.now.CreatedAt }

// IsMember reports whether the consumer is in the current generation.
func (g *State) IsMember(id protocol.ConsumerID) bool { return g.now.member(id) != nil }

// committed returns the committed offset of a partition, if there is one.
func (g *State) committed(topicID string, partition int) (committedOffset, bool) {
	return g.offsets.Get(protocol.PartitionID{TopicID: topicID, Partition: partition})
}

// CommittedList returns all committed offsets, by topic id and partition.
func (g *State) CommittedList() []PartitionOffset {
	list := make([]PartitionOffset, 0, g.offsets.Len())
	for _, key := range slices.SortedFunc(g.offsets.Keys(), protocol.ComparePartitionIDs) {
		c := g.offsets.At(key)
		list = append(list, PartitionOffset{Topic: c.Topic, TopicID: key.TopicID, Partition: key.Partition, Offset: c.Offset, Metadata: c.Metadata, At: c.At})
	}
	return list
}

// owner returns who owns a partition in the current generation; 0: nobody.
func (g *State) owner(topicID string, partition int) protocol.ConsumerID {
	return g.now.owner(protocol.PartitionID{TopicID: topicID, Partition: partition})
}

// MemberCount is the number of members in the current generation.
func (g *State) MemberCount() int { return len(g.now.Members) }

// Topics are those that some member subscribes to, ascending by id. They may not
// be changed.
func (g *State) Topics() []Topic { return g.now.Topics }

// Known reports whether the group exists or has committed offsets.
func (g *State) Known() bool { return g.exists() || g.offsets.Len() > 0 }

// member finds a member; nil if there is none.
func (m *membership) member(id protocol.ConsumerID) *Member {
	if i, ok := m.find(id); ok {
		return &m.Members[i]
	}
	return nil
}

func (m *membership) find(id protocol.ConsumerID) (int, bool) {
	return slices.BinarySearchFunc(m.Members, id, func(gm Member, id protocol.ConsumerID) int {
		return int(min(1, max(-1, gm.ID-id)))
	})
}

// topic finds a subscribed topic; nil if there is none.
func (m *membership) topic(id string) *Topic {
	for i := range m.Topics {
		if m.Topics[i].ID == id {
			return &m.Topics[i]
		}
	}
	return nil
}

func (m *membership) owner(key protocol.PartitionID) protocol.ConsumerID {
	if t := m.topic(key.TopicID); t != nil && key.Partition >= 0 && key.Partition < len(t.Owners) {
		return t.Owners[key.Partition]
	}
	return 0
}

// clone copies m deep enough to be changed.
func (m *membership) clone() *membership {
	c := *m
	c.Members = slices.Clone(m.Members) // Topics of a member are replaced, never changed
	c.Topics = slices.Clone(m.Topics)
	for i := range c.Topics {
		c.Topics[i].Owners = slices.Clone(c.Topics[i].Owners)
	}
	c.Former = slices.Clone(m.Former)
	return &c
}
