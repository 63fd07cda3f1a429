package front

import (
	"cmp"
	"slices"
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// recordService writes and reads records of topics without a group.
type recordService struct {
	*resolver
	parked *parkedReads
}

// Produce sends every request to its partition's leader and waits for all. A
// leader that refuses because it does not lead has done nothing, so the request
// follows the leadership until the deadline.
func (rs *recordService) Produce(reqs []*protocol.ProduceRequest, deadline time.Time) {
	if err := rs.checkKey(reqs, deadline); err != nil {
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
	// All leaders have their part before any answer is waited for: the slowest decides, and
	// not the sum of them.
	for i, req := range reqs {
		req.Result = rs.awaitProduce(req, refs[i], deadline)
		if req.Result.Err == nil && !req.Result.Duplicate {
			routing.Of(req.Topic).Partitions[req.Partition].Stats.Produced(&req.Lines)
		}
	}
}

// checkKey asks the leaders of several partitions whether an Idempotency-Key has
// come with another body. Without it those that have not seen the key would write
// their part of a request that the others refuse. A leader that does not answer is
// asked again by the request itself.
func (rs *recordService) checkKey(reqs []*protocol.ProduceRequest, deadline time.Time) *protocol.Error {
	// A single partition decides by itself, when it gets the request.
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

// Producers lists the producer ids that the partitions of a cluster, or of all,
// remember, each once a cluster. A partition that cannot be asked is an error:
// what it knows is not nothing.
func (rs *recordService) Producers(cluster string) ([]protocol.ProducerInfo, *protocol.Error) {
	all, err := rs.serving(cluster)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(rs.opt.RequestTimeout)
	list := []protocol.ProducerInfo{}
	for _, c := range all {
		for name, t := range c.Table().Topics {
			if protocol.IsInternalTopic(name) || !rs.access.Who.SeesTopic(c.Name, name) {
				continue
			}
			for p := range t.Partitions {
				ids, err := rs.producersOf(t, p, deadline)
				if err != nil && rs.gone(t) != nil {
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
