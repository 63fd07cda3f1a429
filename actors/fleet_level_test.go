package actors

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/level"
	"ottla/protocol"
)

// A fleet whose nodes all offer a level goes to it by itself, and notes that at each.
func TestFleetGoesToTheLevelOfItsNodes(t *testing.T) {
	f := newFleet(t, 3)
	for _, n := range f.nodes {
		require.Nil(t, n.env.fleet.Needs(level.Queues, time.Now().Add(patience)))
		info, err := n.Fleet()
		require.Nil(t, err)
		assert.Equal(t, level.Newest, info.Level)
		assert.Equal(t, map[string]int{"v1": 3}, info.Versions)
	}
	for i := range f.nodes {
		b, err := os.ReadFile(filepath.Join(f.dataDir(i), "cluster.json"))
		require.NoError(t, err)
		assert.Contains(t, string(b), `"format_version": 4`)
	}
	nodes, err := f.nodes[1].Nodes()
	require.Nil(t, err)
	for i := range nodes {
		assert.Equal(t, level.Newest, nodes[i].Newest)
	}
}

// While one node holds it the level stays, nothing above it is written, and what needs more
// is refused with the way out; it is raised when somebody asks, and is there after a
// restart.
func TestHeldLevelIsRaisedWhenAskedFor(t *testing.T) {
	f := prepareFleet(t, 3)
	f.holds = 2
	f.beginAll()
	produce(t, f.nodes[1], "q", 0, "0")
	spec := &protocol.QueueSpec{Group: "work", Topics: []string{"q"}}
	for i, n := range f.nodes {
		_, _, err := n.PutQueue(context.Background(), spec, false)
		require.NotNil(t, err)
		assert.Equal(t, protocol.CodeNotFinalized, err.Code)
		assert.Contains(t, err.Message, "POST /fleet/finalize raises it")
		_, err = n.Rebalance(context.Background())
		require.NotNil(t, err)
		assert.Equal(t, protocol.CodeNotFinalized, err.Code)
		b, rerr := os.ReadFile(filepath.Join(f.dataDir(i), "cluster.json"))
		require.NoError(t, rerr)
		assert.Contains(t, string(b), `"format_version": 3`)
	}
	assert.True(t, slices.ContainsFunc(f.nodes[3].Overview().Problems, func(p protocol.Problem) bool { return p.Code == "not_finalized" }))

	f.stop(1)
	require.Eventually(t, func() bool { return nodeState(t, f.nodes[3], 1) == protocol.NodeUnreachable }, patience, 5*time.Millisecond)
	_, err := f.nodes[3].Finalize(context.Background())
	require.NotNil(t, err)
	assert.Contains(t, err.Message, "node 1 (n1) is not heard of")
	f.start(1)
	f.awaitReady()
	require.Eventually(t, func() bool {
		info, err := f.nodes[3].Finalize(context.Background())
		return err == nil && info.Level == level.Newest
	}, patience, 20*time.Millisecond)
	_, _, err = f.nodes[3].PutQueue(context.Background(), spec, false)
	require.Nil(t, err)
	f.stop(3)
	f.begin(3)
	assert.Equal(t, level.Newest, f.nodes[3].env.fleet.Level(), "from the first moment on")
	awaitReady(t, f.nodes[3])
}

// A node that has just joined does not say of a group that it does not exist before it
// knows the fleet's clusters.
func TestJoiningNodeKnowsGroupsOrSaysThatItDoesNot(t *testing.T) {
	f := newFleet(t, 3)
	produce(t, f.nodes[1], "q", 0, "0")
	_, _, err := f.nodes[1].PutQueue(context.Background(), &protocol.QueueSpec{Group: "work", Topics: []string{"q"}}, false)
	require.Nil(t, err)
	n := f.begin(4)
	for deadline := time.Now().Add(patience); ; {
		_, err := n.Group("", "work")
		if err == nil {
			return
		}
		require.NotEqual(t, protocol.CodeGroupNotFound, err.Code)
		require.True(t, time.Now().Before(deadline), err.Message)
	}
}
