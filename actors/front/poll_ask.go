package front

import (
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// pollStep is how far a poll has come.
type pollStep struct {
	again bool // the share has changed, nothing was delivered: from the beginning
	waits bool // for a question's answer, or for records
	reply *protocol.PollReply
	err   *protocol.Error
}

// How long a poll leaves a question to its group alone before it looks whether
// that still has a leader; twice as long each time.
const askPatience = 250 * time.Millisecond

// question is what a poll has asked its group. Nobody waits for the answer: the
// poll is parked until it comes. When it does not come, or says that somebody
// else leads, the poll waits for it like any other request (askLeaderFrom).
type question[T any] struct {
	s        *pollSession
	offsets  *protocol.Topic
	ask      func(*routing.Leadership, protocol.Future[T])
	failed   func(T) *protocol.Error
	then     func(T, *protocol.Error) pollStep
	ref      *routing.Leadership
	slot     protocol.Future[T]
	asked    time.Time
	deadline time.Time
}

// askThen asks the poll's group, and goes on with then when there is an answer.
func askThen[T any](s *pollSession, message func(protocol.Future[T]) routing.Question,
	failed func(T) *protocol.Error, then func(T, *protocol.Error) pollStep,
) pollStep {
	now := time.Now()
	q := &question[T]{s: s, failed: failed, then: then, asked: now, deadline: now.Add(s.front.opt.RequestTimeout)}
	if q.offsets = s.h.Table().Topics[protocol.OffsetsTopic]; q.offsets == nil {
		var none T
		return then(none, routing.ErrStarting)
	}
	q.ask = func(ref *routing.Leadership, slot protocol.Future[T]) {
		ref.Ask(&routing.GroupRequest{Group: s.req.Group, Msg: message(slot)})
	}
	q.ref = q.route().Leader()
	if q.ref == nil {
		return q.insist()
	}
	q.slot = protocol.NewFuture[T]().Then(func() { s.wake(waitWake) })
	s.question, s.patience = q.look, askPatience
	q.ask(q.ref, q.slot)
	return pollStep{waits: true}
}

func (q *question[T]) partition() int {
	return routing.GroupPartition(q.s.req.Group, q.offsets.Partitions)
}

func (q *question[T]) route() *routing.Partition {
	return routing.Of(q.offsets).Partitions[q.partition()]
}

// look goes on if there is an answer.
func (q *question[T]) look() pollStep {
	select {
	case answer := <-q.slot.C():
		err := q.failed(answer)
		if err == nil || err.Code != protocol.CodeNoLeader && err.Outcome != protocol.OutcomeUnknown {
			q.s.question = nil
			return q.then(answer, err)
		}
		q.slot.Put(answer) // for insist
		return q.insist()
	default:
	}
	if q.route().Leader() != q.ref || time.Since(q.asked) >= unansweredLeader {
		return q.insist()
	}
	q.s.patience *= 2
	return pollStep{waits: true}
}

// insist waits for the answer here, and asks again where need be.
func (q *question[T]) insist() pollStep {
	q.s.question = nil
	answer, err := askLeaderFrom(q.s.front, q.route(), q.ref, q.slot, q.asked, q.deadline, q.ask, q.failed)
	if err != nil && err.Code == protocol.CodeNoLeader {
		err = q.s.front.leaderless(q.offsets, q.partition())
	}
	return q.then(answer, err)
}
