package catalog

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// What there is no room for is refused before anything is made, with the numbers.
func TestRoomForPartitions(t *testing.T) {
	s := New()
	for _, rec := range s.DecideCreateCluster(ClusterSettings{ID: "c", Name: "c", NumBrokers: 3, Partitions: 3, ReplicationFactor: 3}, Bootstrap{
		MetadataTopicID: protocol.MetadataTopic, MetadataReplicas: MetadataVoters(3), OffsetsTopicID: "o", OffsetsPartitions: 6,
	}) {
		require.NoError(t, s.Apply(rec))
	}
	assert.Equal(t, map[uint64]int{0: 3 + 18}, s.Replicas())
	create := func(name string, partitions int, room Room) *protocol.Error {
		_, recs, err := s.DecideCreateTopic(&protocol.TopicSpec{Name: name, Partitions: &partitions}, "id-"+name, 1, TopicLimits{Room: room})
		for _, rec := range recs {
			require.NoError(t, s.Apply(rec))
		}
		return err
	}
	alter := func(name string, partitions int, room Room) *protocol.Error {
		_, recs, err := s.DecideAlterTopic(&protocol.TopicSpec{Name: name, Partitions: &partitions}, 0, TopicLimits{Room: room})
		for _, rec := range recs {
			require.NoError(t, s.Apply(rec))
		}
		return err
	}
	room := Room{Replicas: 40, ReplicasElsewhere: map[uint64]int{0: 10}}
	err := create("a", 4, room)
	require.NotNil(t, err)
	assert.Equal(t, protocol.CodeTooManyPartitions, err.Code)
	assert.Equal(t, map[string]any{"limit": 40, "used": 31, "asked": 12}, err.Details)
	require.Nil(t, create("a", 2, room))
	assert.Equal(t, 27, s.Replicas()[0])
	require.Nil(t, create("a", 2, Room{Replicas: 1}), "what is there already needs none")
	assert.Equal(t, protocol.CodeTooManyPartitions, alter("a", 4, room).Code)
	require.Nil(t, alter("a", 3, room))
	require.Nil(t, create("b", 1000, Room{}))

	room = Room{Owner: "team", Owned: 5, OwnedElsewhere: 1}
	require.Nil(t, create("t", 3, room))
	err = create("u", 2, room)
	require.NotNil(t, err)
	assert.Equal(t, protocol.CodeQuotaExceeded, err.Code)
	assert.Equal(t, map[string]any{"quota": "partitions", "limit": int64(5), "used": int64(4), "asked": 2}, err.Details)
	require.Nil(t, create("u", 1, room))
	assert.Equal(t, protocol.CodeQuotaExceeded, alter("t", 4, room).Code)
	assert.Equal(t, map[string]int64{"team": 4}, s.Owned())
	require.Nil(t, create("v", 9, Room{Owner: "other", Owned: 9}))
}

// Each node of a fleet carries its share.
func TestRoomOfNodes(t *testing.T) {
	s := New()
	for _, rec := range s.DecideCreateCluster(ClusterSettings{ID: "c", Name: "c", NumBrokers: 3, Partitions: 3, ReplicationFactor: 3}, Bootstrap{
		MetadataTopicID: protocol.MetadataTopic, MetadataReplicas: MetadataVoters(3), OffsetsTopicID: "o", OffsetsPartitions: 6,
	}) {
		require.NoError(t, s.Apply(rec))
	}
	for broker := 1; broker <= 3; broker++ {
		for _, rec := range s.DecideRegisterBrokers([]int{broker}, uint64(broker), "h", broker) {
			require.NoError(t, s.Apply(rec))
		}
	}
	assert.Equal(t, map[uint64]int{1: 7, 2: 7, 3: 7}, s.Replicas())
	create := func(partitions int, room Room) *protocol.Error {
		_, _, err := s.DecideCreateTopic(&protocol.TopicSpec{Name: "a", Partitions: &partitions}, "a", 1, TopicLimits{Room: room})
		return err
	}
	assert.Nil(t, create(3, Room{Replicas: 10}))
	assert.Equal(t, map[string]any{"limit": 10, "used": 7, "asked": 4}, create(4, Room{Replicas: 10}).Details)
	assert.NotNil(t, create(3, Room{Replicas: 10, ReplicasElsewhere: map[uint64]int{2: 1}}))
	assert.Nil(t, create(3, Room{Replicas: 10, ReplicasElsewhere: map[uint64]int{9: 1}}))
}
