package link

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxPending is how many calls of one connection may wait for their answers.
const maxPending = 1 << 16

// call is one that was made here. Its outcome is decided once, by whoever takes it out of
// the table: the answer, the deadline, the end of the connection.
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

// finish ends the call, and reports whether it had been handed over.
func (c *call) finish() (handed bool) { return c.state.Swap(callDone) == callHanded }

// callTable holds the calls of one connection that wait for an answer.
type callTable struct {
	mu     sync.Mutex
	calls  map[uint32]*call
	next   uint32
	closed error

	// Calls that were taken out, and whose callers are being told.
	telling sync.WaitGroup
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
		if t.remove(id) == nil {
			return // somebody else tells
		}
		defer t.telling.Done()
		c.done(nil, late(c.finish()))
	})
	return id, nil
}

// remove takes a call out; nil when it is not there. Whoever has taken it out tells its
// caller, and then says so to telling.
func (t *callTable) remove(id uint32) *call {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.calls[id]
	if c != nil {
		t.telling.Add(1)
		delete(t.calls, id)
	}
	return c
}

// answer ends a call with what the other node says. An answer to a call that is
// over is nobody's.
func (t *callTable) answer(id uint32, body []byte, err error) {
	c := t.remove(id)
	if c == nil {
		return
	}
	defer t.telling.Done()
	c.timer.Stop()
	c.finish()
	c.done(body, err)
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
		c.done(nil, lost(c.finish(), why))
	}
}

// pending is how many calls wait for an answer.
func (t *callTable) pending() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.calls)
}
