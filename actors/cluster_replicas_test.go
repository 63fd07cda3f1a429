package actors

import (
	"errors"
	"strings"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/actors/metarecord"
	"ottla/actors/peers"
	"ottla/actors/replica"
	"ottla/protocol"
)

// TestDamagedReplicasAreReplacedWhileAMajorityIsSound fails one replica after
// the other: what is left of the last ones is all there is, so it stays.
func TestDamagedReplicasAreReplacedWhileAMajorityIsSound(t *testing.T) {
	state, key := stateWithTopic(t, "hurt")
	p := newOpsProbe(t)
	proposals := p.leader(1)
	mends := make(chan *mendReplica, 10)
	broker := p.env.system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if m, ok := ctx.Message().(*mendReplica); ok {
			mends <- m
		}
	}))
	t.Cleanup(func() { _ = p.env.system.Root.StopFuture(broker).Wait() })
	p.led(1)
	p.inspect(func(c *clusterActor) {
		c.state = state
		for id := 1; id <= 3; id++ {
			c.brokers[id] = &brokerInCluster{id: id, state: brokerRunning, pid: broker}
			c.links.Group(key).Register(uint64(id), peers.Mailbox{PID: broker})
		}
	})
	down := func(id uint64) {
		p.inspect(func(c *clusterActor) { c.links.Group(key).Register(id, peers.Mailbox{}) })
		p.env.system.Root.Send(p.cluster, &replicaDown{Key: key, Replica: id, Cause: errors.New("checksum"), Fault: replica.FaultDamage})
	}
	up := func(replica uint64) {
		p.inspect(func(c *clusterActor) { c.links.Group(key).Register(replica, peers.Mailbox{PID: broker}) })
		p.env.system.Root.Send(p.cluster, &replicaUp{Key: key, Replica: replica})
	}
	waiting := func() (n int) {
		p.inspect(func(c *clusterActor) { n = len(c.ops) })
		return n
	}
	down(1)
	first := <-proposals
	require.Contains(t, string(first.Lines.Buf), "REPLACE_REPLICA")
	down(2)
	down(3)
	require.Zero(t, waiting(), "nothing to rebuild the others from")
	require.EqualValues(t, 1, (<-mends).Replica, "its successor is not decided on yet")
	require.EqualValues(t, 2, (<-mends).Replica)

	p.inspect(func(c *clusterActor) {
		_, recs, err := c.state.DecideReplaceReplica(key.TopicID, 0, state.Partitions()[key].Replicas[0].Broker, 1, 0)
		require.Nil(t, err)
		require.NoError(t, c.state.Apply(recs[0]))
	})
	p.commit(first)
	require.Zero(t, waiting())

	// Replica 3 opens after all, and with it 2 rebuilds 4, the successor of 1.
	up(3)
	require.Zero(t, waiting(), "2 is still one of the two that are needed")
	up(4)
	p.env.system.Root.Send(p.cluster, &membersSettled{Key: key, Voters: []uint64{2, 3, 4}})
	second := <-proposals
	require.Contains(t, string(second.Lines.Buf), "REPLICA_REPLACED")
	p.inspect(func(c *clusterActor) {
		require.Len(t, c.problems, 1, "of those that are no members any more nothing is said")
		part := c.state.Partitions()[key]
		recs, err := c.state.DecideReplicaReplaced(key.TopicID, 0, part.Replacing[0].Broker, part.Replacing[0].NewID)
		require.Nil(t, err)
		require.NoError(t, c.state.Apply(recs[0]))
	})
	p.commit(second)
	third := <-proposals
	require.True(t, strings.Contains(string(third.Lines.Buf), "REPLACE_REPLICA"), "now 2 can be spared")
}

// stateWithTopic is the state of a cluster of three brokers with one topic of
// one partition.
func stateWithTopic(t *testing.T, name string) (*catalog.State, protocol.PartitionID) {
	t.Helper()
	s := catalog.New()
	apply := func(recs []metarecord.Record) {
		for _, rec := range recs {
			require.NoError(t, s.Apply(rec))
		}
	}
	settings, err := catalog.Resolve(&protocol.ClusterSpec{Name: "main", NumBrokers: ptr(3)}, "cluster-id", 1000)
	require.Nil(t, err)
	apply(s.DecideCreateCluster(settings, catalog.Bootstrap{
		MetadataTopicID: "meta-id", MetadataReplicas: catalog.MetadataVoters(3),
		OffsetsTopicID: "offsets-id", OffsetsPartitions: 4, Host: "127.0.0.1", Port: 8080,
	}))
	id, recs, err := s.DecideCreateTopic(&protocol.TopicSpec{Name: name, Partitions: ptr(1)}, "topic-1", 2000, catalog.TopicLimits{})
	require.Nil(t, err)
	apply(recs)
	return s, protocol.PartitionID{TopicID: id}
}

// What a broker at another node has lost is replaced by that node, which knows what it
// still has: the others have only heard that its directory is new.
func TestALossElsewhereIsNotResolvedHere(t *testing.T) {
	state, _ := stateWithTopic(t, "lost")
	p := newOpsProbe(t)
	p.leader(1)
	p.led(1)
	p.inspect(func(c *clusterActor) {
		c.state = state
		for id := 1; id <= 3; id++ {
			c.brokers[id] = &brokerInCluster{id: id, number: id, node: 7, state: brokerRunning, wiped: true}
		}
		for _, b := range c.brokers {
			c.resolveLoss(nil, b)
		}
		require.Empty(t, c.ops)
	})
}
