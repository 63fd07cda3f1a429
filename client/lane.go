package client

import (
	"context"
	"net/url"
	"sync"
	"time"
)

// lane gathers records into batches and sends them one at a time, as the server
// requires of a producer id.
type lane struct {
	p    *Producer
	wire wire
	wake chan struct{} // tells run that something changed; capacity 1

	mu       sync.Mutex
	open     *batch   // being filled; nil: none yet
	ready    []*batch // full or sealed, oldest first
	spare    []*batch // to be filled again
	closed   bool
	batches  uint64 // number that were sealed
	finished uint64 // number of them whose results are known
	waiters  []waiter
}

// waiter is closed when that many batches are finished.
type waiter struct {
	batches uint64
	done    chan struct{}
}

func newLane(p *Producer, topic, id string) (*lane, error) {
	q := url.Values{"topic": {topic}}
	setQuery(q, "cluster", p.cfg.Cluster)
	plain := q.Encode()
	q.Set("offsets", "true")
	l := &lane{p: p, wake: make(chan struct{}, 1)}
	l.wire = wire{
		client: p.client, id: id, epoch: p.cfg.Epoch,
		plain:   "/events?" + plain,
		offsets: "/events?" + q.Encode(),
		headers: headersOf(&p.cfg, id),
	}
	return l, l.wire.compressWith(p.cfg.Compression)
}

// add puts a record into the open batch; a batch that would grow too large is
// sealed first.
func (l *lane) add(text []byte, done func(Ack, error)) error {
	cfg := &l.p.cfg
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if l.open != nil && len(l.open.body)+len(text) > cfg.BatchBytes {
		l.sealLocked()
	}
	if l.open == nil {
		l.open = l.fresh()
	}
	var now time.Time
	if len(l.open.lines) == 0 {
		now = time.Now()
	}
	l.open.add(text, done, now)
	if first := len(l.open.lines) == 1; len(l.open.body) >= cfg.BatchBytes || len(l.open.lines) >= cfg.BatchRecords {
		l.sealLocked()
	} else if first || l.p.memory.wanted.Load() {
		l.signal()
	}
	return nil
}

func (l *lane) fresh() *batch {
	if n := len(l.spare); n > 0 {
		b := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return b
	}
	return &batch{}
}

// seal makes the open batch ready without lingering.
func (l *lane) seal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealLocked()
}

func (l *lane) sealLocked() {
	if l.open == nil || len(l.open.lines) == 0 {
		return
	}
	l.ready = append(l.ready, l.open)
	l.open = nil
	l.batches++
	l.p.sticky.Add(1)
	l.signal()
}

func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.sealLocked()
}

// settled is closed once all batches that were sealed so far are finished.
func (l *lane) settled() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	done := make(chan struct{})
	if l.finished >= l.batches {
		close(done)
		return done
	}
	l.waiters = append(l.waiters, waiter{l.batches, done})
	return done
}

func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run sends batches until the producer ends; what is left then fails.
func (l *lane) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		b, wait := l.next()
		switch {
		case b != nil:
			l.deliver(b)
			l.finish(b)
			continue
		case l.p.ctx.Err() != nil:
			return
		}
		timer.Reset(wait)
		select {
		case <-l.wake:
		case <-timer.C:
		case <-l.p.ctx.Done():
		}
	}
}

// next returns the oldest batch that is due, or how long to wait for one.
func (l *lane) next() (*batch, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ready) == 0 && l.open != nil && len(l.open.lines) > 0 {
		if left := l.lingers(); left > 0 && l.p.ctx.Err() == nil {
			return nil, left
		}
		l.sealLocked()
	}
	if len(l.ready) == 0 {
		return nil, time.Hour
	}
	b := l.ready[0]
	l.ready = append(l.ready[:0], l.ready[1:]...)
	return b, 0
}

// lingers is how much longer the open batch waits for records. It does not wait if
// somebody waits for memory.
func (l *lane) lingers() time.Duration {
	if l.p.cfg.Linger == 0 || l.p.memory.wanted.Load() {
		return 0
	}
	return l.p.cfg.Linger - time.Since(l.open.since)
}

// maxSpare is how many empty batches a lane keeps for reuse.
const maxSpare = 2

// finish counts a batch whose callbacks have all been called, and keeps its memory
// for reuse.
func (l *lane) finish(b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cap(b.body) <= 2*l.p.cfg.BatchBytes && len(l.spare) < maxSpare {
		b.reset()
		l.spare = append(l.spare, b)
	}
	l.finished++
	left := l.waiters[:0]
	for _, w := range l.waiters {
		if w.batches <= l.finished {
			close(w.done)
		} else {
			left = append(left, w)
		}
	}
	l.waiters = left
}

// deliver sends a batch until the results of its records are known, and calls
// their callbacks.
func (l *lane) deliver(b *batch) {
	d := delivery{lane: l, batch: b}
	cost := b.cost
	if stopped := l.p.stopped.Load(); stopped != nil {
		d.err = *stopped
	} else {
		d.run()
	}
	if l.p.cfg.StopOnError && d.err != nil {
		err := d.err // else d itself would be on the heap
		l.p.stopped.CompareAndSwap(nil, &err)
	}
	l.p.memory.give(cost)
	silent := 0
	for i := range b.lines {
		res := d.result(i)
		switch done := b.lines[i].done; {
		case done != nil:
			done(res.ack, res.err)
		case res.err != nil:
			silent++
		}
	}
	if silent > 0 {
		l.p.noteFailed(silent, d.err)
	}
	if d.tainted {
		b.body, l.wire.packed = nil, nil
	}
}

// tryContext is the context of one request.
func (l *lane) tryContext(deadline time.Time) (context.Context, context.CancelFunc) {
	if limit := time.Now().Add(l.p.cfg.RequestTimeout); limit.Before(deadline) {
		deadline = limit
	}
	return context.WithDeadline(l.p.ctx, deadline)
}
