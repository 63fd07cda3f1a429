package actors

import (
	"time"

	"ottla/logfile"
	"ottla/protocol"
)

// fetchSession is one read of a partition without a group, on its caller's
// goroutine. Only when there is nothing yet does it park, at the leader.
type fetchSession struct {
	n        *Node
	req      *protocol.FetchRequest
	deadline time.Time
	reply    *protocol.FetchReply // of the last look
	leader   *leaderRef           // whom it saw then, and parks at
	at       protocol.Offset      // what it waits for
	waiter   *protocol.Waiter
	over     bool // the wait ended without a record
}

// Fetch reads a partition, waiting up to req.Timeout for a first record.
func (n *Node) Fetch(req *protocol.FetchRequest) (*protocol.FetchReply, *protocol.Error) {
	s := n.StartFetch(req)
	for {
		reply, waits, err := s.Advance()
		if !waits {
			return reply, err
		}
		s.Wait()
	}
}

// StartFetch begins a read that its caller carries on; see protocol.Pending.
func (n *Node) StartFetch(req *protocol.FetchRequest) protocol.PendingFetch {
	return &fetchSession{n: n, req: req, deadline: time.Now().Add(req.Timeout)}
}

// Advance implements protocol.PendingFetch.
func (s *fetchSession) Advance() (*protocol.FetchReply, bool, *protocol.Error) {
	if s.over {
		return s.reply, false, nil
	}
	got := gathered{sink: s.req.Sink}
	err := s.n.fresh(s.req.Topic, s.req.Partition, func(v *logfile.View, leader *leaderRef) (err *protocol.Error) {
		s.leader, s.at = leader, protocol.Offset(v.HighWatermark())
		if s.req.Timestamp == nil {
			s.at = max(s.at, s.req.Offset)
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

// Wait implements protocol.PendingFetch.
func (s *fetchSession) Wait() {
	if s.waiter == nil {
		s.waiter = protocol.NewWaiter()
	}
	s.n.env.system.Root.Send(s.leader.pid, &parkWaiter{Waiter: s.waiter, Offset: s.at})
	if s.over = !s.woken(); s.over {
		s.n.env.system.Root.Send(s.leader.pid, &unparkWaiter{Waiter: s.waiter})
	}
}

// woken waits for the waiter; false when the time is up, the client leaves or
// the process ends, of which Done is the front end's word.
func (s *fetchSession) woken() bool {
	t := time.NewTimer(time.Until(s.deadline))
	defer t.Stop()
	select {
	case <-s.waiter.C():
		return true
	case <-t.C:
	case <-s.req.Left:
	case <-s.req.Done:
	case <-s.n.stopped:
	}
	return false
}
