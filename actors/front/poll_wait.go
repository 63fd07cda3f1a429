package front

import (
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// How a wait of a poll ended.
type waitEnd int

const (
	waitNone         waitEnd = iota // there was none yet
	waitOver                        // the time is up, or the process ends
	waitWoken                       // there may be records
	waitShareChanged                // a new generation, or topics have changed
	waitSuperseded                  // a newer poll of this consumer took over, or it left
	waitClientGone
)

// Bounds of how often a parked poll looks whether its client is still there: a
// quarter of its session timeout within them.
const (
	minAliveInterval = 250 * time.Millisecond
	maxAliveInterval = 5 * time.Second
)

// Park implements protocol.PendingPoll: it waits for the answer to a question,
// or parks at all assigned partitions until one has something, the group calls,
// or the time is over.
func (s *pollSession) Park(resume func()) {
	if s.question != nil {
		s.armTimer(time.Now().Add(s.patience))
		s.arm(resume)
		return
	}
	if s.req.Watch != nil {
		s.req.Left, s.req.Watch = s.req.Watch(), nil
	}
	s.waited = true
	if !s.stays && !s.park() {
		s.wake(waitWake) // the next look waits for the leader
	}
	if s.handle.Signal() != routing.PollGoesOn {
		s.wake(waitNudged) // its own wake may have come while the share was asked for
	}
	s.armTimer(s.nextLook())
	s.front.sleepers.add(&s.parking, s.done, s.front.stopped)
	s.arm(resume, s.routes.Changed(), s.done, s.front.stopped, s.req.Left)
}

// nextLook is when the poll's time is up, or when it is time to look for its
// client.
func (s *pollSession) nextLook() time.Time {
	until := s.deadline
	if s.req.Gone != nil && s.req.Left == nil {
		every := min(maxAliveInterval, max(minAliveInterval, s.req.SessionTimeout/4))
		until = minTime(until, time.Now().Add(every))
	}
	return until
}

// look is the end of a wait; again is true when nothing of what has happened
// concerns this poll.
func (s *pollSession) look() (again bool) {
	woken := s.woke()
	if s.question != nil {
		return false
	}
	s.front.sleepers.remove(&s.parking)
	s.ended, s.stays = s.waitEnd(woken)
	return s.stays
}

func (s *pollSession) waitEnd(woken bool) (end waitEnd, again bool) {
	signal := s.handle.Signal()
	switch {
	case signal == routing.PollRebalanced:
		return waitShareChanged, false
	case signal >= routing.PollLeft:
		return waitSuperseded, false
	case closed(s.done), closed(s.front.stopped):
		return waitOver, false
	case woken:
		return waitWoken, false
	}
	if closed(s.req.Left) {
		if s.clientGone() {
			s.alive = time.Now() // it has only just left
			return waitClientGone, false
		}
		s.req.Left = nil
	}
	if closed(s.routes.Changed()) {
		if s.topicsChanged() {
			return waitShareChanged, false
		}
		s.routes = s.h.Table()
	}
	over := !time.Now().Before(s.deadline)
	if (over || s.req.Left == nil) && s.clientGone() {
		return waitClientGone, false
	}
	return waitOver, !over
}

// park leaves the waiter at all assigned partitions; false when one has no
// leader.
func (s *pollSession) park() bool {
	s.unpark()
	for _, o := range s.at {
		t := s.topics.At(o.TopicID)
		if t == nil {
			continue
		}
		_, ref, err := s.front.view(t, o.Partition, 0)
		if err != nil {
			return false
		}
		s.waits = append(s.waits, ref)
		ref.Park(s.handle.Waiter, o.Offset)
	}
	return true
}

// topicsChanged reports whether a topic of the poll has more partitions now,
// or is gone.
func (s *pollSession) topicsChanged() bool {
	now := s.h.Table().Topics
	for _, t := range s.topics.All() {
		if have := now[t.Name]; have == nil || have.ID != t.ID || have.Partitions != t.Partitions {
			return true
		}
	}
	return false
}

// clientGone looks whether there is still somebody to deliver to.
func (s *pollSession) clientGone() bool {
	if s.req.Gone == nil {
		return false
	}
	if s.req.Gone() {
		return true
	}
	s.alive = time.Now()
	return false
}

// superseded reports that the poll's consumer has polled again, or left.
func (s *pollSession) superseded() bool {
	return s.handle != nil && s.handle.Signal() >= routing.PollLeft
}

func (s *pollSession) unpark() {
	for _, ref := range s.waits {
		ref.Unpark(s.handle.Waiter)
	}
	s.waits = s.waits[:0]
}

// end tells the group that the poll is over without a delivery.
func (s *pollSession) end() {
	offsets := s.h.Table().Topics[protocol.OffsetsTopic]
	route := routing.Of(offsets).Partitions[routing.GroupPartition(s.req.Group, offsets.Partitions)]
	ref := route.Leader()
	if ref == nil {
		return
	}
	silent := time.Duration(0)
	if s.req.Gone != nil && s.waited {
		silent = time.Since(s.alive)
	}
	ref.Ask(&routing.GroupRequest{Group: s.req.Group, Msg: &routing.GroupPollEnded{
		Consumer: s.req.ConsumerID, Handle: s.handle, SilentMs: silent.Milliseconds(),
	}})
}
