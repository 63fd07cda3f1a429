package conn

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/valyala/fasthttp"
)

// readHeader reads the request line and the header fields.
func (s *Session) readHeader() error {
	r := &s.b.ctx.Request
	size, err := s.parseHeader(&r.Header)
	if err != nil {
		r.Header.Reset() // the answer must not depend on a part of a header
		return err
	}
	_, _ = s.reader().Discard(size) // it is in the buffer
	if len(r.Header.Host()) == 0 {
		// HTTP/1.0. Without a host fasthttp takes //a/b for the path b at host a.
		r.Header.SetHost("none")
	}
	return checkTarget(r)
}

// parseHeader parses a header into h while it arrives. Its bytes, size of them,
// are still in the buffer afterwards.
func (s *Session) parseHeader(h *fasthttp.RequestHeader) (size int, err error) {
	p := newHeaderParser(h)
	for n := 1; ; n = s.reader().Buffered() + 1 {
		_, err := s.reader().Peek(n)
		if errors.Is(err, bufio.ErrBufferFull) && s.large == nil && s.srv.o.MaxHeaderBytes > readBuffer {
			if err := s.enlarge(); err != nil {
				return 0, err
			}
			_, err = s.large.Peek(n)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			return 0, ErrLargeHeader
		}
		if err != nil {
			return 0, err
		}
		b, _ := s.reader().Peek(s.reader().Buffered())
		if size, err := p.parse(b); size > 0 || err != nil {
			return size, err
		}
	}
}

// enlarge makes the session read on through a buffer for the largest header that
// is allowed. Its bytes are taken from the budget.
func (s *Session) enlarge() error {
	size := s.srv.o.MaxHeaderBytes
	if !s.srv.o.Bytes.TakeOpen(0, int64(size)) {
		return ErrNoBytes
	}
	begun, _ := s.b.br.Peek(s.b.br.Buffered())
	s.large = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(bytes.Clone(begun)), &s.w), size)
	s.b.br.Reset(&s.w)
	return nil
}

// releaseLarge gives the large buffer back, which must hold no byte.
func (s *Session) releaseLarge() {
	if s.large != nil {
		s.srv.o.Bytes.Give(int64(s.large.Size()))
		s.large = nil
	}
}
