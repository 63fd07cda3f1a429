package actors

import (
	"maps"
	"slices"

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

// Bounds of what clients can grow in a group.
const (
	maxGroupMembers   = 1000
	maxFormerMembers  = 256
	maxCommitMetadata = 4096 // bytes
)

// subscribedTopic is a topic of a poll, as the routing table has it.
type subscribedTopic struct {
	Name       string
	ID         string
	Partitions int
}

// groupOffset is a position in a partition: the next offset to read.
type groupOffset struct {
	Topic     string // the name, for people; the identity is TopicID
	TopicID   string
	Partition int
	Offset    protocol.Offset
	Metadata  string // at most 4096 bytes
	At        int64  // of a committed one: when, in milliseconds since 1970
}

func (o *groupOffset) key() protocol.PartitionID {
	return protocol.PartitionID{TopicID: o.TopicID, Partition: o.Partition}
}

// committedOffset is what the group has committed on one partition; At is in
// milliseconds since 1970.
type committedOffset struct {
	Offset   protocol.Offset `json:"offset"`
	Metadata string          `json:"metadata,omitempty"`
	Topic    string          `json:"topic"`
	At       int64           `json:"at"`
}

// groupMember is a consumer of the group: what it subscribes to (topic ids,
// ascending) and how long its lease is.
type groupMember struct {
	ID        protocol.ConsumerID `json:"id"`
	Topics    []string            `json:"topics"`
	SessionMs int64               `json:"session_ms"`
}

// groupTopic is a topic somebody subscribes to, with the owner of each
// partition. One owner per partition, by construction; 0 is nobody.
type groupTopic struct {
	ID     string                `json:"id"`
	Name   string                `json:"name"`
	Owners []protocol.ConsumerID `json:"owners"`
}

// membership is the part of a group's state that changes as a whole. Values
// in a groupState are immutable; decisions work on a clone.
type membership struct {
	Generation protocol.Generation   `json:"generation"`
	Members    []groupMember         `json:"members"`          // ascending by id
	Topics     []groupTopic          `json:"topics"`           // ascending by id
	Former     []protocol.ConsumerID `json:"former,omitempty"` // who left or expired, oldest first, bounded
	CreatedAt  int64                 `json:"created_at"`
	ChangedAt  int64                 `json:"at"`
}

// groupState is the pure core of one consumer group.
//
// Durable, changed by apply only and equal on every replay: generation,
// members, assignment, former members, committed offsets. Soft, changed by
// polled, renew, delivered and resumeLeases: the leases, which generation a
// member has been told of, the positions of its responses, and since which
// generation each partition has had its owner; after a failover leases are
// full again, positions unknown and all owners as of the current generation.
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
// that is live at all, if it owns none): at the deadline by expire, or with
// the poll of a member that comes later. From then on it is a former member,
// and its commits are refused as stale.
type groupState struct {
	cluster string
	name    string

	now     *membership // never nil; Generation 0: the group does not exist yet
	offsets few[protocol.PartitionID, committedOffset]

	leases    few[protocol.ConsumerID, int64] // deadlines
	told      few[protocol.ConsumerID, protocol.Generation]
	positions few[protocol.ConsumerID, *memberPositions]
	since     few[protocol.PartitionID, protocol.Generation] // of the owner; a seek begins anew
	aliveAt   int64                                          // the last sign of life of any member
}

// memberPositions are the offsets after a member's latest response.
type memberPositions struct {
	generation protocol.Generation
	at         few[protocol.PartitionID, groupOffset]
}

// newGroupState returns a group that nobody has joined.
func newGroupState(cluster, name string) *groupState {
	return &groupState{cluster: cluster, name: name, now: &membership{}}
}

// exists reports whether the group has ever had a member and was not deleted.
func (g *groupState) exists() bool { return g.now.Generation > 0 }

// generation is the current one, 0 before the first member.
func (g *groupState) generation() protocol.Generation { return g.now.Generation }

// createdAt tells groups of one name apart that follow each other.
func (g *groupState) createdAt() int64 { return g.now.CreatedAt }

// isMember reports whether the consumer is in the current generation.
func (g *groupState) isMember(id protocol.ConsumerID) bool { return g.now.member(id) != nil }

// memberIDs returns the current members, ascending.
func (g *groupState) memberIDs() []protocol.ConsumerID {
	ids := make([]protocol.ConsumerID, len(g.now.Members))
	for i := range g.now.Members {
		ids[i] = g.now.Members[i].ID
	}
	return ids
}

// Committed returns the committed offset of a partition, if there is one.
func (g *groupState) committed(topicID string, partition int) (committedOffset, bool) {
	return g.offsets.get(protocol.PartitionID{TopicID: topicID, Partition: partition})
}

// committedList returns all committed offsets, by topic id and partition.
func (g *groupState) committedList() []groupOffset {
	list := make([]groupOffset, 0, g.offsets.len())
	for _, key := range slices.SortedFunc(g.offsets.keys(), protocol.ComparePartitionIDs) {
		c := g.offsets.at(key)
		list = append(list, groupOffset{Topic: c.Topic, TopicID: key.TopicID, Partition: key.Partition, Offset: c.Offset, Metadata: c.Metadata, At: c.At})
	}
	return list
}

// topicIDs returns the ids of all topics that the group subscribes to or has
// offsets of, ascending: those that are gone want decideTopicDeleted.
func (g *groupState) topicIDs() []string {
	ids := map[string]bool{}
	for i := range g.now.Topics {
		ids[g.now.Topics[i].ID] = true
	}
	for key := range g.offsets.keys() {
		ids[key.TopicID] = true
	}
	return slices.Sorted(maps.Keys(ids))
}

// owner returns who owns a partition in the current generation; 0: nobody.
func (g *groupState) owner(topicID string, partition int) protocol.ConsumerID {
	return g.now.owner(protocol.PartitionID{TopicID: topicID, Partition: partition})
}

// member finds a member; nil if there is none.
func (m *membership) member(id protocol.ConsumerID) *groupMember {
	if i, ok := m.find(id); ok {
		return &m.Members[i]
	}
	return nil
}

func (m *membership) find(id protocol.ConsumerID) (int, bool) {
	return slices.BinarySearchFunc(m.Members, id, func(gm groupMember, id protocol.ConsumerID) int {
		return int(min(1, max(-1, gm.ID-id)))
	})
}

// topic finds a subscribed topic; nil if there is none.
func (m *membership) topic(id string) *groupTopic {
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
