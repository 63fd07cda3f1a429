package front

import (
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// awaitProduce waits for the answer to records that were handed to leader, nil
// if nobody led. Nearly every request is answered by the first leader without an
// error; what follows the leadership is made only for the others.
func (lc *locator) awaitProduce(req *protocol.ProduceRequest, leader *routing.Leadership, deadline time.Time) protocol.ProduceResult {
	if leader == nil {
		return lc.followProduce(req, nil, deadline)
	}
	res, come := req.Reply.Wait(deadline)
	switch {
	case !come:
		return protocol.ProduceResult{Err: errUnconfirmed}
	case res.Err == nil:
		// One that knows the records, or answers before they are written, still reads the
		// lines. One elsewhere has got all of them, or could not have answered.
		req.Settled = !res.Duplicate && !req.NoAck
		return res
	}
	req.Reply.Put(res) // the slot is empty again; followProduce judges the answer
	return lc.followProduce(req, leader, deadline)
}

// errUnconfirmed ends a produce request that nobody answered until its deadline.
var errUnconfirmed = protocol.Unknownf("no majority confirmed the record in time")

// followProduce judges the answer of leader, which is in the slot of the request, and
// follows the leadership while it is a refusal. Without a leader it waits for one first.
func (lc *locator) followProduce(req *protocol.ProduceRequest, leader *routing.Leadership, deadline time.Time) protocol.ProduceResult {
	// Whoever carries the request may have others to go on with meanwhile.
	if req.Waits != nil {
		req.Waits()
	}
	f := follow[protocol.ProduceResult]{
		locator: lc, topic: req.Topic, partition: req.Partition, deadline: deadline,
		put: func(to *routing.Leadership, slot protocol.Future[protocol.ProduceResult]) {
			req.Reply = slot
			to.Produce(req)
		},
		failed: produceError, judge: judgeOnce, leader: leader, slot: req.Reply,
	}
	f.judge = f.judgeProduce(req)
	res, err := f.run()
	switch err {
	case res.Err:
		return res
	case errUnanswered:
		err = errUnconfirmed
	}
	return protocol.ProduceResult{Err: err}
}

// judgeProduce judges answers to a produce request. One with a producer's id may be
// put again to the next leader, which knows whether it was written; but not while a
// leader in this process may still hold it.
func (f *follow[T]) judgeProduce(req *protocol.ProduceRequest) func(bool, *protocol.Error) verdict {
	return func(come bool, err *protocol.Error) verdict {
		// One elsewhere has its own copy of the lines. In this process the leader reads the
		// request's memory, which must stay as it is until it has let go of it.
		if come && req.ProducerID != "" && f.leader.Away {
			return judgeRepeatable(come, err)
		}
		return judgeOnce(come, err)
	}
}

func produceError(res protocol.ProduceResult) *protocol.Error { return res.Err }

// producersOf asks a partition's leader which producers it remembers.
func (lc *locator) producersOf(t *protocol.Topic, partition int, deadline time.Time) ([]string, *protocol.Error) {
	f := follow[routing.ProducerList]{
		locator: lc, topic: t, partition: partition, deadline: deadline, attempt: describeTimeout,
		patience: minTime(deadline, time.Now().Add(routing.FailoverPatience)),
		put: func(to *routing.Leadership, slot protocol.Future[routing.ProducerList]) {
			to.Ask(&routing.ListProducers{Reply: slot})
		},
		failed: func(l routing.ProducerList) *protocol.Error { return l.Err },
		judge:  judgeReading,
	}
	f.begin(protocol.NewFuture[routing.ProducerList]())
	list, err := f.run()
	return list.IDs, err
}

// knownAs asks the partitions that a request goes to, if it is placed so.
func (lc *locator) knownAs(t *protocol.Topic, q *protocol.PlaceQuestion, by protocol.Placement, deadline time.Time) (known protocol.Knowledge, err *protocol.Error) {
	partitions := q.Partitions(by.Partitions)
	asked := make([]follow[routing.Placed], len(partitions))
	for i, p := range partitions {
		asked[i] = follow[routing.Placed]{
			locator: lc, topic: t, partition: p, deadline: deadline, attempt: unansweredLeader,
			put: func(to *routing.Leadership, slot protocol.Future[routing.Placed]) {
				to.Ask(&routing.AskPlaced{
					ID: by.ID(q.ID), Epoch: q.Epoch, Sequence: q.Sequence, Hash: q.BodyHash,
					Partitions: t.Partitions, Reply: slot,
				})
			},
			failed: func(a routing.Placed) *protocol.Error { return a.Err },
			judge:  judgeReading,
		}
		// All are asked before any is waited for.
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
