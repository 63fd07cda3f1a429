package http

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// getHealth answers 200 as long as the process serves requests.
func getHealth(c *call) *protocol.Error {
	if err := c.bindQuery(); err != nil {
		return err
	}
	return c.sendJSON(fasthttp.StatusOK, struct {
		Status  string `json:"status"`
		Version string `json:"version"`
	}{"ok", c.srv.o.Version})
}

// getReady answers 200 when every partition has a leader. Otherwise it answers
// 503, with the same fields beside those of an error.
func getReady(c *call) *protocol.Error {
	if err := c.bindQuery(); err != nil {
		return err
	}
	r := c.b.Readiness()
	r.Leaderless, r.Degraded = orEmpty(r.Leaderless), orEmpty(r.Degraded)
	if r.Ready {
		return c.sendJSON(fasthttp.StatusOK, r)
	}
	e := protocol.Errorf(protocol.CodeNoLeader, "partitions without a leader: %d", len(r.Leaderless))
	if len(r.Leaderless) == 0 {
		e = protocol.Errorf(protocol.CodeNoLeader, "some partitions have no leader")
	}
	if r.Starting {
		e = protocol.Errorf(protocol.CodeStarting, "the broker is starting")
	}
	if r.Joining != "" {
		e = protocol.Errorf(protocol.CodeJoining, "this node does not belong to its fleet: %s", r.Joining)
	}
	state, err := json.Marshal(r)
	if err != nil {
		return protocol.Errorf(protocol.CodeInternal, "cannot render readiness: %v", err)
	}
	c.fail(e)
	body := append(c.out(), '{')
	body = appendErrorFields(body, e, c.requestID())
	body = append(body, ',')
	c.send(fasthttp.StatusServiceUnavailable, append(body, state[1:]...))
	return nil
}

// getOverview answers with the state of the server at a glance.
func getOverview(c *call) *protocol.Error {
	if err := c.bindQuery(); err != nil {
		return err
	}
	o := *c.b.Overview()
	o.Counts.Connections, o.Counts.Parked = c.srv.openConnections(), c.srv.parked.Used()
	return c.sendJSON(fasthttp.StatusOK, struct {
		protocol.Overview
		Version   string    `json:"version"`
		StartedAt time.Time `json:"started_at"`
	}{o, c.srv.o.Version, c.srv.started})
}

// routeNotFound answers a path that no route has.
func routeNotFound(c *call) *protocol.Error {
	if string(c.ctx.Path()) == strings.TrimSuffix(consolePath, "/") && c.ctx.IsGet() {
		return sendConsole(c) // the slash is easily forgotten
	}
	return suggest(c, protocol.Errorf(protocol.CodeRouteNotFound, "no such route: %s %.200q; GET /docs lists them", c.ctx.Method(), c.ctx.URI().PathOriginal()))
}

// methodNotAllowed answers a path that has routes for other methods only.
func methodNotAllowed(c *call) *protocol.Error {
	return suggest(c, protocol.Errorf(protocol.CodeMethodNotAllowed, "%s is not allowed here; allowed: %s",
		c.ctx.Method(), c.ctx.Response.Header.Peek("Allow")))
}

// answerOptions answers OPTIONS. The router has set the Allow header already.
func answerOptions(c *call) *protocol.Error {
	c.sendNothing()
	return nil
}
