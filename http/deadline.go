package http

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// lazyDeadline is a deadline that the runtime's timer learns of only when it
// must. The server below sets three for every request, each a little later than
// the one before, and almost none is ever reached. So one that is armed early
// stays: when it fires too soon, what it interrupted goes on under the one that
// is wanted.
type lazyDeadline struct {
	mu     sync.Mutex
	wanted time.Time // zero: none
	armed  time.Time // what the connection knows; not after wanted, zero: none
	last   time.Time // none is later; zero: no bound
}

// set makes t the deadline, arming it only if the armed one would be too late.
func (d *lazyDeadline) set(t time.Time, arm func(time.Time) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.last.IsZero() && (t.IsZero() || t.After(d.last)) {
		t = d.last
	}
	d.wanted = t
	if t.IsZero() || !d.armed.IsZero() && !t.Before(d.armed) {
		return nil
	}
	d.armed = t
	return arm(t)
}

// bound lets no deadline be later than last, from now on.
func (d *lazyDeadline) bound(last time.Time, arm func(time.Time) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = last
	if !d.wanted.IsZero() && !d.wanted.After(last) {
		return
	}
	d.wanted = last
	if d.armed.IsZero() || d.armed.After(last) {
		d.armed = last
		_ = arm(last) // it is closed already
	}
}

// early reports whether err is a deadline that fired before the wanted one,
// which is then armed.
func (d *lazyDeadline) early(err error, arm func(time.Time) error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.wanted.IsZero() && !time.Now().Before(d.wanted) {
		return false
	}
	d.armed = d.wanted
	return arm(d.wanted) == nil
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.reading.set(t, c.Conn.SetReadDeadline) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.writing.set(t, c.Conn.SetWriteDeadline) }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Read reads from the connection.
func (c *conn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err == nil || n > 0 || !c.reading.early(err, c.Conn.SetReadDeadline) {
			return n, err
		}
	}
}

// Write writes to the connection, all of b unless there is an error.
func (c *conn) Write(b []byte) (int, error) {
	for done := 0; ; {
		n, err := c.Conn.Write(b[done:])
		done += n
		if err == nil || !c.writing.early(err, c.Conn.SetWriteDeadline) {
			return done, err
		}
	}
}

var _ net.Conn = (*conn)(nil)
