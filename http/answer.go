package http

import (
	"bytes"
	"encoding/json"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"

	"ottla/http/budget"
	"ottla/protocol"
)

// keepBytes is the largest buffer that is kept for other requests, in bytes.
const keepBytes = 64 << 10

// keepRecords is the greatest room for records of a request that is kept for other
// requests: about as many bytes as two such buffers have.
const keepRecords = 1024

// nameLeader says where the leader of a partition is, in a fleet.
func (c *call) nameLeader(t *protocol.Topic, partition int) {
	if address := c.b.LeaderAddress(t, partition); address != "" {
		c.ctx.Response.Header.Set(leaderHeader, address)
	}
}

func (c *call) requestID() []byte { return c.ctx.Response.Header.Peek(requestIDHeader) }

// out returns an empty buffer for the answer's body, to be given to send.
func (c *call) out() []byte { return c.ctx.Response.SwapBody(nil)[:0] }

// send answers with body, which began with out.
func (c *call) send(status int, body []byte) {
	resp := &c.ctx.Response
	resp.SetStatusCode(status)
	resp.Header.SetContentType("application/json")
	if cap(body) > keepBytes {
		// fasthttp would keep the buffer for as long as the response is used again.
		resp.SetBodyRaw(body)
		return
	}
	resp.SwapBody(body)
}

// sendNothing answers 204.
func (c *call) sendNothing() {
	c.ctx.Response.ResetBody()
	c.ctx.Response.SetStatusCode(fasthttp.StatusNoContent)
}

// account counts the answer as it will be sent. An answer to a request that
// changed nothing is replaced by an error when it is large and finds no room.
func (c *call) account(refusable bool) {
	resp := &c.ctx.Response
	if c.streams {
		return
	}
	body, share := resp.Body(), &c.client.answer
	n := int64(len(body))
	if n > keepBytes {
		n = int64(cap(body)) // the buffer is not used again for others
	}
	switch {
	case share.Held() > 0:
		share.Set(n)
	case n <= budget.SmallAnswer:
	case !refusable || resp.StatusCode() != fasthttp.StatusOK:
		share.Set(n)
	default:
		if err := share.SetIfFree(n); err != nil {
			c.fail(err)
		}
	}
}

// compressResponse compresses a large answer if the client accepts it.
func (c *call) compressResponse() {
	resp := &c.ctx.Response
	if c.streams || len(resp.Body()) <= compressFrom || len(resp.Header.ContentEncoding()) > 0 {
		return
	}
	resp.Header.Add("Vary", "Accept-Encoding")
	encoding := chooseEncoding(c.ctx.Request.Header.Peek("Accept-Encoding"))
	if encoding == "" {
		return
	}
	var out bytes.Buffer
	out.Grow(len(resp.Body()) / 4)
	var err error
	if encoding == "zstd" {
		w := zstdWriters.Get().(*zstd.Encoder)
		w.Reset(&out)
		err = writeAll(w, resp.Body())
		zstdWriters.Put(w)
	} else {
		w := gzipWriters.Get().(*gzip.Writer)
		w.Reset(&out)
		err = writeAll(w, resp.Body())
		gzipWriters.Put(w)
	}
	if err != nil {
		return // the plain answer is still there
	}
	resp.Header.Set("Content-Encoding", encoding)
	resp.SetBodyRaw(out.Bytes())
	c.client.releaseRendered()
}

// sendJSON answers with v, marshalled. Records are not sent by it: they are
// rendered straight from their tokens.
func (c *call) sendJSON(status int, v any) *protocol.Error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return protocol.Errorf(protocol.CodeInternal, "cannot render the answer: %v", err)
	}
	c.send(status, append(c.out(), bytes.TrimSuffix(b.Bytes(), []byte("\n"))...))
	return nil
}

// sendCreated answers 201 for something new, 200 for the same again.
func (c *call) sendCreated(created bool, v any) *protocol.Error {
	if created {
		return c.sendJSON(fasthttp.StatusCreated, v)
	}
	return c.sendJSON(fasthttp.StatusOK, v)
}

// sendRendered answers with head, the records of r, and tail. If the buffer of r
// is large and well filled it becomes the answer, and is given back when that was
// sent; else it is copied.
func (c *call) sendRendered(r *rendering, head, tail []byte) {
	if len(r.buf) <= headRoom {
		r.release()
		c.send(fasthttp.StatusOK, append(append(c.out(), head...), tail...))
		return
	}
	if cap(r.buf)-len(r.buf) < len(tail) {
		r.enlarge(len(r.buf) + len(tail))
	}
	r.buf = append(r.buf, tail...)
	begin := headRoom - len(head)
	if begin < 0 {
		panic("BUG: the beginning of an answer does not fit headRoom")
	}
	copy(r.buf[begin:], head)
	body := r.buf[begin:]
	switch {
	case len(body) <= keepBytes:
		c.send(fasthttp.StatusOK, append(c.out(), body...))
		r.release()
	case cap(r.buf) > 2*len(body):
		c.send(fasthttp.StatusOK, bytes.Clone(body))
		r.release()
	default:
		c.send(fasthttp.StatusOK, body)
		c.client.rendered = r
	}
}
