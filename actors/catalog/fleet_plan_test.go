package catalog

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// fleetHarness is a fleet of nodes 1, 2, ..., the first three of which have founded it.
type fleetHarness struct {
	*clusterHarness
	f    *Fleet
	dead map[uint64]bool
}

func newFleetHarness(t *testing.T, racks ...string) *fleetHarness {
	h := &fleetHarness{clusterHarness: &clusterHarness{t: t, s: New()}, dead: map[uint64]bool{}}
	h.f = &Fleet{
		Own:    &PlacedCluster{Settings: ClusterSettings{ID: "own", Name: FleetName, ReplicationFactor: 3}, Nodes: []uint64{1, 2, 3}, Phase: PlacedCreated},
		Alive:  func(id uint64) bool { return !h.dead[id] },
		Copies: func(string) int { return 0 },
	}
	for i, rack := range racks {
		_, recs, err := h.s.DecideRegisterNode(FleetNode{UUID: string(rune('a' + i)), Name: string(rune('a' + i)), Rack: rack})
		require.Nil(t, err)
		h.do(recs)
	}
	return h
}

// cluster places a cluster whose brokers are at these nodes.
func (h *fleetHarness) cluster(id string, copies int, nodes ...uint64) {
	h.do([]metarecord.Record{placedRecord(PlacedCluster{
		Settings: ClusterSettings{ID: id, Name: id, NumBrokers: len(nodes), ReplicationFactor: copies}, Nodes: nodes, Phase: PlacedCreated,
	})})
}

// arrive has all brokers arrive where they move to.
func (h *fleetHarness) arrive() {
	for id, p := range h.s.placed {
		for b := range p.Nodes {
			h.do(h.s.DecideBrokerArrived(id, b+1, h.s.placed[id].Moves[b+1].Epoch, h.s.placed[id].Aim(b+1)))
		}
	}
	h.do(h.s.DecideNodesGone(h.f.Own))
}

func TestDecommission(t *testing.T) {
	h := newFleetHarness(t, "", "", "", "")
	h.cluster("c", 3, 1, 2, 3)
	task, recs, err := h.s.DecideDecommission(2, h.f, "t", 5)
	require.Nil(t, err)
	h.do(recs)
	require.Equal(t, []TaskBroker{{"c", 2, 4}, {"own", 2, 4}}, task.Brokers)
	require.True(t, h.s.nodes[2].Leaving)
	again, recs, err := h.s.DecideDecommission(2, h.f, "u", 6)
	require.Nil(t, err)
	require.Empty(t, recs)
	require.Equal(t, "t", again.ID)
	require.Empty(t, h.s.DecideNodesGone(h.f.Own), "it has its brokers yet")
	require.Empty(t, h.s.DecideBrokerArrived("c", 2, 1, 3), "that is not where it moves to")
	require.Empty(t, h.s.DecideBrokerArrived("c", 2, 1, 2), "nobody has called the move off")
	require.Empty(t, h.s.DecideBrokerArrived("c", 2, 7, 4), "that was another move")
	h.arrive()
	require.True(t, h.s.nodes[2].Gone)
	require.Equal(t, []uint64{1, 4, 3}, h.s.placed["c"].Nodes)
	require.Equal(t, []uint64{1, 4, 3}, h.s.placed["own"].Nodes, "a founder leaves the metadata too")
	_, _, err = h.s.DecideDecommission(2, h.f, "v", 7)
	require.NotNil(t, err)
	_, _, err = h.s.DecideRegisterNode(FleetNode{UUID: "b", Name: "b"})
	require.NotNil(t, err, "it may not come back")
}

func TestDecommissionIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(h *fleetHarness)
		node    uint64
		says    string
	}{
		"copies would come together": {func(h *fleetHarness) { h.cluster("c", 3, 1, 2, 3) }, 2, "its brokers would be at 2 only"},
		"a topic has more copies than is usual": {func(h *fleetHarness) {
			h.cluster("c", 1, 1, 2, 3)
			h.f.Copies = func(string) int { return 3 }
		}, 2, "at 3 nodes"},
		"it is not heard of":    {func(h *fleetHarness) { h.dead[3] = true }, 3, "not heard of"},
		"too many are away":     {func(h *fleetHarness) { h.dead[1], h.dead[3] = true, true }, 2, "too few"},
		"there is no such node": {func(*fleetHarness) {}, 9, "no node 9"},
		"nowhere to go":         {func(h *fleetHarness) { h.s.nodes[1].Draining, h.s.nodes[3].Leaving = true, true }, 2, "no other node"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFleetHarness(t, "", "", "")
			c.prepare(h)
			_, recs, err := h.s.DecideDecommission(c.node, h.f, "t", 5)
			require.NotNil(t, err)
			require.Contains(t, err.Message, c.says)
			require.Empty(t, recs)
		})
	}
	h := newFleetHarness(t, "", "", "")
	h.cluster("c", 2, 1, 2, 3)
	_, _, err := h.s.DecideDecommission(2, h.f, "t", 5)
	require.Nil(t, err, "two copies fit on two nodes")
}

// What has arrived stays, what is on its way returns.
func TestDecommissionIsCalledOff(t *testing.T) {
	h := newFleetHarness(t, "", "", "", "")
	h.cluster("c", 3, 1, 2, 3)
	h.cluster("d", 3, 1, 2, 3)
	_, recs, err := h.s.DecideDecommission(2, h.f, "t", 5)
	require.Nil(t, err)
	h.do(recs)
	h.do(h.s.DecideBrokerArrived("c", 2, h.s.placed["c"].Moves[2].Epoch, 4))
	recs, err = h.s.DecideStay(2)
	require.Nil(t, err)
	h.do(recs)
	require.False(t, h.s.nodes[2].Leaving)
	require.True(t, h.s.tasks["t"].Cancelled)
	require.EqualValues(t, 4, h.s.placed["c"].Aim(2))
	require.EqualValues(t, 2, h.s.placed["d"].Aim(2))
	require.Len(t, h.s.placed["d"].Moves, 1, "its directory there goes when all is back")
	_, err = h.s.DecideStay(2)
	require.NotNil(t, err)
	h.arrive()
	require.Equal(t, []uint64{1, 2, 3}, h.s.placed["d"].Nodes)
	require.False(t, h.s.nodes[2].Gone)
}

// The cluster knows first that a broker has arrived. Where the move is called off before
// the fleet knows, the broker stays where it is, and others can be moved afterwards.
func TestDecommissionIsCalledOffTooLate(t *testing.T) {
	h := newFleetHarness(t, "", "", "", "")
	h.cluster("c", 3, 1, 2, 3)
	_, recs, err := h.s.DecideDecommission(2, h.f, "t", 5)
	require.Nil(t, err)
	h.do(recs)
	move := h.s.placed["c"].Moves[2]
	recs, err = h.s.DecideStay(2)
	require.Nil(t, err)
	h.do(recs)
	require.EqualValues(t, 2, h.s.placed["c"].Aim(2))
	h.do(h.s.DecideBrokerArrived("c", 2, move.Epoch, move.Node))
	require.Equal(t, []uint64{1, 4, 3}, h.s.placed["c"].Nodes)
	require.Empty(t, h.s.placed["c"].Moves)
	require.Empty(t, h.s.DecideBrokerArrived("c", 2, move.Epoch, 2), "it is known to be elsewhere")
	_, _, err = h.s.DecideRebalance(h.f, "u", 6)
	require.NotNil(t, err, "the fleet's own broker is on its way back")
	h.arrive()
	_, _, err = h.s.DecideRebalance(h.f, "u", 6)
	require.Nil(t, err)
}

// A broker that had arrived at a node that is lost is made again where it was.
func TestNobodyArrivesAtALostNode(t *testing.T) {
	h := newFleetHarness(t, "", "", "", "")
	h.cluster("c", 3, 1, 2, 3)
	_, recs, err := h.s.DecideDecommission(2, h.f, "t", 5)
	require.Nil(t, err)
	h.do(recs)
	move := h.s.placed["c"].Moves[2]
	_, recs, err = h.s.DecideReplaceNode(4, 3, h.f.Own, func(id uint64) bool { return id != 4 }, "u", 6)
	require.Nil(t, err)
	h.do(recs)
	require.Empty(t, h.s.DecideBrokerArrived("c", 2, move.Epoch, 4))
	h.do(h.s.DecideBrokerArrived("c", 2, move.Epoch, 2))
	require.Equal(t, []uint64{1, 2, 3}, h.s.placed["c"].Nodes)
}

func TestRebalance(t *testing.T) {
	h := newFleetHarness(t, "", "", "", "")
	for _, id := range []string{"c", "d", "e", "f"} {
		h.cluster(id, 3, 1, 2, 3)
	}
	task, recs, err := h.s.DecideRebalance(h.f, "t", 5)
	require.Nil(t, err)
	h.do(recs)
	require.Len(t, task.Brokers, 3)
	_, _, err = h.s.DecideRebalance(h.f, "u", 6)
	require.NotNil(t, err, "brokers are on their way")
	h.arrive()
	load := map[uint64]int{}
	for id, p := range h.s.placed {
		require.Equal(t, 3, p.apart(), id)
		for _, n := range p.Nodes {
			load[n]++
		}
	}
	require.Equal(t, map[uint64]int{1: 3, 2: 3, 3: 3, 4: 3}, load)
	task, recs, err = h.s.DecideRebalance(h.f, "u", 6)
	require.Nil(t, err)
	require.Empty(t, task.Brokers)
	require.Len(t, recs, 1, "a task of nothing")
}

// A cluster made by one process spreads over the nodes that join it; brokers do not
// come together in a rack to be even.
func TestRebalanceSpreads(t *testing.T) {
	h := newFleetHarness(t, "r1", "r1", "r2", "r3")
	h.cluster("c", 3, 1, 1, 1)
	h.cluster("d", 3, 2, 3, 4)
	_, recs, err := h.s.DecideRebalance(h.f, "t", 5)
	require.Nil(t, err)
	h.do(recs)
	h.arrive()
	racks := map[string]bool{}
	for _, n := range h.s.placed["c"].Nodes {
		racks[h.s.nodes[n].Rack] = true
	}
	require.Len(t, racks, 3)
	require.Equal(t, []uint64{2, 3, 4}, h.s.placed["d"].Nodes)
}

// A lost node is replaced while brokers move from it or to it.
func TestReplaceWhileBrokersMove(t *testing.T) {
	for lost, nodes := range map[uint64][]uint64{2: {1, 5, 3}, 4: {1, 2, 3}} {
		h := newFleetHarness(t, "", "", "", "", "")
		h.cluster("c", 3, 1, 2, 3)
		_, recs, err := h.s.DecideDecommission(2, h.f, "t", 5)
		require.Nil(t, err)
		h.do(recs)
		require.EqualValues(t, 4, h.s.placed["c"].Aim(2))
		h.dead[lost] = true
		_, recs, err = h.s.DecideReplaceNode(lost, 5, h.f.Own, h.f.Alive, "u", 6)
		require.Nil(t, err)
		h.do(recs)
		h.arrive()
		assert.Equal(t, nodes, h.s.placed["c"].Nodes, "node %d is lost", lost)
		assert.Empty(t, h.s.placed["c"].Moves)
		assert.True(t, h.s.nodes[lost].Gone)
	}
}

// Whoever takes the place of a lost node does not get a second part of the fleet's metadata
// while another node has none.
func TestReplacedPartOfTheMetadataStaysApart(t *testing.T) {
	h := newFleetHarness(t, "", "", "", "", "")
	h.cluster("c", 3, 1, 2, 3)
	h.dead[2] = true
	_, recs, err := h.s.DecideReplaceNode(2, 1, h.f.Own, h.f.Alive, "t", 5)
	require.Nil(t, err)
	h.do(recs)
	assert.Equal(t, []uint64{1, 4, 3}, h.s.placed["own"].Nodes)
	assert.Equal(t, []uint64{1, 1, 3}, h.s.placed["c"].Nodes, "as it was asked for")
	h.dead[3], h.dead[5] = true, true
	_, recs, err = h.s.DecideReplaceNode(3, 1, h.f.Own, h.f.Alive, "u", 6)
	require.Nil(t, err)
	h.do(recs)
	assert.Equal(t, []uint64{1, 4, 1}, h.s.placed["own"].Nodes, "there is nobody else")
}

func TestFleetsMetadataIsHeldByAnOddNumber(t *testing.T) {
	h := newFleetHarness(t, "", "", "", "")
	assert.Equal(t, 3, h.s.Voters(h.f.Own, h.f.Alive))
	h.dead[4] = true
	assert.Equal(t, 3, h.s.Voters(h.f.Own, h.f.Alive), "no fewer than hold it")
	h = newFleetHarness(t, "", "", "", "", "", "")
	assert.Equal(t, 5, h.s.Voters(h.f.Own, h.f.Alive))
	h.do([]metarecord.Record{placedRecord(*h.f.Own)})
	recs, err := h.s.DecideGrowPlaced("own", 5, h.f)
	require.Nil(t, err)
	h.do(recs)
	assert.Equal(t, []uint64{1, 2, 3, 4, 5}, h.s.placed["own"].Nodes)
}

func TestPlacedClusterGrowsAndShrinks(t *testing.T) {
	h := newFleetHarness(t, "", "", "", "")
	h.cluster("c", 3, 1, 2, 3)
	recs, err := h.s.DecideGrowPlaced("c", 5, h.f)
	require.Nil(t, err)
	h.do(recs)
	require.EqualValues(t, 4, h.s.placed["c"].Nodes[3])
	require.Len(t, h.s.placed["c"].Nodes, 5)
	_, err = h.s.DecideGrowPlaced("c", 10, h.f)
	require.NotNil(t, err)
	require.Equal(t, protocol.CodeNotAllowed, err.Code)
	h.do(h.s.DecideShrunkPlaced("c", 2))
	require.Equal(t, []uint64{1, 2}, h.s.placed["c"].Nodes)
	require.Equal(t, 2, h.s.placed["c"].Settings.ReplicationFactor)
}

// TestMovesHaveRoom: no node is given the replicas of a broker for which it has no room.
func TestMovesHaveRoom(t *testing.T) {
	h := newFleetHarness(t, "", "", "", "")
	h.cluster("c", 3, 1, 2, 3)
	h.cluster("d", 1, 4)
	carried := map[string]map[uint64]int{"c": {1: 100, 2: 100, 3: 100}, "d": {4: 50}}
	h.f.Replicas = func(cluster string) map[uint64]int { return carried[cluster] }

	h.f.Room = 124 // 75 of c's 300 are for a fourth broker
	_, err := h.s.DecideGrowPlaced("c", 4, h.f)
	require.NotNil(t, err)
	require.Equal(t, protocol.CodeTooManyPartitions, err.Code)
	require.Equal(t, map[string]any{"limit": 124, "used": 50, "asked": 75}, err.Details)
	h.f.Room = 125
	recs, err := h.s.DecideGrowPlaced("c", 4, h.f)
	require.Nil(t, err)
	require.NotEmpty(t, recs)
	_, err = h.s.DecideGrowPlaced("c", 5, h.f)
	require.NotNil(t, err)
	require.Equal(t, protocol.CodeTooManyPartitions, err.Code)

	h.f.Room = 149 // a broker of c has 100
	_, _, err = h.s.DecideDecommission(2, h.f, "t", 5)
	require.NotNil(t, err)
	require.Equal(t, protocol.CodeTooManyPartitions, err.Code)
	h.f.Room = 150
	task, _, err := h.s.DecideDecommission(2, h.f, "t", 5)
	require.Nil(t, err)
	require.Equal(t, []TaskBroker{{"c", 2, 4}, {"own", 2, 4}}, task.Brokers)

	h.cluster("one", 1, 4) // all its brokers stay where they are
	carried["one"] = map[uint64]int{4: 1000}
	_, err = h.s.DecideGrowPlaced("one", 2, h.f)
	require.Nil(t, err)
	h.f.Room = 1 // nothing moves from a node that carries too much to one that does, too
	_, recs, err = h.s.DecideRebalance(h.f, "r", 6)
	require.Nil(t, err)
	for _, p := range h.s.placed {
		require.Empty(t, p.Moves, recs)
	}
}
