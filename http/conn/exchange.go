package conn

import (
	"errors"
	"io"
	"net"
)

// request reads a request, has it handled, and sends its answer unless it was
// suspended. It returns false when the connection must not be used any more.
func (s *Session) request() bool {
	ctx := &s.b.ctx
	if err := s.readHeader(); err != nil {
		if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
			s.refuse(err)
		}
		return false
	}
	s.close, s.http11 = ctx.Request.Header.ConnectionClose(), ctx.Request.Header.IsHTTP11()
	if final, err := s.expected(); final || err != nil {
		return false
	}
	s.openBody()
	s.handler.Serve(ctx)
	s.close = s.close || !s.bodyEnded()
	return s.suspended != nil || s.finish()
}

// finish sends the answer and makes ready for the next request. It returns
// false when there must be none.
func (s *Session) finish() bool {
	if s.reader().Buffered() == 0 {
		s.releaseLarge() // before the client has the answer and may count on its bytes
	}
	err := s.respond()
	if err != nil {
		s.srv.notTaken(s.c, err)
	}
	s.unread = err == nil && s.close && (!s.bodyEnded() || s.reader().Buffered() > 0)
	s.reset()
	s.handler.Sent()
	return err == nil && !s.close
}

// expected answers "Expect: 100-continue". final is true when that ends the
// request.
func (s *Session) expected() (final bool, err error) {
	ctx := &s.b.ctx
	if !ctx.Request.MayContinue() {
		return false, nil
	}
	if !s.handler.Continue(ctx) {
		s.close = true
		err = s.respond()
		s.unread = err == nil
		return true, err
	}
	if _, err = s.b.bw.WriteString("HTTP/1.1 100 Continue\r\n\r\n"); err == nil {
		err = s.b.bw.Flush()
	}
	return false, err
}

// openBody makes the request's body a stream: the handler reads it, and so it
// can pay for memory before it allocates any.
func (s *Session) openBody() {
	r := &s.b.ctx.Request
	switch n := r.Header.ContentLength(); {
	case n == -1:
		s.chunks = chunkReader{br: s.reader()}
		r.SetBodyStream(&s.chunks, -1)
	case n > 0:
		s.body = lengthReader{br: s.reader(), left: n}
		r.SetBodyStream(&s.body, n)
	}
}

// bodyEnded reports whether the body was read to its end, so that the next
// byte is that of another request.
func (s *Session) bodyEnded() bool {
	return s.body.left == 0 && (s.chunks.br == nil || s.chunks.ended())
}

// refuse answers what never became a request.
func (s *Session) refuse(reason error) {
	s.handler.Refuse(&s.b.ctx, reason)
	s.close = true
	s.unread = s.respond() == nil
}

// respond sends the answer. If another request has arrived already, the answer
// stays in the buffer, and both answers leave together.
func (s *Session) respond() error {
	ctx := &s.b.ctx
	resp, bw := &ctx.Response, s.b.bw
	s.close = s.close || resp.ConnectionClose() || s.srv.Ending()
	if s.close {
		resp.SetConnectionClose()
	} else if !s.http11 {
		resp.Header.Set("Connection", "keep-alive")
	}
	resp.Header.SetNoDefaultContentType(true)
	resp.Header.SetServer(s.srv.o.Name)
	resp.SkipBody = resp.SkipBody || ctx.IsHead()
	if s.streaming != nil {
		return s.stream(s.streaming)
	}
	if body := resp.Body(); len(body) > writeBuffer/2 && !resp.SkipBody {
		if err := bw.Flush(); err != nil {
			return err
		}
		resp.Header.SetContentLength(len(body))
		return s.w.writeAll(resp.Header.AppendBytes(bw.AvailableBuffer()), body)
	}
	err := resp.Write(bw)
	if err == nil && (s.close || s.reader().Buffered() == 0) {
		err = bw.Flush()
	}
	return err
}
