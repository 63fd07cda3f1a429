package http

import (
	"bytes"
	"errors"
	"io"

	"ottla/http/conn"
	"ottla/protocol"
)

func (s *Server) bodyTooLarge() *protocol.Error {
	return protocol.Errorf(protocol.CodeBodyTooLarge, "the body exceeds %d bytes", s.o.MaxBodyBytes).
		With("limit", s.o.MaxBodyBytes)
}

func (s *Server) tooManyBytes() *protocol.Error {
	return protocol.Errorf(protocol.CodeTooManyRequests, "too many request bytes in flight").With("limit", s.bytes.Limit())
}

// readBody reads and decompresses the request's body into c.body. Memory is
// paid for before it is allocated, and grows only as bytes arrive.
func (c *call) readBody() *protocol.Error {
	stream := c.ctx.RequestBodyStream()
	if stream == nil {
		return nil
	}
	size := c.ctx.Request.Header.ContentLength() // negative: chunked
	if size == 0 {
		return nil
	}
	var err *protocol.Error
	if size > c.srv.o.MaxBodyBytes {
		err = c.srv.bodyTooLarge()
	} else {
		c.buf, err = c.readAll(c.buf[:0], stream, size)
	}
	if err != nil {
		c.discard(stream)
		return err
	}
	c.body, c.bytesIn = c.buf, len(c.buf)
	return c.decompress()
}

// endOf reads the end of a body that is as long as it may be.
func (c *call) endOf(stream io.Reader) *protocol.Error {
	var b [1]byte
	for {
		n, err := stream.Read(b[:])
		switch {
		case n > 0:
			return c.srv.bodyTooLarge()
		case err == io.EOF:
			return nil
		case err != nil:
			return c.unreadable(err)
		}
	}
}

// What a body gets of the budget, in bytes.
const (
	firstBytes = 16 << 10 // at first, or what is announced if that is less
	chunkBytes = 4 << 10  // at first, when nothing is announced
	smallBytes = 16 << 10 // from here on it gets none of the reserve
)

// readAll appends what stream holds to dst, which is empty: at most
// MaxBodyBytes, or size if that is not negative. What is announced is not paid
// for before it comes: a few clients that send none of it would keep all
// others out.
func (c *call) readAll(dst []byte, stream io.Reader, size int) ([]byte, *protocol.Error) {
	limit, paid := c.srv.o.MaxBodyBytes, 0
	for {
		if len(dst) == limit {
			return dst, c.endOf(stream)
		}
		if len(dst) == paid {
			grown := min(max(2*paid, chunkBytes), limit)
			if size >= 0 {
				grown = min(max(2*paid, firstBytes), size)
			}
			if err := c.hold(grown-paid, grown); err != nil {
				return dst, err
			}
			if paid = grown; cap(dst) < paid {
				dst = append(make([]byte, 0, paid), dst...)
			}
		}
		n, err := stream.Read(dst[len(dst):paid])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			if size >= 0 && len(dst) < size {
				err = io.ErrUnexpectedEOF
			} else {
				return dst, nil
			}
		}
		if err != nil {
			return dst, c.unreadable(err)
		}
		if len(dst) == size {
			return dst, nil
		}
	}
}

// discardShare: of a refused body so many times the largest that is taken are
// read, so that the connection can be used again.
const discardShare = 4

// discard reads the rest of a refused body, within reason.
func (c *call) discard(stream io.Reader) {
	if c.ctx.Response.ConnectionClose() {
		return // it broke off
	}
	most := discardShare * c.srv.o.MaxBodyBytes
	if announced, ok := stream.(conn.Body); ok && announced.AtLeast() > most {
		c.ctx.SetConnectionClose() // its client hears of it before it has sent everything
		return
	}
	if _, err := io.CopyN(io.Discard, stream, int64(most)+1); !errors.Is(err, io.EOF) {
		c.ctx.SetConnectionClose()
	}
}

// unreadable reports a body that broke off; the connection cannot be reused.
func (c *call) unreadable(err error) *protocol.Error {
	c.ctx.SetConnectionClose()
	switch {
	case isTimeout(err) && c.srv.conns.Ending():
		return errEnding
	case isTimeout(err):
		return protocol.Errorf(protocol.CodeMalformed, "the body did not arrive within %s", c.srv.o.ReadTimeout)
	}
	return protocol.Errorf(protocol.CodeMalformed, "the body cannot be read: %v", err)
}

// hold takes n more bytes from the budget until the call is over, for
// something that will have all bytes then.
func (c *call) hold(n, all int) *protocol.Error {
	b := c.srv.bytes
	if all <= smallBytes && !b.Take(int64(n)) || all > smallBytes && !b.TakeOpen(c.held, int64(n)) {
		return c.srv.tooManyBytes()
	}
	c.held += int64(n)
	return nil
}

// The media types that mean something here.
type mediaType int

const (
	mediaJSON mediaType = iota
	mediaNDJSON
	mediaRaw
	mediaUnsupported
)

// media is the media type of the body. Clients that send none, or a form's,
// with what begins like JSON mean JSON.
func (c *call) media() mediaType {
	name, params, _ := bytes.Cut(c.ctx.Request.Header.ContentType(), []byte(";"))
	name = bytes.TrimSpace(name)
	if !utf8Charset(params) {
		return mediaUnsupported
	}
	switch {
	case bytes.EqualFold(name, []byte("application/json")):
		return mediaJSON
	case bytes.EqualFold(name, []byte("application/x-ndjson")):
		return mediaNDJSON
	case bytes.EqualFold(name, []byte("application/octet-stream")), bytes.EqualFold(name, []byte("text/plain")):
		return mediaRaw
	case len(name) == 0, bytes.EqualFold(name, []byte("application/x-www-form-urlencoded")):
		r := protocol.NewJSONReader(c.body)
		if k := r.Kind(); k == '{' || k == '[' || len(c.body) == 0 {
			return mediaJSON
		}
	}
	return mediaUnsupported
}

// utf8Charset reports whether a charset, if one is given, is UTF-8.
func utf8Charset(params []byte) bool {
	for len(params) > 0 {
		var p []byte
		p, params, _ = bytes.Cut(params, []byte(";"))
		name, value, _ := bytes.Cut(bytes.TrimSpace(p), []byte("="))
		value = bytes.Trim(bytes.TrimSpace(value), `"`)
		if bytes.EqualFold(name, []byte("charset")) &&
			!bytes.EqualFold(value, []byte("utf-8")) && !bytes.EqualFold(value, []byte("utf8")) &&
			!bytes.EqualFold(value, []byte("us-ascii")) {
			return false
		}
	}
	return true
}

func (c *call) unsupportedMedia() *protocol.Error {
	if len(bytes.TrimSpace(c.ctx.Request.Header.ContentType())) == 0 {
		return protocol.Errorf(protocol.CodeUnsupportedMediaType,
			"no content type is given, and the body is not JSON, it does not begin with { or [")
	}
	return protocol.Errorf(protocol.CodeUnsupportedMediaType, "content type %.100q is not supported here",
		c.ctx.Request.Header.ContentType())
}

// wantJSON refuses a body that says it is something else than JSON.
func (c *call) wantJSON() *protocol.Error {
	if len(c.body) > 0 && c.media() != mediaJSON {
		return c.unsupportedMedia()
	}
	return nil
}
