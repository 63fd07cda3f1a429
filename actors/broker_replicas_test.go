package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/supervise"
	"ottla/logfile"
	"ottla/protocol"
)

func stopBroker2(t *testing.T, n *Node) {
	t.Helper()
	_, err := n.StopBroker(context.Background(), "default", 2)
	require.Nil(t, err)
}

func startBroker2(t *testing.T, n *Node) {
	t.Helper()
	_, err := n.StartBroker(context.Background(), "default", 2)
	require.Nil(t, err)
}

// awaitForgotten waits until every deleted topic is gone from all brokers and
// from the metadata.
func awaitForgotten(t *testing.T, n *Node) {
	t.Helper()
	require.Eventually(t, func() bool {
		left := protocol.NewFuture[int]()
		n.env.system.Root.Send(defaultCluster(n).pid.Load(), &inspectCluster{Do: func(c *clusterActor) {
			left.Put(len(c.state.Deleted()) + len(c.dropping))
		}})
		got, ok := left.Wait(time.Now().Add(time.Second))
		return ok && got == 0
	}, patience, 10*time.Millisecond, "a deleted topic is not forgotten")
}

func TestTopicIsMadeAnewWhileABrokerIsStopped(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	partitions := 8
	for i := range 5 {
		createTestTopic(t, n, &protocol.TopicSpec{Name: "again", Partitions: ptr(partitions)})
		stopBroker2(t, n)
		require.Nil(t, n.DeleteTopic(context.Background(), "", "again"))
		createTestTopic(t, n, &protocol.TopicSpec{Name: "again", Partitions: ptr(partitions)})
		startBroker2(t, n)
		awaitSettled(t, n)
		awaitForgotten(t, n)
		produce(t, n, "again", 0, fmt.Sprint(i))
		require.Equal(t, []string{fmt.Sprint(i)}, fetchAll(t, n, "again", 0))
		require.Nil(t, n.DeleteTopic(context.Background(), "", "again"))
	}
}

func TestTopicIsDeletedWhileABrokerStops(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	for range 8 {
		createTestTopic(t, n, &protocol.TopicSpec{Name: "brief", Partitions: ptr(8)})
		stopped := make(chan *protocol.Error)
		go func() {
			_, err := n.StopBroker(context.Background(), "default", 2)
			stopped <- err
		}()
		require.Nil(t, n.DeleteTopic(context.Background(), "", "brief"))
		require.Nil(t, <-stopped)
		startBroker2(t, n)
		awaitForgotten(t, n)
	}
	awaitSettled(t, n)
}

func TestBrokerStopsWhileItsReplicasAreMade(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	for i := range 4 {
		name := fmt.Sprintf("many%d", i)
		made := make(chan *protocol.Error)
		go func() {
			for until := time.Now().Add(patience); ; {
				_, _, err := n.CreateTopic(context.Background(), &protocol.TopicSpec{Name: name, Partitions: ptr(30)})
				// On a busy machine elections take long: who asks again is told when they are over.
				if err == nil || !err.Code.Retriable || err.Outcome == protocol.OutcomeUnknown || time.Now().After(until) {
					made <- err
					return
				}
			}
		}()
		stopBroker2(t, n)
		startBroker2(t, n)
		require.Nil(t, <-made)
		awaitSettled(t, n)
	}
}

// TestLeftOverDirectoryIsPutAside: a crash may come between the ledger's
// forgetting a replica and the renaming of its directory.
func TestLeftOverDirectoryIsPutAside(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	defer stopNode(t, n)
	place := filepath.Join(dir, "default", "broker-2", "taken-0")
	old := partitionSpec{
		id:  logfile.Identity{ClusterID: "c", TopicID: "old", Topic: "taken", Broker: 2, ReplicaID: 7},
		dir: place, founders: []uint64{7},
	}
	require.NoError(t, old.create(n.env))
	createTestTopic(t, n, &protocol.TopicSpec{Name: "taken", Partitions: ptr(1)})
	awaitSettled(t, n)
	require.DirExists(t, place+".replaced-7")
}

// TestDamagedLeftOverIsPutAside: the ledger has nothing of what stands there,
// and it does not even say what it is. Refused, it was in the way of every
// replica that was to take the place, thousands of them a minute.
func TestDamagedLeftOverIsPutAside(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	defer stopNode(t, n)
	place := filepath.Join(dir, "default", "broker-2", "taken-0")
	require.NoError(t, os.MkdirAll(place, 0o755))
	segment := filepath.Join(place, "00000000000000000000.log")
	require.NoError(t, os.WriteFile(segment, make([]byte, 148), 0o644))
	createTestTopic(t, n, &protocol.TopicSpec{Name: "taken", Partitions: ptr(1)})
	awaitSettled(t, n)
	aside, err := filepath.Glob(place + ".replaced-*")
	require.NoError(t, err)
	require.Len(t, aside, 1)
	produce(t, n, "taken", 0, "v")
	require.Equal(t, []string{"v"}, fetchAll(t, n, "taken", 0))
}

// A change of placement between the last broker's answer and the record that
// forgets the topic asks all brokers once more; with a stopped one among them,
// that round never ends.
func TestForgottenTopicIsNotDroppedAnyMore(t *testing.T) {
	c := &clusterActor{
		state:    catalog.New(),
		dropping: map[string]map[int]bool{"being deleted": {2: true}, "forgotten": {2: false}},
	}
	c.state.Deleted()["being deleted"] = catalog.DeletedTopic{}
	c.removeDeleted(nil) // nobody is asked, so nothing is sent
	require.Equal(t, map[string]map[int]bool{"being deleted": {2: true}}, c.dropping)
}

// A topic that is deleted before its replica could be made, because the
// directory was still another's, leaves nothing behind.
func TestDroppedTopicIsNotMadeOnceItsDirectoryIsFree(t *testing.T) {
	system := actor.NewActorSystem(actor.WithLoggerFactory(supervise.QuietLogger(slog.New(slog.DiscardHandler))))
	dir := t.TempDir()
	require.NoError(t, datadir.CreateLedger(dir, "c", 2))
	l, err := datadir.OpenLedger(dir, "c", 2, 0)
	require.NoError(t, err)
	told := make(chan any, 8)
	parent := system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if m, ok := ctx.Message().(*topicDropped); ok {
			told <- m
		}
	}))
	b := &brokerActor{
		env: &environment{fs: logfile.OSFS{}, system: system}, cluster: datadir.ClusterManifest{ID: "c"}, id: 2, dir: dir, parent: parent,
		state: brokerRunning, ledger: l, log: slog.New(slog.DiscardHandler), work: &sync.WaitGroup{},
		replicas: map[protocol.PartitionID]*localReplica{}, busy: map[string]*busyDirectory{}, down: map[protocol.PartitionID]*downReplica{},
	}
	pid := system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case func(actor.Context):
			m(ctx)
		case *topicDropped:
			b.dropped(ctx, m)
		}
	}))
	place := b.replicaDir("again", 0)
	spec := func(topic string, replica uint64) partitionSpec {
		return partitionSpec{id: logfile.Identity{ClusterID: "c", TopicID: topic, Topic: "again", Broker: 2, ReplicaID: replica}}
	}
	system.Root.Send(pid, func(ctx actor.Context) {
		b.busy[place] = &busyDirectory{} // the first topic of that name is on its way out
		b.ensure(ctx, []partitionSpec{spec("second", 2)})
		b.ensure(ctx, []partitionSpec{spec("third", 2)})
		b.drop(ctx, "second")
	})
	require.Equal(t, "second", (<-told).(*topicDropped).TopicID)
	wanted := protocol.NewFuture[[]string]()
	system.Root.Send(pid, func(ctx actor.Context) {
		b.free(ctx, place)
		var topics []string
		for key := range b.replicas {
			topics = append(topics, key.TopicID)
		}
		wanted.Put(topics)
	})
	topics, ok := wanted.Wait(time.Now().Add(patience))
	require.True(t, ok)
	require.Equal(t, []string{"third"}, topics)
	b.work.Wait() // its log is made
	require.DirExists(t, place)
}

// The process may end while the files of a replica that is elsewhere are being removed: a large
// log takes long, and nobody would ever ask for the release of one that is marked.
func TestFilesOfAMovedReplicaGoAfterTheProcessHasEnded(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	_, _, err := n.CreateTopic(t.Context(), &protocol.TopicSpec{Name: "moved"})
	require.Nil(t, err)
	awaitSettled(t, n)
	_, err = n.StopBroker(t.Context(), protocol.DefaultCluster, 1)
	require.Nil(t, err)

	dir := filepath.Join(n.env.opt.DataDir, protocol.DefaultCluster, "broker-1")
	id := defaultCluster(n).manifest.ID
	ledger, lerr := datadir.OpenLedger(dir, id, 1, 0)
	require.NoError(t, lerr)
	gone := datadir.Replica{TopicID: "t", Topic: "gone", Partition: 3, ReplicaID: 7, State: datadir.ReplicaLive}
	kept := datadir.Replica{TopicID: "t", Topic: "kept", Partition: 4, ReplicaID: 8, State: datadir.ReplicaLive}
	require.NoError(t, ledger.Add(gone, kept))
	require.NoError(t, ledger.Mark(datadir.ReplicaDeleted, gone.Key()))
	for _, r := range []datadir.Replica{gone, kept} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, r.MovedDir()), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, r.MovedDir(), "00000000000000000000.log"), []byte("x"), 0o644))
	}
	_, err = n.StartBroker(t.Context(), protocol.DefaultCluster, 1)
	require.Nil(t, err)
	require.Eventually(t, func() bool {
		_, serr := os.Stat(filepath.Join(dir, gone.MovedDir()))
		return errors.Is(serr, os.ErrNotExist)
	}, patience, 10*time.Millisecond)
	require.DirExists(t, filepath.Join(dir, kept.MovedDir()), "the ledger has this one")
	_, err = n.StopBroker(t.Context(), protocol.DefaultCluster, 1)
	require.Nil(t, err)
	ledger, lerr = datadir.OpenLedger(dir, id, 1, 0)
	require.NoError(t, lerr)
	for _, r := range ledger.Replicas() {
		require.NotEqual(t, gone.Key(), r.Key())
	}
}
