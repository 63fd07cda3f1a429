package http

import (
	"time"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

func getGroups(c *call) *protocol.Error {
	var p page
	cluster, err := c.clusterList(&p)
	if err != nil {
		return err
	}
	groups, err := c.b.Groups(cluster)
	if err != nil {
		return err
	}
	for i := range groups {
		fillGroup(&groups[i])
	}
	return sendList(c, &p, "groups", groups, func(g *protocol.GroupInfo) string { return rowKey(g.Cluster, g.Group) })
}

func getGroup(c *call) *protocol.Error {
	cluster, group, err := c.groupOf()
	if err != nil {
		return err
	}
	info, err := c.b.Group(cluster, group)
	if err != nil {
		return err
	}
	fillGroup(info)
	return c.sendJSON(fasthttp.StatusOK, info)
}

// fillGroup makes missing lists empty, so that they are rendered as [].
func fillGroup(g *protocol.GroupInfo) {
	g.Members = orEmpty(g.Members)
	for _, list := range [][]protocol.MemberInfo{g.Members, g.LapsedMembers} {
		for i := range list {
			m := &list[i]
			m.Topics, m.Assignment = orEmpty(m.Topics), orEmpty(m.Assignment)
		}
	}
}

func deleteGroup(c *call) *protocol.Error {
	cluster, group, err := c.groupOf()
	if err != nil {
		return err
	}
	if err := c.b.DeleteGroup(cluster, group); err != nil {
		return err
	}
	c.sendNothing()
	return nil
}

// postHeartbeat renews the lease of a member that works on records.
func postHeartbeat(c *call) *protocol.Error {
	cluster, group, id, err := c.memberOf()
	if err != nil {
		return err
	}
	req := &protocol.HeartbeatRequest{Cluster: cluster, Group: group, ConsumerID: id}
	if len(c.body) > 0 {
		err = bindJSON(c.body, []binding{
			{name: "session_timeout_ms", set: setMilliseconds(&req.SessionTimeout, time.Millisecond, c.srv.o.MaxSessionTimeout)},
			{name: "generation", set: setOptionalInteger(&req.Generation, 0, maxID, atLeast)},
		})
	}
	if err != nil {
		return err
	}
	reply, err := c.b.Heartbeat(req)
	if err != nil {
		return err
	}
	reply.Assignment = orEmpty(reply.Assignment)
	return c.sendJSON(fasthttp.StatusOK, reply)
}

func deleteMember(c *call) *protocol.Error {
	cluster, group, id, err := c.memberOf()
	if err != nil {
		return err
	}
	if err := c.b.LeaveGroup(cluster, group, id); err != nil {
		return err
	}
	c.sendNothing()
	return nil
}

// postSeek moves a group's offsets.
func postSeek(c *call) *protocol.Error {
	cluster, group, err := c.groupOf()
	if err != nil {
		return err
	}
	req := &protocol.SeekRequest{Cluster: cluster, Group: group}
	err = c.bindRequired([]binding{
		{name: "topic", required: true, set: setName(&req.Topic)},
		{name: "to", required: true, set: setSeekTarget(req)},
		{name: "create", set: setBool(&req.Create)},
		{name: "metadata", set: setText(&req.Metadata)},
		{name: "partition", set: func(_ string, v value) *protocol.Error {
			n, err := decodePartition(v)
			req.Partition = &n
			return err
		}},
	})
	if err != nil {
		return err
	}
	entries, err := c.b.Seek(req)
	if err != nil {
		return err
	}
	return c.sendJSON(fasthttp.StatusOK, struct {
		Group   string                    `json:"group"`
		Offsets []protocol.CommittedEntry `json:"offsets"`
	}{group, orEmpty(entries)})
}

// setSeekTarget takes "earliest", "latest", an offset or {"timestamp": ms}.
func setSeekTarget(req *protocol.SeekRequest) func(string, value) *protocol.Error {
	return func(fieldName string, v value) *protocol.Error {
		if v.json.Raw[0] == '{' {
			r := protocol.NewJSONReader(v.json.Raw)
			return bindObject(&r, fieldName, []binding{
				{name: "timestamp", required: true, set: setOptionalInteger(&req.Timestamp, 0, maxTimestamp, atLeast)},
			})
		}
		if _, ok := v.integer(); ok {
			return setOptionalInteger(&req.Offset, 0, maxOffset, atLeast)(fieldName, v)
		}
		switch s, _ := v.str(); s {
		case "earliest":
		case "latest":
			req.Latest = true
		default:
			return wrongType(fieldName, `"earliest", "latest", an offset or {"timestamp": ms}`)
		}
		return nil
	}
}
