package replica

import (
	"time"

	"ottla/protocol"
)

// inFlight is a producer's newest request that is proposed but not applied,
// and the retries of it that wait for its result.
type inFlight struct {
	state   producerState
	waiters []*protocol.ProduceRequest
}

// admission says what became of a proposal that asked to be proposed.
type admission int

const (
	admitNew      admission = iota
	admitWait               // behind an earlier request of its producer
	admitAnswered           // it is not new
)

// admit decides, at the moment a gathered proposal would be proposed, whether
// it is new. By then every earlier entry of the log is in the table or in
// flight, also those of former leaders, so that a retry finds its first result
// wherever that is.
func (l *leading) admit(r *Replica, p *Proposal) admission {
	req := p.Request
	if fl := l.inFlight[req.ProducerID]; fl != nil {
		switch v, err := fl.state.judge(req); v {
		case verdictDuplicate:
			fl.waiters = append(fl.waiters, req)
		case verdictRefused:
			p.Answer(protocol.ProduceResult{Err: err})
		default:
			return admitWait
		}
		return admitAnswered
	}
	known := r.producers.get(req.ProducerID)
	if known == nil {
		if r.producers.full(r.cfg.Now().UnixMilli()) {
			p.Answer(protocol.ProduceResult{Err: protocol.Errorf(protocol.CodeTooManyProducers,
				"the partition remembers %d producers, no more fit", maxProducers).With("limit", maxProducers)})
			return admitAnswered
		}
		return admitNew
	}
	switch v, err := known.judge(req); v {
	case verdictDuplicate:
		p.Answer(known.result())
	case verdictRefused:
		p.Answer(protocol.ProduceResult{Err: err})
	default:
		return admitNew
	}
	return admitAnswered
}

// result is the answer to a retry.
func (s *producerState) result() protocol.ProduceResult {
	return protocol.ProduceResult{BaseOffset: protocol.Offset(s.base), Timestamp: s.timestamp, Duplicate: true}
}

// enterInFlight notes a request that is being proposed at base and returns its "#p"
// line's content.
func (l *leading) enterInFlight(req *protocol.ProduceRequest, base int64) *producerState {
	fl := &inFlight{state: producerState{
		id: req.ProducerID, epoch: req.Epoch, seq: req.Sequence, hash: req.BodyHash,
		base: base, count: req.Lines.Len(), timestamp: lineTimestamp(req.Lines.Buf),
	}}
	if l.inFlight == nil {
		l.inFlight = map[string]*inFlight{}
	}
	l.inFlight[req.ProducerID] = fl
	return &fl.state
}

// forgetInFlight takes back what was noted for an entry that raft did not take. The
// retries that wait for an older request of the same producer cannot be there:
// a producer is in flight once.
func (l *leading) forgetInFlight(taken []Proposal) {
	for i := range taken {
		if id := taken[i].producer(); id != "" {
			delete(l.inFlight, id)
		}
	}
}

// landed ends a request's flight; its retries are answered with its round, the
// last that was committed.
func (l *leading) landed(r *Replica, req *protocol.ProduceRequest) {
	fl := l.inFlight[req.ProducerID]
	if fl == nil {
		return
	}
	delete(l.inFlight, req.ProducerID)
	rd := &r.fx.Committed[len(r.fx.Committed)-1]
	for _, w := range fl.waiters {
		rd.retries = append(rd.retries, w)
		rd.retried = append(rd.retried, fl.state.result())
	}
}

// dropInFlight answers all waiting retries when leadership ends.
func (l *leading) dropInFlight(err *protocol.Error) {
	for _, fl := range l.inFlight {
		for _, w := range fl.waiters {
			w.Reply.Put(protocol.ProduceResult{Err: err})
		}
	}
	l.inFlight = nil
}

// lineTimestamp reads the timestamp that begins a line, 0 if it is none.
func lineTimestamp(line []byte) int64 {
	const layout = "2006-01-02 15:04:05.000"
	if len(line) < len(layout) {
		return 0
	}
	at, err := time.Parse(layout, string(line[:len(layout)]))
	if err != nil {
		return 0
	}
	return at.UnixMilli()
}
