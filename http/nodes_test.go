package http

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

func (f *fakeBackend) Nodes() ([]protocol.NodeInfo, *protocol.Error) {
	return []protocol.NodeInfo{{ID: 1, Name: "a", State: protocol.NodeActive, Brokers: []protocol.NodeBroker{{Cluster: "default", ID: 1}}}}, nil
}

func (f *fakeBackend) Node() uint64 { return f.node }

func (f *fakeBackend) DrainNode(_ context.Context, id uint64, drain bool) *protocol.Error {
	if id != 1 {
		return protocol.Errorf(protocol.CodeNodeNotFound, "the fleet has no node %d", id)
	}
	f.drained = drain
	return nil
}

func (f *fakeBackend) ReplaceNode(_ context.Context, lost, with uint64) (*protocol.TaskInfo, *protocol.Error) {
	return &protocol.TaskInfo{ID: "t", Kind: "replace", State: protocol.TaskRunning, Node: lost, With: with, Left: 3, WaitingFor: "w"}, nil
}

func (f *fakeBackend) DecommissionNode(_ context.Context, id uint64) (*protocol.TaskInfo, *protocol.Error) {
	if id != 1 {
		return nil, protocol.Errorf(protocol.CodeNodeNotFound, "the fleet has no node %d", id)
	}
	return &protocol.TaskInfo{ID: "d", Kind: "decommission", State: protocol.TaskRunning, Node: id, Left: 3, WaitingFor: "w"}, nil
}

func (f *fakeBackend) KeepNode(_ context.Context, id uint64) *protocol.Error {
	if id != 1 {
		return protocol.Errorf(protocol.CodeNodeNotFound, "the fleet has no node %d", id)
	}
	return nil
}

func (f *fakeBackend) Rebalance(context.Context) (*protocol.TaskInfo, *protocol.Error) {
	return &protocol.TaskInfo{ID: "r", Kind: "rebalance", State: protocol.TaskDone}, nil
}

func (f *fakeBackend) ResizeCluster(_ context.Context, name string, brokers int) (*protocol.TaskInfo, *protocol.Error) {
	if brokers == 3 {
		return nil, nil
	}
	return &protocol.TaskInfo{ID: "s", Kind: "resize", State: protocol.TaskRunning, Cluster: name, Brokers: brokers}, nil
}

// Renew brings the task that this node does not know yet.
func (f *fakeBackend) Renew() *protocol.Error {
	f.renewed = true
	return nil
}

func (f *fakeBackend) Tasks() []protocol.TaskInfo {
	tasks := []protocol.TaskInfo{{ID: "t", Kind: "replace", State: protocol.TaskDone, Node: 1, With: 2, Moved: 3}}
	if f.renewed {
		tasks = append(tasks, protocol.TaskInfo{ID: "new", Kind: "replace", State: protocol.TaskRunning, Node: 1, With: 2})
	}
	return tasks
}

// RestoringTopic resolves a topic with "restorer" for the producer of that id.
func (f *fakeFleet) RestoringTopic(_, topic, producer string) (*protocol.Topic, *protocol.Error) {
	return nil, protocol.Errorf(protocol.CodeTopicRestoring, "topic %q is not for %q", topic, producer)
}

// fakeFleet is a fleet as a whole.
type fakeFleet struct {
	level   int
	renewed bool // see Renew
}

func (f *fakeFleet) Fleet() (*protocol.FleetInfo, *protocol.Error) {
	return &protocol.FleetInfo{ID: "f", Nodes: 3, Versions: map[string]int{"0.1.0": 3}, Level: f.level, Offered: 2, Newest: 2, Held: true}, nil
}

func (f *fakeFleet) Finalize(context.Context) (*protocol.FleetInfo, *protocol.Error) {
	f.level = 2
	return f.Fleet()
}

// The level is shown, and raised where somebody asks for it.
func TestFleetIsFinalized(t *testing.T) {
	s := start(t, Options{})
	s.b.level = 1
	before := s.do("GET", "/fleet", "")
	require.Equal(t, 200, before.status, before.body)
	assert.Equal(t, `{"id":"f","nodes":3,"versions":{"0.1.0":3},"level":1,"offered":2,"newest":2,"held":true}`, before.body)
	assert.Equal(t, 400, s.do("POST", "/fleet/finalize", `{"level":2}`).status)
	after := s.do("POST", "/fleet/finalize", "")
	require.Equal(t, 200, after.status, after.body)
	assert.Contains(t, after.body, `"level":2`)
}

func (f *fakeBackend) LeaderAddress(*protocol.Topic, int) string {
	if f.node == 0 {
		return ""
	}
	return "10.0.0.2:8080"
}

// Which node has answered, and where the leader is, is said in a fleet only.
func TestAnswersNameTheNode(t *testing.T) {
	for _, node := range []uint64{0, 3} {
		s := start(t, Options{})
		s.b.node = node
		s.b.add("q", 1)
		produced := s.do("POST", "/events", `{"topic":"q","value":1}`)
		require.Equal(t, 200, produced.status, produced.body)
		read := s.do("GET", "/topic/q/partitions/0/records?offset=0", "")
		require.Equal(t, 200, read.status, read.body)
		for _, r := range []answer{produced, read} {
			if node == 0 {
				assert.Empty(t, r.header.Get("Ottla-Node"))
				assert.Empty(t, r.header.Get("Ottla-Leader"))
				continue
			}
			assert.Equal(t, "3", r.header.Get("Ottla-Node"))
			assert.Equal(t, "10.0.0.2:8080", r.header.Get("Ottla-Leader"))
		}
		assert.Equal(t, node != 0, s.do("GET", "/topic/none", "").header.Get("Ottla-Node") != "", "of an error, too")
	}
}

func TestNodes(t *testing.T) {
	s := start(t, Options{})
	list := s.do("GET", "/nodes", "")
	require.Equal(t, 200, list.status)
	assert.Contains(t, list.body, `"nodes":[{"id":1,"name":"a"`)
	one := s.do("GET", "/nodes/1", "")
	require.Equal(t, 200, one.status)
	assert.Contains(t, one.body, `"brokers":[{"cluster":"default","id":1}]`)
	for _, path := range []string{"/nodes/2", "/nodes/x", "/nodes/-1"} {
		missing := s.do("GET", path, "")
		require.Equal(t, 404, missing.status, path)
		assert.Contains(t, missing.body, "node_not_found")
	}
}

func TestMetricsOfOtherNodes(t *testing.T) {
	s := start(t, Options{})
	s.b.metrics.Nodes = []protocol.NodeMetrics{{Node: 2, Name: "b", Up: true, RoundTrip: 0.25, Lanes: []protocol.LaneMetrics{{
		Lane: "bulk", SentBytes: 7, ReceivedBytes: 8, Dropped: 9, Connections: 10, QueuedBytes: 11, Pending: 12,
	}}}}
	text := s.do("GET", "/metrics", "").body
	for _, line := range []string{
		`ottla_node_up{node="b"} 1`, `ottla_node_round_trip_seconds{node="b"} 0.25`, `ottla_link_sent_bytes_total{lane="bulk",node="b"} 7`,
		`ottla_link_received_bytes_total{lane="bulk",node="b"} 8`, `ottla_link_dropped_total{lane="bulk",node="b"} 9`,
		`ottla_link_connections_total{lane="bulk",node="b"} 10`, `ottla_link_queued_bytes{lane="bulk",node="b"} 11`,
		`ottla_link_pending_calls{lane="bulk",node="b"} 12`,
	} {
		assert.Contains(t, text, line)
	}
}

func TestNodesAreDrainedAndReplaced(t *testing.T) {
	s := start(t, Options{})
	require.Equal(t, 200, s.do("POST", "/nodes/1/drain", "").status)
	require.True(t, s.b.drained)
	require.Equal(t, 200, s.do("POST", "/nodes/1/resume", "{}").status)
	require.False(t, s.b.drained)
	require.Equal(t, 404, s.do("POST", "/nodes/2/drain", "").status)
	require.Equal(t, 404, s.do("POST", "/nodes/0/drain", "").status)
	require.Equal(t, 400, s.do("POST", "/nodes/1/drain", `{"x":1}`).status)

	replaced := s.do("POST", "/nodes/1/replace", `{"with":2}`)
	require.Equal(t, 202, replaced.status, replaced.body)
	assert.JSONEq(t, `{"id":"t","kind":"replace","state":"running","node":1,"with":2,"moved":0,"left":3,"waiting_for":"w","started_at":"0001-01-01T00:00:00Z"}`, replaced.body)
	for _, body := range []string{"", "{}", `{"with":0}`, `{"with":"2"}`, `{"with":-1}`} {
		assert.Equal(t, 400, s.do("POST", "/nodes/1/replace", body).status, body)
	}
	assert.Contains(t, s.do("GET", "/tasks", "").body, `{"tasks":[{"id":"t","kind":"replace","state":"done","node":1,"with":2,"moved":3,"left":0,`)
	assert.Equal(t, 200, s.do("GET", "/tasks/t", "").status)
	assert.NotContains(t, s.do("GET", "/tasks", "").body, "new")
	assert.Equal(t, 200, s.do("GET", "/tasks/new", "").status, "nothing is unknown before the node has asked")
	assert.Contains(t, s.do("GET", "/tasks/u", "").body, "task_not_found")
}

func TestNodesAreDecommissioned(t *testing.T) {
	s := start(t, Options{})
	begun := s.do("POST", "/nodes/1/decommission", "")
	require.Equal(t, 202, begun.status, begun.body)
	assert.JSONEq(t, `{"id":"d","kind":"decommission","state":"running","node":1,"moved":0,"left":3,"waiting_for":"w","started_at":"0001-01-01T00:00:00Z"}`, begun.body)
	require.Equal(t, 202, s.do("POST", "/nodes/1/decommission", "{}").status)
	require.Equal(t, 400, s.do("POST", "/nodes/1/decommission", `{"x":1}`).status)
	require.Equal(t, 404, s.do("POST", "/nodes/2/decommission", "").status)
	require.Equal(t, 200, s.do("DELETE", "/nodes/1/decommission", "").status)
	require.Equal(t, 404, s.do("DELETE", "/nodes/2/decommission", "").status)
	rebalance := s.do("POST", "/nodes/rebalance", "")
	require.Equal(t, 202, rebalance.status, rebalance.body)
	assert.Contains(t, rebalance.body, `"kind":"rebalance","state":"done"`)
}

func TestClustersAreResized(t *testing.T) {
	s := start(t, Options{})
	grown := s.do("PATCH", "/cluster/default", `{"num_brokers":5}`)
	require.Equal(t, 202, grown.status, grown.body)
	assert.Contains(t, grown.body, `"cluster":"default","brokers":5`)
	for _, body := range []string{"", "{}", `{"num_brokers":0}`, `{"num_brokers":"5"}`, `{"num_brokers":5,"x":1}`} {
		assert.Equal(t, 400, s.do("PATCH", "/cluster/default", body).status, body)
	}
	same := s.do("PATCH", "/cluster/default", `{"num_brokers":3}`)
	require.Equal(t, 200, same.status, same.body)
	assert.Contains(t, same.body, `"topics":`)
}
