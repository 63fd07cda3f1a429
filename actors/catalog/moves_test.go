package catalog

import (
	"math/rand"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// settle lets replicas that move catch up, one after the other, until nothing is left to
// do, and holds each state against what must always be true.
func (h *clusterHarness) settle(rnd *rand.Rand) {
	h.t.Helper()
	for range 5000 {
		h.do(h.s.DecideMoves())
		var under []protocol.PartitionID
		for key, p := range h.s.partitions {
			h.requireSound(key, p)
			if len(p.Replacing) > 0 {
				under = append(under, key)
			}
		}
		require.LessOrEqual(h.t, len(under), movesAtOnce)
		if len(under) == 0 {
			if h.s.resize != nil {
				h.do(h.s.DecideRemoved())
			}
			if !h.s.Moving() {
				return
			}
			continue
		}
		slices.SortFunc(under, protocol.ComparePartitionIDs)
		h.catchUp(under[rnd.Intn(len(under))])
	}
	require.Fail(h.t, "the moves have no end", h.s.Dump())
}

func (h *clusterHarness) catchUp(key protocol.PartitionID) {
	h.t.Helper()
	r := h.s.partitions[key].Replacing[0]
	recs, err := h.s.DecideReplicaReplaced(key.TopicID, key.Partition, r.Broker, r.NewID)
	require.Nil(h.t, err)
	h.do(recs)
}

// requireSound: no broker has two replicas that a partition is to have, none has two in
// one directory, and each replica that votes is somewhere.
func (h *clusterHarness) requireSound(key protocol.PartitionID, p *Partition) {
	h.t.Helper()
	seen := map[int]bool{}
	for _, w := range p.Wanted() {
		require.False(h.t, seen[w.Broker], "%v: %+v", key, p)
		seen[w.Broker] = true
	}
	held := map[uint64]int{}
	for id, b := range h.s.brokers {
		for node := uint64(0); node < 9; node++ {
			if replica, _ := h.s.Held(p, id, node); replica != 0 && (node == b.Node || b.To != 0 && node == b.To) {
				held[replica]++
			}
		}
	}
	for _, r := range p.Replicas {
		lost := slices.ContainsFunc(p.Replacing, func(x PendingReplica) bool { return x.OldID == r.ReplicaID && !h.s.goesOn(p, &x) })
		if node := h.s.Locate(p, r.Broker); !lost && (node == h.s.brokers[r.Broker].Node || node == h.s.brokers[r.Broker].To) {
			require.Equal(h.t, 1, held[r.ReplicaID], "%v: replica %d of %+v", key, r.ReplicaID, p)
		}
	}
	for replica, n := range held {
		require.Equal(h.t, 1, n, "%v: replica %d is in %d places: %+v", key, replica, n, p)
	}
}

// onNodes places brokers 1, 2, ... at nodes.
func (h *clusterHarness) onNodes(nodes ...uint64) {
	for i, node := range nodes {
		h.do(h.s.DecideRegisterBrokers([]int{i + 1}, node, "host", int(9000+node)))
	}
}

func TestBrokerMovesToAnotherNode(t *testing.T) {
	h := newClusterHarness(t, 3)
	h.onNodes(1, 2, 3)
	_, _, _ = h.create(&protocol.TopicSpec{Name: "q"})
	rnd := rand.New(rand.NewSource(1))
	h.do(h.s.DecideMoveBroker(2, 4))
	require.Empty(t, h.s.DecideMoveBroker(2, 4))
	h.do(h.s.DecideMoves())
	assert.Equal(t, movesAtOnce, len(h.pending()))
	assert.Contains(t, h.pending(), protocol.PartitionID{TopicID: "meta-id"}, "internal topics first")
	assert.Positive(t, h.s.Progress()[2].Left)
	h.settle(rnd)
	b := h.s.BrokerAt(2)
	assert.EqualValues(t, 4, b.Node)
	assert.Zero(t, b.To)
	assert.Zero(t, h.s.Progress()[2].Left)
	assert.Equal(t, h.s.Progress()[1].Placed, h.s.Progress()[2].Placed)

	// A topic that is made meanwhile moves as well.
	h.do(h.s.DecideMoveBroker(2, 5))
	h.do(h.s.DecideMoves())
	_, _, _ = h.create(&protocol.TopicSpec{Name: "late"})
	h.settle(rnd)
	for key, p := range h.s.partitions {
		assert.EqualValues(t, 5, h.s.Locate(p, 2), "%v", key)
	}

	// Taken back, it is where it was; its replicas that had moved have moved again.
	h.do(h.s.DecideMoveBroker(2, 6))
	h.do(h.s.DecideMoves())
	for _, key := range h.pending()[:2] {
		h.catchUp(key)
	}
	h.do(h.s.DecideMoveBroker(2, 5))
	h.settle(rnd)
	assert.EqualValues(t, 5, h.s.BrokerAt(2).Node)
	assert.Empty(t, h.s.DecideMoves())
}

// The new replica of a move that is called off may vote by then: it goes only when the
// group is without it.
func TestWhatIsCalledOffStaysUntilTheGroupIsWithoutIt(t *testing.T) {
	h := newClusterHarness(t, 3)
	h.onNodes(1, 2, 3)
	key := protocol.PartitionID{TopicID: "meta-id"}
	h.do(h.s.DecideMoveBroker(2, 4))
	h.do(h.s.DecideMoves())
	moved := h.s.partitions[key].Replacing[0]
	h.do(h.s.DecideMoveBroker(2, 2))
	h.do(h.s.DecideMoves())
	p := h.s.partitions[key]
	require.True(t, p.Replacing[0].Back)
	require.Contains(t, p.Wanted(), protocol.PlacedReplica{Broker: 2, ReplicaID: moved.OldID})
	held, _ := h.s.Held(p, 2, 4)
	require.Equal(t, moved.NewID, held, "its files stay")
	held, _ = h.s.Held(p, 2, 2)
	require.Equal(t, moved.OldID, held)
	require.False(t, p.Replacing[0].Done([]uint64{1, 3, moved.NewID}))
	require.True(t, p.Replacing[0].Done([]uint64{1, moved.OldID, 3}))
	h.do(h.s.DecideMoveBroker(2, 4))
	h.do(h.s.DecideMoves())
	require.False(t, h.s.partitions[key].Replacing[0].Back, "and it may be wanted again")
	h.do(h.s.DecideMoveBroker(2, 2))
	h.settle(rand.New(rand.NewSource(4)))
	held, _ = h.s.Held(h.s.partitions[key], 2, 4)
	require.Zero(t, held)
}

// A fleet was lost while a broker was on its way, and is gathered into the directory of a
// process that is alone: nothing is elsewhere from then on, nor on its way, also not once
// that begins a fleet of its own.
func TestNothingIsElsewhereInAProcessThatIsAlone(t *testing.T) {
	h := newClusterHarness(t, 3)
	h.onNodes(1, 2, 3)
	_, _, _ = h.create(&protocol.TopicSpec{Name: "q", Partitions: ptr(6)})
	h.do(h.s.DecideMoveBroker(1, 5))
	h.settle(rand.New(rand.NewSource(7))) // has moved
	h.do(h.s.DecideMoveBroker(2, 4))
	h.do(h.s.DecideMoves())
	keys := h.pending()
	require.Len(t, keys, 4)
	h.catchUp(keys[0])
	lose := func(key protocol.PartitionID, broker int) {
		t.Helper()
		p := h.s.partitions[key]
		at := slices.IndexFunc(p.Replicas, func(r protocol.PlacedReplica) bool { return r.Broker == broker })
		_, recs, err := h.s.DecideReplaceReplica(key.TopicID, key.Partition, broker, p.Replicas[at].ReplicaID, 0)
		require.Nil(t, err)
		h.do(recs)
	}
	lose(keys[1], 2) // on its way
	lose(keys[2], 3) // which stays where it is
	lost := h.s.partitions[keys[1]].Replacing[0].NewID
	requireHere := func(node uint64) {
		t.Helper()
		for key, p := range h.s.partitions {
			for _, r := range p.Replicas {
				want := r.ReplicaID
				if key == keys[1] && r.Broker == 2 {
					want = lost
				}
				if key == keys[2] && r.Broker == 3 {
					want = p.NextReplicaID - 1
				}
				held, _ := h.s.Held(p, r.Broker, node)
				require.Equal(t, want, held, "%v on broker %d: %+v", key, r.Broker, p)
			}
		}
	}
	requireHere(0) // before it has said where they are
	h.do(h.s.DecideRegisterBrokers(h.s.brokerIDs(), 0, "h", 1))
	require.Empty(t, h.s.DecideRegisterBrokers(h.s.brokerIDs(), 0, "h", 1), "once is enough")
	requireHere(0)
	require.False(t, h.s.Moving())
	h.onNodes(1, 1, 1)
	requireHere(1)
	require.Equal(t, []protocol.PartitionID{keys[1], keys[2]}, h.pending())
	h.catchUp(keys[1])
	h.catchUp(keys[2])
	h.do(h.s.DecideGrow(4, map[int]Broker{4: {Node: 2, Host: "h", Port: 2}}, "t", 1))
	h.settle(rand.New(rand.NewSource(8)))
	require.Equal(t, ResizeDone, h.s.Resizing().Phase)
}

func (h *clusterHarness) pending() (keys []protocol.PartitionID) {
	for key, p := range h.s.partitions {
		if len(p.Replacing) > 0 {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, protocol.ComparePartitionIDs)
	return keys
}

func TestClusterGrowsAndShrinks(t *testing.T) {
	h := newClusterHarness(t, 3)
	_, _, _ = h.create(&protocol.TopicSpec{Name: "q", Partitions: ptr(12)})
	rnd := rand.New(rand.NewSource(2))
	h.do(h.s.DecideGrow(5, map[int]Broker{4: {Host: "h", Port: 1}, 5: {Host: "h", Port: 1}}, "t1", 5000))
	require.Equal(t, 5, h.s.Settings().NumBrokers)
	h.settle(rnd)
	require.Equal(t, ResizeDone, h.s.Resizing().Phase)
	loads := h.loads()
	for id := 1; id <= 5; id++ {
		assert.InDelta(t, loads[1], loads[id], 2, "%v", loads)
	}
	assert.Len(t, h.s.partitions[protocol.PartitionID{TopicID: "meta-id"}].Replicas, 5, "the metadata has as many copies as in a cluster that began so")

	recs, err := h.s.DecideShrink(2, "t2", 6000)
	require.NotNil(t, err, "topics have three copies")
	require.Empty(t, recs)
	recs, err = h.s.DecideShrink(3, "t2", 6000)
	require.Nil(t, err)
	h.do(recs)
	require.Equal(t, 5, h.s.Settings().NumBrokers, "until they are gone")
	h.settle(rnd)
	require.Equal(t, ResizeDone, h.s.Resizing().Phase)
	require.Equal(t, 3, h.s.Settings().NumBrokers)
	require.Equal(t, 3, h.s.BrokerCount())
	loads = h.loads()
	assert.Len(t, loads, 3)
	assert.Len(t, h.s.partitions[protocol.PartitionID{TopicID: "meta-id"}].Replicas, 3)
}

func (h *clusterHarness) loads() map[int]int {
	loads := map[int]int{}
	for _, p := range h.s.partitions {
		for _, r := range p.Replicas {
			loads[r.Broker]++
		}
	}
	return loads
}

// A change of mind in the middle takes the replicas back that have moved.
func TestShrinkIsTakenBack(t *testing.T) {
	h := newClusterHarness(t, 5)
	_, _, _ = h.create(&protocol.TopicSpec{Name: "q", Partitions: ptr(10)})
	recs, err := h.s.DecideShrink(3, "t1", 1)
	require.Nil(t, err)
	h.do(recs)
	h.do(h.s.DecideMoves())
	for _, key := range h.pending()[:2] {
		h.catchUp(key)
	}
	recs, err = h.s.DecideShrink(5, "t2", 2)
	require.Nil(t, err)
	h.do(recs)
	h.settle(rand.New(rand.NewSource(3)))
	require.Equal(t, 5, h.s.BrokerCount())
	loads := h.loads()
	for id := 1; id <= 5; id++ {
		assert.InDelta(t, loads[1], loads[id], 2, "%v", loads)
	}
}

// Whatever is lost, changed and begun in whatever order, the moves end, and at no time is
// a replica in two places or in none.
func TestMovesEndWhateverHappens(t *testing.T) {
	seeds := int64(25)
	if testing.Short() { // under the race detector, which finds nothing in one goroutine
		seeds = 5
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewSource(seed))
		h := newClusterHarness(t, 3+rnd.Intn(3))
		h.onNodes(1, 2, 3, 4, 5)
		_, _, _ = h.create(&protocol.TopicSpec{Name: "q", Partitions: ptr(1 + rnd.Intn(6)), ReplicationFactor: ptr(1 + rnd.Intn(3))})
		for range 60 {
			switch rnd.Intn(8) {
			case 0:
				if id := 1 + rnd.Intn(3); h.s.BrokerAt(id).To == 0 {
					h.do(h.s.DecideMoveBroker(id, uint64(1+rnd.Intn(8))))
				} else {
					h.do(h.s.DecideMoveBroker(id, h.s.BrokerAt(id).Node))
				}
			case 1:
				recs, _ := h.s.DecideShrink(3+rnd.Intn(3), "t", seed)
				h.do(recs)
			case 2: // a replica is lost where it is
				for key, p := range h.s.partitions {
					r := p.Replicas[rnd.Intn(len(p.Replicas))]
					_, recs, err := h.s.DecideReplaceReplica(key.TopicID, key.Partition, r.Broker, r.ReplicaID, h.s.MovedTo(p, r.Broker))
					require.Nil(t, err)
					h.do(recs)
					break
				}
			case 3:
				h.do(h.s.DecideRemoved())
			default:
				h.do(h.s.DecideMoves())
				if keys := h.pending(); len(keys) > 0 {
					h.catchUp(keys[rnd.Intn(len(keys))])
				}
			}
			for key, p := range h.s.partitions {
				h.requireSound(key, p)
			}
		}
		for _, key := range h.pending() {
			for len(h.s.partitions[key].Replacing) > 0 {
				h.catchUp(key)
			}
		}
		h.settle(rnd)
	}
}
