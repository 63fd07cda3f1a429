package access

import (
	"sync"
	"time"

	"ottla/protocol"
)

// renewalPause is the least time from the end of one renewal to the next: so many tokens
// may be tried, and the fleet is asked 20 times a second at most.
const renewalPause = 50 * time.Millisecond

// renewals ask the fleet, one after the other, on behalf of all who have come by then.
type renewals struct {
	turn sync.Mutex // held by the one that is under way, or pauses
	over time.Time  // when the last was over; guarded by turn

	mu   sync.Mutex
	next *renewal // has not begun yet; nil: nobody waits for one
}

// renewal is one that begins after all who wait for it have come.
type renewal struct {
	done chan struct{} // closed when it is over
	err  *protocol.Error
}

// await waits for a renewal that begins from now on, and returns its error.
func (rs *renewals) await(renew func() *protocol.Error) *protocol.Error {
	rs.mu.Lock()
	n := rs.next
	if n == nil {
		n = &renewal{done: make(chan struct{})}
		rs.next = n
		go rs.run(n, renew)
	}
	rs.mu.Unlock()
	<-n.done
	return n.err
}

func (rs *renewals) run(n *renewal, renew func() *protocol.Error) {
	rs.turn.Lock()
	defer rs.turn.Unlock()
	if wait := renewalPause - time.Since(rs.over); !rs.over.IsZero() && wait > 0 {
		<-time.After(wait)
	}
	rs.mu.Lock()
	rs.next = nil // who comes from now on may have been let down by what is asked now
	rs.mu.Unlock()
	n.err = renew()
	close(n.done)
	rs.over = time.Now()
}
