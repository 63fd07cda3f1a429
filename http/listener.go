package http

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// boundedListener bounds open connections. One too many is told so in the
// shape of every other error and closed; the server below would answer it in
// plain text. It also outlives running out of descriptors.
type boundedListener struct {
	net.Listener
	limit int
	log   *slog.Logger

	refusals chan struct{} // one for each that is being refused

	once     sync.Once // closes the listener
	closeErr error

	mu     sync.Mutex
	open   map[*conn]struct{}
	closed bool          // no idle connection is worth keeping
	empty  chan struct{} // closed when, after that, none is open
}

// conn is a connection that is counted until it is closed.
type conn struct {
	net.Conn
	ln    *boundedListener
	k     *connection
	state atomic.Int32

	departure atomic.Pointer[departure] // of its client, once a request has waited

	reading, writing lazyDeadline
}

// What a connection is doing.
const (
	connActive int32 = iota // a request, or part of one, is here
	connIdle                // waits for the next
	connClosed              // the server ends, so nothing more is read
)

const refusalBody = `{"error_code":50304,"code":"overloaded","message":"too many connections","retriable":true,` +
	`"outcome":"none","request_id":"refused"}`

const refusalResponse = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n" +
	"Connection: close\r\nX-Request-Id: refused\r\n\r\n" + refusalBody

func newBoundedListener(ln net.Listener, limit int, log *slog.Logger) *boundedListener {
	return &boundedListener{
		Listener: ln, limit: limit, log: log, refusals: make(chan struct{}, maxRefusals),
		open: map[*conn]struct{}{}, empty: make(chan struct{}),
	}
}

// accept returns the next connection within the limit.
func (l *boundedListener) accept() (*conn, error) {
	pause := 5 * time.Millisecond
	for {
		raw, err := l.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED) {
			l.log.Error("cannot accept a connection", "error", err, "pause", pause)
			<-time.After(pause)
			pause = min(2*pause, time.Second)
			continue
		}
		if err != nil {
			return nil, err
		}
		if c := l.admit(raw); c != nil {
			return c, nil
		}
	}
}

func (l *boundedListener) admit(raw net.Conn) *conn {
	c := &conn{Conn: raw, ln: l}
	l.mu.Lock()
	full := len(l.open) >= l.limit || l.closed
	if !full {
		l.open[c] = struct{}{}
	}
	l.mu.Unlock()
	if !full {
		return c
	}
	l.refuse(raw)
	return nil
}

// maxRefusals is how many refused connections are attended to at a time: each
// costs a descriptor, and those of the log files must not run out.
const maxRefusals = 256

// refuse answers without waiting for a request, and closes gently while not
// too many others are refused.
func (l *boundedListener) refuse(raw net.Conn) {
	select {
	case l.refusals <- struct{}{}:
		go func() {
			defer func() { <-l.refusals }()
			sendRefusal(raw)
			linger(raw, keepBytes, lingerIdle)
			_ = raw.Close()
		}()
	default:
		sendRefusal(raw)
		_ = raw.Close()
	}
}

// sendRefusal does not wait: there is room for it in a fresh connection.
func sendRefusal(raw net.Conn) {
	_ = raw.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = raw.Write([]byte(refusalResponse))
}

// Close stops accepting. Closing again does nothing.
func (l *boundedListener) Close() error {
	l.once.Do(func() { l.closeErr = l.Listener.Close() })
	return l.closeErr
}

// closeIdle closes the connections that have no request under way, and from
// now on there are no new ones. empty tells when the others have ended.
func (l *boundedListener) closeIdle() {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	if first && len(l.open) == 0 {
		close(l.empty)
	}
	var idle []*conn
	for c := range l.open {
		if c.state.CompareAndSwap(connIdle, connClosed) {
			idle = append(idle, c)
		}
	}
	l.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
}

// hurry bounds how long open connections go on to wait for their requests and
// for their answers to be taken.
func (l *boundedListener) hurry(read, write time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		c.reading.bound(read, c.Conn.SetReadDeadline)
		c.writing.bound(write, c.Conn.SetWriteDeadline)
	}
}

// Close closes the connection and makes room for another.
func (c *conn) Close() error {
	if w := c.departure.Load(); w != nil {
		w.end()
	}
	c.ln.mu.Lock()
	if _, open := c.ln.open[c]; open {
		delete(c.ln.open, c)
		if c.ln.closed && len(c.ln.open) == 0 {
			close(c.ln.empty)
		}
	}
	c.ln.mu.Unlock()
	return c.Conn.Close()
}

// peerGone reports whether the client has closed its side, without reading.
// fasthttp never tells; a stream without anything to send would not notice.
func peerGone(c net.Conn) bool {
	counted, ok := c.(*conn)
	if !ok {
		return false
	}
	sc, ok := counted.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = rc.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		gone = n == 0 && err == nil || err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR)
	})
	return gone || err != nil
}
