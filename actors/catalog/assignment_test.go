package catalog

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// Somebody may choose where the copies of a new topic are, and those of partitions that are
// added; what cannot be is refused.
func TestReplicasThatAreChosen(t *testing.T) {
	h := newClusterHarness(t, 3)
	chosen := [][]int{{3, 1}, {2, 3}}
	topic, created, err := h.create(&protocol.TopicSpec{Name: "t", Partitions: ptr(2), ReplicationFactor: ptr(2), Assignment: &chosen})
	require.Nil(t, err)
	assert.True(t, created)
	replicas := func() (all [][]int) {
		for _, p := range h.s.TopicInfo(h.s.TopicByName(topic.Name)).Partitions {
			all = append(all, p.Replicas)
		}
		return all
	}
	assert.Equal(t, chosen, replicas())

	_, recs, err := h.s.DecideAlterTopic(&protocol.TopicSpec{Name: "t", Partitions: ptr(3), Assignment: &[][]int{{1, 2}}}, 2000, TopicLimits{})
	require.Nil(t, err)
	h.do(recs)
	assert.Equal(t, append(chosen, []int{1, 2}), replicas())

	for why, wrong := range map[string][][]int{
		"there is no broker 4":                           {{1, 4}, {2, 3}},
		"broker 1 has two copies of one partition":       {{1, 1}, {2, 3}},
		"partition 1 of those has 1, not 2":              {{1, 2}, {2}},
		"they are chosen for 1 partitions, not 2":        {{1, 2}},
		"they are chosen for 3 partitions, not 2":        {{1, 2}, {1, 2}, {1, 2}},
		"partition 0 of those has 3, not 2":              {{1, 2, 3}, {1, 2}},
		"there is no broker 0":                           {{0, 1}, {1, 2}},
		"replicas: partition 0 of those has 0, not 2":    {{}, {}},
		"replicas: they are chosen for 0 partitions, no": {},
	} {
		_, _, err := h.create(&protocol.TopicSpec{Name: "wrong", Partitions: ptr(2), ReplicationFactor: ptr(2), Assignment: &wrong})
		require.NotNil(t, err, why)
		assert.Equal(t, protocol.CodeNotAllowed, err.Code)
		assert.Contains(t, err.Message, why)
		assert.Equal(t, "assignment", err.Details["field"])
	}
	_, _, err = h.s.DecideAlterTopic(&protocol.TopicSpec{Name: "t", Partitions: ptr(5), Assignment: &[][]int{{1, 2}}}, 2000, TopicLimits{})
	require.NotNil(t, err, "others have added partitions meanwhile")
}
