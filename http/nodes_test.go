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
