package http

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/valyala/fasthttp"
)

// connection serves the requests of one client, one after the other. It stands
// in for the loop of fasthttp.Server, which holds a read buffer as large as
// the largest header, a writer and a request for as long as a connection is
// open: too much for ten thousand parked polls (docs/adr/0005). fasthttp reads
// headers and chunks and writes answers, as it does there.
type connection struct {
	srv *Server
	c   *conn
	w   wire
	g   *gear // nil while nothing of a request is here

	tryRead func(uintptr) bool
	readErr error

	// Of the present request.
	body   bodyReader
	chunks chunkReader
	big    *bufio.Reader // instead of the gear's: the headers are large
	http11 bool
	close  bool        // the connection ends with its answer
	rest   bool        // and the client may still be sending
	room   room        // what its answer holds
	later  *suspension // its answer is waited for
	shared bool        // what made its answer possible did so for others

	rendered *rendering // what its answer is a part of
}

// serveConnection serves c until either side closes it.
func (s *Server) serveConnection(c *conn) {
	k := &connection{srv: s, c: c, w: wire{c: c, readIn: s.o.ReadTimeout, writeIn: s.o.WriteTimeout}}
	k.room.b = s.answers
	c.k = k
	if sc, ok := c.Conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			k.w.raw, k.tryRead = raw, k.peek
		}
	}
	if k.w.awaitWithin(s.o.ReadTimeout) != nil {
		k.end()
		return
	}
	k.serve()
}

// serve answers requests until one waits, on another goroutine, or the
// connection ends.
func (k *connection) serve() {
	defer k.caught()
	for {
		p := proceedOver
		if k.await() && k.request() {
			if k.later != nil {
				k.suspend()
				p = k.proceed()
			} else {
				k.yield()
				p = proceedAnswered
			}
		}
		if !k.goOn(p) {
			return
		}
	}
}

// yield lets those connections go first whose answers came with this one, of
// records that were written together. Meanwhile the client may send its next
// request: then looking for it is not in vain, and the netpoller is spared.
// After a fetch it would only cost: each has an answer of its own.
func (k *connection) yield() {
	if k.shared && k.reader().Buffered() == 0 {
		runtime.Gosched()
	}
	k.shared = false
}

// caught turns a panic of the transport into the end of one connection;
// handlers have a net of their own.
func (k *connection) caught() {
	if p := recover(); p != nil {
		k.srv.log.Error("panic in a connection", "remote", k.c.RemoteAddr().String(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		k.g, k.rest = nil, false // whatever state it is in
		k.end()
	}
}

func (k *connection) end() {
	k.room.release()
	k.releaseBig()
	if k.g != nil {
		k.reset()
		k.releaseGear()
	}
	if k.rest {
		k.linger()
	}
	_ = k.c.Close()
}

// await returns when the first byte of a request has arrived; false when none
// will.
func (k *connection) await() bool {
	if k.g != nil && k.reader().Buffered() > 0 {
		return true
	}
	k.releaseBig()
	k.c.state.Store(connIdle)
	if k.srv.ending() {
		return false
	}
	var err error
	if k.w.raw == nil {
		k.acquireGear()
		_, err = k.g.br.Peek(1)
	} else if err = k.w.untilDeadline(func() error { return k.w.raw.Read(k.tryRead) }); err == nil {
		err = k.readErr
	}
	return k.c.state.CompareAndSwap(connIdle, connActive) && err == nil
}

// peek looks for the first byte, and holds no buffer while there is none. The
// netpoller calls it when there may be one.
func (k *connection) peek(fd uintptr) bool {
	k.acquireGear()
	k.w.fd, k.w.peek = fd, true
	_, k.readErr = k.g.br.Peek(1)
	k.w.peek = false
	if errors.Is(k.readErr, errNothingYet) {
		k.releaseGear()
		return false
	}
	return true
}

func (k *connection) acquireGear() {
	if k.g != nil {
		return
	}
	k.g = gears.Get().(*gear)
	k.g.br.Reset(&k.w)
	k.g.bw.Reset(&k.w)
	k.w.pending = k.g.bw
	k.g.ctx.Init2(k.c, transportLogger{k.srv.log}, false)
}

// releaseGear gives the gear to the next request of any connection; it must
// be reset and hold no byte.
func (k *connection) releaseGear() {
	g := k.g
	k.g, k.w.pending = nil, nil
	g.poison()
	g.br.Reset(nil)
	g.bw.Reset(nil)
	gears.Put(g)
}

// reset forgets the present request and its answer.
func (k *connection) reset() {
	k.poisonRequest()
	k.g.ctx.Request.Reset()
	k.g.ctx.Response.Reset()
	k.body, k.chunks = bodyReader{}, chunkReader{}
}

func (k *connection) reader() *bufio.Reader {
	if k.big != nil {
		return k.big
	}
	return k.g.br
}

// request reads a request, has it handled, and sends its answer unless it is
// suspended; false when the connection must not be used any more.
func (k *connection) request() bool {
	ctx := &k.g.ctx
	if err := k.readHeader(); err != nil {
		if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
			k.refuse(err)
		}
		return false
	}
	k.close, k.http11 = ctx.Request.Header.ConnectionClose(), ctx.Request.Header.IsHTTP11()
	if final, err := k.expected(); final || err != nil {
		return false
	}
	k.openBody()
	k.srv.handler(ctx)
	k.close = k.close || !k.bodyEnded()
	return k.later != nil || k.finish()
}

// finish sends the answer and makes ready for the next request; false when
// there must be none.
func (k *connection) finish() bool {
	if k.reader().Buffered() == 0 {
		k.releaseBig() // before the client may count on its room
	}
	err := k.respond()
	k.rest = err == nil && k.close && (!k.bodyEnded() || k.reader().Buffered() > 0)
	k.reset()
	k.releaseRendered()
	k.room.release()
	return err == nil && !k.close
}

// releaseRendered gives the answer's buffer to other answers: the answer was
// sent, or another has taken its place.
func (k *connection) releaseRendered() {
	if k.rendered != nil {
		k.rendered.release()
		k.rendered = nil
	}
}

// expected answers "Expect: 100-continue"; final is true when the request is
// refused for it.
func (k *connection) expected() (final bool, err error) {
	ctx := &k.g.ctx
	if !ctx.Request.MayContinue() {
		return false, nil
	}
	if k.srv.expectContinue(ctx) != fasthttp.StatusContinue {
		k.close = true
		err = k.respond()
		k.rest = err == nil
		return true, err
	}
	if _, err = k.g.bw.WriteString("HTTP/1.1 100 Continue\r\n\r\n"); err == nil {
		err = k.g.bw.Flush()
	}
	return false, err
}

// openBody makes the request's body a stream: the handler reads it, so that
// its size is known and paid for before memory is allocated.
func (k *connection) openBody() {
	r := &k.g.ctx.Request
	switch n := r.Header.ContentLength(); {
	case n == -1:
		k.chunks = chunkReader{br: k.reader()}
		r.SetBodyStream(&k.chunks, -1)
	case n > 0:
		k.body = bodyReader{br: k.reader(), left: n}
		r.SetBodyStream(&k.body, n)
	}
}

// bodyEnded reports whether the next byte is that of another request. A
// handler that does not read to the end says that the connection closes.
func (k *connection) bodyEnded() bool {
	return k.body.left == 0 && (k.chunks.br == nil || k.chunks.ended())
}

// refuse answers what never became a request.
func (k *connection) refuse(err error) {
	k.srv.transportError(&k.g.ctx, err)
	k.close = true
	k.rest = k.respond() == nil
}

// respond sends the answer, unless another request waits already: then their
// answers leave together.
func (k *connection) respond() error {
	ctx := &k.g.ctx
	resp, bw := &ctx.Response, k.g.bw
	k.close = k.close || resp.ConnectionClose() || k.srv.ending()
	if k.close {
		resp.SetConnectionClose()
	} else if !k.http11 {
		resp.Header.Set("Connection", "keep-alive")
	}
	resp.Header.SetNoDefaultContentType(true)
	resp.Header.SetServer("ottla")
	resp.SkipBody = resp.SkipBody || ctx.IsHead()
	if resp.IsBodyStream() {
		return errors.Join(resp.Write(bw), bw.Flush())
	}
	if body := resp.Body(); len(body) > writeBuffer/2 && !resp.SkipBody {
		if err := bw.Flush(); err != nil {
			return err
		}
		resp.Header.SetContentLength(len(body))
		return k.w.writeBoth(resp.Header.AppendBytes(bw.AvailableBuffer()), body)
	}
	err := resp.Write(bw)
	if err == nil && (k.close || k.reader().Buffered() == 0) {
		err = bw.Flush()
	}
	return err
}
