package http

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// answered is what the log of requests says about one of them: never what was
// asked for or sent, and of the address only the route, which has no values.
type answered struct {
	began         time.Time
	requestID     string
	method, route string // route is empty for what matches none
	status        int
	code          string // of the error that was answered
	in, out       int    // bytes of bodies, as sent
	remote        net.Addr
}

// logRequest logs a request that was answered. A stream is logged by itself,
// when it ends.
func (c *call) logRequest() {
	if c.srv.o.Requests == nil || c.ctx.Response.IsBodyStream() {
		return
	}
	a := c.answered()
	if !c.ctx.IsHead() {
		a.out = len(c.ctx.Response.Body())
	}
	c.srv.logAnswered(&a)
}

// answered describes the request as far as it is known before its body left.
func (c *call) answered() answered {
	return answered{
		began: c.began, requestID: string(c.requestID()), method: methodName(c.ctx.Method()), route: c.route,
		status: c.ctx.Response.StatusCode(), code: c.code, in: c.bytesIn, remote: c.ctx.RemoteAddr(),
	}
}

func (s *Server) logAnswered(a *answered) {
	r := slog.NewRecord(time.Now(), slog.LevelInfo, "request", 0)
	attrs := make([]slog.Attr, 0, 9)
	attrs = append(attrs,
		slog.String("request_id", a.requestID), slog.String("method", a.method), slog.String("route", a.route),
		slog.Int("status", a.status), slog.Int("bytes_in", a.in), slog.Int("bytes_out", a.out),
		slog.Float64("duration_ms", float64(time.Since(a.began).Microseconds())/1000),
		slog.String("remote", a.remote.String()))
	if a.code != "" {
		attrs = append(attrs, slog.String("code", a.code))
	}
	r.AddAttrs(attrs...)
	_ = s.o.Requests.Handler().Handle(context.Background(), r) // there is no place left to report it
}

// methodName is a method without making a string of it. Others than HTTP's own
// are a client's invention and become "other".
func methodName(m []byte) string {
	switch string(m) {
	case fasthttp.MethodGet:
		return fasthttp.MethodGet
	case fasthttp.MethodPost:
		return fasthttp.MethodPost
	case fasthttp.MethodHead:
		return fasthttp.MethodHead
	case fasthttp.MethodPut:
		return fasthttp.MethodPut
	case fasthttp.MethodPatch:
		return fasthttp.MethodPatch
	case fasthttp.MethodDelete:
		return fasthttp.MethodDelete
	case fasthttp.MethodOptions:
		return fasthttp.MethodOptions
	}
	return "other"
}
