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
	all, err := fr.serving(cluster)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(fr.opt.RequestTimeout)
	list := []protocol.ProducerInfo{}
	for _, c := range all {
		for name, t := range c.Table().Topics {
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
					list = append(list, protocol.ProducerInfo{Cluster: c.Name, Name: id})
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
