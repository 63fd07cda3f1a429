package actors

import (
	"time"

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

// Wait implements protocol.PendingPoll: it parks at all assigned partitions
// until one has something, the group calls, or the time is over.
func (s *pollSession) Wait() {
	s.waited = true
	if !s.park() {
		s.ended = waitWoken // the next look waits for the leader
		return
	}
	for again := true; again; {
		s.ended, again = s.waitOnce()
	}
}

// park leaves the waiter at all assigned partitions; false when one has no
// leader.
func (s *pollSession) park() bool {
	s.unpark()
	for _, o := range s.at {
		t := s.topics.at(o.TopicID)
		if t == nil {
			continue
		}
		_, ref, err := s.n.view(t, o.Partition, 0)
		if err != nil {
			return false
		}
		s.parked = append(s.parked, ref)
		s.n.env.system.Root.Send(ref.pid, &parkWaiter{Waiter: s.handle.waiter, Offset: o.Offset})
	}
	return true
}

// waitOnce waits until anything happens; again is true when that does not
// concern this poll.
func (s *pollSession) waitOnce() (end waitEnd, again bool) {
	until := s.deadline
	if s.req.Gone != nil && s.req.Left == nil {
		every := min(maxAliveInterval, max(minAliveInterval, s.req.SessionTimeout/4))
		until = minTime(until, time.Now().Add(every))
	}
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-s.handle.waiter.C():
		switch s.handle.signal.Load() {
		case pollRebalanced:
			return waitShareChanged, false
		case pollSuperseded:
			return waitSuperseded, false
		}
		return waitWoken, false
	case <-s.routes.changed:
		if s.topicsChanged() {
			return waitShareChanged, false
		}
		s.routes = s.h.routes.Load()
		return 0, true
	case <-t.C:
		if s.clientGone() {
			return waitClientGone, false
		}
		return waitOver, time.Now().Before(s.deadline)
	case <-s.req.Left:
		if s.clientGone() {
			s.alive = time.Now() // it has only just left
			return waitClientGone, false
		}
		s.req.Left = nil
		return 0, true
	case <-s.done:
	case <-s.n.stopped:
	}
	return waitOver, false
}

// topicsChanged reports whether a topic of the poll has more partitions now,
// or is gone.
func (s *pollSession) topicsChanged() bool {
	now := s.h.routes.Load().topics
	for _, t := range s.topics.all() {
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

func (s *pollSession) superseded() bool { return s.handle.signal.Load() == pollSuperseded }

func (s *pollSession) unpark() {
	for _, ref := range s.parked {
		s.n.env.system.Root.Send(ref.pid, &unparkWaiter{Waiter: s.handle.waiter})
	}
	s.parked = s.parked[:0]
}

// end tells the group that the poll is over without a delivery.
func (s *pollSession) end() {
	offsets := s.h.routes.Load().topics[protocol.OffsetsTopic]
	route := offsets.Route.(*topicRoute).partitions[groupPartition(s.req.Group, offsets.Partitions)]
	ref := route.leader.Load()
	if ref == nil {
		return
	}
	silent := time.Duration(0)
	if s.req.Gone != nil && s.waited {
		silent = time.Since(s.alive)
	}
	s.n.env.system.Root.Send(ref.pid, &groupRequest{Group: s.req.Group, Msg: &groupPollEnded{
		Consumer: s.req.ConsumerID, Handle: s.handle, SilentMs: silent.Milliseconds(),
	}})
}
