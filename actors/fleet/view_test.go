package fleet

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/link"
	"ottla/protocol"
)

// three is a fleet of nodes 1 to 3, with a cluster of a broker at each and its own
// metadata as a cluster.
func three() *View {
	v := &View{Nodes: map[uint64]*catalog.FleetNode{}, Placed: map[string]*catalog.PlacedCluster{}, Tasks: map[string]*catalog.FleetTask{}}
	for id := uint64(1); id <= 3; id++ {
		v.Nodes[id] = &catalog.FleetNode{ID: id, UUID: string(rune('a' + id)), Name: "n"}
	}
	v.Placed["c"] = &catalog.PlacedCluster{
		Settings: catalog.ClusterSettings{ID: "c", Name: "calm", NumBrokers: 4, LogDirectory: "calm"}, Nodes: []uint64{1, 2, 3, 1}, Phase: catalog.PlacedCreated,
	}
	v.Placed["f"] = &catalog.PlacedCluster{Settings: catalog.ClusterSettings{ID: "f", Name: catalog.FleetName}, Nodes: []uint64{1, 2, 3}, Phase: catalog.PlacedCreated}
	return v
}

func TestInfos(t *testing.T) {
	v := three()
	v.Nodes[2].Draining, v.Nodes[3].Gone = true, true
	infos := v.infos(func(id uint64) bool { return id != 1 })
	require.Len(t, infos, 3)
	for i, state := range []string{protocol.NodeUnreachable, protocol.NodeDraining, protocol.NodeGone} {
		assert.Equal(t, state, infos[i].State)
	}
	assert.Equal(t, []protocol.NodeBroker{{Cluster: "calm", ID: 1}, {Cluster: "calm", ID: 4}}, infos[0].Brokers, "the fleet's own are not shown")
	assert.Len(t, v.peersOf(1), 1, "neither itself nor what is gone")
}

func TestManifestOfANodesPart(t *testing.T) {
	m := Manifest(three().Placed["c"], 1)
	assert.Equal(t, []int{1, 4}, m.Local)
	assert.Equal(t, datadir.Creating, m.Phase)
	assert.NotEmpty(t, m.Voters)
	assert.Equal(t, map[int]link.NodeID{2: 2, 3: 3}, Elsewhere(m.Nodes, 1))
}

// A new cluster waits at a node until the files of a deleted one are gone there.
func TestFilesOfADeletedClusterAreInTheWay(t *testing.T) {
	v := three()
	old := v.Placed["c"]
	old.Phase = catalog.PlacedDeleting
	next := &catalog.PlacedCluster{Settings: catalog.ClusterSettings{ID: "d", Name: "calm", LogDirectory: "calm"}, Nodes: []uint64{1, 2}}
	assert.True(t, v.InTheWay(1, next))
	assert.False(t, v.InTheWay(3, next), "none of it is to be here")
	old.Removed = []uint64{1}
	assert.False(t, v.InTheWay(1, next))
	next.Settings.LogDirectory = "elsewhere"
	assert.False(t, v.InTheWay(2, next))
}
