package peers

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"ottla/protocol"
)

// What a node says in parts is what it would say at once, and what has changed is told
// once: all of it again only where somebody has missed it.
func TestWhatANodeSays(t *testing.T) {
	key := protocol.ReplicaID{TopicID: "t", Partition: 1, Replica: 7}
	at := protocol.PartitionID{TopicID: "t", Partition: 1}
	runs, ends := []ReplicaSaid{{"t", 1, 7, true}}, []ReplicaSaid{{"t", 1, 7, false}}
	leads := func(term uint64, leads bool) []LeaderSaid { return []LeaderSaid{{"t", 1, 2, term, leads}} }
	running := BrokerSaid{Broker: 2, State: "running"}

	var none *clusterSaid
	first := none.with(&announcement{All: true, Brokers: []BrokerSaid{running}, Replicas: runs})
	replicas, brokers, leaders := first.changes(&clusterSaid{})
	assert.Equal(t, map[protocol.ReplicaID]bool{key: true}, replicas)
	assert.Equal(t, []BrokerSaid{running}, brokers)
	assert.Empty(t, leaders)

	led := first.with(&announcement{Leaders: leads(5, true)})
	replicas, brokers, leaders = led.changes(first)
	assert.Empty(t, replicas)
	assert.Empty(t, brokers)
	assert.Equal(t, leads(5, true), leaders)
	assert.Empty(t, first.leaders, "what was said before is left as it is: somebody may be comparing")

	late := led.with(&announcement{Leaders: leads(4, false)})
	assert.Equal(t, led.leaders, late.leaders, "the end of an earlier leadership")
	over := led.with(&announcement{Leaders: leads(5, false)})
	_, _, leaders = over.changes(led)
	assert.Equal(t, leads(5, false), leaders)

	again := led.with(&announcement{All: true, Brokers: []BrokerSaid{running}})
	replicas, brokers, leaders = again.changes(led)
	assert.Equal(t, map[protocol.ReplicaID]bool{key: false}, replicas, "all that runs does not name it")
	assert.Empty(t, brokers)
	assert.Equal(t, leads(5, false), leaders)
	assert.NotContains(t, again.leaders, at)
	assert.NotContains(t, led.with(&announcement{Replicas: ends}).replicas, key)
	replicas, _, leaders = (&clusterSaid{}).changes(led)
	assert.Len(t, replicas, 1, "a node that is not heard of says nothing any more")
	assert.Len(t, leaders, 1)
}
