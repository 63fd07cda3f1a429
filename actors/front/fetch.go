package front

import (
	"time"

	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// fetchSession is one read of a partition without a group, on its caller's
// goroutine. Only when there is nothing yet does it park, at the leader.
type fetchSession struct {
	parking
	front    *Front
	req      *protocol.FetchRequest
	deadline time.Time
	reply    *protocol.FetchReply // of the last look
	leader   *routing.Leadership  // whom it saw then, and parks at
	at       protocol.Offset      // what it waits for
	waiter   *protocol.Waiter
	stays    bool // it is parked there already
}

// Fetch reads a partition, waiting up to req.Timeout for a first record.
func (fr *Front) Fetch(req *protocol.FetchRequest) (*protocol.FetchReply, *protocol.Error) {
	s := fr.StartFetch(req)
	for {
		reply, waits, err := s.Advance()
		if !waits {
			return reply, err
		}
		woken := make(chan struct{})
		s.Park(func() { close(woken) })
		<-woken
	}
}

// StartFetch begins a read that its caller carries on; see protocol.Pending.
func (fr *Front) StartFetch(req *protocol.FetchRequest) protocol.PendingFetch {
	return &fetchSession{front: fr, req: req, deadline: time.Now().Add(req.Timeout)}
}

// Advance implements protocol.PendingFetch.
func (s *fetchSession) Advance() (*protocol.FetchReply, bool, *protocol.Error) {
	woken := false
	if s.parked {
		s.front.sleepers.remove(&s.parking)
		if woken = s.woke(); !woken && s.over() {
			s.leader.Unpark(s.waiter)
			return s.reply, false, nil
		} else if !woken {
			s.stays = true
			return nil, true, nil
		}
		s.stays = false
	}
	got := gathered{sink: s.req.Sink}
	err := s.front.fresh(s.req.Topic, s.req.Partition, func(v *logfile.View, leader *routing.Leadership) (err *protocol.Error) {
		s.leader, s.at = leader, protocol.Offset(v.HighWatermark())
		if s.req.Timestamp == nil {
			s.at = max(s.at, s.req.Offset)
		}
		if woken {
			got.waited = leader
		}
		s.reply, err = readView(&got, v, s.req)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	if got.count == 0 && time.Now().Before(s.deadline) {
		return nil, true, nil
	}
	countFetched(s.req.Topic, s.req.Partition, got.count, got.bytes)
	return s.reply, false, nil
}

// Park implements protocol.PendingFetch.
func (s *fetchSession) Park(resume func()) {
	if s.waiter == nil {
		s.waiter = protocol.NewWaiter(func() { s.wake(waitWake) })
	}
	if s.req.Watch != nil {
		s.req.Left, s.req.Watch = s.req.Watch(), nil
	}
	if !s.stays {
		s.leader.Park(s.waiter, s.at)
	}
	s.armTimer(s.deadline)
	s.front.sleepers.add(&s.parking, s.req.Done, s.front.stopped)
	s.arm(resume, s.req.Left, s.req.Done, s.front.stopped)
}

// over reports that nothing is waited for any more: the time is up, the client
// left or the process ends, of which Done is the front end's word.
func (s *fetchSession) over() bool {
	return !time.Now().Before(s.deadline) || closed(s.req.Left) || closed(s.req.Done) || closed(s.front.stopped)
}
