package catalog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/level"
	"ottla/protocol"
)

func TestCreateTopicTakesDefaultsFromItsCluster(t *testing.T) {
	h := newClusterHarness(t, 3)
	topic, created, err := h.create(&protocol.TopicSpec{Name: "liked"})
	require.Nil(t, err)
	assert.True(t, created)
	assert.Equal(t, 3, topic.Partitions)
	assert.Equal(t, TopicSettings{
		ReplicationFactor: 3, RetentionMs: 168 * 3600 * 1000, RetentionBytes: -1, SegmentBytes: 128 << 20,
		CleanupPolicy: "delete", DeleteRetentionMs: 24 * 3600 * 1000, MaxRecordBytes: 1 << 20,
	}, topic.TopicSettings)
	info := h.s.TopicInfo(topic)
	assert.Equal(t, "main", info.Cluster)
	assert.Len(t, info.Partitions, 3)

	again, created, err := h.create(&protocol.TopicSpec{Name: "liked", Partitions: ptr(3)})
	require.Nil(t, err)
	assert.False(t, created)
	assert.Equal(t, topic.ID, again.ID)

	_, created, err = h.create(&protocol.TopicSpec{Name: "liked", Partitions: ptr(4), CleanupPolicy: ptr("delete"), RetentionMs: ptr(int64(5))})
	require.NotNil(t, err)
	assert.False(t, created)
	assert.Equal(t, protocol.CodeTopicExists, err.Code)
	assert.Equal(t, []string{"partitions", "retention_ms"}, err.Details["fields"])
	assert.Contains(t, err.Message, "partitions is 3, not 4, retention_ms is ")
}

func TestTopicSpecRanges(t *testing.T) {
	i64 := func(v int64) *int64 { return &v }
	tests := []struct {
		name string
		spec protocol.TopicSpec
		code protocol.Code
		text string
	}{
		{"internal", protocol.TopicSpec{Name: "__x y"}, protocol.CodeInternalTopic, "read-only"},
		{"bad name", protocol.TopicSpec{Name: ".."}, protocol.CodeInvalidName, "topic name"},
		{"no partitions", protocol.TopicSpec{Partitions: ptr(0)}, protocol.CodeNotAllowed, "partitions must be 1 to 1024, got 0"},
		{"too many partitions", protocol.TopicSpec{Partitions: ptr(1025)}, protocol.CodeNotAllowed, "partitions"},
		{"more copies than brokers", protocol.TopicSpec{ReplicationFactor: ptr(4)}, protocol.CodeNotAllowed, "replication_factor must be 1 to 3"},
		{"no copies", protocol.TopicSpec{ReplicationFactor: ptr(0)}, protocol.CodeNotAllowed, "replication_factor"},
		{"no retention", protocol.TopicSpec{RetentionMs: i64(0)}, protocol.CodeNotAllowed, "retention_ms must be -1 or more than 0"},
		{"negative retention", protocol.TopicSpec{RetentionMs: i64(-2)}, protocol.CodeNotAllowed, "retention_ms"},
		{"retention of no bytes", protocol.TopicSpec{RetentionBytes: i64(0)}, protocol.CodeNotAllowed, "retention_bytes"},
		{"tiny segments", protocol.TopicSpec{SegmentBytes: i64(65535)}, protocol.CodeNotAllowed, "segment_bytes must be 65536 to"},
		{"huge segments", protocol.TopicSpec{SegmentBytes: i64(4<<30 + 1)}, protocol.CodeNotAllowed, "segment_bytes"},
		{"another policy", protocol.TopicSpec{CleanupPolicy: ptr("both")}, protocol.CodeNotAllowed, "cleanup_policy"},
		{"negative delete retention", protocol.TopicSpec{DeleteRetentionMs: i64(-1)}, protocol.CodeNotAllowed, "delete_retention_ms"},
		{"no record fits", protocol.TopicSpec{MaxRecordBytes: ptr(0)}, protocol.CodeNotAllowed, "max_record_bytes"},
		{"beyond the server's record limit", protocol.TopicSpec{MaxRecordBytes: ptr(1<<20 + 1)}, protocol.CodeNotAllowed, "max_record_bytes must be 1 to 1048576"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newClusterHarness(t, 3)
			if tt.spec.Name == "" {
				tt.spec.Name = "ok"
			}
			_, created, err := h.create(&tt.spec)
			require.NotNil(t, err)
			assert.False(t, created)
			assert.Equal(t, tt.code, err.Code)
			assert.Contains(t, err.Message, tt.text)
		})
	}
}

func TestCreateTopicBeforeBootstrapIsStarting(t *testing.T) {
	_, recs, err := New().DecideCreateTopic(&protocol.TopicSpec{Name: "a"}, "id", 1, TopicLimits{})
	require.NotNil(t, err)
	assert.Empty(t, recs)
	assert.Equal(t, protocol.CodeStarting, err.Code)
}

func TestAlterTopic(t *testing.T) {
	h := newClusterHarness(t, 3)
	topic, _, _ := h.create(&protocol.TopicSpec{Name: "a", Partitions: ptr(2)})
	before := h.s.TopicInfo(topic)

	alter := func(spec protocol.TopicSpec) (int, *protocol.Error) {
		spec.Name = "a"
		id, recs, err := h.s.DecideAlterTopic(&spec, 5, TopicLimits{})
		if err == nil {
			assert.Equal(t, topic.ID, id)
		}
		h.do(recs)
		return len(recs), err
	}
	n, err := alter(protocol.TopicSpec{Partitions: ptr(2), ReplicationFactor: ptr(3)})
	require.Nil(t, err)
	assert.Zero(t, n, "nothing to change")
	n, err = alter(protocol.TopicSpec{RetentionMs: ptr(int64(60_000)), Partitions: ptr(5)})
	require.Nil(t, err)
	assert.Equal(t, 1+3, n)
	after := h.s.TopicInfo(h.s.TopicByName("a"))
	assert.EqualValues(t, 60_000, after.RetentionMs)
	assert.Equal(t, before.Partitions, after.Partitions[:2], "what was placed stays")
	for i, p := range after.Partitions {
		assert.Equal(t, (after.Partitions[0].Replicas[0]-1+i)%3+1, p.Replicas[0], "the rotation of leaders goes on at partition %d", i)
	}

	_, err = alter(protocol.TopicSpec{CleanupPolicy: ptr("compact"), RetentionBytes: ptr(int64(5)), SegmentBytes: ptr(int64(2 << 20)), DeleteRetentionMs: ptr(int64(5)), MaxRecordBytes: ptr(5)})
	require.Nil(t, err)
	_, err = alter(protocol.TopicSpec{Reset: ^protocol.ResetSegmentBytes, RetentionBytes: ptr(int64(6))})
	require.Nil(t, err)
	reset := h.s.TopicInfo(h.s.TopicByName("a"))
	assert.Equal(t, before.RetentionMs, reset.RetentionMs)
	assert.Equal(t, before.CleanupPolicy, reset.CleanupPolicy)
	assert.Equal(t, before.DeleteRetentionMs, reset.DeleteRetentionMs)
	assert.Equal(t, before.MaxRecordBytes, reset.MaxRecordBytes)
	assert.EqualValues(t, 2<<20, reset.SegmentBytes, "it was not reset")
	assert.EqualValues(t, 6, reset.RetentionBytes, "what is set counts")

	for name, spec := range map[string]protocol.TopicSpec{
		"fewer partitions":   {Partitions: ptr(4)},
		"replication factor": {ReplicationFactor: ptr(2)},
		"out of range":       {SegmentBytes: ptr(int64(1))},
	} {
		n, err := alter(spec)
		require.NotNil(t, err, name)
		assert.Equal(t, protocol.CodeNotAllowed, err.Code, name)
		assert.Zero(t, n, name)
	}
	_, _, err = h.s.DecideAlterTopic(&protocol.TopicSpec{Name: "b"}, 5, TopicLimits{})
	assert.Equal(t, protocol.CodeTopicNotFound, err.Code)
	_, _, err = h.s.DecideAlterTopic(&protocol.TopicSpec{Name: protocol.OffsetsTopic}, 5, TopicLimits{})
	assert.Equal(t, protocol.CodeInternalTopic, err.Code)
}

func TestDeletedTopicLeavesThePermissionToRemoveItsFiles(t *testing.T) {
	h := newClusterHarness(t, 3)
	old, _, _ := h.create(&protocol.TopicSpec{Name: "a", Partitions: ptr(2)})
	id, recs, err := h.s.DecideDeleteTopic("a", 3000)
	require.Nil(t, err)
	assert.Equal(t, old.ID, id)
	h.do(recs)
	assert.Nil(t, h.s.TopicByName("a"))
	assert.Nil(t, h.s.partition(id, 0))
	assert.Equal(t, DeletedTopic{Name: "a", Partitions: 2, DeletedAt: 3000}, h.s.deleted[id])
	_, _, err = h.s.DecideDeleteTopic("a", 3000)
	assert.Equal(t, protocol.CodeTopicNotFound, err.Code)

	next, created, err := h.create(&protocol.TopicSpec{Name: "a"})
	require.Nil(t, err)
	assert.True(t, created)
	assert.NotEqual(t, id, next.ID, "another topic of the same name")
	h.do(h.s.DecideTopicRemoved(id, []int{1}))
	assert.Equal(t, []int{1}, h.s.deleted[id].Removed)
	assert.Empty(t, h.s.DecideTopicRemoved(id, []int{1}), "known already")
	h.do(h.s.DecideTopicRemoved(id, h.s.brokerIDs()))
	assert.Empty(t, h.s.deleted)
	assert.Empty(t, h.s.DecideTopicRemoved(id, []int{1}))
	assert.Equal(t, next.ID, h.s.TopicByName("a").ID, "forgetting the old one leaves the new one alone")
}

func TestPlacementSpreads(t *testing.T) {
	for brokers := 1; brokers <= 9; brokers++ {
		for rf := 1; rf <= brokers; rf++ {
			for _, partitions := range []int{1, 2, brokers, 2*brokers + 1, 64} {
				t.Run(fmt.Sprintf("%d brokers rf %d %d partitions", brokers, rf, partitions), func(t *testing.T) {
					checkPlacement(t, brokers, rf, partitions)
				})
			}
		}
	}
}

// checkPlacement checks that copies are on different brokers, that preferred
// leaders differ by one at most, and that copies do where they must.
func checkPlacement(t *testing.T, brokers, rf, partitions int) {
	ids := make([]int, brokers)
	for i := range ids {
		ids[i] = i + 1
	}
	leads, copies, heirs := make([]int, brokers+1), make([]int, brokers+1), map[int]bool{}
	for _, p := range placeReplicas(ids, 2, 0, partitions, rf) {
		seen := map[int]bool{}
		for _, r := range p.Replicas {
			assert.False(t, seen[r.Broker], "two copies on broker %d", r.Broker)
			assert.Less(t, r.ReplicaID, p.NextReplicaID)
			seen[r.Broker] = true
			copies[r.Broker]++
		}
		assert.Len(t, p.Replicas, rf)
		leads[p.Replicas[0].Broker]++
		if rf > 1 && p.Replicas[0].Broker == 1 {
			heirs[p.Replicas[1].Broker] = true
		}
	}
	if rf > 1 && partitions == 64 {
		assert.Len(t, heirs, min(brokers-1, leads[1]), "broker 1 fails over to all others")
	}
	for b := 1; b <= brokers; b++ {
		assert.InDelta(t, float64(partitions)/float64(brokers), leads[b], 1, "leaders of broker %d", b)
		if partitions%brokers == 0 {
			assert.Equal(t, rf*partitions/brokers, copies[b], "copies on broker %d", b)
		}
	}
}

func TestTopicsOfOnePartitionShareTheBrokers(t *testing.T) {
	h := newClusterHarness(t, 3)
	leads := map[int]int{}
	for i := 0; len(h.s.topics) < 9+2; i++ {
		name := fmt.Sprintf("t%d", i)
		if newClusterHarness(t, 3).s.placementStart(name) != 0 {
			continue // only names that would all begin at the same broker
		}
		topic, _, err := h.create(&protocol.TopicSpec{Name: name, Partitions: ptr(1)})
		require.Nil(t, err)
		leads[h.s.partition(topic.ID, 0).Replicas[0].Broker]++
	}
	assert.Equal(t, map[int]int{1: 3, 2: 3, 3: 3}, leads)
}

func TestReplaceReplica(t *testing.T) {
	h := newClusterHarness(t, 3)
	topic, _, _ := h.create(&protocol.TopicSpec{Name: "a", Partitions: ptr(1)})
	start := h.s.partition(topic.ID, 0)
	victim := start.Replicas[1]
	replace := func(old uint64) (uint64, *protocol.Error) {
		before := h.s.Dump()
		id, recs, err := h.s.DecideReplaceReplica(topic.ID, 0, victim.Broker, old, 0)
		require.Equal(t, before, h.s.Dump(), "a decision changed the state")
		h.do(recs)
		return id, err
	}
	first, err := replace(victim.ReplicaID)
	require.Nil(t, err)
	assert.EqualValues(t, 4, first)
	again, err := replace(victim.ReplicaID)
	require.Nil(t, err)
	assert.Equal(t, first, again, "the same question has the same answer")
	second, err := replace(first)
	require.Nil(t, err)
	assert.EqualValues(t, 5, second, "the replacement was lost too")
	_, err = replace(99)
	assert.Equal(t, protocol.CodeBrokerNotFound, err.Code)
	assert.Equal(t, start.Replicas, h.s.partition(topic.ID, 0).Replicas, "nothing is switched yet")

	_, err = h.s.DecideReplicaReplaced(topic.ID, 0, victim.Broker, first)
	assert.Equal(t, protocol.CodeBrokerNotFound, err.Code, "that one was given up")
	before := h.s.Dump()
	recs, err := h.s.DecideReplicaReplaced(topic.ID, 0, victim.Broker, second)
	require.Nil(t, err)
	require.Equal(t, before, h.s.Dump(), "a decision changed the state")
	h.do(recs)
	done := h.s.partition(topic.ID, 0)
	assert.Empty(t, done.Replacing)
	assert.Equal(t, protocol.PlacedReplica{Broker: victim.Broker, ReplicaID: second}, done.Replicas[1], "in the place of the old one")
	recs, err = h.s.DecideReplicaReplaced(topic.ID, 0, victim.Broker, second)
	require.Nil(t, err)
	assert.Empty(t, recs)
	_, _, err = h.s.DecideReplaceReplica(topic.ID, 7, 1, 1, 0)
	assert.Equal(t, protocol.CodePartitionNotFound, err.Code)
	assert.Equal(t, victim, start.Replicas[1], "values handed out before are not changed")
}

// A topic remembers which numbers of partitions it has had, for as long as a retry may
// come of what was placed by them, and the last one for good.
func TestATopicRemembersItsPartitions(t *testing.T) {
	h := newClusterHarness(t, 3)
	_, _, err := h.create(&protocol.TopicSpec{Name: "a", Partitions: ptr(2)})
	require.Nil(t, err)
	grow := func(n int, now int64) []protocol.Placement {
		_, recs, err := h.s.DecideAlterTopic(&protocol.TopicSpec{Name: "a", Partitions: ptr(n)}, now, TopicLimits{})
		require.Nil(t, err)
		h.do(recs)
		return h.s.TopicByName("a").Placements()
	}
	assert.Empty(t, grow(2, 1))
	first := protocol.Placement{Partitions: 2, Until: 10, First: true}
	assert.Equal(t, []protocol.Placement{first}, grow(3, 10))
	assert.Equal(t, []protocol.Placement{first}, grow(3, 11))
	second := protocol.Placement{Partitions: 3, Until: 20}
	assert.Equal(t, []protocol.Placement{first, second}, grow(5, 20))
	later := int64(protocol.PlacementWindowMs + 15)
	assert.Equal(t, []protocol.Placement{second, {Partitions: 5, Until: later}}, grow(6, later))
	assert.Equal(t, []protocol.Placement{{Partitions: 6, Until: 9 * later}}, grow(7, 9*later))
}

// A restore that meets a topic of others is told so in plain words.
func TestARestoreIntoATopicOfOthers(t *testing.T) {
	h := newClusterHarness(t, 3)
	_, _, err := h.create(&protocol.TopicSpec{Name: "a", Partitions: ptr(1)})
	require.Nil(t, err)
	_, _, err = h.create(&protocol.TopicSpec{Name: "a", Restoring: ptr("backup-7"), StartOffsets: ptr([]int64{5}), Partitions: ptr(1)})
	require.NotNil(t, err)
	assert.Equal(t, protocol.CodeTopicExists, err.Code)
	assert.Equal(t, `topic "a" already exists and was not made by this restore: delete it, or restore under another name`, err.Message)
	assert.Equal(t, []string{"restoring", "start_offsets"}, err.Details["fields"])
}

// Below their level, numbers of partitions are not kept: older programs refuse a topic with
// them.
func TestEarlierPartitionsAreNotWrittenBelowTheirLevel(t *testing.T) {
	for at := level.Oldest; at <= level.Newest; at++ {
		h := newClusterHarness(t, 3)
		_, _, err := h.create(&protocol.TopicSpec{Name: "a", Partitions: ptr(1)})
		require.Nil(t, err)
		_, recs, err := h.s.DecideAlterTopic(&protocol.TopicSpec{Name: "a", Partitions: ptr(2)}, 5, TopicLimits{Level: at})
		require.Nil(t, err)
		assert.Equal(t, at >= level.Placements.Level, strings.Contains(string(recs[0].Value), "earlier"), recs[0].Value)
	}
}

func TestHowOldAnActiveSegmentMayBecome(t *testing.T) {
	week := LongestSegment.Milliseconds()
	for _, c := range []struct {
		settings TopicSettings
		want     int64
	}{
		{TopicSettings{RetentionMs: -1}, week},
		{TopicSettings{RetentionMs: 2 * week}, week},
		{TopicSettings{RetentionMs: 1000}, 1000},
		{TopicSettings{RetentionMs: 0}, 0},
		{TopicSettings{RetentionMs: 1000, CleanupPolicy: CleanupCompact}, week},
	} {
		assert.Equal(t, c.want, c.settings.RollAfterMs(), "%+v", c.settings)
	}
}
