package conn

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

// Listener accepts connections up to a limit and knows all that are open, so
// that it can end them in an orderly way. It knows nothing of what is spoken on
// them.
//
// One connection too many is told so and closed. Running out of file
// descriptors makes accepting pause, not fail.
type Listener struct {
	ln      net.Listener
	limit   int
	refusal []byte
	log     *slog.Logger

	refusals   chan struct{} // one token for each connection that is being refused
	departures departures    // of clients, where Conn.Watch was called

	closeOnce sync.Once
	closeErr  error

	mu    sync.Mutex
	open  map[*Conn]struct{}
	ended bool          // CloseIdle was called: connections are refused
	empty chan struct{} // closed when, after that, no connection is open
}

// NewListener bounds the open connections of ln to limit. The others are sent
// refusal, which must be small enough for the send buffer of a new connection.
func NewListener(ln net.Listener, limit int, refusal []byte, log *slog.Logger) *Listener {
	return &Listener{
		ln: ln, limit: limit, refusal: refusal, log: log, refusals: make(chan struct{}, maxRefusals),
		open: map[*Conn]struct{}{}, empty: make(chan struct{}),
	}
}

// Accept returns the next connection within the limit.
func (l *Listener) Accept() (*Conn, error) {
	pause := 5 * time.Millisecond
	for {
		raw, err := l.ln.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED) {
			l.log.Error("cannot accept a connection", "error", err, "pause", pause)
			<-time.After(pause)
			pause = min(2*pause, time.Second)
			continue
		}
		if err != nil {
			return nil, err
		}
		if c := l.Admit(raw); c != nil {
			return c, nil
		}
	}
}

// Admit counts a connection that was accepted elsewhere, or refuses it and
// returns nil when there are too many.
func (l *Listener) Admit(raw net.Conn) *Conn {
	c := newConn(l, raw)
	l.mu.Lock()
	full := len(l.open) >= l.limit || l.ended
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

const (
	// maxRefusals is how many refused connections may linger at a time. Each
	// costs a file descriptor, and those of the log files must not run out.
	maxRefusals = 256
	// maxRefusedBytes is how much of what a refused client sends is read, so that
	// closing does not reset the connection.
	maxRefusedBytes = 64 << 10
)

// refuse answers without waiting for a request. The close is gentle unless
// maxRefusals others are being refused.
func (l *Listener) refuse(raw net.Conn) {
	select {
	case l.refusals <- struct{}{}:
		go func() {
			defer func() { <-l.refusals }()
			l.sendRefusal(raw)
			linger(raw, maxRefusedBytes, lingerIdle)
			_ = raw.Close()
		}()
	default:
		if _, ok := raw.(syscall.Conn); ok { // a handshake of TLS would hold up Accept
			l.sendRefusal(raw)
		}
		_ = raw.Close()
	}
}

// sendRefusal does not wait as a rule: the send buffer of a new connection has
// room for the refusal.
func (l *Listener) sendRefusal(raw net.Conn) {
	_ = raw.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = raw.Write(l.refusal)
}

// Close stops accepting. Closing again does nothing.
func (l *Listener) Close() error {
	l.closeOnce.Do(func() { l.closeErr = l.ln.Close() })
	return l.closeErr
}

// CloseIdle closes the connections that are idle. From now on, connections
// are refused.
func (l *Listener) CloseIdle() {
	l.mu.Lock()
	first := !l.ended
	l.ended = true
	if first && len(l.open) == 0 {
		close(l.empty)
	}
	var idle []*Conn
	for c := range l.open {
		if c.state.CompareAndSwap(stateIdle, stateEnded) {
			idle = append(idle, c)
		}
	}
	l.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
}

// Empty returns a channel that is closed when CloseIdle was called and no
// connection is open any more.
func (l *Listener) Empty() <-chan struct{} { return l.empty }

// Hurry makes all open connections wait no longer than until read for what
// their clients send, and until write for what they are sent to be taken. A
// client that has sent half a request would otherwise hold up the end of the
// process for the read timeout.
func (l *Listener) Hurry(read, write time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		c.reading.bound(read, c.Conn.SetReadDeadline)
		c.writing.bound(write, c.Conn.SetWriteDeadline)
	}
}

// Release frees what Conn.Watch needs. Departures are not told from then on.
func (l *Listener) Release() { l.departures.close() }

// Count returns how many connections are open, and how many of them are not
// idle.
func (l *Listener) Count() (open, active int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		if c.state.Load() == stateActive {
			active++
		}
	}
	return len(l.open), active
}

// remove forgets a connection that closes and makes room for another.
func (l *Listener) remove(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, open := l.open[c]; !open {
		return
	}
	delete(l.open, c)
	if l.ended && len(l.open) == 0 {
		close(l.empty)
	}
}
