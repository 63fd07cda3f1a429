package front

import (
	"cmp"
	"slices"
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// Produce sends every request to its partition's leader and waits for all. A
// leader that refuses because it does not lead has done nothing, so the request
// follows the leadership until the deadline.
func (fr *Front) Produce(reqs []*protocol.ProduceRequest, deadline time.Time) {
	if err := fr.checkKey(reqs, deadline); err != nil {
		for _, req := range reqs {
			req.Result = protocol.ProduceResult{Err: err}
		}
		return
	}
	var few [4]*routing.Leadership // most requests are for fewer partitions
	refs := few[:]
	if len(reqs) > len(few) {
		refs = make([]*routing.Leadership, len(reqs))
	}
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

// checkKey asks the leaders of several partitions whether an Idempotency-Key has
// come with another body. Without it those that have not seen the key would write
// their part of a request that the others refuse. A leader that does not answer is
// asked again by the request itself.
func (fr *Front) checkKey(reqs []*protocol.ProduceRequest, deadline time.Time) *protocol.Error {
	if len(reqs) < 2 || reqs[0].BodyHash == 0 {
		return nil
	}
	slots := make([]protocol.Future[*protocol.Error], len(reqs))
	for i, req := range reqs {
		slots[i] = protocol.NewFuture[*protocol.Error]()
		leader := routing.Of(req.Topic).Partitions[req.Partition].Leader()
		if leader == nil {
			slots[i].Put(nil)
			continue
		}
		leader.Ask(&routing.CheckKey{ID: req.ProducerID, Hash: req.BodyHash, Reply: slots[i]})
	}
	for _, slot := range slots {
		if err, _ := slot.Wait(minTime(deadline, time.Now().Add(unansweredLeader))); err != nil && err.Code == protocol.CodeIdempotencyMismatch {
			return err
		}
	}
	return nil
}

// awaitProduce waits for the answer to records that were handed to leader, nil
// if nobody led. Nearly every request is answered by the first leader without an
// error; what follows the leadership is made only for the others.
func (fr *Front) awaitProduce(req *protocol.ProduceRequest, leader *routing.Leadership, deadline time.Time) protocol.ProduceResult {
	if leader == nil {
		return fr.followProduce(req, nil, deadline)
	}
	res, come := req.Reply.Wait(deadline)
	switch {
	case !come:
		return protocol.ProduceResult{Err: errUnconfirmed}
	case res.Err == nil:
		return res
	}
	req.Reply.Put(res) // the slot is empty again; followProduce judges the answer
	return fr.followProduce(req, leader, deadline)
}

// errUnconfirmed ends a produce request that nobody answered until its deadline.
var errUnconfirmed = protocol.Unknownf("no majority confirmed the record in time")

// followProduce judges the answer of leader, which is in the slot of the request, and
// follows the leadership while it is a refusal. Without a leader it waits for one first.
func (fr *Front) followProduce(req *protocol.ProduceRequest, leader *routing.Leadership, deadline time.Time) protocol.ProduceResult {
	f := follow[protocol.ProduceResult]{
		front: fr, topic: req.Topic, partition: req.Partition, deadline: deadline,
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
		if come && req.ProducerID != "" && f.leader.Away {
			return judgeRepeatable(come, err)
		}
		return judgeOnce(come, err)
	}
}

func produceError(res protocol.ProduceResult) *protocol.Error { return res.Err }

// Producers lists the producer ids that the partitions of a cluster, or of all,
// remember, each once a cluster. A partition that cannot be asked is an error:
// what it knows is not nothing.
func (fr *Front) Producers(cluster string) ([]protocol.ProducerInfo, *protocol.Error) {
	all, err := fr.serving(cluster)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(fr.opt.RequestTimeout)
	list := []protocol.ProducerInfo{}
	for _, c := range all {
		for name, t := range c.Table().Topics {
			if protocol.IsInternalTopic(name) || !fr.access.Who.SeesTopic(c.Name, name) {
				continue
			}
			for p := range t.Partitions {
				ids, err := fr.producersOf(t, p, deadline)
				if err != nil && fr.gone(t) != nil {
					break // deleted meanwhile
				}
				if err != nil {
					return nil, err
				}
				for _, id := range ids {
					list = append(list, protocol.ProducerInfo{Cluster: c.Name, Name: protocol.ClientID(id)})
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b protocol.ProducerInfo) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Name, b.Name))
	})
	return slices.Compact(list), nil
}

func (fr *Front) producersOf(t *protocol.Topic, partition int, deadline time.Time) ([]string, *protocol.Error) {
	f := follow[routing.ProducerList]{
		front: fr, topic: t, partition: partition, deadline: deadline, attempt: describeTimeout,
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
