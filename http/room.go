package http

import (
	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

const (
	// smallAnswer is what an answer gets of the reserve, in bytes, when others
	// hold the rest.
	smallAnswer = 16 << 10
	// answerShare: an answer gets at most one part in so many of what is left.
	answerShare = 8
	// reserveShare: one part in so many of a budget is for what is small.
	reserveShare = 8
)

// answerBudget bounds the bytes of answers in memory, over all connections: a
// client may ask for megabytes and then not read them.
type answerBudget struct{ budget }

// grant reserves up to want bytes; 0 when not even a small answer has room.
func (b *answerBudget) grant(want int64) int64 {
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

// grow makes held bytes more by n, of the reserve only if n is small: the last
// record of an answer may be. It is always granted to whoever is alone, so that
// no record is too large to be read.
func (b *answerBudget) grow(held, n int64) bool {
	bound := b.open()
	if n <= smallAnswer {
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
}

// Take implements protocol.Room.
func (r *room) Take(want int) (int, *protocol.Error) {
	r.release()
	if r.held = r.b.grant(int64(want)); r.held == 0 {
		return 0, r.none()
	}
	return int(r.held), nil
}

// Keep implements protocol.Room.
func (r *room) Keep(n int) *protocol.Error {
	if more := int64(n) - r.held; more > 0 && !r.b.grow(r.held, more) {
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
		c.ownRoom = &room{b: &c.srv.answers}
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
