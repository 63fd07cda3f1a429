package front

import (
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// Produce sends every request to its partition's leader and waits for all. A
// leader that refuses because it does not lead has done nothing, so the request
// follows the leadership until the deadline.
func (fr *Front) Produce(reqs []*protocol.ProduceRequest, deadline time.Time) {
	refs := make([]*routing.Leadership, len(reqs))
	for i, req := range reqs {
		req.Reply, req.Deadline = protocol.NewFuture[protocol.ProduceResult](), deadline
		if refs[i] = routing.Of(req.Topic).Partitions[req.Partition].Leader(); refs[i] != nil {
			refs[i].Produce(req)
		}
	}
	for i, req := range reqs {
		req.Result = fr.awaitProduce(req, refs[i], deadline)
		if req.Result.Err == nil && !req.Result.Duplicate {
			routing.Of(req.Topic).Partitions[req.Partition].Stats.Produced(&req.Lines)
		}
	}
}

// awaitProduce waits for the answer to records that were handed to leader, nil
// if nobody led, and follows the leadership while it is a refusal.
func (fr *Front) awaitProduce(req *protocol.ProduceRequest, leader *routing.Leadership, deadline time.Time) protocol.ProduceResult {
	f := follow[protocol.ProduceResult]{
		front: fr, topic: req.Topic, partition: req.Partition, deadline: deadline,
		put: func(to *routing.Leadership, slot protocol.Future[protocol.ProduceResult]) {
			req.Reply = slot
			to.Produce(req)
		},
		failed: produceError, judge: judgeOnce, leader: leader, slot: req.Reply,
	}
	res, err := f.run()
	switch err {
	case res.Err:
		return res
	case errUnanswered:
		err = protocol.Unknownf("no majority confirmed the record in time")
	}
	return protocol.ProduceResult{Err: err}
}

func produceError(res protocol.ProduceResult) *protocol.Error { return res.Err }
