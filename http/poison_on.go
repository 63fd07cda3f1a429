//go:build poison || race

package http

import (
	"bytes"
	"io"
)

// poisons tells whether what is given back is overwritten first. Whoever kept
// bytes, or a string made of them without a copy, of a request that is over or
// suspended then sees these instead of another request's, once in a blue moon.
// Built with `-tags poison` or the race detector.
const poisons = true

func spoil(b []byte) {
	for i := range b {
		b[i] = poisonByte
	}
}

// poisonRequest spoils the present request where it lies. fasthttp has some
// constants among the parts; only what this request brought is written to.
func (k *connection) poisonRequest() {
	r := &k.g.ctx.Request
	if len(r.Header.RawHeaders()) == 0 {
		return // it is reset already, or was restored from copies
	}
	h, u := &r.Header, r.URI()
	for _, b := range [][]byte{u.PathOriginal(), u.QueryString(), u.Host()} {
		spoil(b)
	}
	if path := u.Path(); len(path) > 1 {
		spoil(path)
	}
	for key, value := range u.QueryArgs().All() {
		spoil(key)
		spoil(value)
	}
	junk := func(b []byte) []byte { return bytes.Repeat([]byte{poisonByte}, len(b)) }
	for _, key := range h.PeekKeys() {
		switch name := string(key); name {
		case "Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Cookie", "Host", "Content-Type", "User-Agent":
		default:
			h.Set(name, string(junk(h.Peek(name))))
		}
	}
	h.SetHostBytes(junk(h.Host()))
	h.SetContentTypeBytes(junk(h.ContentType()))
	h.SetUserAgentBytes(junk(h.UserAgent()))
	h.SetRequestURIBytes(junk(h.RequestURI()))
	h.SetMethodBytes(junk(h.Method()))
	spoil(h.RawHeaders())
}

type poisonSource struct{}

func (poisonSource) Read(p []byte) (int, error) {
	spoil(p)
	return len(p), nil
}

// poison spoils the buffers, which hold nothing that is still to be read or
// written.
func (g *gear) poison() {
	g.br.Reset(poisonSource{})
	_, _ = g.br.Peek(g.br.Size())
	g.bw.Reset(io.Discard)
	b := g.bw.AvailableBuffer()
	spoil(b[:cap(b)])
}

// poisonAnswer spoils what an answer was rendered into.
func poisonAnswer(b []byte) { spoil(b) }

func (c *call) poison() {
	spoil(c.body)
	spoil(c.buf[:cap(c.buf)])
	spoil(c.scratch[:cap(c.scratch)])
}
