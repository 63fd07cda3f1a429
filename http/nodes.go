package http

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// getNodes lists the nodes of the fleet.
func getNodes(c *call) *protocol.Error {
	if err := c.bindQuery(); err != nil {
		return err
	}
	nodes, err := c.srv.b.Nodes()
	if err != nil {
		return err
	}
	return c.sendJSON(fasthttp.StatusOK, struct {
		Nodes []protocol.NodeInfo `json:"nodes"`
	}{nodes})
}

// getNode describes one node.
func getNode(c *call) *protocol.Error {
	if err := c.bindQuery(); err != nil {
		return err
	}
	nodes, err := c.srv.b.Nodes()
	if err != nil {
		return err
	}
	id, perr := strconv.ParseUint(c.param("node"), 10, 64)
	for i := range nodes {
		if perr == nil && nodes[i].ID == id {
			return c.sendJSON(fasthttp.StatusOK, &nodes[i])
		}
	}
	return protocol.Errorf(protocol.CodeNodeNotFound, "the fleet has no node %.50q", c.param("node"))
}
