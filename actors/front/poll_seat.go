package front

import (
	"time"

	"ottla/actors/level"
	"ottla/actors/routing"
	"ottla/protocol"
)

// A stream's next poll begins with the delivery of the one before: the group keeps the
// handle, and calls the poll as if it were parked, so that a new generation or a newer poll
// of the consumer is not missed. The lease lasts for the session from then on, which is
// longer than a stream waits.

// stays reports whether the next poll is to go on from this one's delivery. Coordinators
// at nodes of versions before do not keep polls that are answered.
func (p *poll) stays() bool { return p.req.Stay && p.polls.fleet.Level() >= level.Seats.Level }

// goOn begins the next poll on the seat of the last one. What the group has said since the
// last answer is in the handle, and decides in which state it begins.
func (p *poll) goOn(req *protocol.PollRequest, done <-chan struct{}, now time.Time) {
	p.req, p.deadline, p.reply, p.err = req, now.Add(req.Timeout), nil, nil
	p.seated, p.unasked = false, true
	p.client = pollClient{done: done, alive: now}
	p.look = pollLook{got: gathered{sink: req.Sink}, from: p.look.from, views: p.look.views}
	p.question, p.ahead = pollQuestion{}, pollAhead{}
	p.wait.registered = false // who has woken the poll since does not know it any more
	if p.req.SessionTimeout == 0 {
		p.req.SessionTimeout = p.polls.opt.SessionTimeout
	}
	switch signal := p.share.handle.Signal(); {
	case signal >= routing.PollLeft:
		p.state = p.answerNothing()
	case signal == routing.PollRebalanced || closed(p.share.routes.Changed()) && p.topicsChanged():
		p.state = p.shareAgain()
	case closed(p.share.routes.Changed()): // of another topic, or all routes were made anew
		p.state = stateShare
	default:
		p.state = stateRead
	}
}

// Leave implements protocol.Seat. It may be called more than once, and for a poll that was
// never seated.
func (p *poll) Leave(left bool) {
	if !p.seated {
		return
	}
	p.seated = false
	p.tellEnd(left)
	p.unregister()
	p.endHandle()
}

// leave tells the group that the poll ends without a delivery.
func (p *poll) leave() { p.tellEnd(false) }

// tellEnd tells the group that the poll ends, and whether its client has left.
func (p *poll) tellEnd(left bool) {
	silent := time.Duration(0)
	if p.req.Gone != nil && p.client.waited {
		silent = time.Since(p.client.alive)
	}
	tellGroup(p.cluster, p.req.Group, &routing.GroupPollEnded{
		Consumer: p.req.ConsumerID, Handle: p.share.handle, SilentMs: silent.Milliseconds(), Left: left,
	})
}
