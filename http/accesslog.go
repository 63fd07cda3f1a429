package http

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// answered is what the request log says about one request. Neither what was asked
// for nor what was sent is part of it: the route stands for the path, as it has no
// values.
type answered struct {
	began         time.Time
	requestID     string
	method, route string // route is empty when no route matched
	status        int
	code          string // of the error that was answered
	in, out       int    // bytes of bodies, as sent
	remote        net.Addr
}

// logRequest logs a request that was answered. A stream logs itself when it
// ends.
func (c *call) logRequest() {
	if c.srv.o.Requests == nil || c.streams {
		return
	}
	a := c.answered()
	if !c.ctx.IsHead() {
		a.out = len(c.ctx.Response.Body())
	}
	c.srv.logAnswered(&a)
}

// answered describes the request, except for the size of the answer.
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
	_ = s.o.Requests.Handler().Handle(context.Background(), r) // there is nowhere to report an error of the log to
}

// methodName returns a method without allocating a string. Methods that are not
// HTTP's own become "other", so that clients cannot invent log values.
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
