package http

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

func (f *fakeBackend) Nodes() ([]protocol.NodeInfo, *protocol.Error) {
	return []protocol.NodeInfo{{ID: 1, Name: "a", State: protocol.NodeActive, Brokers: []protocol.NodeBroker{{Cluster: "default", ID: 1}}}}, nil
}

func (f *fakeBackend) Node() uint64 { return f.node }

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
