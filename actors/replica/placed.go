package replica

import (
	"slices"

	"ottla/protocol"
)

// When a topic has got more partitions, whoever has a request with an id asks the
// partitions that it would have gone to before whether they know it. An answer of no is
// worth something only if it stays true: the request may be under way still, by somebody
// who has not heard of the change. So the first question has the leader put a control
// entry into the log, and from that entry on requests that are placed by fewer
// partitions are refused, unless they are known somewhere. What the partition knows of
// such ids is then what stands before that entry, at every leader.
//
// The number is kept in the table of producers, as the sequence of one that no client can
// be, so that checkpoints and snapshots have it in the form that they always had. It is
// forgotten with the others of its age, and the next question writes it anew.
const placedID = "·"

// errPlacedEarlier refuses a request that is placed by a number of partitions that is
// history; nothing happened.
var errPlacedEarlier = protocol.Errorf(protocol.CodePartitionsChanged,
	"the topic has got more partitions, and the request was placed before that was known: send it again")

// placing is what a leader has said, or is about to say, of how requests are placed.
type placing struct {
	by       int // the most partitions that it has asked for an entry of, in the log or not; 0: none
	underWay int // of these, those of the entry that is on its way; 0: none is
	waiting  []placedQuestion
}

// placedQuestion waits for an entry that says at least that many partitions.
type placedQuestion struct {
	partitions int
	answer     func(*protocol.Error)
}

// putPlaced notes that from an entry on requests are placed by that many partitions.
func (t *producerTable) putPlaced(partitions int, appendTime int64) {
	placed := max(t.placed, partitions)
	t.put(&producerState{id: placedID, request: request{seq: int64(placed)}, at: appendTime})
	t.placed = placed // not before: what was there is forgotten with its entry
}

// isPlacedEarlier reports whether a request that is not known here comes too late.
func (l *leading) isPlacedEarlier(table *producerTable, req *protocol.ProduceRequest) bool {
	by := max(table.placed, l.placing.by)
	return by > 0 && !req.Again && !protocol.IsKafkaProducer(req.ProducerID) && protocol.PlacedBy(req.ProducerID) < by
}

// said answers those who waited for an entry, now that it is applied or has failed.
func (p *placing) said(partitions int, err *protocol.Error) {
	if p.underWay == partitions {
		p.underWay = 0
	}
	var due []placedQuestion
	p.waiting = slices.DeleteFunc(p.waiting, func(q placedQuestion) bool {
		if q.partitions <= partitions {
			due = append(due, q)
		}
		return q.partitions <= partitions
	})
	for _, q := range due {
		q.answer(err)
	}
}

// knows is what is known of a request.
func (l *leading) knows(table *producerTable, req *protocol.ProduceRequest) protocol.Knowledge {
	state := table.get(req.ProducerID)
	if fl := l.inFlight[req.ProducerID]; fl != nil {
		state = &fl.state
	}
	if state == nil {
		return protocol.KnownNot
	}
	switch v, _, _ := state.judge(req); v {
	case verdictNew:
		return protocol.KnownNot
	case verdictRefused:
		return protocol.KnownOther
	}
	return protocol.KnownSame
}
