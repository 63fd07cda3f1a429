package actors

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/coordinator"
	"ottla/actors/group"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// keptGroups asks every replica of __consumer_offsets what it keeps, as the
// canonical form of each group.
func keptGroups(t *testing.T, n *Node) []map[string]string {
	t.Helper()
	offsets := defaultCluster(n).Table().Topics[protocol.OffsetsTopic]
	var all []map[string]string
	for _, route := range routing.Of(offsets).Partitions {
		for replica, pid := range runningReplicas(t, n, route.ID) {
			f := protocol.NewFuture[map[string][]metarecord.Record]()
			n.env.system.Root.Send(pid, &coordinator.KeptRecords{Reply: f})
			groups, ok := f.Wait(time.Now().Add(patience))
			require.True(t, ok)
			at := map[string]string{}
			for name, records := range groups {
				g := group.New(name)
				for _, rec := range records {
					require.NoError(t, g.Apply(rec))
				}
				at[name] = g.Dump()
			}
			for len(all) < int(replica) {
				all = append(all, map[string]string{})
			}
			for name, dump := range at {
				all[replica-1][name] = dump
			}
		}
	}
	return all
}

// Whatever happens to groups, every replica keeps the same of them, and that
// is what their coordinators answer.
func TestGroupsAreTheSameOnEveryReplica(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "a", Partitions: ptr(4)})
	for p := range 4 {
		produce(t, n, "a", p, "1", "2", "3", "4", "5")
	}
	const seed = 11
	var members sync.WaitGroup
	for id := protocol.ConsumerID(1); id <= 8; id++ {
		members.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(id)))
			for range 60 {
				randomGroupStep(n, rnd, id, fmt.Sprintf("g%d", rnd.IntN(3)))
			}
		})
	}
	members.Wait()
	require.EventuallyWithT(t, func(c *assert.CollectT) { // members whose session ends meanwhile leave
		kept := keptGroups(t, n)
		require.Len(c, kept, 3)
		assert.NotEmpty(c, kept[0])
		assert.Equal(c, kept[0], kept[1])
		assert.Equal(c, kept[0], kept[2])
		for name, dump := range kept[0] {
			isWhatIsAnswered(c, n, name, dump)
		}
	}, patience, 10*time.Millisecond)
}

// isWhatIsAnswered holds what a replica keeps of a group against what its coordinator says.
func isWhatIsAnswered(c *assert.CollectT, n *Node, name, dump string) {
	info, err := n.Group("default", name)
	require.Nil(c, err)
	assert.Contains(c, dump, fmt.Sprintf(`"generation":%d,`, info.Generation))
	for _, o := range info.Members {
		assert.Contains(c, dump, fmt.Sprintf(`{"id":%d,`, o.ConsumerID))
	}
	rows, err := n.Offsets(&protocol.OffsetsRequest{Cluster: "default", Group: name})
	require.Nil(c, err)
	for _, row := range rows {
		if row.Committed != nil {
			assert.Contains(c, dump, fmt.Sprintf(` %d {"offset":%d,`, row.Partition, *row.Committed))
		}
	}
}

func randomGroupStep(n *Node, rnd *rand.Rand, id protocol.ConsumerID, group string) {
	switch rnd.IntN(10) {
	case 0:
		_ = n.LeaveGroup("default", group, id)
	case 1:
		to := protocol.Offset(rnd.IntN(5))
		_, _ = n.Seek(&protocol.SeekRequest{Cluster: "default", Group: group, Topic: "a", Offset: &to})
	case 2:
		_, _ = n.Commit(&protocol.CommitRequest{Cluster: "default", Group: group, ConsumerID: id})
	case 3:
		_ = n.DeleteGroup("default", group)
	default:
		_, _ = n.Poll(&protocol.PollRequest{
			Group: group, ConsumerID: id, Topics: []string{"a"}, MaxRecords: 1 + rnd.IntN(3), MaxBytes: 1 << 20,
			AutoCommit: rnd.IntN(2) == 0, Timeout: time.Duration(rnd.IntN(3)) * time.Millisecond, SessionTimeout: time.Second,
		}, nil)
	}
}

// A coordinator that vanishes with what it was asked costs its members a
// moment, not the time in which a request must be answered.
func TestPollsSurviveTheDeathOfTheirCoordinator(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "a", Partitions: ptr(1)})
	offsets := defaultCluster(n).Table().Topics[protocol.OffsetsTopic]
	route := routing.Of(offsets).Partitions[routing.GroupPartition("g", offsets.Partitions)]
	poll := func() (*protocol.PollReply, *protocol.Error) {
		return n.Poll(&protocol.PollRequest{
			Group: "g", ConsumerID: 1, Topics: []string{"a"}, MaxRecords: 10, MaxBytes: 1 << 20, AutoCommit: true, Timeout: 200 * time.Millisecond,
		}, nil)
	}
	_, err := poll()
	require.Nil(t, err)
	produce(t, n, "a", 0, "1")
	ref := route.Leader()
	n.env.system.Root.Stop(pidOf(ref)) // its mailbox ends in nothing, as after a panic
	began := time.Now()
	reply, err := poll()
	require.Nil(t, err)
	require.Len(t, reply.Records, 1)
	assert.Less(t, time.Since(began), 20*time.Second)
	t.Logf("the first poll after the death of a coordinator took %s", time.Since(began))
}

// A group nobody uses is deleted by its coordinator; one that is polled stays,
// however long it has committed nothing.
func TestCoordinatorsDeleteDeadGroups(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir(), func(o *Options) {
		o.OffsetsRetention = 2 * time.Second
		o.TickInterval = 10 * time.Millisecond
	})
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "a", Partitions: ptr(1)})
	produce(t, n, "a", 0, "1")
	poll := func(group string) *protocol.PollReply {
		reply, err := n.Poll(&protocol.PollRequest{
			Group: group, ConsumerID: 1, Topics: []string{"a"}, MaxRecords: 10, MaxBytes: 1 << 20, AutoCommit: true,
			SessionTimeout: time.Second,
		}, nil)
		require.Nil(t, err)
		return reply
	}
	poll("dead")
	poll("used")
	require.Eventually(t, func() bool {
		assert.Empty(t, poll("used").Records, "it goes on where it was")
		_, err := n.Group("default", "dead")
		return err != nil && err.Code == protocol.CodeGroupNotFound
	}, patience, 20*time.Millisecond)
	assert.Len(t, poll("dead").Records, 1, "what comes later begins anew")
}

// The groups of subscriptions are known, paused or not, in their own cluster only.
func TestGroupsOfSubscriptionsAreKnown(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "orders", Partitions: ptr(1)})
	info, err := n.Cluster(protocol.DefaultCluster)
	require.Nil(t, err)
	require.False(t, n.env.directory.Subscribed(info.ID, "subscription-a"))
	_, _, err = n.PutSubscription(t.Context(), &protocol.SubscriptionSpec{
		Name: "a", Topics: []string{"orders"}, URL: "http://localhost:1/", Batch: 1, TimeoutMs: 1000, MaxDeliveries: 1, Order: protocol.OrderNone, Paused: true,
	})
	require.Nil(t, err)
	require.True(t, n.env.directory.Subscribed(info.ID, "subscription-a"))
	require.False(t, n.env.directory.Subscribed("another", "subscription-a"))
	require.False(t, n.env.directory.Subscribed(info.ID, "subscription-b"))
	require.Nil(t, n.DeleteSubscription(t.Context(), "a"))
	require.False(t, n.env.directory.Subscribed(info.ID, "subscription-a"))
}
