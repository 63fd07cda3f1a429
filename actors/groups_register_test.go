package actors

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/routing"
	"ottla/chaos/offsetcheck"
	"ottla/protocol"
)

// registerClients commit, seek and read the offsets of groups on a topic, and
// write down what they saw.
type registerClients struct {
	t       *testing.T
	n       *Node
	history *offsetcheck.History
	stop    chan struct{}
	running sync.WaitGroup
	next    atomic.Int64 // about where commits are
	acked   atomic.Int64
}

const registerPartitions = 2

func register(group string, partition int) offsetcheck.Register {
	return offsetcheck.Register{Group: group, Topic: "a", Partition: partition}
}

// until calls step again and again until the end.
func (c *registerClients) until(name string, step func(client string, rnd *rand.Rand)) {
	seed := uint64(len(name))
	for _, b := range []byte(name) {
		seed = seed*131 + uint64(b)
	}
	c.running.Go(func() {
		rnd := rand.New(rand.NewPCG(seed, 1))
		for {
			select {
			case <-c.stop:
				return
			default:
				step(name, rnd)
			}
		}
	})
}

// ended ends an operation by its error; true if there was none.
func ended(op *offsetcheck.Op, err *protocol.Error) bool {
	switch {
	case err == nil:
		return true
	case err.Outcome != "" && err.Outcome != protocol.OutcomeNone: // unknown
	case err.Code == protocol.CodeOffsetRegression:
		op.Behind(int64(err.Details["current"].(protocol.Offset)))
	default:
		op.Refused()
	}
	return false
}

// pause keeps clients from asking on and on while nobody can answer.
func (c *registerClients) pause() {
	select {
	case <-c.stop:
	case <-time.After(time.Millisecond):
	}
}

func (c *registerClients) commit(group string) func(string, *rand.Rand) {
	return func(client string, rnd *rand.Rand) {
		partition := rnd.IntN(registerPartitions)
		offset := max(0, c.next.Add(rnd.Int64N(2))-rnd.Int64N(4))
		op := c.history.Commit(client, register(group, partition), offset)
		_, err := c.n.Commit(&protocol.CommitRequest{Cluster: "default", Group: group, ConsumerID: 1, Offsets: []protocol.OffsetCommit{
			{Topic: "a", Partition: partition, Offset: protocol.Offset(offset)},
		}})
		if ended(op, err) {
			op.Acked()
			c.acked.Add(1)
		} else if err.Code != protocol.CodeOffsetRegression {
			c.pause()
		}
	}
}

func (c *registerClients) seek(group string) func(string, *rand.Rand) {
	return func(client string, rnd *rand.Rand) {
		select {
		case <-c.stop:
			return
		case <-time.After(time.Duration(rnd.IntN(300)) * time.Millisecond):
		}
		partition := rnd.IntN(registerPartitions)
		offset := protocol.Offset(c.next.Load() / 2)
		op := c.history.Seek(client, register(group, partition), int64(offset))
		_, err := c.n.Seek(&protocol.SeekRequest{Cluster: "default", Group: group, Topic: "a", Partition: &partition, Offset: &offset})
		if ended(op, err) {
			op.Acked()
		}
	}
}

func (c *registerClients) read(group string) func(string, *rand.Rand) {
	return func(client string, _ *rand.Rand) {
		ops := make([]*offsetcheck.Op, registerPartitions)
		for p := range ops {
			ops[p] = c.history.Read(client, register(group, p))
		}
		rows, err := c.n.Offsets(&protocol.OffsetsRequest{Cluster: "default", Group: group, Topic: "a"})
		if err != nil {
			c.pause()
			return
		}
		for _, row := range rows {
			at := offsetcheck.None
			if row.Committed != nil {
				at = int64(*row.Committed)
			}
			ops[row.Partition].Returned(at)
		}
	}
}

// Whatever happens to coordinators, a committed offset behaves as a register:
// a read gives the latest acknowledged commit or a concurrent one.
func TestCommittedOffsetsAreRegisters(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "a", Partitions: ptr(registerPartitions)})
	c := &registerClients{t: t, n: n, history: offsetcheck.New(), stop: make(chan struct{})}
	many := make([]string, 10_000)
	for i := range many {
		many[i] = "1"
	}
	for p := range registerPartitions {
		for range 10 { // what is committed is not beyond the end
			produce(t, n, "a", p, many...)
		}
	}
	groups := []string{"g1", "g2", "g3"}
	for _, group := range groups {
		var joins []*offsetcheck.Op // the member's first poll commits where the group begins
		for p := range registerPartitions {
			joins = append(joins, c.history.Commit("join", register(group, p), 0))
		}
		_, err := n.Poll(&protocol.PollRequest{
			Cluster: "default", Group: group, ConsumerID: 1, Topics: []string{"a"}, MaxRecords: 1, MaxBytes: 1,
		}, nil)
		require.Nil(t, err)
		for _, op := range joins {
			op.Acked()
		}
	}
	for _, group := range groups {
		for i := range 3 {
			c.until(fmt.Sprintf("%s committer %d", group, i), c.commit(group))
			c.until(fmt.Sprintf("%s reader %d", group, i), c.read(group))
		}
		c.until(group+" seeker", c.seek(group))
	}
	offsets := defaultCluster(n).Table().Topics[protocol.OffsetsTopic]
	for i := range 9 {
		group := groups[i%len(groups)]
		route := routing.Of(offsets).Partitions[routing.GroupPartition(group, offsets.Partitions)]
		ref := route.Leader()
		for ref == nil {
			ref, _ = route.Current()
		}
		before := c.acked.Load()
		if i%2 == 0 {
			_, err := n.StopBroker(context.Background(), "default", ref.Broker)
			require.Nil(t, err)
			_, err = n.StartBroker(context.Background(), "default", ref.Broker)
			require.Nil(t, err)
		} else {
			n.env.system.Root.Stop(pidOf(ref)) // its mailbox ends in nothing
		}
		require.Eventually(t, func() bool { return c.acked.Load() > before+30 }, patience, time.Millisecond)
	}
	close(c.stop)
	c.running.Wait()
	ops, unknown := c.history.Size()
	t.Logf("%d calls, %d of unknown outcome, %d commits acknowledged", ops, unknown, c.acked.Load())
	require.NoError(t, c.history.Check(time.Minute))
}
