package front

import (
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// Placed says by which number of partitions a request with an id is to be placed. A
// topic that has got more partitions lately is asked whether its partitions know the
// request as it would have been placed before: by the first number by which one does.
// Without such a partition it is new, or known by the number that the topic has.
//
// All leaders that a request could have been at have to answer. If one does not, nobody
// can say that the request is new.
func (fr *Front) Placed(t *protocol.Topic, q *protocol.PlaceQuestion, deadline time.Time) (by protocol.Placement, again bool, err *protocol.Error) {
	now := t.Placement()
	if !t.MayBeRetry(fr.opt.Now().UnixMilli()) {
		return now, false, nil
	}
	other := now
	for _, before := range t.Earlier {
		known, err := fr.knownAs(t, q, before, deadline)
		switch {
		case err != nil:
			return now, false, err
		case known == protocol.KnownSame:
			return before, true, nil
		case known == protocol.KnownOther: // the partition refuses it, if it is not known by another number
			other, again = before, true
		}
	}
	return other, again, nil
}

// knownAs asks the partitions that a request goes to, if it is placed so.
func (fr *Front) knownAs(t *protocol.Topic, q *protocol.PlaceQuestion, by protocol.Placement, deadline time.Time) (known protocol.Knowledge, err *protocol.Error) {
	partitions := q.Partitions(by.Partitions)
	asked := make([]follow[routing.Placed], len(partitions))
	for i, p := range partitions {
		asked[i] = follow[routing.Placed]{
			front: fr, topic: t, partition: p, deadline: deadline, attempt: unansweredLeader,
			put: func(to *routing.Leadership, slot protocol.Future[routing.Placed]) {
				to.Ask(&routing.AskPlaced{
					ID: by.ID(q.ID), Epoch: q.Epoch, Sequence: q.Sequence, Hash: q.BodyHash,
					Partitions: t.Partitions, Reply: slot,
				})
			},
			failed: func(a routing.Placed) *protocol.Error { return a.Err },
			judge:  judgeReading,
		}
		asked[i].begin(protocol.NewFuture[routing.Placed]())
	}
	for i := range asked {
		answer, err := asked[i].run()
		if err != nil {
			return protocol.KnownNot, err.WithOutcome(protocol.OutcomeNone)
		}
		known = max(known, answer.Known)
	}
	return known, nil
}
