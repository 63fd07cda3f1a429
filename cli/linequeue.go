package cli

import (
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	// maxQueued is the number of bytes that may wait for standard error: the lines
	// of a few seconds on a busy server.
	maxQueued = 4 << 20
	// queuePause is the pause after a write in which lines gather, so that a busy
	// server makes few large writes and an idle one writes at once.
	queuePause = 20 * time.Millisecond
)

// lineQueue is a writer that never waits for the writer behind it: a log reader
// that is stuck must not stop requests. Lines that do not fit are dropped and
// counted.
type lineQueue struct {
	w     io.Writer
	limit int
	log   *slog.Logger // for warnings about dropped lines

	mu      sync.Mutex
	lines   []byte
	dropped int

	wake chan struct{} // capacity 1: there are lines
	stop chan struct{}
	done chan struct{}
}

func newLineQueue(w io.Writer, limit int, log *slog.Logger) *lineQueue {
	q := &lineQueue{
		w: w, limit: limit, log: log,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go q.run()
	return q
}

// Write queues one line, or drops it.
func (q *lineQueue) Write(line []byte) (int, error) {
	q.mu.Lock()
	fits := len(q.lines)+len(line) <= q.limit
	if fits {
		q.lines = append(q.lines, line...)
	} else {
		q.dropped++
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

// run writes lines until close.
func (q *lineQueue) run() {
	defer close(q.done)
	pause := time.NewTimer(0)
	defer pause.Stop()
	var spare []byte
	for {
		select {
		case <-q.wake:
		case <-q.stop:
			q.flush(spare)
			return
		}
		spare = q.flush(spare)
		pause.Reset(queuePause)
		select {
		case <-pause.C:
		case <-q.stop:
		}
	}
}

// flush writes the queued lines. It takes an empty buffer for further lines and
// returns another one for its next call.
func (q *lineQueue) flush(spare []byte) []byte {
	q.mu.Lock()
	lines, dropped := q.lines, q.dropped
	q.lines, q.dropped = spare[:0], 0
	q.mu.Unlock()
	if len(lines) > 0 {
		_, _ = q.w.Write(lines) // there is nowhere to report an error
	}
	if dropped > 0 {
		q.log.Warn("request lines dropped: standard error does not take them fast enough", "lines", dropped)
	}
	return lines
}

// close writes what is queued, for a second at most, and ends the queue. It reports
// whether all was written.
func (q *lineQueue) close() bool {
	close(q.stop)
	limit := time.NewTimer(time.Second)
	defer limit.Stop()
	select {
	case <-q.done:
		return true
	case <-limit.C:
		return false
	}
}
