package catalog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/metarecord"
	"ottla/actors/metarecord/recordtest"
	"ottla/protocol"
)

// clusterHarness applies decisions as a cluster would and keeps their log.
type clusterHarness struct {
	t   testing.TB
	s   *State
	log []metarecord.Record
	ids int
}

// newClusterHarness bootstraps a cluster of n brokers at time 1000.
func newClusterHarness(t testing.TB, n int) *clusterHarness {
	h := &clusterHarness{t: t, s: New()}
	settings, perr := Resolve(&protocol.ClusterSpec{Name: "main", NumBrokers: &n}, "cluster-id", 1000)
	require.Nil(t, perr)
	h.do(h.s.DecideCreateCluster(settings, Bootstrap{
		MetadataTopicID: "meta-id", MetadataReplicas: MetadataVoters(n),
		OffsetsTopicID: "offsets-id", OffsetsPartitions: 4, Host: "127.0.0.1", Port: 8080,
	}))
	return h
}

// do applies recs and checks that the log replays to the same state.
func (h *clusterHarness) do(recs []metarecord.Record) {
	h.t.Helper()
	for _, rec := range recs {
		require.NoError(h.t, h.s.Apply(rec))
	}
	h.log = append(h.log, recs...)
	recordtest.RequireReplays(h.t, h.s, func() recordtest.StateMachine { return New() }, h.log)
}

// create creates a topic under a new id.
func (h *clusterHarness) create(spec *protocol.TopicSpec) (*Topic, bool, *protocol.Error) {
	h.t.Helper()
	h.ids++
	before := h.s.Dump()
	id, recs, err := h.s.DecideCreateTopic(spec, fmt.Sprintf("topic-%d", h.ids), 2000, TopicLimits{})
	require.Equal(h.t, before, h.s.Dump(), "a decision changed the state")
	h.do(recs)
	return h.s.topics[id], len(recs) > 0, err
}

func TestPartitionsOfOffsets(t *testing.T) {
	for name, c := range map[string]struct {
		configured int
		places     map[int]Broker
		want       int
	}{
		"one process":             {0, nil, 1},
		"one node of a fleet":     {0, map[int]Broker{2: {Node: 1}, 3: {Node: 1}}, 1},
		"several nodes":           {0, map[int]Broker{2: {Node: 2}, 3: {Node: 3}}, 3},
		"all at another node":     {0, map[int]Broker{1: {Node: 2}, 2: {Node: 2}, 3: {Node: 2}}, 1},
		"configured":              {7, nil, 7},
		"configured, for several": {1, map[int]Broker{2: {Node: 2}}, 1},
	} {
		n, s := 3, New()
		settings, perr := Resolve(&protocol.ClusterSpec{Name: "main", NumBrokers: &n}, "cluster-id", 1000)
		require.Nil(t, perr)
		for _, rec := range s.DecideCreateCluster(settings, Bootstrap{
			MetadataTopicID: "meta-id", MetadataReplicas: MetadataVoters(n), OffsetsTopicID: "offsets-id",
			Node: 1, OffsetsPartitions: c.configured, Places: c.places,
		}) {
			require.NoError(t, s.Apply(rec))
		}
		assert.Equal(t, c.want, s.TopicByName(protocol.OffsetsTopic).Partitions, name)
	}
}

func TestClusterBootstrap(t *testing.T) {
	h := newClusterHarness(t, 3)
	info := h.s.ClusterInfo()
	assert.Equal(t, "main", info.Name)
	assert.Equal(t, 3, info.ReplicationFactor)
	require.Len(t, info.Brokers, 3)
	assert.Equal(t, "main/broker-2", info.Brokers[1].Directory)
	assert.Equal(t, int64(1000), info.CreatedAt.UnixMilli())
	for _, name := range []string{protocol.MetadataTopic, protocol.OffsetsTopic} {
		topic := h.s.TopicByName(name)
		require.NotNil(t, topic, name)
		assert.EqualValues(t, -1, topic.RetentionMs)
		assert.Equal(t, CleanupCompact, topic.CleanupPolicy)
		assert.Len(t, h.s.TopicInfo(topic).Partitions[0].Replicas, 3)
	}
	assert.Empty(t, h.s.DecideCreateCluster(*h.s.settings, Bootstrap{}), "once is enough")
	var names []string
	for _, topic := range h.s.TopicList() {
		names = append(names, topic.Name)
	}
	assert.Equal(t, []string{protocol.MetadataTopic, protocol.OffsetsTopic}, names)

	assert.Empty(t, h.s.DecideRegisterBrokers(h.s.brokerIDs(), 0, "127.0.0.1", 8080))
	recs := h.s.DecideRegisterBrokers(h.s.brokerIDs(), 0, "10.0.0.1", 9090)
	assert.Len(t, recs, 3)
	h.do(recs)
	assert.Equal(t, "10.0.0.1", h.s.ClusterInfo().Brokers[0].Host)
}

func TestMetadataVoters(t *testing.T) {
	for brokers, want := range map[int]int{1: 1, 2: 2, 3: 3, 4: 3, 5: 5, 9: 5} {
		assert.Len(t, MetadataVoters(brokers), want, "%d brokers", brokers)
	}
}

func TestClusterSpecRanges(t *testing.T) {
	tests := []struct {
		name string
		spec protocol.ClusterSpec
		code protocol.Code
		text string
	}{
		{"bad name", protocol.ClusterSpec{Name: "a/b"}, protocol.CodeInvalidName, "a/b"},
		{"no broker", protocol.ClusterSpec{Name: "a", NumBrokers: ptr(0)}, protocol.CodeNotAllowed, "num_brokers must be 1 to 9, got 0"},
		{"ten brokers", protocol.ClusterSpec{Name: "a", NumBrokers: ptr(10)}, protocol.CodeNotAllowed, "num_brokers"},
		{"too many copies", protocol.ClusterSpec{Name: "a", NumBrokers: ptr(2), ReplicationFactor: ptr(3)}, protocol.CodeNotAllowed, "replication_factor must be 1 to 2"},
		{"no partition", protocol.ClusterSpec{Name: "a", Partitions: ptr(0)}, protocol.CodeNotAllowed, "partitions"},
		{"too many partitions", protocol.ClusterSpec{Name: "a", Partitions: ptr(1025)}, protocol.CodeNotAllowed, "1 to 1024"},
		{"no retention", protocol.ClusterSpec{Name: "a", RetentionHours: ptr(0.0)}, protocol.CodeNotAllowed, "retention_policies"},
		{"negative retention", protocol.ClusterSpec{Name: "a", RetentionHours: ptr(-0.5)}, protocol.CodeNotAllowed, "retention_policies"},
		{"endless retention", protocol.ClusterSpec{Name: "a", RetentionHours: ptr(1e300)}, protocol.CodeNotAllowed, "retention_policies"},
		{"fsync", protocol.ClusterSpec{Name: "a", Fsync: ptr("never")}, protocol.CodeNotAllowed, "fsync"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Resolve(&tt.spec, "id", 1)
			require.NotNil(t, err)
			assert.Equal(t, tt.code, err.Code)
			assert.Contains(t, err.Message, tt.text)
		})
	}
}

func TestClusterSpecComparesOnlyWhatIsSent(t *testing.T) {
	c, err := Resolve(&protocol.ClusterSpec{Name: "a", NumBrokers: ptr(2), RetentionHours: ptr(0.5), LogDirectory: ptr("logs/a")}, "id", 1)
	require.Nil(t, err)
	assert.Equal(t, 2, c.ReplicationFactor)
	assert.EqualValues(t, 30*60*1000, retentionMs(c.RetentionHours))
	assert.EqualValues(t, -1, retentionMs(-1))
	assert.EqualValues(t, 1, retentionMs(1e-12), "however short, it ends")
	assert.Nil(t, c.Conflict(&protocol.ClusterSpec{Name: "a"}))
	assert.Nil(t, c.Conflict(&protocol.ClusterSpec{Name: "a", NumBrokers: ptr(2), LogDirectory: ptr("logs//a/")}))
	err = c.Conflict(&protocol.ClusterSpec{Name: "a", NumBrokers: ptr(3), Partitions: ptr(3), LogDirectory: ptr("b"), Fsync: ptr("interval")})
	require.NotNil(t, err)
	assert.Equal(t, protocol.CodeClusterExists, err.Code)
	assert.Equal(t, []string{"num_brokers", "fsync", "log_directory"}, err.Details["fields"])
	assert.Contains(t, err.Message, "num_brokers is 2, not 3, fsync is always, not interval, log_directory is logs/a, not b")
}

func TestConsumerIDsAreAllocatedOnce(t *testing.T) {
	h := newClusterHarness(t, 1)
	first, recs := h.s.DecideAllocateConsumerIDs(100, 0)
	h.do(recs)
	second, recs := h.s.DecideAllocateConsumerIDs(1, 0)
	h.do(recs)
	assert.Equal(t, firstConsumerID, first)
	assert.Equal(t, first+100, second)
	above, _ := h.s.DecideAllocateConsumerIDs(1, second+5000)
	assert.Equal(t, second+5000, above, "ids that another cluster assigned are left out")
}

func TestApplyRefusesWhatItDoesNotUnderstand(t *testing.T) {
	tests := []struct {
		name, action, key, value, err string
	}{
		{"unknown action", "SPLIT_TOPIC", `["topic","a"]`, `{"v":1}`, "unknown action"},
		{"newer format", actionCreateTopic, `["topic","a"]`, `{"v":2,"topic":{}}`, "format 2"},
		{"no format", actionCreateTopic, `["topic","a"]`, `{"topic":{}}`, "format 0"},
		{"unknown field", actionCreateTopic, `["topic","a"]`, `{"v":1,"topic":{"color":1}}`, "color"},
		{"another kind of key", actionCreateTopic, `["broker",1]`, `{"v":1}`, "does not go with"},
		{"key too short", actionCreateTopic, `["topic"]`, `{"v":1}`, "wrong number"},
		{"partition is no number", actionPlacePartition, `["partition","a","b"]`, `{"v":1}`, "not a number"},
		{"neither there nor deleted", actionCreateTopic, `["topic","a"]`, `{"v":1}`, "must have a topic or a deleted topic"},
		{"not JSON", actionConsumerIDs, `["consumer_ids"]`, `{`, "JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newClusterHarness(t, 1)
			before := h.s.Dump()
			err := h.s.Apply(metarecord.Record{Action: tt.action, Key: []byte(tt.key), Value: []byte(tt.value)})
			require.ErrorContains(t, err, tt.err)
			assert.True(t, strings.HasPrefix(err.Error(), "apply "+tt.action))
			assert.Equal(t, before, h.s.Dump())
		})
	}
}
