package front

import (
	"cmp"
	"slices"
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// Producers lists the producer ids that the partitions of a cluster, or of all,
// remember, each once a cluster. A partition that cannot be asked is an error:
// what it knows is not nothing.
func (fr *Front) Producers(cluster string) ([]protocol.ProducerInfo, *protocol.Error) {
	all, err := fr.handles(cluster)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(fr.opt.RequestTimeout)
	list := []protocol.ProducerInfo{}
	for _, h := range all {
		for name, t := range h.Table().Topics {
			if protocol.IsInternalTopic(name) {
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
					list = append(list, protocol.ProducerInfo{Cluster: h.Name, Name: id})
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
	route := routing.Of(t).Partitions[partition]
	patience := minTime(deadline, time.Now().Add(routing.FailoverPatience))
	ref := route.Leader()
	for {
		if ref != nil {
			reply := protocol.NewFuture[routing.ProducerList]()
			ref.Ask(&routing.ListProducers{Reply: reply})
			answer, ok := reply.Wait(minTime(deadline, time.Now().Add(describeTimeout)))
			if ok && answer.Err == nil {
				return answer.IDs, nil
			}
		}
		if !time.Now().Before(patience) {
			return nil, fr.leaderless(t, partition)
		}
		if ref = fr.nextLeader(route, ref, patience); ref == nil {
			return nil, fr.leaderless(t, partition)
		}
	}
}
