package front

import (
	"time"

	"ottla/actors/routing"
)

// Bounds of how often a poll that waits looks whether its client is still
// there: a quarter of its session timeout within them.
const (
	minAliveInterval = 250 * time.Millisecond
	maxAliveInterval = 5 * time.Second
)

// pollWait is where a poll waits for records.
type pollWait struct {
	registered bool                  // at the leaders of all partitions, at their positions
	at         []*routing.Leadership // where the waiter may be registered, also when registered is false
}

// parkForRecords waits until a partition has something, the group calls, or
// the time is over.
func (p *poll) parkForRecords(resume func()) {
	if p.req.Watch != nil {
		p.req.Left, p.req.Watch = p.req.Watch(), nil
	}
	p.client.waited = true
	// The registration follows the look without a gap that matters: each leader compares
	// the offset with its own high watermark when the waiter arrives.
	if !p.wait.registered && !p.register() {
		p.wake() // the next look waits for the leader
	}
	if p.share.handle.Signal() != routing.PollGoesOn {
		p.Nudge() // the wake of that signal may have come before the poll began to wait
	}
	p.setTimer(p.nextNudge())
	// Added before it parks: a nudge of all reads in between is kept by the parker.
	p.polls.parked.add(&p.parker, p.client.done, p.polls.stopped)
	p.park(resume, p.share.routes.Changed(), p.client.done, p.polls.stopped, p.req.Left, p.polls.access.Who.Ended())
}

// nextNudge is when the poll's time is up, or when it is time to look for its
// client.
func (p *poll) nextNudge() time.Time {
	until := p.deadline
	if p.req.Gone != nil && p.req.Left == nil {
		every := min(maxAliveInterval, max(minAliveInterval, p.req.SessionTimeout/4))
		until = minTime(until, time.Now().Add(every))
	}
	return until
}

// onWait ends the wait, unless what has happened does not concern this poll. If it waits
// on, it stays registered where it is.
func (p *poll) onWait(woken bool) pollState {
	p.polls.parked.remove(&p.parker)
	next := p.afterWait(woken)
	p.wait.registered = p.wait.registered && next == stateWait
	return next
}

// ending reports whether the process, or the front end, ends: then a poll is answered
// before its time is over, and does not claim otherwise. Clients that take an empty
// answer for the end of the records would stop at each restart of the server.
func (p *poll) ending() bool {
	return closed(p.client.done) || closed(p.polls.stopped) || p.polls.revoked()
}

// afterWait finds out why the wait has ended. What the group says comes first,
// then the end of the process, then records.
func (p *poll) afterWait(woken bool) pollState {
	signal := p.share.handle.Signal()
	switch {
	case p.polls.revoked():
		return p.onClientGone()
	case signal == routing.PollRebalanced && p.share.Queue != nil && p.clientGone():
		return p.onClientGone() // before records are given to nobody
	case signal == routing.PollRebalanced:
		return p.shareAgain()
	case signal >= routing.PollLeft:
		return p.answerNothing()
	case p.ending():
		return p.readAgain(false, true)
	case woken:
		return p.readAgain(true, false)
	}
	if closed(p.req.Left) {
		if p.clientGone() {
			p.client.alive = time.Now() // it has only just left
			return p.onClientGone()
		}
		p.req.Left = nil
	}
	if closed(p.share.routes.Changed()) {
		if p.topicsChanged() {
			return p.shareAgain()
		}
		p.share.routes = p.cluster.Table()
	}
	over := !time.Now().Before(p.deadline)
	switch {
	case (over || p.req.Left == nil) && p.clientGone():
		return p.onClientGone()
	case over:
		return p.readAgain(false, true)
	}
	return stateWait
}

// readAgain is the next state when a wait has ended.
func (p *poll) readAgain(woken, last bool) pollState {
	if p.share.Queue != nil {
		p.leave()
		return p.answerNothing()
	}
	p.look.woken, p.look.last = woken, last
	return stateRead
}

// onClientGone ends a poll that nobody waits for any more.
func (p *poll) onClientGone() pollState {
	p.tellEnd(true)
	return p.answerNothing()
}

// register registers the waiter at the leaders of all assigned partitions; false when one
// has none. Those that were registered before a missing one stay in wait.at, and are taken
// out with it.
func (p *poll) register() bool {
	p.unregister()
	for _, at := range p.share.at {
		t := p.topics.At(at.TopicID)
		if t == nil {
			continue
		}
		leader := routing.Of(t).Partitions[at.Partition].Leader()
		if leader == nil {
			return false
		}
		p.wait.at = append(p.wait.at, leader)
		leader.Register(p.waiter, at.Offset)
	}
	p.wait.registered = true
	return true
}

// unregister takes the waiter out wherever it may be. Leaders that have ended since do
// nothing.
func (p *poll) unregister() {
	for _, leader := range p.wait.at {
		leader.Unregister(p.waiter)
	}
	p.wait.at, p.wait.registered = p.wait.at[:0], false
}

// topicsChanged reports whether a topic of the poll has more partitions now,
// or is gone.
func (p *poll) topicsChanged() bool {
	now := p.cluster.Table().Topics
	for _, t := range p.topics.All() {
		if have := now[t.Name]; have == nil || have.ID != t.ID || have.Partitions != t.Partitions {
			return true
		}
	}
	return false
}

// clientGone looks whether there is still somebody to deliver to.
func (p *poll) clientGone() bool {
	if p.req.Gone == nil {
		return false
	}
	if p.req.Gone() {
		return true
	}
	p.client.alive = time.Now()
	return false
}
