package link

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxPending is how many calls of one connection may wait for their answers.
const maxPending = 1 << 16

// call is one that was made here. Its outcome is decided once, by whoever comes
// first: the answer, the deadline, the end of the connection.
type call struct {
	state atomic.Int32
	done  func([]byte, error)
	timer *time.Timer
}

// States of a call.
const (
	callQueued = iota
	// From here on nobody can say that the other node has not got it.
	callHanded // to the socket, or about to be
	callDone
)

// hand says that the call goes to the socket now; false: it is over already.
func (c *call) hand() bool { return c.state.CompareAndSwap(callQueued, callHanded) }

// finish ends the call, and reports how far it had come; false: it was over.
func (c *call) finish() (handed, first bool) {
	was := c.state.Swap(callDone)
	return was == callHanded, was != callDone
}

// callTable holds the calls of one connection that wait for an answer.
type callTable struct {
	mu     sync.Mutex
	calls  map[uint32]*call
	next   uint32
	closed error
}

// add gives the call a number and starts its clock. Numbers come around; one that is still
// waited for is passed over.
func (t *callTable) add(c *call, left time.Duration) (uint32, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed != nil {
		return 0, lost(false, t.closed)
	}
	if len(t.calls) >= maxPending {
		return 0, overloaded("%d calls wait for answers of the other node", maxPending)
	}
	if t.calls == nil {
		t.calls = map[uint32]*call{}
	}
	for {
		t.next++
		if _, taken := t.calls[t.next]; !taken {
			break
		}
	}
	id := t.next
	t.calls[id] = c
	// The deadline ends the wait, not the call: it may still be carried out, and what was
	// handed over has an unknown outcome.
	c.timer = time.AfterFunc(left, func() {
		t.remove(id)
		if handed, first := c.finish(); first {
			c.done(nil, late(handed))
		}
	})
	return id, nil
}

// remove takes a call out; nil when it is not there.
func (t *callTable) remove(id uint32) *call {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.calls[id]
	delete(t.calls, id)
	return c
}

// answer ends a call with what the other node says. An answer to a call that is
// over is nobody's.
func (t *callTable) answer(id uint32, body []byte, err error) {
	c := t.remove(id)
	if c == nil {
		return
	}
	c.timer.Stop()
	if _, first := c.finish(); first {
		c.done(body, err)
	}
}

// close ends all calls, and later ones at once.
func (t *callTable) close(why error) {
	t.mu.Lock()
	calls := t.calls
	t.calls, t.closed = nil, why
	t.mu.Unlock()
	// Without the lock: done may make another call.
	for _, c := range calls {
		c.timer.Stop()
		if handed, first := c.finish(); first {
			c.done(nil, lost(handed, why))
		}
	}
}

// pending is how many calls wait for an answer.
func (t *callTable) pending() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.calls)
}
