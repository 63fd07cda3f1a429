package actors

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/coordinator"
	"ottla/actors/datadir"
	"ottla/actors/remedy"
	"ottla/actors/replica"
	"ottla/protocol"
)

// awaitFault waits until readiness names a fault of a broker's replica.
func awaitFault(t *testing.T, n *Node, broker int, fault replica.Fault) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		r := n.Readiness()
		reasons := ""
		for _, s := range append(r.Degraded, r.Leaderless...) {
			reasons += s.Reason
		}
		assert.Contains(c, reasons, fmt.Sprintf("broker %d: %s: ", broker, fault))
	}, patience, time.Millisecond)
}

// A log that cannot be opened for a reason that may pass is opened once that
// has passed, under its id, without anybody starting the broker again.
func TestReplicaThatCannotBeOpenedIsTriedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := startNode(t, dir)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "shut", Partitions: ptr(1)})
	produce(t, n, "shut", 0, `1`)
	awaitSameLines(t, dir, "shut", 0)
	stopNode(t, n)
	path := filepath.Join(dir, "default", datadir.BrokerDirName(2), "shut-0", "00000000000000000000.log")
	require.NoError(t, os.Rename(path, path+".kept"))
	require.NoError(t, os.Symlink(path, path)) // opening it fails, and it is neither damaged nor missing

	n = startNode(t, dir)
	defer stopNode(t, n)
	awaitFault(t, n, 2, replica.FaultOpen)
	produce(t, n, "shut", 0, `2`)
	require.NoError(t, os.Rename(path+".kept", path)) // in one step: it is never missing
	awaitSettled(t, n)
	awaitSameLines(t, dir, "shut", 0)
	require.Empty(t, replicaDirs(t, dir, 2, "shut-0.replaced"), "it is the same replica")
	require.Eventually(t, func() bool { return len(n.Readiness().Degraded) == 0 }, patience, time.Millisecond, "but for a disk that was slow a moment ago")
}

// A replica that panics gives way to the next leader, is named, and comes back.
func TestReplicaThatPanicsComesBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := startNode(t, dir)
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "bug", Partitions: ptr(1)})
	produce(t, n, "bug", 0, `1`)
	awaitSettled(t, n)
	tp, perr := n.LookupTopic("", "bug", false, time.Time{})
	require.Nil(t, perr)
	ref := leaderOf(t, tp, 0)
	n.env.system.Root.Send(pidOf(ref), &coordinator.ConfirmRead{Done: func(*protocol.Error) { panic("a fault of the test") }})
	awaitFault(t, n, ref.Broker, replica.FaultPanic)
	produce(t, n, "bug", 0, `2`)
	awaitSettled(t, n)
	awaitSameLines(t, dir, "bug", 0)
	require.Equal(t, []string{`1`, `2`}, fetchAll(t, n, "bug", 0))
	require.Empty(t, replicaDirs(t, dir, ref.Broker, "bug-0.replaced"))
}

// Damage that is not found again when it is to be mended, and comes back once
// the replica runs, is looked for after a pause, and after a longer one each
// time; what was found is mended at once.
func TestDamageThatIsNotFoundAgainWaits(t *testing.T) {
	now := time.Unix(1000, 0)
	key := protocol.PartitionID{TopicID: "t"}
	b := &brokerActor{
		env: &environment{now: func() time.Time { return now }}, state: brokerRunning,
		down: map[protocol.PartitionID]*downReplica{}, replicas: map[protocol.PartitionID]*localReplica{},
	}
	b.replicas[key] = &localReplica{pid: &actor.PID{}} // its actor has not ended yet
	b.replicas[key].spec.id.ReplicaID = 7
	// story is one turn: damage, mending, which finds it or not, and running again.
	story := func(found bool) (pause time.Duration) {
		a := b.down[key]
		if a == nil {
			a = &downReplica{replica: 7}
			b.down[key] = a
		}
		a.Down(now, replica.FaultDamage)
		b.mendReplica(nil, &mendReplica{Key: key, Replica: 7})
		require.NotNil(t, a.mend)
		require.False(t, a.At.IsZero())
		pause = a.At.Sub(now)
		now = a.At
		a.NothingFound = !found
		if a.mend = nil; !a.Up(now) {
			delete(b.down, key)
		}
		b.mendReplica(nil, &mendReplica{Key: key, Replica: 7}) // asked for late
		if a := b.down[key]; a != nil {
			require.Nil(t, a.mend, "it runs")
		}
		return pause
	}
	for range 3 {
		require.Zero(t, story(true))
	}
	require.Zero(t, story(false))
	s := time.Second
	for i, want := range []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s} {
		require.Equal(t, want, story(false), "turn %d", i)
	}
	now = now.Add(remedy.ForgottenAfter + 1)
	require.Zero(t, story(false), "another story")
	require.Equal(t, s, story(true))
	require.Zero(t, story(true))
}
