//go:build poison || race

package conn

import (
	"bytes"
	"io"
)

// Poisons reports whether memory that is given back is overwritten first. Who
// kept bytes of a request that is over or suspended, or a string made of them
// without a copy, then sees PoisonByte, instead of bytes of another request once
// in a blue moon. It is true in builds with `-tags poison` or the race detector.
const Poisons = true

// Spoil overwrites b with PoisonByte if Poisons is true.
func Spoil(b []byte) {
	for i := range b {
		b[i] = PoisonByte
	}
}

// spoilRequest spoils the present request where it lies. fasthttp has some
// constants among the parts; only what this request brought is written to.
func (s *Session) spoilRequest() {
	r := &s.b.ctx.Request
	if len(r.Header.Host()) == 0 {
		return // it is reset already, or was restored from copies
	}
	h, u := &r.Header, r.URI()
	for _, b := range [][]byte{u.PathOriginal(), u.QueryString(), u.Host()} {
		Spoil(b)
	}
	if path := u.Path(); len(path) > 1 {
		Spoil(path)
	}
	for key, value := range u.QueryArgs().All() {
		Spoil(key)
		Spoil(value)
	}
	junk := func(b []byte) []byte { return bytes.Repeat([]byte{PoisonByte}, len(b)) }
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
}

type poisonSource struct{}

func (poisonSource) Read(p []byte) (int, error) {
	Spoil(p)
	return len(p), nil
}

// spoil overwrites the buffers, which hold nothing that is still to be read or
// written.
func (b *buffers) spoil() {
	b.br.Reset(poisonSource{})
	_, _ = b.br.Peek(b.br.Size())
	b.bw.Reset(io.Discard)
	free := b.bw.AvailableBuffer()
	Spoil(free[:cap(free)])
}
