package conn

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	nethttp "net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"ottla/http/budget"
)

// patience is for what must come: far more than a busy machine needs.
const patience = time.Minute

// echo answers a request with its path and body. /wait answers when resume
// was received from waits, /large with a large body.
type echo struct {
	session *Session
	waits   chan func()
}

func (e *echo) Serve(ctx *fasthttp.RequestCtx) {
	switch string(ctx.Path()) {
	case "/wait":
		e.session.Suspend(&waiting{waits: e.waits})
	case "/large":
		ctx.SetBodyString(strings.Repeat("x", 1<<20))
	default:
		var body []byte
		var err error
		if stream := ctx.RequestBodyStream(); stream != nil {
			body, err = io.ReadAll(stream)
		}
		_, _ = fmt.Fprintf(ctx, "%s %s %v", ctx.Path(), body, err)
	}
}

func (e *echo) Continue(*fasthttp.RequestCtx) bool { return true }

func (e *echo) Refuse(ctx *fasthttp.RequestCtx, reason error) { ctx.Error(reason.Error(), 400) }

func (e *echo) Sent() {}

func (e *echo) Closed() {}

// waiting waits once.
type waiting struct {
	waits chan func()
	ready bool
}

func (w *waiting) Advance() bool { return !w.ready }

func (w *waiting) Park(resume func()) {
	w.ready = true
	w.waits <- resume
}

func (w *waiting) Answer(ctx *fasthttp.RequestCtx) {
	ctx.Request.Reset()
	ctx.SetBodyString("waited")
}

type served struct {
	*Server
	addr  string
	waits chan func()
}

// serve serves echo on a listener that wrap made of one for TCP.
func serve(t *testing.T, wrap func(net.Listener) net.Listener, change ...func(*Options)) *served {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &served{addr: tcp.Addr().String(), waits: make(chan func(), 10)}
	o := Options{
		Handler: func(session *Session) Handler { return &echo{session: session, waits: s.waits} },
		Name:    "echo", Log: slog.New(slog.DiscardHandler), Refusal: []byte("HTTP/1.1 503 Full\r\n\r\n"), NoTLS: []byte("HTTP/1.1 400 TLS only\r\n\r\n"),
		Bytes: budget.New(1 << 20), MaxConnections: 10, MaxHeaderBytes: 32 << 10, MaxLingerBytes: 1 << 20,
		ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: patience,
	}
	for _, f := range change {
		f(&o)
	}
	s.Server = NewServer(o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(wrap(tcp)) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		assert.NoError(t, s.Shutdown(ctx))
		assert.NoError(t, <-done)
	})
	return s
}

func plain(ln net.Listener) net.Listener { return ln }

// sessions lists those of open connections.
func (s *served) sessions() []*Session {
	ln := s.ln.Load()
	ln.mu.Lock()
	defer ln.mu.Unlock()
	var list []*Session
	for c := range ln.open {
		list = append(list, c.session)
	}
	return list
}

func exchange(t *testing.T, conn net.Conn, r *bufio.Reader, request string) string {
	t.Helper()
	_, err := io.WriteString(conn, request)
	require.NoError(t, err)
	return read(t, r)
}

func read(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	resp, err := nethttp.ReadResponse(r, nil)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

const get = "GET %s HTTP/1.1\r\nHost: a\r\n\r\n"

// A request that waits, and a connection between two requests, hold no
// buffers.
func TestWaitingHoldsNoBuffers(t *testing.T) {
	s := serve(t, plain)
	c, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer c.Close()
	_, err = fmt.Fprintf(c, get, "/wait")
	require.NoError(t, err)
	resume := <-s.waits
	for _, session := range s.sessions() {
		assert.Nil(t, session.b)
		assert.Nil(t, session.large)
	}
	resume()
	r := bufio.NewReader(c)
	assert.Equal(t, "waited", read(t, r))
	require.Eventually(t, func() bool { open, active := s.Connections(); return open == 1 && active == 0 }, patience, time.Millisecond)
	assert.Equal(t, "/a  <nil>", exchange(t, c, r, fmt.Sprintf(get, "/a")))
}

// certificate is one for localhost that nobody has signed.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A connection that is no socket is served without what only sockets can do.
func TestTLS(t *testing.T) {
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	s := serve(t, func(ln net.Listener) net.Listener { return tls.NewListener(ln, config) })
	c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	defer c.Close()
	r := bufio.NewReader(c)
	for range 3 {
		assert.Equal(t, "/a  <nil>", exchange(t, c, r, fmt.Sprintf(get, "/a")))
		assert.Equal(t, "/b xyz <nil>", exchange(t, c, r, "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz"))
		assert.Len(t, exchange(t, c, r, fmt.Sprintf(get, "/large")), 1<<20)
		_, err = fmt.Fprintf(c, get+get, "/wait", "/after")
		require.NoError(t, err)
		resume := <-s.waits
		for _, session := range s.sessions() {
			assert.False(t, session.c.Gone())
		}
		resume()
		assert.Equal(t, "waited", read(t, r))
		assert.Equal(t, "/after  <nil>", read(t, r))
	}
	assert.Contains(t, exchange(t, c, r, "GET / HTTP/9.9\r\n\r\n"), "HTTP/1.1")
	_, err = r.ReadByte()
	assert.ErrorIs(t, err, io.EOF, "closed, and not reset")
}

// serveTLS is serve with a certificate for localhost.
func serveTLS(t *testing.T, change ...func(*Options)) *served {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	return serve(t, func(ln net.Listener) net.Listener { return tls.NewListener(ln, config) }, change...)
}

// Between two requests a TLS connection holds no buffers, and waits for the idle
// timeout rather than the read timeout.
func TestIdleTLS(t *testing.T) {
	s := serveTLS(t, func(o *Options) { o.ReadTimeout = 200 * time.Millisecond })
	c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	defer c.Close()
	r := bufio.NewReader(c)
	require.Equal(t, "/a  <nil>", exchange(t, c, r, fmt.Sprintf(get, "/a")))
	idle := func() bool { open, active := s.Connections(); return open == 1 && active == 0 }
	require.Eventually(t, idle, patience, time.Millisecond)
	session := s.sessions()[0]
	require.NoError(t, c.SetReadDeadline(time.Now().Add(3*s.o.ReadTimeout)))
	_, err = r.ReadByte()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the server keeps the connection")
	require.NoError(t, c.SetReadDeadline(time.Time{}))
	require.Equal(t, "/a  <nil>", exchange(t, c, r, fmt.Sprintf(get, "/a")))
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { open, _ := s.Connections(); return open == 0 }, patience, time.Millisecond)
	assert.Nil(t, session.b)
}

// Half a request over TLS is given up after the read timeout.
func TestHalfARequestOverTLS(t *testing.T) {
	s := serveTLS(t, func(o *Options) { o.ReadTimeout = 50 * time.Millisecond })
	c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET /a HTTP/1.1\r\nHo")
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	_, err = io.ReadAll(c)
	assert.NoError(t, err)
}

// A client that leaves while its request waits is noticed, over TLS too.
func TestDepartureOverTLS(t *testing.T) {
	s := serveTLS(t)
	c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	_, err = fmt.Fprintf(c, get, "/wait")
	require.NoError(t, err)
	resume := <-s.waits
	left, forget := s.sessions()[0].c.Watch(func() {})
	if left == nil {
		t.Skip("departures cannot be told on this system")
	}
	require.NoError(t, c.Close())
	select {
	case <-left:
	case <-time.After(patience):
		t.Fatal("not noticed")
	}
	forget()
	resume()
}

// Whoever speaks HTTP without TLS is told so, and nothing else is answered.
func TestPlainRequestToTLS(t *testing.T) {
	s := serveTLS(t)
	for request, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":    "HTTP/1.1 400 TLS only\r\n\r\n",
		"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n": "HTTP/1.1 400 TLS only\r\n\r\n",
		"SSH-2.0-OpenSSH_9.0\r\n":              "",
	} {
		c, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		_, err = io.WriteString(c, request)
		require.NoError(t, err)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
		text, _ := io.ReadAll(c) // a reset is as good as an end
		if want != "" {
			assert.Equal(t, want, string(text))
		} else {
			assert.NotContains(t, string(text), "HTTP")
		}
		require.NoError(t, c.Close())
	}
}

// Listeners serve other protocols, too: connections are bounded, watched and
// hurried, without a Server.
func TestAnotherProtocol(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ln := NewListener(tcp, 1, []byte("full"), slog.New(slog.DiscardHandler))
	accepted := make(chan *Conn, 10)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	one, err := net.Dial("tcp", tcp.Addr().String())
	require.NoError(t, err)
	defer one.Close()
	c := <-accepted
	two, err := net.Dial("tcp", tcp.Addr().String())
	require.NoError(t, err)
	defer two.Close()
	text, err := io.ReadAll(two)
	require.NoError(t, err)
	assert.Equal(t, "full", string(text))

	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Hour)))
	ln.CloseIdle() // c is active
	failed := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 1))
		failed <- err
	}()
	ln.Hurry(time.Now().Add(10*time.Millisecond), time.Now().Add(10*time.Millisecond))
	var timeout net.Error
	require.True(t, errors.As(<-failed, &timeout) && timeout.Timeout())
	open, active := ln.Count()
	assert.Equal(t, []int{1, 1}, []int{open, active})
	left, forget := c.Watch(func() {})
	require.NoError(t, one.Close())
	if left != nil { // nil where departures cannot be told
		<-left
		assert.True(t, c.Gone())
	}
	forget()
	require.NoError(t, c.Close())
	<-ln.Empty()
	require.NoError(t, ln.Close())
	ln.Release()
}
