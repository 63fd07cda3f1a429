package http

import (
	"runtime/debug"
	"time"

	"ottla/http/budget"
	"ottla/http/conn"
	"ottla/protocol"
)

// outlet is where an endless answer goes. It is written after the handler has
// returned, so it holds no RequestCtx.
type outlet struct {
	srv       *Server
	b         Backend             // as the client may use it
	who       *protocol.Principal // the client; nil where nobody is asked
	kind      streamKind
	client    *client
	held      budget.Share // for what is not written yet
	requestID []byte
	answered  answered // for the log of requests
	lastWrite time.Time
	buf       []byte // what is to be written next
}

func newOutlet(c *call, kind streamKind) outlet {
	return outlet{
		srv: c.srv, b: c.b, who: c.who, kind: kind, client: c.client, held: c.client.share(),
		requestID: append([]byte(nil), c.requestID()...),
	}
}

// startOutlet answers with what run writes, for as long as it writes. begin is
// called before that: its error is answered like any other. The stream has a place
// among the reads that wait, and ends with the connection or the server.
func startOutlet(c *call, o *outlet, begin func() *protocol.Error, run func(*conn.Stream)) *protocol.Error {
	if !c.ctx.Request.Header.IsHTTP11() {
		return protocol.Errorf(protocol.CodeMalformed, "a stream needs HTTP/1.1")
	}
	release, err := c.park(time.Second)
	if err != nil {
		return err
	}
	begun := false
	defer func() {
		if !begun { // after an error or a panic
			o.held.Release()
			release()
		}
	}()
	if err := begin(); err != nil {
		return err
	}
	resp := &c.ctx.Response
	resp.Header.Set("Cache-Control", "no-store")
	resp.Header.Set("X-Accel-Buffering", "no") // else nginx keeps the stream until its buffers are full
	resp.Header.SetContentType("application/x-ndjson")
	if o.kind == eventStream {
		resp.Header.SetContentType("text/event-stream")
	}
	if c.ctx.IsHead() {
		return nil
	}
	o.answered = c.answered()
	c.srv.streams.Add(1)
	begun, c.streams = true, true
	c.client.session.Stream(func(w *conn.Stream) {
		defer o.srv.streams.Done()
		defer o.logRequest() // after release, so that the place is free when the log says that the stream ended
		defer release()
		defer o.held.Release()
		defer func() {
			if p := recover(); p != nil {
				o.srv.log.Error("panic in a stream", "request_id", string(o.requestID), "panic", p, "stack", string(debug.Stack()))
			}
		}()
		run(w)
	})
	return nil
}

// renderError appends why the stream ends.
func (o *outlet) renderError(e *protocol.Error) {
	o.answered.code = e.Code.Name
	if o.kind == eventStream {
		o.buf = append(o.buf, "event: problem\ndata: "...)
		o.buf = appendError(o.buf, e, o.requestID)
		o.buf = append(o.buf, "\n\n"...)
		return
	}
	o.buf = append(o.buf, `{"error":`...)
	o.buf = appendError(o.buf, e, o.requestID)
	o.buf = append(o.buf, '}', '\n')
}

// logRequest logs the stream when it ends.
func (o *outlet) logRequest() {
	if o.srv.o.Requests != nil {
		o.srv.logAnswered(&o.answered)
	}
}

// renew is called after each look. It returns an error when the client may not have
// the stream any more. A token that was changed, and allows the stream all the same,
// lets it go on, with another Backend.
func (o *outlet) renew(may func(*protocol.Principal) *protocol.Error) (renewed bool, err *protocol.Error) {
	p := permit{o.srv, o.who, may}
	if err := p.lost(); err != nil || p.who == o.who {
		return false, err
	}
	o.who, o.b = p.who, o.srv.o.As(protocol.Access{Who: p.who, Do: protocol.RightRead})
	return true, nil
}

// pace waits while the client's quota of what it may read is used up. alive is called
// at least every so often meanwhile.
func (o *outlet) pace(every time.Duration, alive func()) {
	for {
		wait := o.who.Usage().FetchWait(time.Now())
		if wait <= 0 {
			return
		}
		t := time.NewTimer(min(wait, every, time.Second)) // a client that leaves is not told of
		select {
		case <-t.C:
		case <-o.srv.done:
		case <-o.who.Ended():
		}
		t.Stop()
		if o.ending() || o.who.Over(time.Now()) || o.client.gone() {
			return
		}
		alive()
	}
}

// ending reports whether the server shuts down.
func (o *outlet) ending() bool {
	select {
	case <-o.srv.done:
		return true
	default:
		return false
	}
}

// flush writes buf within the write timeout. It returns false when the client is
// gone.
func (o *outlet) flush(w *conn.Stream) bool {
	defer o.held.Release()
	if len(o.buf) == 0 {
		return w.WritePiece(nil) == nil && !o.client.gone() // a write elsewhere may have failed
	}
	o.account(len(o.buf), time.Now())
	err := w.WritePiece(o.buf)
	if o.buf = o.buf[:0]; cap(o.buf) > idleStreamBytes {
		o.buf = nil
	}
	return err == nil
}

// account counts what is written next.
func (o *outlet) account(size int, now time.Time) {
	o.lastWrite = now
	o.srv.metrics.streamed.Add(float64(size))
	o.answered.out += size
	o.who.Usage().Fetched(size, now)
}

// idleStreamBytes is the largest buffer, in bytes, that a stream keeps while it
// waits: there may be thousands of them.
const idleStreamBytes = 4 << 10
