package actors

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// mailboxThroughput is how many messages an actor works on before it lets
// others run; the library's default.
const mailboxThroughput = 300

// maxIdleRunners bounds the goroutines kept for later: as many actors as may be
// busy at one time on a machine of some cores, a few hundred KiB of stacks.
const maxIdleRunners = 64

// mailboxRunners runs the mailboxes of all actors. The library starts a
// goroutine each time a mailbox gets its first message. A step of a replica
// goes deep into raft and the log, so each of these had to grow its stack,
// again and again: a twelfth of the CPU with 16 partitions under load.
var mailboxRunners = &runners{}

// runners is an actor.Dispatcher that keeps goroutines with their stacks. The
// one that became idle last runs next: its stack is in the cache.
type runners struct {
	mu   sync.Mutex
	idle []chan func()
}

var _ actor.Dispatcher = (*runners)(nil)

// Throughput implements actor.Dispatcher.
func (*runners) Throughput() int { return mailboxThroughput }

// Schedule implements actor.Dispatcher: fn runs on some goroutine, now.
func (r *runners) Schedule(fn func()) {
	r.mu.Lock()
	n := len(r.idle) - 1
	if n < 0 {
		r.mu.Unlock()
		go r.run(fn)
		return
	}
	work := r.idle[n]
	r.idle[n] = nil
	r.idle = r.idle[:n]
	r.mu.Unlock()
	work <- fn // never blocks: it is idle, and has room for one
}

func (r *runners) run(fn func()) {
	work := make(chan func(), 1)
	for {
		fn()
		r.mu.Lock()
		if len(r.idle) >= maxIdleRunners {
			r.mu.Unlock()
			return
		}
		r.idle = append(r.idle, work)
		r.mu.Unlock()
		fn = <-work
	}
}
