package group

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/metarecord"
	"ottla/actors/metarecord/recordtest"
	"ottla/protocol"
)

// groupHarness drives a State as its shell would: it applies the records
// of each decision, keeps their log, lets a follower apply them as well, and
// checks the invariants after every step.
type groupHarness struct {
	t        testing.TB
	now      int64 // milliseconds
	g        *State
	follower *State
	log      []metarecord.Record
}

func newGroupHarness(t testing.TB) *groupHarness {
	h := &groupHarness{t: t, now: 1_000_000, g: New("readers"), follower: New("readers")}
	t.Cleanup(func() {
		recordtest.RequireReplays(t, h.g, func() recordtest.StateMachine { return New("readers") }, h.log)
	})
	return h
}

// do applies the records of a decision, to the follower by way of the log's
// tokens.
func (h *groupHarness) do(recs []metarecord.Record) {
	h.t.Helper()
	for _, rec := range recs {
		require.NoError(h.t, h.g.Apply(rec))
		value := rec.Value
		if value == nil {
			value = []byte(protocol.NullToken)
		}
		read, err := ParseRecord(rec.Key, value, []byte(rec.Action))
		require.NoError(h.t, err)
		group, err := NameOfKey(read.Key)
		require.NoError(h.t, err)
		require.Equal(h.t, "readers", string(group))
		require.NoError(h.t, h.follower.Apply(read))
	}
	if len(recs) == 0 {
		return
	}
	h.log = append(h.log, recs...)
	require.True(h.t, h.g.equal(h.follower), "live state and replayed state differ:\n%s\n%s", h.g.Dump(), h.follower.Dump())
	checkAssignment(h.t, h.g.now.Members, h.g.now.Topics)
}

// parseTopics reads "a:3,b:2": names with numbers of partitions. The id of a
// topic is "id-<name>".
func parseTopics(t testing.TB, s string) []SubscribedTopic {
	var topics []SubscribedTopic
	for field := range strings.SplitSeq(s, ",") {
		name, n, ok := strings.Cut(field, ":")
		partitions, err := strconv.Atoi(n)
		require.True(t, ok && err == nil, "topics %q", s)
		topics = append(topics, SubscribedTopic{Name: name, ID: "id-" + name, Partitions: partitions})
	}
	return topics
}

// parseOffsets reads "a/0=10,b/1=5".
func parseOffsets(t testing.TB, s string) []PartitionOffset {
	var offsets []PartitionOffset
	for field := range strings.SplitSeq(s, ",") {
		var o PartitionOffset
		name, rest, _ := strings.Cut(field, "/")
		_, err := fmt.Sscanf(rest, "%d=%d", &o.Partition, &o.Offset)
		require.NoError(t, err, "offsets %q", s)
		o.Topic, o.TopicID = name, "id-"+name
		offsets = append(offsets, o)
	}
	return offsets
}

// poll polls with a session timeout of 10 s and returns what is assigned.
func (h *groupHarness) poll(id protocol.ConsumerID, topics string) []AssignedPartition {
	h.t.Helper()
	before := h.g.Dump()
	d, err := h.g.DecidePoll(h.now, id, parseTopics(h.t, topics), 10_000)
	require.Nil(h.t, err)
	require.Equal(h.t, before, h.g.Dump(), "a decision changed the state")
	h.do(d.Records)
	require.Equal(h.t, d.Generation, h.g.Generation(), "the answer is not what was decided")
	require.Equal(h.t, d.Assigned, h.g.assigned(h.g.now, id), "the answer is not what was decided")
	h.g.Polled(h.now, id, 0)
	return d.Assigned
}

// commit commits without naming a generation.
func (h *groupHarness) commit(id protocol.ConsumerID, offsets string) *protocol.Error {
	h.t.Helper()
	recs, err := h.g.DecideCommit(h.now, id, nil, parseOffsets(h.t, offsets), false)
	h.do(recs)
	if err == nil {
		h.g.RenewLease(h.now, id)
	}
	return err
}

// failover replaces the live state by the state that a new coordinator builds, from
// the compacted log.
func (h *groupHarness) failover() {
	h.g = New("readers")
	for _, rec := range recordtest.Compacted(h.log, true) {
		require.NoError(h.t, h.g.Apply(rec))
	}
	h.g.ResumeLeases(h.now)
}

func requireCode(t testing.TB, code protocol.Code, err *protocol.Error) {
	t.Helper()
	require.NotNil(t, err, "want %s", code.Name)
	require.Equal(t, code.Name, err.Code.Name, err.Message)
}

func TestCommitDetailsOfARegression(t *testing.T) {
	h := newGroupHarness(t)
	h.poll(7, "a:1")
	require.Nil(t, h.commit(7, "a/0=10"))
	err := h.commit(7, "a/0=9")
	requireCode(t, protocol.CodeOffsetRegression, err)
	assert.EqualValues(t, 10, err.Details["current"])
	assert.EqualValues(t, 9, err.Details["requested"])
}

func TestCommitRefusesWhatCannotBe(t *testing.T) {
	h := newGroupHarness(t)
	h.poll(7, "a:2")
	long := []PartitionOffset{{Topic: "a", TopicID: "id-a", Metadata: strings.Repeat("x", maxCommitMetadata+1)}}
	_, err := h.g.DecideCommit(h.now, 7, nil, long, false)
	requireCode(t, protocol.CodeLimitExceeded, err)
	requireCode(t, protocol.CodeInvalidParameter, h.commit(7, "a/0=-1"))
	requireCode(t, protocol.CodeInvalidParameter, h.commit(7, "a/0=1,a/0=2"))
	require.Empty(t, h.g.CommittedList(), "all or nothing")
}

func TestCommittingTheSameAgainNeedsNoRecord(t *testing.T) {
	h := newGroupHarness(t)
	h.poll(7, "a:2")
	require.Nil(t, h.commit(7, "a/0=10"))
	n := len(h.log)
	require.Nil(t, h.commit(7, "a/0=10"))
	assert.Len(t, h.log, n)
	noted := []PartitionOffset{{Topic: "a", TopicID: "id-a", Offset: 10, Metadata: "x"}}
	recs, err := h.g.DecideCommit(h.now, 7, nil, noted, false)
	require.Nil(t, err)
	assert.Len(t, recs, 1, "other metadata is a change")
}

func TestPositionsAndOffsetsCanBeRead(t *testing.T) {
	h := newGroupHarness(t)
	h.poll(7, "a:2")
	require.Nil(t, h.commit(7, "a/0=10"))
	require.True(t, h.g.Delivered(7, 1, parseOffsets(t, "a/0=12")))
	c, ok := h.g.committed("id-a", 0)
	assert.True(t, ok)
	assert.Equal(t, committedOffset{Offset: 10, Topic: "a", At: h.now}, c)
	_, ok = h.g.committed("id-a", 1)
	assert.False(t, ok)
	at, ok := h.g.PositionAt("id-a", 0)
	assert.True(t, ok)
	assert.EqualValues(t, 12, at)
	for _, p := range []int{-1, 1, 2} {
		_, ok = h.g.PositionAt("id-a", p)
		assert.False(t, ok, "partition %d", p)
	}
	_, _, err := h.g.Position(7, "id-b")
	requireCode(t, protocol.CodePositionUnknown, err)
	list, _, err := h.g.Position(7, "id-a")
	require.Nil(t, err)
	assert.Len(t, list, 1)
}

func TestDescribe(t *testing.T) {
	h := newGroupHarness(t)
	assert.Equal(t, StateEmpty, h.g.Describe(h.now).State)
	h.poll(9, "b:1,a:2")
	h.poll(7, "a:2")
	info := h.g.Describe(h.now)
	assert.Equal(t, StateRebalancing, info.State, "9 does not know yet that 7 came")
	h.poll(9, "b:1,a:2")
	info = h.g.Describe(h.now)
	assert.Equal(t, StateStable, info.State)
	assert.EqualValues(t, 2, info.Generation)
	require.Len(t, info.Members, 2)
	assert.EqualValues(t, 7, info.Members[0].ConsumerID)
	assert.Equal(t, []string{"a", "b"}, info.Members[1].Topics)
	assert.Equal(t, []protocol.TopicPartition{{Topic: "a", Partition: 1}}, info.Members[0].Assignment)
	assert.EqualValues(t, h.now+10_000, info.Members[0].LeaseExpiresAt.UnixMilli())
	assert.Equal(t, StateEmpty, h.g.Describe(h.now+10_000).State, "all leases have run out")
}

func TestFullGroupTakesNobody(t *testing.T) {
	h := newGroupHarness(t)
	m := &membership{Generation: 1, CreatedAt: 1}
	for i := range maxGroupMembers {
		m.Members = append(m.Members, Member{ID: protocol.ConsumerID(i + 1), SessionMs: 10_000})
	}
	h.do(h.g.memberRecords(h.now, actionJoin, m))
	_, err := h.g.DecidePoll(h.now, 5000, parseTopics(t, "a:1"), 1000)
	requireCode(t, protocol.CodeTooManyRequests, err)
	_, err = h.g.DecidePoll(h.now, 500, parseTopics(t, "a:1"), 1000)
	require.Nil(t, err, "a member may still change its subscription")
	h.now += 10_000
	assert.Len(t, h.poll(5000, "a:1"), 1, "lapsed members make room")
}

func TestFormerMembersAreRememberedWithinBounds(t *testing.T) {
	h := newGroupHarness(t)
	for i := range protocol.ConsumerID(maxFormerMembers + 10) {
		h.poll(i+1, "a:1")
		recs, err := h.g.DecideLeave(h.now, i+1)
		require.Nil(t, err)
		h.do(recs)
		h.now++
	}
	assert.Len(t, h.g.now.Former, maxFormerMembers)
	requireCode(t, protocol.CodeStaleGeneration, h.commit(maxFormerMembers, "a/0=1"))
	requireCode(t, protocol.CodeConsumerNotFound, h.commit(1, "a/0=1"))
	h.poll(maxFormerMembers, "a:1")
	assert.Len(t, h.g.now.Former, maxFormerMembers-1, "back again")
	assert.Equal(t, 1, h.g.leases.Len(), "nothing soft is kept of those that left")
	assert.Equal(t, 1, h.g.told.Len())
	assert.EqualValues(t, 1_000_000, h.g.createdAt())
}

func TestGroupApplyRefusesWhatItDoesNotUnderstand(t *testing.T) {
	tests := []struct{ name, action, key, value, err string }{
		{"unknown action", "SPLIT", `["g","readers"]`, `{"v":1}`, "unknown action"},
		{"newer format", actionJoin, `["g","readers"]`, `{"v":2}`, "format 2"},
		{"unknown field", actionCommit, `["o","readers","t",0]`, `{"v":1,"epoch":1}`, "epoch"},
		{"another group", actionJoin, `["g","writers"]`, `{"v":1}`, "not about group"},
		{"another kind of key", actionCommit, `["g","readers"]`, `{"v":1}`, "does not go with"},
		{"key too long", actionJoin, `["g","readers",1]`, `{"v":1}`, "wrong number"},
		{"partition is no number", actionCommit, `["o","readers","t","x"]`, `{"v":1}`, "not a number"},
		{"owner is no member", actionJoin, `["g","readers"]`, `{"v":1,"topics":[{"id":"t","owners":[7]}]}`, "no member"},
		{"members out of order", actionJoin, `["g","readers"]`, `{"v":1,"members":[{"id":2},{"id":1}]}`, "order"},
		{"topics out of order", actionJoin, `["g","readers"]`, `{"v":1,"topics":[{"id":"b"},{"id":"a"}]}`, "order"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := New("readers")
			before := g.Dump()
			require.ErrorContains(t, g.Apply(metarecord.Record{Action: tt.action, Key: []byte(tt.key), Value: []byte(tt.value)}), tt.err)
			assert.Equal(t, before, g.Dump())
		})
	}
	for _, key := range []string{`["x","readers"]`, `["g"]`, `[`} {
		_, err := NameOfKey([]byte(key))
		assert.Error(t, err, key)
	}
}

// What a replica keeps is in memory of its own, also where a commit takes the place of
// another, and is what was set last.
func TestKeptIsOfItsOwn(t *testing.T) {
	var k Kept
	commit := func(partition int, value string) {
		key := offsetKeyOf("g", protocol.PartitionID{TopicID: "t", Partition: partition})
		rec := metarecord.Record{Action: actionCommit, Key: key, Value: []byte(value)}
		k.Set(rec)
		clear(rec.Key)
		clear(rec.Value)
	}
	values := func() (list []string) {
		for _, r := range k.List() {
			list = append(list, string(r.Key)+string(r.Value))
		}
		return list
	}
	commit(1, `{"a":1}`)
	commit(0, `{"long":"`+strings.Repeat("x", 300)+`"}`)
	before := k.List()
	commit(0, `{"b":2}`)
	commit(1, `{"c":33}`)
	commit(1, `{"d":4}`)
	assert.Equal(t, []string{`["o","g","t",0]{"b":2}`, `["o","g","t",1]{"d":4}`}, values())
	assert.Equal(t, `{"a":1}`, string(before[1].Value), "what was listed stays")
	assert.Less(t, cap(k.records[0].text), 100, "memory of a long value is let go")
}

// memberIDs lists the members of the current generation, ascending.
func memberIDs(g *State) []protocol.ConsumerID {
	ids := make([]protocol.ConsumerID, len(g.now.Members))
	for i := range g.now.Members {
		ids[i] = g.now.Members[i].ID
	}
	return ids
}

// topicIDs lists all topics that the group subscribes to or has offsets of,
// ascending.
func topicIDs(g *State) []string {
	ids := map[string]bool{}
	for i := range g.now.Topics {
		ids[g.now.Topics[i].ID] = true
	}
	for key := range g.offsets.Keys() {
		ids[key.TopicID] = true
	}
	return slices.Sorted(maps.Keys(ids))
}
