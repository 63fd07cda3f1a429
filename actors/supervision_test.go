package actors

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"ottla/actors/disk"
	"ottla/actors/routing"
	"ottla/protocol"
)

// Messages without what must be in them: the actor that works on one
// panics, as it would over a bug.
var (
	partitionPanic = (*disk.Done)(nil)
	brokerPanic    = (*ensureReplicas)(nil)
	clusterPanic   = (*changeBroker)(nil)
	groupPanic     = &routing.GroupChange{}
	nodePanic      = (*createCluster)(nil)
	diskPanic      = (*disk.Write)(nil)
)

// steadyLoad produces to every partition of a topic until it is stopped.
type steadyLoad struct {
	n    *Node
	tp   *protocol.Topic
	stop chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex
	acked   []map[protocol.Offset]string // by partition
	lastAck []time.Time
	gap     []time.Duration // the longest time between two acknowledgements
	changed *sync.Cond
}

func startLoad(t *testing.T, n *Node, topic string, partitions int) *steadyLoad {
	createTestTopic(t, n, &protocol.TopicSpec{Name: topic, Partitions: &partitions})
	tp, err := n.LookupTopic("", topic, false, time.Time{})
	require.Nil(t, err)
	l := &steadyLoad{
		n: n, tp: tp, stop: make(chan struct{}), acked: make([]map[protocol.Offset]string, partitions),
		lastAck: make([]time.Time, partitions), gap: make([]time.Duration, partitions),
	}
	l.changed = sync.NewCond(&l.mu)
	for p := range partitions {
		l.acked[p] = map[protocol.Offset]string{}
		l.done.Go(func() { l.produce(p) })
	}
	l.awaitAcks(20)
	return l
}

func (l *steadyLoad) produce(p int) {
	for i := 0; ; i++ {
		select {
		case <-l.stop:
			return
		default:
		}
		tp, err := l.n.LookupTopic("", l.tp.Name, false, time.Time{})
		if err != nil {
			continue // the cluster is started again
		}
		v := fmt.Sprint(i)
		req := &protocol.ProduceRequest{Topic: tp, Partition: p}
		req.Lines.Add(time.Now().UnixMilli(), tp.Name, p, []byte("-"), []byte(v), protocol.ActionProduce, nil)
		l.n.Produce([]*protocol.ProduceRequest{req}, time.Now().Add(10*time.Second))
		if req.Result.Err != nil {
			continue
		}
		l.mu.Lock()
		now := time.Now()
		if !l.lastAck[p].IsZero() {
			l.gap[p] = max(l.gap[p], now.Sub(l.lastAck[p]))
		}
		l.acked[p][req.Result.BaseOffset], l.lastAck[p] = v, now
		l.changed.Broadcast()
		l.mu.Unlock()
	}
}

// awaitAcks waits until every partition has n more acknowledged records.
func (l *steadyLoad) awaitAcks(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.acked {
		for want := len(l.acked[p]) + n; len(l.acked[p]) < want; {
			l.changed.Wait()
		}
	}
}

// forget begins the search for the longest gap anew.
func (l *steadyLoad) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.gap)
}

// longest is the longest time that a partition was without an acknowledgement.
func (l *steadyLoad) longest() (gap time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.gap {
		gap = max(gap, g)
	}
	return gap
}

// end stops the load and finds every acknowledged record in its place.
func (l *steadyLoad) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.done.Wait()
	awaitReady(t, l.n)
	for p := range l.acked {
		got := fetchAll(t, l.n, l.tp.Name, p)
		for off, v := range l.acked[p] {
			require.Less(t, int(off), len(got), "acknowledged, partition %d offset %d", p, off)
			require.Equal(t, v, got[off], "partition %d offset %d", p, off)
		}
	}
}

// inspect runs a function on the default cluster's goroutine.
func inspect[T any](t *testing.T, n *Node, do func(*clusterActor) T) T {
	t.Helper()
	f := protocol.NewFuture[T]()
	n.env.system.Root.Send(defaultCluster(n).pid.Load(), &inspectCluster{Do: func(c *clusterActor) { f.Put(do(c)) }})
	v, ok := f.Wait(time.Now().Add(patience))
	require.True(t, ok, "the cluster does not answer")
	return v
}

func brokerPID(t *testing.T, n *Node, id int) *actor.PID {
	return inspect(t, n, func(c *clusterActor) *actor.PID { return c.brokers[id].pid })
}

func brokerInfo(n *Node, id int) protocol.BrokerInfo {
	return defaultCluster(n).View().Info.Brokers[id-1]
}

func TestPanicOfAPartitionMovesItsLeadership(t *testing.T) {
	n := startNode(t, t.TempDir(), slowRaft)
	defer stopNode(t, n)
	l := startLoad(t, n, "q", 3)
	for p := range 3 {
		ref := leaderOf(t, l.tp, p)
		n.env.system.Root.Send(pidOf(ref), partitionPanic)
		late := &protocol.ProduceRequest{Lines: *oneLine(), Reply: protocol.NewFuture[protocol.ProduceResult]()}
		n.env.system.Root.Send(pidOf(ref), late) // behind it in the mailbox
		res, ok := late.Reply.Wait(time.Now().Add(patience))
		require.True(t, ok, "a request behind a panic is dropped")
		require.Equal(t, protocol.OutcomeNone, res.Err.Outcome)
		tooLate := &protocol.ProduceRequest{Lines: *oneLine(), Reply: protocol.NewFuture[protocol.ProduceResult]()}
		n.env.system.Root.Send(pidOf(ref), tooLate)
		_, ok = tooLate.Reply.Wait(time.Now().Add(patience))
		require.True(t, ok, "a request for an actor that has ended is dropped")
	}
	l.awaitAcks(20)
	t.Logf("longest time without an acknowledgement: %s", l.longest())
	l.end(t)
}

// stayFailed makes a broker that panicked wait for somebody who starts it.
func stayFailed(o *Options) { o.restartAfter = time.Hour }

func TestPanicOfABrokerIsAFailedBroker(t *testing.T) {
	n := startNode(t, t.TempDir(), slowRaft, stayFailed)
	defer stopNode(t, n)
	l := startLoad(t, n, "q", 6)
	for _, id := range []int{1, 2, 3} {
		awaitSettled(t, n)
		l.forget()
		pid := brokerPID(t, n, id)
		n.env.system.Root.Send(pid, brokerPanic)
		l.awaitAcks(20)
		t.Logf("broker %d panicked, longest time without an acknowledgement: %s", id, l.longest())
		require.Eventually(t, func() bool { return brokerInfo(n, id).State == protocol.BrokerFailed }, patience, time.Millisecond)
		require.Contains(t, brokerInfo(n, id).Error, "panicked")
		info, err := n.StartBroker(context.Background(), "default", id)
		require.Nil(t, err)
		require.Equal(t, protocol.BrokerRunning, info.State)
		require.Empty(t, brokerInfo(n, id).Error)
	}
	awaitSettled(t, n)
	l.end(t)
}

func TestABrokerThatPanickedIsStartedAgainByItself(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir(), slowRaft)
	defer stopNode(t, n)
	l := startLoad(t, n, "q", 6)
	for _, id := range []int{1, 3} {
		awaitSettled(t, n)
		pid := brokerPID(t, n, id)
		n.env.system.Root.Send(pid, brokerPanic)
		l.awaitAcks(20)
		require.Eventually(t, func() bool {
			again := !brokerPID(t, n, id).Equal(pid) // it may be back before anybody sees it failed
			info := brokerInfo(n, id)
			return again && info.State == protocol.BrokerRunning && info.Error == ""
		}, patience, time.Millisecond)
	}
	awaitSettled(t, n)
	l.end(t)
}

func TestStoppedBrokerThatPanickedStaysStopped(t *testing.T) {
	n := startNode(t, t.TempDir(), stayFailed)
	n.env.system.Root.Send(brokerPID(t, n, 3), brokerPanic)
	require.Eventually(t, func() bool { return brokerInfo(n, 3).State == protocol.BrokerFailed }, patience, time.Millisecond)
	info, err := n.StopBroker(context.Background(), "default", 3)
	require.Nil(t, err)
	require.Equal(t, protocol.BrokerStopped, info.State)
	pid := inspect(t, n, func(c *clusterActor) *actor.PID {
		c.restartBroker(nil, &restartBroker{ID: 3, PID: c.brokers[3].pid}) // the pause is over
		return c.brokers[3].pid
	})
	require.NotNil(t, pid)
	require.Equal(t, protocol.BrokerStopped, brokerInfo(n, 3).State)
	_, err = n.StartBroker(context.Background(), "default", 3)
	require.Nil(t, err)
	awaitSettled(t, n)
	n.env.system.Root.Send(brokerPID(t, n, 3), brokerPanic) // just before the end
	stopNode(t, n)
}

func TestPanicOfAClusterStartsItAgain(t *testing.T) {
	n := startNode(t, t.TempDir(), slowRaft)
	defer stopNode(t, n)
	l := startLoad(t, n, "q", 3)
	n.env.system.Root.Send(defaultCluster(n).pid.Load(), clusterPanic)
	_, _, err := n.CreateTopic(context.Background(), &protocol.TopicSpec{Name: "meanwhile"})
	require.NotNil(t, err, "a request behind the panic is answered, and not after its timeout")
	require.NotEqual(t, protocol.CodeOutcomeUnknown, err.Code)
	l.awaitAcks(20)
	l.end(t)
	awaitSettled(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "after"})
	produce(t, n, "after", 0, `1`)
}

func TestPanicOfAGroupCostsNothing(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	produce(t, n, "q", 0, `1`)
	poll := &protocol.PollRequest{ConsumerID: 7, Topics: []string{"q"}, MaxRecords: 10, MaxBytes: 1 << 20, AutoCommit: true, Timeout: patience}
	reply, err := n.Poll(poll, nil)
	require.Nil(t, err)
	require.Len(t, reply.Records, 1)
	for range 3 {
		for _, route := range defaultCluster(n).View().Partitions {
			if ref := route.Leader(); ref != nil {
				n.env.system.Root.Send(pidOf(ref), &routing.GroupRequest{Group: "consumer-7", Msg: groupPanic})
			}
		}
		produce(t, n, "q", 0, `2`)
		again := *poll
		reply, err = n.Poll(&again, nil)
		require.Nil(t, err)
		require.Len(t, reply.Records, 1, "each record once")
		require.Equal(t, `2`, string(reply.Records[0].Value))
	}
}

// TestPanicOfDiskOrNodeEndsTheProcess: and what was acknowledged is there in
// the next one.
func TestPanicOfDiskOrNodeEndsTheProcess(t *testing.T) {
	for _, name := range []string{"disk", "node"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n := startNode(t, dir)
			produce(t, n, "q", 0, `1`)
			if name == "disk" {
				n.env.system.Root.Send(n.env.disk, diskPanic)
			} else {
				n.env.system.Root.Send(n.pid, nodePanic)
			}
			select {
			case err := <-n.Failed():
				require.ErrorContains(t, err, name)
			case <-time.After(patience):
				t.Fatal("nobody is told")
			}
			if name == "disk" {
				res := tryProduce(t, n, "q", 0, `"not on disk"`)
				require.NotNil(t, res.Err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			err := n.Shutdown(ctx)
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
			require.NoError(t, ctx.Err(), "the end must not wait for anybody")
			n = startNode(t, dir)
			defer stopNode(t, n)
			require.Equal(t, `1`, fetchAll(t, n, "q", 0)[0])
		})
	}
}
