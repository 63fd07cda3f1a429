package datadir

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// nodeDir makes the data directory of a node that has some brokers of cluster c, each of
// which was opened so many times.
func nodeDir(t *testing.T, fleet string, node uint64, c ClusterManifest, opens map[int]int, arriving ...int) string {
	t.Helper()
	dir := t.TempDir()
	founding := Founding{Fleet: fleet, Founders: []Founder{{Node: 1, UUID: "u1", Name: "n1", Link: "127.0.0.1:1"}}}
	require.NoError(t, WriteNode(dir, &Node{Fleet: fleet, Node: node, UUID: "u", Founding: founding}))
	c.Local = nil
	for n := range opens {
		c.Local = append(c.Local, n)
	}
	for _, n := range arriving {
		c.Local = nil
		c.Arriving = map[int]uint64{n: 1}
	}
	m := &Manifests{dataDir: dir}
	for n, times := range opens {
		to := m.BrokerDir(c, n)
		require.NoError(t, os.MkdirAll(filepath.Join(to, "t-0"), 0o750))
		require.NoError(t, os.WriteFile(filepath.Join(to, "t-0", "log"), []byte(filepath.Base(dir)), 0o600))
		require.NoError(t, CreateLedger(to, c.ID, n))
		l, err := ReadLedger(to, c.ID, n)
		require.NoError(t, err)
		for range times {
			require.NoError(t, l.Raise(0))
		}
		require.NoError(t, (durable{}).writeSealed(filepath.Join(to, ManifestName), &BrokerManifest{Broker: n, ClusterManifest: c}))
	}
	hidden := c
	hidden.ID, hidden.Name, hidden.LogDirectory = "own", "__fleet", "__fleet"
	require.NoError(t, m.replaceRoot([]ClusterManifest{c, hidden}))
	return dir
}

func TestGather(t *testing.T) {
	c := ClusterManifest{
		ID: "c1", Name: "c", LogDirectory: "c", NumBrokers: 4, Fsync: "always", CreatedAt: time.UnixMilli(0).UTC(), Phase: Created,
		Voters: []MetadataVoter{{1, 1}, {2, 2}, {3, 3}}, Nodes: []uint64{1, 2, 3, 4},
	}
	one := nodeDir(t, "f", 1, c, map[int]int{1: 5})
	two := nodeDir(t, "f", 2, c, map[int]int{2: 3, 1: 9})
	three := nodeDir(t, "f", 3, c, map[int]int{2: 7}, 2) // on its way there
	g, err := Gather([]string{one, two, three}, "__fleet", nil)
	require.NoError(t, err)
	require.Len(t, g.Clusters, 1)
	require.Equal(t, 4, g.Clusters[0].Brokers)
	require.Equal(t, map[int]string{1: filepath.Join(two, "c", "broker-1"), 2: filepath.Join(two, "c", "broker-2")}, g.Clusters[0].From)
	require.ElementsMatch(t, []string{filepath.Join(one, "c", "broker-1"), filepath.Join(three, "c", "broker-2")}, g.Clusters[0].Left)
	require.Equal(t, "127.0.0.1:1", g.Members[0].Link)

	into := filepath.Join(t.TempDir(), "new")
	require.NoError(t, g.CopyTo(into))
	m, found, err := Inspect(into)
	require.NoError(t, err)
	require.Len(t, m.List(), 1)
	require.Empty(t, m.List()[0].Nodes)
	require.Equal(t, []int{1, 2, 3, 4}, m.List()[0].Brokers())
	for n, state := range map[int]PlaceState{1: PlaceOK, 2: PlaceOK, 3: placeLost, 4: placeLost} {
		require.Equal(t, state, m.Place(found, m.List()[0], n).State, n)
	}
	require.False(t, BelongsToFleet(into))
	require.ErrorContains(t, g.CopyTo(into), "is not empty")
	content, err := os.ReadFile(filepath.Join(into, "c", "broker-1", "t-0", "log"))
	require.NoError(t, err)
	require.Equal(t, filepath.Base(two), string(content))

	_, err = Gather([]string{one, nodeDir(t, "g", 4, c, map[int]int{4: 1})}, "__fleet", nil)
	require.ErrorContains(t, err, "is of fleet g")
	_, err = Gather([]string{one, nodeDir(t, "f", 1, c, map[int]int{1: 1})}, "__fleet", nil)
	require.ErrorContains(t, err, "are both of node 1")
	_, err = Gather([]string{into}, "__fleet", nil)
	require.ErrorContains(t, err, "no data directory of a node")
}

// addReplica puts a replica of topic t into a broker's directory.
func addReplica(t *testing.T, broker, cluster string, n, partition int, id uint64, content string) {
	t.Helper()
	dir := filepath.Join(broker, fmt.Sprintf("t-%d", partition))
	require.NoError(t, os.MkdirAll(dir, 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "log"), []byte(content), 0o600))
	l, err := ReadLedger(broker, cluster, n)
	require.NoError(t, err)
	require.NoError(t, l.Add(Replica{TopicID: "t1", Topic: "t", Partition: partition, ReplicaID: id}))
}

// A broker was on its way when the fleet was lost: what had moved is in the one directory,
// what had not in the other.
func TestGatherWhatWasOnItsWay(t *testing.T) {
	c := ClusterManifest{
		ID: "c1", Name: "c", LogDirectory: "c", NumBrokers: 2, Fsync: "always", CreatedAt: time.UnixMilli(0).UTC(), Phase: Created,
		Voters: []MetadataVoter{{1, 1}, {2, 2}}, Nodes: []uint64{1, 2},
	}
	old, arriving := nodeDir(t, "f", 2, c, map[int]int{2: 3}), nodeDir(t, "f", 3, c, map[int]int{2: 9}, 2)
	from, to := filepath.Join(old, "c", "broker-2"), filepath.Join(arriving, "c", "broker-2")
	require.NoError(t, os.RemoveAll(filepath.Join(to, "t-0")))
	require.NoError(t, os.RemoveAll(filepath.Join(from, "t-0")))
	addReplica(t, from, "c1", 2, 0, 2, "stays")
	addReplica(t, to, "c1", 2, 0, 10, "on its way")
	addReplica(t, to, "c1", 2, 1, 11, "moved")
	require.NoError(t, os.MkdirAll(filepath.Join(from, "t-1"), 0o750), "what is left of it")
	require.NoError(t, os.WriteFile(filepath.Join(from, "t-1", "rest"), nil, 0o600))
	addReplica(t, from, "c1", 2, 2, 3, "was away while it moved")
	addReplica(t, to, "c1", 2, 2, 12, "moved")
	votes := func(_ string, _ int, _ string, before Replica, _ string, r Replica) bool {
		return r.ReplicaID == 12 && before.ReplicaID == 3
	}
	for _, dirs := range [][]string{{old, arriving}, {arriving, old}} {
		g, err := Gather(dirs, "__fleet", votes)
		require.NoError(t, err)
		require.Equal(t, map[int]string{2: from}, g.Clusters[0].From)
		require.Empty(t, g.Clusters[0].Left)
		require.Equal(t, []string{"t-1", "t-2"}, g.Clusters[0].Moved[to])
		for _, copies := range []bool{true, false} {
			into := filepath.Join(t.TempDir(), "new")
			if copies {
				require.NoError(t, g.CopyTo(into))
			} else {
				require.NoError(t, g.Outline(into))
			}
			l, err := ReadLedger(filepath.Join(into, "c", "broker-2"), "c1", 2)
			require.NoError(t, err)
			for partition, want := range []struct {
				id      uint64
				content string
			}{{2, "stays"}, {11, "moved"}, {12, "moved"}} {
				live, ok := l.Live("t1", partition)
				require.True(t, ok)
				require.Equal(t, want.id, live.ReplicaID)
				content, err := os.ReadFile(filepath.Join(into, "c", "broker-2", fmt.Sprintf("t-%d", partition), "log"))
				require.NoError(t, err)
				require.Equal(t, want.content, string(content))
			}
			require.NoFileExists(t, filepath.Join(into, "c", "broker-2", "t-1", "rest"))
			require.True(t, ReplacesLost(filepath.Join(into, "c", "broker-2")), "what is in neither must not look as if it had never been created")
		}
	}
	require.FileExists(t, filepath.Join(from, "t-1", "rest"), "the directories stay as they are")
	require.False(t, ReplacesLost(from))
	l, err := ReadLedger(from, "c1", 2)
	require.NoError(t, err)
	require.Len(t, l.Replicas(), 2)
}

func TestGatherRefusesTwoClustersOfOneName(t *testing.T) {
	c := ClusterManifest{
		ID: "c1", Name: "c", LogDirectory: "c", NumBrokers: 2, Fsync: "always", CreatedAt: time.UnixMilli(0).UTC(), Phase: Created,
		Voters: []MetadataVoter{{1, 1}, {2, 2}}, Nodes: []uint64{1, 2},
	}
	again := c
	again.ID = "c2"
	one, two := nodeDir(t, "f", 1, c, map[int]int{1: 5}), nodeDir(t, "f", 2, again, map[int]int{2: 5})
	_, err := Gather([]string{one, two}, "__fleet", nil)
	require.ErrorContains(t, err, "two clusters")
	require.ErrorContains(t, err, one)
	require.ErrorContains(t, err, two)
}
