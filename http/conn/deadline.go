package conn

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// lazyDeadline is a deadline that the runtime's timer learns of only when it
// must. The loop over requests sets three for each request, every one a little
// later than the one before, and almost none is ever reached. So an early one
// stays armed: when it fires too soon, what it interrupted goes on under the
// deadline that is wanted.
type lazyDeadline struct {
	// eager arms every deadline. It is for writes to connections that do not
	// survive a write that was interrupted, as a tls.Conn does not.
	eager bool

	mu     sync.Mutex
	wanted time.Time // zero: no deadline
	armed  time.Time // what the connection knows; zero: none. Not after wanted unless eager
	last   time.Time // no deadline is later; zero: no bound
}

// set makes t the deadline, and arms it only if the armed one would be too
// late.
func (d *lazyDeadline) set(t time.Time, arm func(time.Time) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.last.IsZero() && (t.IsZero() || t.After(d.last)) {
		t = d.last
	}
	d.wanted = t
	if !d.eager && (t.IsZero() || !d.armed.IsZero() && !t.Before(d.armed)) {
		return nil
	}
	d.armed = t
	return arm(t)
}

// bound makes last the latest deadline that there can be from now on.
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
		_ = arm(last) // fails on a closed connection, which needs no deadline
	}
}

// early reports whether err is a deadline that fired before the wanted one,
// and arms the wanted one if so.
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
func (c *Conn) SetReadDeadline(t time.Time) error { return c.reading.set(t, c.Conn.SetReadDeadline) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.writing.set(t, c.Conn.SetWriteDeadline) }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Read reads from the connection.
func (c *Conn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err == nil || n > 0 || !c.reading.early(err, c.Conn.SetReadDeadline) {
			return n, err
		}
	}
}

// Write writes all of b unless there is an error.
func (c *Conn) Write(b []byte) (int, error) {
	for done := 0; ; {
		n, err := c.Conn.Write(b[done:])
		done += n
		if err == nil || !c.writing.early(err, c.Conn.SetWriteDeadline) {
			return done, err
		}
	}
}

var _ net.Conn = (*Conn)(nil)
