package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// call is one rendered request.
type call struct {
	wire    []byte
	records int    // records that it writes or reads
	want    []byte // must be near the end of the answer's body; nil: any answer is right
}

// load is a stream of requests over a number of connections.
type load struct {
	addrs       []string // connections go to them in turn
	connections int
	rec         *recorder
	slots       *schedule // nil: closed loop

	next nextCall

	// answered, unless nil, is called for every right answer before next is
	// called for that connection again.
	answered func(c *connection, now time.Time)
}

// nextCall is the request that a connection sends next; n counts those before. It is
// called once the one before is answered.
type nextCall func(connection int, n int64) *call

// connection is the state of one connection, independent of what drives it.
type connection struct {
	id     int
	n      int64 // requests so far
	call   *call
	start  time.Time // when the request was due, or sent
	answer response
	unsent []byte
}

// finish records a complete answer.
func (l *load) finish(c *connection, now time.Time) {
	r := &c.answer
	switch {
	case !r.ok():
		l.rec.failed(fmt.Sprintf("status %d: %s", r.status, r.tail))
	case !c.right():
		l.rec.failed(fmt.Sprintf("answer without %q: ... %s", c.call.want, r.tail[max(0, len(r.tail)-200):]))
	default:
		l.rec.done(now.Sub(c.start), c.call.records, r.length)
		if l.answered != nil {
			l.answered(c, now)
		}
	}
}

// prepare makes the next request the current one.
func (l *load) prepare(c *connection, start time.Time) {
	c.call = l.next(c.id, c.n)
	c.n++
	c.start = start
	c.unsent = c.call.wire
}

// runPortable drives each connection from a goroutine of its own.
func (l *load) runPortable(ctx context.Context) error {
	return eachConnection(ctx, l.addrs, l.connections, l.drive)
}

// eachConnection drives connections from a goroutine each, until ctx ends. Errors that
// come before are returned.
func eachConnection(ctx context.Context, addrs []string, connections int, drive func(context.Context, net.Conn, int) error) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs error
	)
	for id := range connections {
		wg.Go(func() {
			var dialer net.Dialer
			conn, err := dialer.DialContext(ctx, "tcp", addrs[id%len(addrs)])
			if err != nil {
				err = fmt.Errorf("connect: %w", err)
			} else {
				stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
				err = drive(ctx, conn, id)
				stop()
				_ = conn.Close() // nothing is lost with it
			}
			if err != nil && ctx.Err() == nil {
				mu.Lock()
				errs = errors.Join(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errs
}

func (l *load) drive(ctx context.Context, conn net.Conn, id int) error {
	c := &connection{id: id}
	buf := make([]byte, 64<<10)
	for ctx.Err() == nil {
		start := time.Now()
		if l.slots != nil {
			start = l.slots.reserve()
			if !waitDue(ctx, start) {
				return nil
			}
		}
		l.prepare(c, start)
		if _, err := conn.Write(c.unsent); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		for done := false; !done; {
			n, err := conn.Read(buf)
			if err != nil {
				return fmt.Errorf("receive: %w", err)
			}
			if done, err = c.answer.feed(buf[:n]); err != nil {
				return err
			}
		}
		l.finish(c, time.Now())
	}
	return nil
}

// timerSlack is how late the runtime's timers may fire: its poller works in
// milliseconds.
const timerSlack = 1500 * time.Microsecond

// waitDue is waitUntil without the slack of timers, which would be measured as
// latency.
func waitDue(ctx context.Context, at time.Time) bool {
	if !waitUntil(ctx, at.Add(-timerSlack)) {
		return false
	}
	if left := time.Until(at); left > 0 {
		nap(left)
	}
	return ctx.Err() == nil
}

// waitUntil waits until t; it returns false if ctx ends first.
func waitUntil(ctx context.Context, at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
