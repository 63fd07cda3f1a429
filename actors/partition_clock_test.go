package actors

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/actors/peers"
	"ottla/protocol"
)

// TestIdlePartitionsSendNothing counts raft messages of an idle node, through
// the hook with which tests cut links: after a while there are none, and work
// and lost brokers wake what they concern.
func TestIdlePartitionsSendNothing(t *testing.T) {
	n := startNode(t, t.TempDir(), func(o *Options) { o.TickInterval = 5 * time.Millisecond })
	defer stopNode(t, n)
	produce(t, n, "calm", 0, `1`)
	h := defaultCluster(n)
	var messages protocol.Counter
	reply := protocol.NewFuture[*peers.Links]()
	n.env.system.Root.Send(h.pid.Load(), &inspectCluster{Do: func(c *clusterActor) { reply.Put(c.links) }})
	l, ok := reply.Wait(time.Now().Add(patience))
	require.True(t, ok)
	count := func(raftpb.Message) bool { messages.Next(); return false }
	l.Cut(count)

	quiet := func() {
		last, since := messages.Next(), time.Now()
		require.Eventually(t, func() bool {
			if now := messages.Next(); now != last+1 {
				last, since = now, time.Now()
				return false
			}
			last++
			return time.Since(since) > 200*time.Millisecond
		}, patience, 5*time.Millisecond, "raft never falls quiet")
	}
	quiet()
	require.EqualValues(t, 1, produce(t, n, "calm", 0, `2`), "a quiet partition takes records at once")
	quiet()
	_, err := n.StopBroker(context.Background(), "default", 1)
	require.Nil(t, err)
	require.EqualValues(t, 2, produce(t, n, "calm", 0, `3`))
	_, err = n.StartBroker(context.Background(), "default", 1)
	require.Nil(t, err)
	awaitSettled(t, n)
	quiet()
	require.Equal(t, []string{`1`, `2`, `3`}, fetchAll(t, n, "calm", 0))
}
