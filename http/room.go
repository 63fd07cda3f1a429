package http

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

const (
	// smallAnswer is what an answer gets of the reserve, in bytes, when others
	// hold the rest.
	smallAnswer = 16 << 10
	// answerShare: an answer of more than ordinary size gets at most one part in
	// so many of what is left.
	answerShare = 8
	// muchRoom is what counts when it is given back: more than an answer gets
	// that was cut short.
	muchRoom = 4 * smallAnswer
	// ordinaryAnswer is what is waited for when others hold it: the max_bytes of
	// who does not say otherwise.
	ordinaryAnswer = 1 << 20
	// reserveShare: one part in so many of a budget is for what is small.
	reserveShare = 8
	// misjudged is by how much a read may exceed what it was estimated at, and
	// take of the reserve; of a small reserve less.
	misjudged = 128 << 10

	// roomPatience is how long room is waited for at most, roomStandstill as long
	// as none is given back: those who hold it do not read then.
	roomPatience   = 2 * time.Second
	roomStandstill = 250 * time.Millisecond
)

// answerBudget bounds the bytes of answers in memory, over all connections: a
// client may ask for megabytes and then not read them.
//
// An answer gets what it needs if that is no more than ordinary, as soon as it
// is there, first come first served: so it is as large as asked for as long as
// clients read their answers. Larger ones get a part of what is left, and so
// does who has waited in vain.
type answerBudget struct {
	budget
	waiting atomic.Int64 // length of queue
	moved   atomic.Int64 // counts up when much is given back
	vain    atomic.Int64 // moved, when last somebody waited in vain

	patience, standstill time.Duration

	mu    sync.Mutex
	queue []*roomWait
}

// roomWait is a read that waits for n bytes.
type roomWait struct {
	n       int64
	granted chan struct{}
}

func newAnswerBudget(limit int64) *answerBudget {
	b := &answerBudget{budget: newBudget(limit), patience: roomPatience, standstill: roomStandstill}
	b.moved.Store(1)
	return b
}

// grant reserves up to want bytes; 0 when not even a small answer has room.
func (b *answerBudget) grant(want int64) int64 {
	if n := b.grantNow(want); n > 0 {
		return n
	}
	if n := min(want, b.ordinary()); b.await(n) {
		return n
	}
	for {
		used := b.used.Load()
		n := min(want, max((b.open()-used)/answerShare, smallAnswer))
		if used+n > b.limit {
			return 0
		}
		if b.used.CompareAndSwap(used, used+n) {
			return n
		}
	}
}

// grantNow reserves what want may have without waiting, before those who wait
// only if it is small; 0 if there is too little.
func (b *answerBudget) grantNow(want int64) int64 {
	for {
		used, bound := b.used.Load(), b.open()
		n := min(want, max(b.ordinary(), (bound-used)/answerShare))
		if n <= smallAnswer {
			bound = b.limit
		} else if b.waiting.Load() > 0 {
			return 0
		}
		if used+n > bound {
			return 0
		}
		if b.used.CompareAndSwap(used, used+n) {
			return n
		}
	}
}

func (b *answerBudget) ordinary() int64 { return min(ordinaryAnswer, b.open()/answerShare) }

// await waits for n bytes in turn; false when that is in vain, at once when it
// was for somebody else and nothing has changed since.
func (b *answerBudget) await(n int64) bool {
	moved := b.moved.Load()
	if moved == b.vain.Load() {
		return false
	}
	w := &roomWait{n: n, granted: make(chan struct{})}
	b.mu.Lock()
	b.queue = append(b.queue, w)
	b.waiting.Add(1)
	b.mu.Unlock()
	b.serveQueue() // something may have been given back before the queue was seen
	tick := time.NewTicker(b.standstill)
	defer tick.Stop()
	for until := time.Now().Add(b.patience); ; {
		select {
		case <-w.granted:
			return true
		case <-tick.C:
		}
		b.serveQueue()
		before := moved
		if moved = b.moved.Load(); moved != before && time.Now().Before(until) {
			continue
		}
		if !b.leave(w) {
			return true
		}
		if moved == before {
			b.vain.Store(moved)
		}
		return false
	}
}

// leave takes w out of the queue; false when it has its grant meanwhile.
func (b *answerBudget) leave(w *roomWait) bool {
	b.mu.Lock()
	i := slices.Index(b.queue, w)
	if i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
		b.waiting.Add(-1)
	}
	b.mu.Unlock()
	if i == 0 {
		b.serveQueue() // the next one may need less
	}
	return i >= 0
}

// give gives back n bytes; a negative n is taken without asking.
func (b *answerBudget) give(n int64) {
	b.used.Add(-n)
	if n >= muchRoom {
		b.moved.Add(1)
	}
	if b.waiting.Load() > 0 {
		b.serveQueue()
	}
}

// serveQueue grants what there is to those who wait.
func (b *answerBudget) serveQueue() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) > 0 {
		w, used := b.queue[0], b.used.Load()
		if used+w.n > b.open() {
			return
		}
		if b.used.CompareAndSwap(used, used+w.n) {
			b.queue[0] = nil
			b.queue = b.queue[1:]
			b.waiting.Add(-1)
			close(w.granted)
		}
	}
}

// grow makes held bytes more by n, of the reserve only if n is small: the last
// record of an answer may be, or what its size was estimated at too little. It
// is always granted to whoever is alone, so that no record is too large to be
// read.
func (b *answerBudget) grow(held, n, small int64) bool {
	bound := b.open()
	if n <= small {
		bound = b.limit
	}
	for {
		used := b.used.Load()
		if used+n > bound && used > held {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// room is what one answer holds of the budget; it belongs to a connection, or
// to a stream, from the read until the answer was written.
type room struct {
	b    *answerBudget
	held int64
	less bool // than was wanted
}

// Take implements protocol.Room.
func (r *room) Take(want int) (int, *protocol.Error) {
	r.release()
	if r.held = r.b.grant(int64(want)); r.held == 0 {
		return 0, r.none()
	}
	r.less = r.held < int64(want)
	return int(r.held), nil
}

// Keep implements protocol.Room.
func (r *room) Keep(n int) *protocol.Error {
	small := int64(smallAnswer)
	if !r.less {
		small = max(small, min(misjudged, r.b.limit/reserveShare/8))
	}
	if more := int64(n) - r.held; more > 0 && !r.b.grow(r.held, more, small) {
		r.release()
		return r.none()
	} else if more > 0 {
		r.held += more
	}
	r.set(int64(n))
	return nil
}

// set makes held n, whether there is room or not: the bytes are there.
func (r *room) set(n int64) {
	if n != r.held {
		r.b.give(r.held - n)
		r.held = n
	}
}

func (r *room) release() { r.set(0) }

func (r *room) none() *protocol.Error {
	return protocol.Errorf(protocol.CodeOverloaded, "too many response bytes wait for their readers").With("limit", r.b.limit)
}

// room is where the answer to this request is accounted for.
func (c *call) room() *room {
	if k := connectionOf(c.ctx); k != nil {
		return &k.room
	}
	if c.ownRoom == nil {
		c.ownRoom = &room{b: c.srv.answers}
	}
	return c.ownRoom
}

// account counts the answer as it will be sent. One that changed nothing is
// refused when it is large and there is no room for it.
func (c *call) account(refusable bool) {
	resp := &c.ctx.Response
	if resp.IsBodyStream() {
		return
	}
	body, r := resp.Body(), c.room()
	n := int64(len(body))
	if n > keepBytes {
		n = int64(cap(body)) // not reused
	}
	switch {
	case r.held > 0:
		r.set(n)
	case n <= smallAnswer:
	case !refusable || resp.StatusCode() != fasthttp.StatusOK:
		r.set(n)
	case r.b.take(n):
		r.held = n
	default:
		c.fail(r.none())
	}
}
