package actors

import (
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/peers"
	"ottla/actors/routing"
	"ottla/protocol"
)

// newFleetWithClocks founds a fleet of three nodes with clocks of their own.
func newFleetWithClocks(t *testing.T) *testFleet {
	t.Helper()
	f := prepareFleet(t, 3)
	f.clocks = map[int]*atomic.Int64{1: {}, 2: {}, 3: {}}
	f.beginAll()
	return f
}

// coordinates is the node that leads the partition of a group, 0 if none does.
func (f *testFleet) coordinates(group string) int {
	for i, n := range f.nodes {
		t, err := n.LookupTopic("", protocol.OffsetsTopic, false, time.Time{})
		if err != nil {
			continue
		}
		partitions := routing.Of(t).Partitions
		if l := partitions[routing.GroupPartition(group, len(partitions))].Leader(); l != nil {
			if _, here := l.Leader.(*peers.LocalLeader); here {
				return i
			}
		}
	}
	return 0
}

// The clock of a queue's coordinator is set by an hour: records stay with their workers for
// as long as was said, not less and not for an hour more; the wrong node says so, others
// lead, and when it is put right it says nothing any more.
func TestACoordinatorWhoseClockIsAnHourOff(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			f := newFleetWithClocks(t)
			createTestTopic(t, f.nodes[1], &protocol.TopicSpec{Name: "jobs", Partitions: ptr(1)})
			wait := int64(3000)
			putQueue(t, f.nodes[1], "w", "jobs", func(s *protocol.QueueSpec) { s.AckWaitMs = &wait })
			produce(t, f.nodes[1], "jobs", 0, `1`)
			wrong := 0
			require.Eventually(t, func() bool { wrong = f.coordinates("w"); return wrong != 0 }, patience, time.Millisecond)
			well := wrong%3 + 1
			given := takeRecords(t, f.nodes[well], "w", "jobs", 1, patience)
			require.Len(t, given, 1)
			deadline := time.UnixMilli(given[0].Delivery.Deadline)
			f.clocks[wrong].Store(int64(by))

			require.Eventually(t, func() bool { at := f.coordinates("w"); return at != 0 && at != wrong }, patience, time.Millisecond)
			require.Eventually(t, func() bool { // another node may lead for another reason, and a disk may be slow
				return blamesClock(f.nodes[wrong], "the clock of this node is 1h0m0s "+name)
			}, patience, time.Millisecond)
			require.True(t, f.nodes[wrong].Metrics().ClockWrong)
			require.False(t, blamesClock(f.nodes[well], ""))
			f.goesByOthers(wrong)

			again := takeRecords(t, f.nodes[well], "w", "jobs", 1, patience)
			require.Len(t, again, 1, "it is not held for an hour")
			require.False(t, time.Now().Before(deadline), "it is not given before its deadline")
			sayAll(t, f.nodes[wrong], protocol.VerbAck, again...)

			f.clocks[wrong].Store(0)
			require.Eventually(t, func() bool { return len(f.nodes[wrong].Readiness().Degraded) == 0 }, patience, time.Millisecond)
			require.False(t, f.nodes[wrong].Metrics().ClockWrong)
		})
	}
}

// blamesClock reports whether a node says that its clock is wrong, in these words.
func blamesClock(n *Node, words string) bool {
	return slices.ContainsFunc(n.Readiness().Degraded, func(d protocol.PartitionStatus) bool {
		return strings.Contains(d.Reason, "the clock of this node") && strings.Contains(d.Reason, words)
	})
}

// goesByOthers waits until a node's time is about that of the others, and so of this test.
func (f *testFleet) goesByOthers(i int) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		return math.Abs(float64(time.Now().UnixMilli()-f.nodes[i].Millis())) < 500
	}, patience, time.Millisecond)
}

// A node that is started with a wrong clock leads nothing while others can, and what it
// writes all the same has the time of the others.
func TestANodeStartsWithAWrongClock(t *testing.T) {
	f := newFleetWithClocks(t)
	produce(t, f.nodes[1], "q", 0, `1`)
	f.stop(3)
	f.clocks[3].Store(int64(-time.Hour))
	f.start(3)
	require.Eventually(t, func() bool { return f.nodes[3].Metrics().ClockWrong }, patience, time.Millisecond)
	for range 20 {
		produce(t, f.nodes[3], "q", 0, `2`)
		require.NotEqual(t, 3, f.leads("q"))
	}
	f.goesByOthers(3)
	f.stop(1) // two are left: the wrong one goes by what it has heard
	produce(t, f.nodes[3], "q", 0, `3`)
	f.goesByOthers(3)
}
