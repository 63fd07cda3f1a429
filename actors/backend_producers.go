package actors

import (
	"cmp"
	"slices"
	"time"

	"ottla/actors/replica"
	"ottla/protocol"
)

// listProducers asks a partition's leader for the producer ids it remembers.
type listProducers struct {
	Reply protocol.Future[producerList]
}

type producerList struct {
	ids []string
	err *protocol.Error
}

func (p *partitionActor) listProducers() producerList {
	if p.rep == nil || p.ref == nil {
		return producerList{err: replica.ErrNotLeader}
	}
	return producerList{ids: p.rep.ProducerIDs()}
}

// Producers lists the producer ids that the partitions of a cluster, or of all,
// remember, each once a cluster. A partition that cannot be asked is an error:
// what it knows is not nothing.
func (n *Node) Producers(cluster string) ([]protocol.ProducerInfo, *protocol.Error) {
	all, err := n.handles(cluster)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(n.env.opt.RequestTimeout)
	list := []protocol.ProducerInfo{}
	for _, h := range all {
		for name, t := range h.routes.Load().topics {
			if protocol.IsInternalTopic(name) {
				continue
			}
			for p := range t.Partitions {
				ids, err := n.producersOf(t, p, deadline)
				if err != nil && n.gone(t) != nil {
					break // deleted meanwhile
				}
				if err != nil {
					return nil, err
				}
				for _, id := range ids {
					list = append(list, protocol.ProducerInfo{Cluster: h.manifest.Name, Name: id})
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b protocol.ProducerInfo) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Name, b.Name))
	})
	return slices.Compact(list), nil
}

func (n *Node) producersOf(t *protocol.Topic, partition int, deadline time.Time) ([]string, *protocol.Error) {
	route := t.Route.(*topicRoute).partitions[partition]
	patience := minTime(deadline, time.Now().Add(failoverPatience))
	ref := route.leader.Load()
	for {
		if ref != nil {
			reply := protocol.NewFuture[producerList]()
			n.env.system.Root.Send(ref.pid, &listProducers{Reply: reply})
			answer, ok := reply.Wait(minTime(deadline, time.Now().Add(describeTimeout)))
			if ok && answer.err == nil {
				return answer.ids, nil
			}
		}
		if !time.Now().Before(patience) {
			return nil, n.leaderless(t, partition)
		}
		if ref = n.nextLeader(route, ref, patience); ref == nil {
			return nil, n.leaderless(t, partition)
		}
	}
}
