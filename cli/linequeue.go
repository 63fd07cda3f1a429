package cli

import (
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	// maxQueued is how many bytes of lines may wait for standard error: a few
	// seconds of a busy server.
	maxQueued = 4 << 20
	// queuePause is how long lines gather after some were written, so that a
	// busy server makes few large writes and an idle one writes at once.
	queuePause = 20 * time.Millisecond
)

// lineQueue is a writer that never waits for the one behind it: a reader of
// our log that is stuck must not stop requests. What does not fit is dropped
// and counted.
type lineQueue struct {
	w     io.Writer
	limit int
	log   *slog.Logger // says how many lines were dropped

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

// Write takes one line, or drops it.
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

// flush writes what is there; spare is empty memory for further lines, and
// so is what it returns.
func (q *lineQueue) flush(spare []byte) []byte {
	q.mu.Lock()
	lines, dropped := q.lines, q.dropped
	q.lines, q.dropped = spare[:0], 0
	q.mu.Unlock()
	if len(lines) > 0 {
		_, _ = q.w.Write(lines) // there is no place left to report it
	}
	if dropped > 0 {
		q.log.Warn("request lines dropped: standard error does not take them fast enough", "lines", dropped)
	}
	return lines
}

// close writes what is queued, for a second at most, and ends the queue.
func (q *lineQueue) close() {
	close(q.stop)
	limit := time.NewTimer(time.Second)
	defer limit.Stop()
	select {
	case <-q.done:
	case <-limit.C:
	}
}
