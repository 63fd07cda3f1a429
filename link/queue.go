package link

import (
	"errors"
	"sync"
)

var (
	errFull   = errors.New("link: the queue is full")
	errClosed = errors.New("link: the connection is closed")
)

// queue holds what waits for one connection's writer: first in, first out, but for answers
// to pings and the goodbye, which go first. It is bounded by bytes. What is refused is
// refused to the one who sends, at once: nobody waits here but the writer.
type queue struct {
	mu     sync.Mutex
	more   sync.Cond
	urgent []outFrame
	frames []outFrame
	bytes  int // of frames
	limit  int
	closed bool
}

func newQueue(limit int) *queue {
	q := &queue{limit: limit}
	q.more.L = &q.mu
	return q
}

// push adds a frame. A frame that is larger than the limit fits into an empty queue.
func (q *queue) push(f outFrame) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return errClosed
	// Else a body near MaxBody could never be sent where the limit is less.
	case q.bytes > 0 && q.bytes+f.size() > q.limit:
		return errFull
	}
	q.add(f)
	return nil
}

// force adds a frame to a full queue, too.
func (q *queue) force(f outFrame) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.add(f)
	}
}

func (q *queue) add(f outFrame) {
	q.frames = append(q.frames, f)
	q.bytes += f.size()
	q.more.Signal()
}

// hurry adds a frame that goes first, unless many of those wait already.
func (q *queue) hurry(f outFrame) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed && len(q.urgent) < maxUrgent {
		q.urgent = append(q.urgent, f)
		q.more.Signal()
	}
}

const maxUrgent = 64

// take waits for frames and appends some to batch, of about limit bytes in all.
// It reports false when the queue was closed.
func (q *queue) take(batch []outFrame, limit int) ([]outFrame, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.frames) == 0 && len(q.urgent) == 0 && !q.closed {
		q.more.Wait()
	}
	if q.closed {
		return batch, false
	}
	batch = append(batch, q.urgent...)
	clear(q.urgent)
	q.urgent = q.urgent[:0]
	n, size := 0, 0
	for n < len(q.frames) && (n == 0 || size+q.frames[n].size() <= limit) {
		size += q.frames[n].size()
		n++
	}
	batch = append(batch, q.frames[:n]...)
	q.bytes -= size
	if n == len(q.frames) {
		clear(q.frames)
		q.frames = q.frames[:0]
		if cap(q.frames) > 4096 {
			q.frames = nil
		}
	} else {
		// What was taken is written and let go of; the array would keep the bodies in
		// memory.
		clear(q.frames[:n])
		q.frames = q.frames[n:]
	}
	return batch, true
}

// close ends the queue and returns what waits in it.
func (q *queue) close() []outFrame {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := q.frames
	q.closed, q.frames, q.urgent, q.bytes = true, nil, nil, 0
	q.more.Broadcast()
	return left
}

func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
