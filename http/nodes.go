package http

import (
	"context"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// getNodes lists the nodes of the fleet.
func getNodes(c *call) *protocol.Error {
	var p page
	if err := c.bindQuery(p.bindings()...); err != nil {
		return err
	}
	nodes, err := c.srv.b.Nodes()
	if err != nil {
		return err
	}
	return sendList(c, &p, "nodes", nodes, func(r *protocol.NodeInfo) string { return numberKey(r.ID) })
}

// getNode describes one node.
func getNode(c *call) *protocol.Error {
	if err := c.bindQuery(); err != nil {
		return err
	}
	return sendNode(c)
}

// sendNode answers with the node in the path.
func sendNode(c *call) *protocol.Error {
	id, err := c.nodeID()
	if err != nil {
		return err
	}
	for renewed := false; ; renewed = true {
		nodes, err := c.b.Nodes()
		if err != nil {
			return err
		}
		for i := range nodes {
			if nodes[i].ID == id {
				return c.sendJSON(fasthttp.StatusOK, &nodes[i])
			}
		}
		if renewed {
			break
		}
		if err := c.b.Renew(); err != nil {
			return err
		}
	}
	return noNode(c.param("node"))
}

func noNode(name string) *protocol.Error {
	return protocol.Errorf(protocol.CodeNodeNotFound, "the fleet has no node %.50q", name)
}

func drainNode(c *call) *protocol.Error  { return setDrained(c, true) }
func resumeNode(c *call) *protocol.Error { return setDrained(c, false) }

// setDrained has leadership leave the node in the path, or lets it come back. The body
// may be empty or an empty object.
func setDrained(c *call, drain bool) *protocol.Error {
	if len(c.body) > 0 {
		if err := bindJSON(c.body, nil); err != nil {
			return err
		}
	}
	id, err := c.nodeID()
	if err != nil {
		return err
	}
	ctx, cancel := c.timeout()
	defer cancel()
	if err := c.b.DrainNode(ctx, id, drain); err != nil {
		return err
	}
	return sendNode(c)
}

// replaceNode gives the brokers of a lost node to another one.
func replaceNode(c *call) *protocol.Error {
	var with int64
	if err := c.bindRequired([]binding{{name: "with", required: true, set: setInteger(&with, 1, maxNode, atLeast)}}); err != nil {
		return err
	}
	id, err := c.nodeID()
	if err != nil {
		return err
	}
	ctx, cancel := c.timeout()
	defer cancel()
	task, err := c.b.ReplaceNode(ctx, id, uint64(with))
	if err != nil {
		return err
	}
	return c.sendJSON(fasthttp.StatusAccepted, task)
}

// decommissionNode has all brokers of the node in the path moved to others. The body may
// be empty or an empty object.
func decommissionNode(c *call) *protocol.Error {
	id, err := c.nodeID()
	if err != nil {
		return err
	}
	return beginTask(c, func(ctx context.Context) (*protocol.TaskInfo, *protocol.Error) { return c.b.DecommissionNode(ctx, id) })
}

// keepNode takes a decommission back.
func keepNode(c *call) *protocol.Error {
	id, err := c.nodeID()
	if err != nil {
		return err
	}
	ctx, cancel := c.timeout()
	defer cancel()
	if err := c.b.KeepNode(ctx, id); err != nil {
		return err
	}
	return sendNode(c)
}

// rebalanceNodes has brokers moved until all nodes have about as many.
func rebalanceNodes(c *call) *protocol.Error { return beginTask(c, c.b.Rebalance) }

// beginTask answers with a task that has begun. The body may be empty or an empty object.
func beginTask(c *call, begin func(context.Context) (*protocol.TaskInfo, *protocol.Error)) *protocol.Error {
	if len(c.body) > 0 {
		if err := bindJSON(c.body, nil); err != nil {
			return err
		}
	}
	ctx, cancel := c.timeout()
	defer cancel()
	task, err := begin(ctx)
	if err != nil {
		return err
	}
	return c.sendJSON(fasthttp.StatusAccepted, task)
}

// getFleet describes the fleet as a whole.
func getFleet(c *call) *protocol.Error {
	if err := c.bindQuery(); err != nil {
		return err
	}
	info, err := c.srv.b.Fleet()
	if err != nil {
		return err
	}
	return c.sendJSON(fasthttp.StatusOK, info)
}

// finalizeFleet raises the fleet's level. The body may be empty or an empty object.
func finalizeFleet(c *call) *protocol.Error {
	if len(c.body) > 0 {
		if err := bindJSON(c.body, nil); err != nil {
			return err
		}
	}
	ctx, cancel := c.timeout()
	defer cancel()
	info, err := c.b.Finalize(ctx)
	if err != nil {
		return err
	}
	return c.sendJSON(fasthttp.StatusOK, info)
}

// maxNode is the greatest number of a node that JSON readers of all languages read
// exactly.
const maxNode = 1<<53 - 1

// getTasks lists what the fleet is doing, or has done.
func getTasks(c *call) *protocol.Error {
	var p page
	if err := c.bindQuery(p.bindings()...); err != nil {
		return err
	}
	return sendList(c, &p, "tasks", c.b.Tasks(), func(r *protocol.TaskInfo) string { return rowKey(newestFirst(r.StartedAt), r.ID) })
}

// getTask describes one task.
func getTask(c *call) *protocol.Error {
	if err := c.bindQuery(); err != nil {
		return err
	}
	for renewed := false; ; renewed = true {
		tasks := c.b.Tasks()
		for i := range tasks {
			if tasks[i].ID == c.param("task") {
				return c.sendJSON(fasthttp.StatusOK, &tasks[i])
			}
		}
		if renewed {
			break
		}
		if err := c.b.Renew(); err != nil {
			return err
		}
	}
	return protocol.Errorf(protocol.CodeTaskNotFound, "the fleet has no task %.100q", c.param("task"))
}
