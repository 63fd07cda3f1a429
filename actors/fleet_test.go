package actors

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/datadir"
	"ottla/actors/routing"
	"ottla/link/linktest"
	"ottla/protocol"
)

// testFleet is a fleet whose nodes are in the test's process, and talk by TCP.
type testFleet struct {
	t     *testing.T
	dir   string
	seeds []string
	nodes map[int]*Node
	links map[int]string
	holds int // the node that holds the fleet's level, 0: none

	beforeSync map[int]func()        // by node; see Options
	clocks     map[int]*atomic.Int64 // by node: how far each is ahead, in nanoseconds
}

// newFleet founds a fleet of so many nodes, 1, 2, ...
func newFleet(t *testing.T, founders int) *testFleet {
	t.Helper()
	f := prepareFleet(t, founders)
	f.beginAll()
	return f
}

// prepareFleet prepares a fleet without starting it.
func prepareFleet(t *testing.T, founders int) *testFleet {
	t.Helper()
	f := &testFleet{t: t, dir: t.TempDir(), nodes: map[int]*Node{}, links: map[int]string{}}
	for i := 1; i <= founders; i++ {
		f.links[i] = linktest.FreeAddress(t)
	}
	for i := 1; i <= founders; i++ {
		f.seeds = append(f.seeds, f.links[i])
	}
	slices.Sort(f.seeds) // founders are numbered in this order
	for i := 1; i <= founders; i++ {
		f.links[i] = f.seeds[i-1]
	}
	return f
}

// beginAll starts all founders, and waits until they are ready.
func (f *testFleet) beginAll() {
	f.t.Helper()
	for i := range f.seeds {
		f.begin(i + 1)
	}
	f.awaitReady()
	f.t.Cleanup(f.stopAll)
}

func (f *testFleet) dataDir(i int) string { return filepath.Join(f.dir, "node-"+strconv.Itoa(i)) }

// options are those of node i.
func (f *testFleet) options(i int) Options {
	if f.links[i] == "" {
		f.links[i] = linktest.FreeAddress(f.t)
	}
	level := slog.LevelError
	if testing.Verbose() {
		level = slog.LevelInfo
	}
	log := slog.New(slog.NewTextHandler(testLog{f.t}, &slog.HandlerOptions{Level: level}))
	var clock func() time.Time
	if ahead := f.clocks[i]; ahead != nil {
		clock = func() time.Time { return time.Now().Round(0).Add(time.Duration(ahead.Load())) }
	}
	return Options{
		Clock: clock, DataDir: f.dataDir(i), DefaultCluster: protocol.DefaultCluster, AutoCreateTopics: true, Host: "127.0.0.1", Port: 9000 + i,
		beforeSync: f.beforeSync[i],
		Logger:     log.With("at", i), Version: "v1", TickInterval: 20 * time.Millisecond,
		Link: LinkOptions{Listen: f.links[i], Advertise: f.links[i], Seeds: f.seeds, Name: "n" + strconv.Itoa(i), Hold: f.holds == i},
	}
}

// begin starts node i and does not wait for it.
func (f *testFleet) begin(i int) *Node {
	f.t.Helper()
	n, err := Start(context.Background(), f.options(i))
	require.NoError(f.t, err)
	f.nodes[i] = n
	return n
}

// start starts node i and waits until it is ready.
func (f *testFleet) start(i int) *Node {
	f.t.Helper()
	n := f.begin(i)
	awaitReady(f.t, n)
	return n
}

// awaitReady waits until all nodes that run are ready, and see all others.
func (f *testFleet) awaitReady() {
	f.t.Helper()
	for _, n := range f.nodes {
		awaitReady(f.t, n)
		require.Eventually(f.t, func() bool { return len(n.Readiness().Degraded) == 0 || len(f.nodes) < len(f.seeds) }, patience, 5*time.Millisecond)
	}
}

// awaitVersions waits until all nodes have registered, as node i sees it.
func (f *testFleet) awaitVersions(i int) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		nodes, err := f.nodes[i].Nodes()
		return err == nil && !slices.ContainsFunc(nodes, func(n protocol.NodeInfo) bool { return n.Version == "" })
	}, patience, 5*time.Millisecond, "a node does not register")
}

func (f *testFleet) stop(i int) {
	f.t.Helper()
	stopNode(f.t, f.nodes[i])
	delete(f.nodes, i)
}

func (f *testFleet) stopAll() {
	done := make(chan error, len(f.nodes))
	for _, n := range f.nodes {
		go func() { done <- n.Shutdown(context.Background()) }()
	}
	for range f.nodes {
		assert.NoError(f.t, <-done)
	}
}

func TestFoundersShareTheDefaultCluster(t *testing.T) {
	f := newFleet(t, 3)
	for i := 1; i <= 3; i++ {
		info, err := f.nodes[i].Cluster(protocol.DefaultCluster)
		require.Nil(t, err)
		for b, broker := range info.Brokers {
			assert.EqualValues(t, b+1, broker.Node)
			assert.Equal(t, 9001+b, broker.Port)
			assert.Equal(t, protocol.BrokerRunning, broker.State)
		}
		f.awaitVersions(i)
		nodes, err := f.nodes[i].Nodes()
		require.Nil(t, err)
		require.Len(t, nodes, 3)
		for k, n := range nodes {
			assert.Equal(t, fmt.Sprintf("n%d", k+1), n.Name)
			assert.Equal(t, "v1", n.Version, "node %d has not said it", k+1)
			assert.Equal(t, protocol.NodeActive, n.State)
			assert.Equal(t, []protocol.NodeBroker{{Cluster: protocol.DefaultCluster, ID: k + 1}}, n.Brokers)
		}
		assert.DirExists(t, filepath.Join(f.dataDir(i), "default", datadir.BrokerDirName(i)))
		assert.NoDirExists(t, filepath.Join(f.dataDir(i), "default", datadir.BrokerDirName(i%3+1)))
	}
}

// What one node has acknowledged every other one shows at once: topics, records and
// offsets. Nobody says that something does not exist which does.
func TestAnyNodeShowsWhatAnotherHasAcknowledged(t *testing.T) {
	f := newFleet(t, 3)
	node := func(i int) *Node { return f.nodes[1+i%3] }
	for i := range 20 {
		name := fmt.Sprintf("topic-%d", i)
		_, created, err := node(i).CreateTopic(context.Background(), &protocol.TopicSpec{Name: name, Partitions: ptr(2)})
		require.Nil(t, err)
		require.True(t, created)
		_, err = node(i+1).Topic("", name)
		require.Nil(t, err, "topic %d", i)
		_, created, err = node(i+2).CreateTopic(context.Background(), &protocol.TopicSpec{Name: name, Partitions: ptr(2)})
		require.Nil(t, err)
		require.False(t, created, "it is there")
		for k := range 3 {
			value := strconv.Itoa(k)
			require.EqualValues(t, k, produce(t, node(i+k), name, i%2, value))
			values := fetchAll(t, node(i+k+1), name, i%2)
			require.Equal(t, value, values[len(values)-1])
		}
		require.Nil(t, node(i+1).DeleteTopic(context.Background(), "", name))
		require.Eventually(t, func() bool { // it may be seen for a moment; nothing is lost by that
			_, err = node(i).Topic("", name)
			return err != nil && err.Code == protocol.CodeTopicNotFound
		}, patience, time.Millisecond)
	}
}

func (f *testFleet) poll(i int, req protocol.PollRequest) *protocol.PollReply {
	f.t.Helper()
	req.MaxRecords, req.MaxBytes = cmp.Or(req.MaxRecords, 100), 1<<20
	reply, err := f.nodes[i].Poll(&req, nil)
	require.Nil(f.t, err)
	return reply
}

// A consumer may ask another node each time; its group does not notice.
func TestAConsumerMovesBetweenNodes(t *testing.T) {
	f := newFleet(t, 3)
	produce(t, f.nodes[1], "q", 0, "0", "1", "2", "3", "4", "5")
	req := protocol.PollRequest{Topics: []string{"q"}, Group: "g", ConsumerID: 7, MaxRecords: 1, Timeout: patience}
	for i := range 6 {
		reply := f.poll(1+i%3, req)
		require.Len(t, reply.Records, 1)
		require.Equal(t, strconv.Itoa(i), string(reply.Records[0].Value))
		req.Ack = reply.Cursor
	}
	offsets, err := f.nodes[2].Offsets(&protocol.OffsetsRequest{Group: "g", Topic: "q"})
	require.Nil(t, err)
	require.EqualValues(t, 5, *offsets[0].Committed)
}

// The newer poll of a consumer ends the older one, also where they are at different
// nodes, and one that waits is woken by a record that comes through a third.
func TestPollsOfOneConsumerAtDifferentNodes(t *testing.T) {
	f := newFleet(t, 3)
	produce(t, f.nodes[1], "q", 0, "0")
	req := protocol.PollRequest{Topics: []string{"q"}, Group: "g", ConsumerID: 7, AutoCommit: true, Timeout: patience}
	require.Len(t, f.poll(1, req).Records, 1)
	for i := 1; i <= 3; i++ {
		older, newer := make(chan *protocol.PollReply, 1), make(chan *protocol.PollReply, 1)
		go func() { older <- f.poll(i, req) }()
		parked := func(n *Node) func() bool {
			return func() bool {
				list, err := n.Groups("")
				return err == nil && len(list) == 1 && len(older) == 0
			}
		}
		require.Eventually(t, parked(f.nodes[i]), patience, time.Millisecond)
		go func() { newer <- f.poll(1+i%3, req) }()
		// Whichever arrives later at the coordinator is the newer one.
		var left chan *protocol.PollReply
		select {
		case reply := <-older:
			require.Empty(t, reply.Records)
			left = newer
		case reply := <-newer:
			require.Empty(t, reply.Records)
			left = older
		case <-time.After(patience):
			require.Fail(t, "neither of two polls of a consumer has ended")
		}
		produce(t, f.nodes[1+(i+1)%3], "q", 0, strconv.Itoa(i))
		require.Equal(t, strconv.Itoa(i), string((<-left).Records[0].Value))
	}
}

func TestConsumersAtDifferentNodesShareAGroup(t *testing.T) {
	f := newFleet(t, 3)
	_, _, err := f.nodes[1].CreateTopic(context.Background(), &protocol.TopicSpec{Name: "q", Partitions: ptr(6)})
	require.Nil(t, err)
	for i := 1; i <= 3; i++ {
		f.poll(i, protocol.PollRequest{Topics: []string{"q"}, Group: "g", ConsumerID: protocol.ConsumerID(i), AutoCommit: true})
	}
	g, err := f.nodes[2].Group("", "g")
	require.Nil(t, err)
	require.Len(t, g.Members, 3)
	for _, m := range g.Members {
		require.Len(t, m.Assignment, 2)
	}
	ids := map[protocol.ConsumerID]bool{}
	for i := range 9 {
		id := f.poll(1+i%3, protocol.PollRequest{Topics: []string{"q"}, AutoCommit: true}).ConsumerID
		require.False(t, ids[id], "id %d was given out twice", id)
		ids[id] = true
	}
}

func TestANodeComesBack(t *testing.T) {
	f := newFleet(t, 3)
	produce(t, f.nodes[1], "q", 0, "0")
	for i := 1; i <= 3; i++ {
		f.stop(i)
		other := f.nodes[1+i%3]
		require.Nil(t, tryProduce(t, other, "q", 0, strconv.Itoa(i)).Err)
		f.start(i)
		require.Len(t, fetchAll(t, f.nodes[i], "q", 0), i+1)
		f.awaitReady()
	}
}

// All nodes may end and start together, also at other addresses.
func TestAllNodesMove(t *testing.T) {
	f := newFleet(t, 3)
	produce(t, f.nodes[1], "q", 0, "0", "1")
	for i := 1; i <= 3; i++ {
		f.stop(i)
	}
	f.links[2] = "" // the others find it, because it finds them
	for i := 1; i <= 3; i++ {
		f.begin(i)
	}
	f.awaitReady()
	for i := 1; i <= 3; i++ {
		require.Equal(t, []string{"0", "1"}, fetchAll(t, f.nodes[i], "q", 0))
		require.Eventually(t, func() bool {
			nodes, err := f.nodes[i].Nodes()
			return err == nil && len(nodes) == 3 && nodes[1].Link == f.links[2]
		}, patience, 5*time.Millisecond)
	}
}

// A node that joins serves everything, and gets brokers of clusters that are made
// from then on.
func TestANodeJoins(t *testing.T) {
	f := newFleet(t, 1)
	produce(t, f.nodes[1], "q", 0, "0")
	f.start(2)
	require.Equal(t, []string{"0"}, fetchAll(t, f.nodes[2], "q", 0))
	require.EqualValues(t, 1, produce(t, f.nodes[2], "q", 0, "1"))
	f.start(3)
	require.Eventually(t, func() bool { // only nodes that are heard get brokers
		nodes, err := f.nodes[3].Nodes()
		return err == nil && len(nodes) == 3 && !slices.ContainsFunc(nodes, func(n protocol.NodeInfo) bool { return n.State != protocol.NodeActive })
	}, patience, 5*time.Millisecond)
	info, created, err := f.nodes[3].CreateCluster(context.Background(), &protocol.ClusterSpec{Name: "wide"})
	require.Nil(t, err)
	require.True(t, created)
	var at []uint64
	for _, b := range info.Brokers {
		at = append(at, b.Node)
	}
	slices.Sort(at)
	require.Equal(t, []uint64{1, 2, 3}, at)
	require.Eventually(t, func() bool {
		_, err := f.nodes[1].Cluster("wide")
		return err == nil
	}, patience, 5*time.Millisecond)

	require.Nil(t, f.nodes[1].DeleteCluster(context.Background(), "wide"))
	for i := 1; i <= 3; i++ {
		require.Eventually(t, func() bool {
			_, err := os.Stat(filepath.Join(f.dataDir(i), "wide"))
			return os.IsNotExist(err)
		}, patience, 5*time.Millisecond, "files at node %d", i)
		_, err := f.nodes[i].Cluster("wide")
		require.NotNil(t, err)
		require.Equal(t, protocol.CodeClusterNotFound, err.Code)
	}
}

// A node that was alone keeps what it has when it gets a link.
func TestANodeThatWasAloneBeginsAFleet(t *testing.T) {
	f := &testFleet{t: t, dir: t.TempDir(), nodes: map[int]*Node{}, links: map[int]string{}}
	t.Cleanup(f.stopAll)
	o := f.options(1)
	o.Link = LinkOptions{}
	alone, err := Start(context.Background(), o)
	require.NoError(t, err)
	awaitReady(t, alone)
	produce(t, alone, "q", 0, "0", "1")
	stopNode(t, alone)

	f.start(1)
	require.Equal(t, []string{"0", "1"}, fetchAll(t, f.nodes[1], "q", 0))
	f.seeds = []string{f.links[1]}
	f.start(2)
	require.Equal(t, []string{"0", "1"}, fetchAll(t, f.nodes[2], "q", 0))

	f.stop(2)
	o = f.options(2)
	o.Link = LinkOptions{}
	_, err = Start(context.Background(), o)
	require.ErrorContains(t, err, "start it with --link")
}

// A data directory that was lost comes back as a new node, under another name.
func TestAWipedNodeIsANewOne(t *testing.T) {
	f := newFleet(t, 3)
	produce(t, f.nodes[1], "q", 0, "0")
	f.stop(3)
	require.NoError(t, os.RemoveAll(f.dataDir(3)))
	n := f.begin(3)
	select {
	case err := <-n.Failed():
		require.ErrorContains(t, err, `named "n3"`)
	case <-time.After(patience):
		require.Fail(t, "it does not say that its name is taken")
	}
	f.stop(3)
	f.links[4] = f.links[3]
	f.start(4)
	require.Equal(t, []string{"0"}, fetchAll(t, f.nodes[4], "q", 0))
	require.Eventually(t, func() bool { // the others may hear of it a moment later
		nodes, err := f.nodes[1].Nodes()
		return err == nil && len(nodes) == 4
	}, patience, 5*time.Millisecond)
}

// Founders that are there before the others wait, and say for whom.
func TestFoundersWaitForAll(t *testing.T) {
	f := &testFleet{t: t, dir: t.TempDir(), nodes: map[int]*Node{}, links: map[int]string{}}
	t.Cleanup(f.stopAll)
	f.seeds = []string{linktest.FreeAddress(t), linktest.FreeAddress(t)}
	slices.Sort(f.seeds)
	f.links[1], f.links[2] = f.seeds[0], f.seeds[1]
	n := f.begin(1)
	require.Eventually(t, func() bool { return strings.Contains(n.Readiness().Joining, f.seeds[1]) }, patience, time.Millisecond)
	_, _, err := n.CreateCluster(context.Background(), &protocol.ClusterSpec{Name: "c"})
	require.NotNil(t, err)
	assert.Equal(t, protocol.CodeStarting, err.Code)
	f.begin(2)
	f.awaitReady()
	assert.Empty(t, n.Readiness().Joining)
}

// Brokers are stopped and started by way of any node, which shows at once what it has
// answered.
func TestBrokersAreStoppedByWayOfAnyNode(t *testing.T) {
	f := newFleet(t, 3)
	for i := range 20 {
		broker, asked := 1+i%3, f.nodes[1+(i+1)%3]
		info, err := asked.StopBroker(context.Background(), protocol.DefaultCluster, broker)
		require.Nil(t, err)
		require.Equal(t, protocol.BrokerStopped, info.State, "stop %d", i)
		info, err = asked.StartBroker(context.Background(), protocol.DefaultCluster, broker)
		require.Nil(t, err)
		require.Equal(t, protocol.BrokerRunning, info.State, "start %d", i)
	}
}

// Whoever has looked up a topic that is deleted then is told so at once, whichever node
// leads its partitions.
func TestADeletedTopicIsWaitedForAtNoNode(t *testing.T) {
	f := newFleet(t, 3)
	for i := 1; i <= 3; i++ {
		n, other := f.nodes[i], f.nodes[1+i%3]
		topic, _, err := n.CreateTopic(context.Background(), &protocol.TopicSpec{Name: "q", Partitions: ptr(3)})
		require.Nil(t, err)
		for p := range 3 {
			produce(t, other, "q", p, "0")
		}
		looked, err := n.LookupTopic("", topic.Name, false, time.Time{})
		require.Nil(t, err)
		require.Nil(t, other.DeleteTopic(context.Background(), "", "q"))
		began := time.Now()
		for p := range 3 {
			require.Eventually(t, func() bool { // for a moment it may be seen, or seem to have lost its replicas
				_, _, err = n.PartitionOffsets(looked, p)
				return err != nil && err.Code == protocol.CodeTopicNotFound
			}, patience, time.Millisecond, "partition %d at node %d", p, i)
			req := &protocol.ProduceRequest{Topic: looked, Partition: p}
			req.Lines.Add(time.Now().UnixMilli(), "q", p, []byte(`"k"`), []byte("1"), protocol.ActionProduce, nil)
			n.Produce([]*protocol.ProduceRequest{req}, time.Now().Add(patience))
			require.NotNil(t, req.Result.Err)
			require.Equal(t, protocol.CodeTopicNotFound, req.Result.Err.Code, "%v", req.Result.Err)
		}
		require.Less(t, time.Since(began), 3*routing.FailoverPatience, "nobody waits for a leader, at node %d", i)
	}
}

// While the metadata is between two leaders, nobody is told at once that there is none.
func TestAQuestionWaitsForTheNextLeaderOfTheMetadata(t *testing.T) {
	f := newFleet(t, 3)
	for i := 1; i <= 3; i++ {
		produce(t, f.nodes[1], fmt.Sprintf("q%d", i), 0, "0")
		f.stop(i)
		for k, n := range f.nodes {
			_, err := n.LookupTopic("", "none", false, time.Now().Add(patience))
			require.NotNil(t, err)
			require.Equal(t, protocol.CodeTopicNotFound, err.Code, "at node %d, without node %d: %v", k, i, err)
		}
		f.start(i)
		f.awaitReady()
	}
}
