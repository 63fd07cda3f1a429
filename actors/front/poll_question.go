package front

import (
	"sync/atomic"
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// questionPatience is how long a poll leaves its first look at a question to
// the group that is not answered. Each further look takes twice as long to come.
const questionPatience = 250 * time.Millisecond

// pollQuestion is what a poll has asked its group and waits for, parked. The
// zero value: nothing.
type pollQuestion struct {
	under    any           // the *follow of what the state asks for
	patience time.Duration // before the next look whether the group still has a leader
}

// answerOf returns the group's answer to the question of a state, which the
// first call puts; come is false while the poll has to wait for it.
//
// Nobody waits for the answer of the first leader, as nearly always it comes. If
// it does not, or says that somebody else leads, then answerOf follows the
// leader like any other request, and blocks until there is an answer.
func answerOf[T any](p *poll, question func(*poll) follow[T]) (answer T, come bool, err *protocol.Error) {
	// The question stays in the poll between two steps, as no goroutine waits for it.
	f, under := p.question.under.(*follow[T])
	if !under {
		f = new(follow[T])
		*f = question(p)
		if f.topic == nil {
			return answer, true, routing.ErrStarting
		}
		// The answer wakes the poll, unless it is here already, as it is where the group's
		// actor has run on this goroutine. If it comes before the poll parks, the parker keeps
		// it.
		met := new(atomic.Int32)
		slot := protocol.NewFuture[T]().Then(func() {
			if met.Add(1) == 2 {
				p.wake()
			}
		})
		if f.begin(slot) && met.Add(1) == 1 {
			p.question = pollQuestion{under: f, patience: questionPatience}
			return answer, false, nil
		}
	} else if !f.due() {
		// A group that commits slowly is not asked about ever more often.
		p.question.patience *= 2
		return answer, false, nil
	}
	p.question = pollQuestion{}
	answer, err = f.run()
	return answer, true, err
}

// groupQuestion makes a question to the poll's group.
func groupQuestion[T any](p *poll, message func(protocol.Future[T]) routing.Question, failed func(T) *protocol.Error) follow[T] {
	f := follow[T]{
		locator: p.polls.locator, deadline: time.Now().Add(p.polls.opt.RequestTimeout), attempt: unansweredLeader,
		failed: failed, judge: judgeRepeatable,
	}
	f.topic, f.partition = groupPartition(p.cluster, p.req.Group)
	f.put = func(to *routing.Leadership, slot protocol.Future[T]) {
		to.Ask(&routing.GroupRequest{Group: p.req.Group, Msg: message(slot)})
	}
	return f
}

// groupPartition is the partition that keeps a group; the topic is nil while
// the cluster has none.
func groupPartition(c *routing.Cluster, group string) (*protocol.Topic, int) {
	offsets := c.Table().Topics[protocol.OffsetsTopic]
	if offsets == nil {
		return nil, 0
	}
	return offsets, routing.GroupPartition(group, offsets.Partitions)
}

// tellGroup tells a group something, if it has a coordinator at the moment.
func tellGroup(c *routing.Cluster, group string, q routing.Question) {
	offsets := c.Table().Topics[protocol.OffsetsTopic]
	if offsets == nil {
		return
	}
	if leader := routing.Of(offsets).Partitions[routing.GroupPartition(group, offsets.Partitions)].Leader(); leader != nil {
		leader.Ask(&routing.GroupRequest{Group: group, Msg: q})
	}
}
