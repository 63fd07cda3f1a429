package http

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// The audit says who has changed what, and who was refused to. What is written and
// read every second, records and positions, is no change in that sense.

// dataRoutes are the routes with other methods than GET that are not audited; a new
// route is.
var dataRoutes = map[string]bool{
	"POST " + eventsPath:  true,
	"POST " + webhookPath: true,
	"POST " + sourcePath:  true,
	"POST /offset":        true,
	"POST /groups/{group}/members/{consumer_id}/heartbeat": true,
}

// audited reports whether requests of a route are audited.
func (rt *route) audited() bool {
	return rt.method != fasthttp.MethodGet && rt.method != "" && !dataRoutes[rt.method+" "+rt.path]
}

// maxAuditedBody is the largest body, in bytes, that an audit line has.
const maxAuditedBody = 4 << 10

// audit writes the line of a request that was answered. Requests of nobody knows
// whom are left out: whoever reaches the server could fill the disk with them.
func (c *call) audit() {
	to := c.srv.o.Audit
	if to == nil || c.srv.access != nil && c.who == nil {
		return
	}
	r := slog.NewRecord(time.Now(), slog.LevelInfo, "audit", 0)
	r.AddAttrs(
		slog.String("who", c.who.Name()), slog.String("remote", c.ctx.RemoteAddr().String()),
		slog.String("method", methodName(c.ctx.Method())), slog.String("path", string(c.ctx.URI().PathOriginal())),
		slog.String("query", string(c.ctx.URI().QueryString())),
		slog.Int("status", c.ctx.Response.StatusCode()), slog.String("code", c.code), slog.String("outcome", c.outcome()),
		slog.String("request_id", string(c.requestID())))
	if said := withoutSecrets(c.body); said != nil {
		r.AddAttrs(slog.Any("request", said))
	}
	if err := to.Handler().Handle(context.Background(), r); err != nil {
		c.srv.log.Error("a line of the audit is lost", "request_id", string(c.requestID()), "error", err)
	}
}

// outcome is what became of the request: "applied" if it succeeded.
func (c *call) outcome() string {
	if c.code == "" {
		return "applied"
	}
	return string(c.failed)
}

// withoutSecrets is a body as an audit line has it: JSON without what nobody may
// read there. It is nil if there is none.
func withoutSecrets(body []byte) any {
	if len(body) == 0 {
		return nil
	}
	var said any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if len(body) > maxAuditedBody || d.Decode(&said) != nil {
		return "left out: too long, or no JSON"
	}
	return redacted(said)
}

// redacted replaces secrets and headers, which may have secrets.
func redacted(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, field := range v {
			switch lower := strings.ToLower(name); {
			case lower == "token", lower == "password", lower == "headers", lower == "authorization", strings.Contains(lower, "secret"):
				v[name] = "left out"
			default:
				v[name] = redacted(field)
			}
		}
	case []any:
		for i := range v {
			v[i] = redacted(v[i])
		}
	}
	return v
}
