package replica

import (
	"time"

	"ottla/protocol"
)

// inFlightRequest is a producer's newest request that is proposed but not
// applied, and the retries of it that wait for its result.
type inFlightRequest struct {
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
// wherever that is: a leader proposes only when an entry of its own term, and
// so everything before it, is applied. Now is the
// append time of the entry to come, in milliseconds since 1970.
func (l *leading) admit(table *producerTable, now int64, p *Proposal) admission {
	req := p.Request
	if fl := l.inFlight[req.ProducerID]; fl != nil {
		switch v, earlier, err := fl.state.judge(req); v {
		case verdictDuplicate:
			fl.waiters = append(fl.waiters, req)
		case verdictEarlier: // all before the one in flight are committed
			p.Answer(earlier.result())
		case verdictRefused:
			p.Answer(protocol.ProduceResult{Err: err})
		default:
			return admitWait
		}
		return admitAnswered
	}
	known := table.get(req.ProducerID)
	if known == nil {
		if l.isPlacedEarlier(table, req) {
			p.Answer(protocol.ProduceResult{Err: errPlacedEarlier})
			return admitAnswered
		}
		if table.full(req.ProducerID, now) {
			p.Answer(protocol.ProduceResult{Err: table.errFull(req.ProducerID)})
			return admitAnswered
		}
		return admitNew
	}
	switch v, earlier, err := known.judge(req); v {
	case verdictDuplicate:
		p.Answer(known.result())
	case verdictEarlier:
		p.Answer(earlier.result())
	case verdictRefused:
		p.Answer(protocol.ProduceResult{Err: err})
	default:
		if !l.isPlacedEarlier(table, req) {
			return admitNew
		}
		p.Answer(protocol.ProduceResult{Err: errPlacedEarlier})
	}
	return admitAnswered
}

// result is the answer to a retry.
func (r *request) result() protocol.ProduceResult {
	return protocol.ProduceResult{BaseOffset: protocol.Offset(r.base), Timestamp: r.timestamp, Duplicate: true}
}

// enterInFlight notes a request that is being proposed, with its records from
// offset base on, and returns what its "#p" line says. Known is what the table has
// of the producer, nil if nothing.
func (l *leading) enterInFlight(req *protocol.ProduceRequest, base int64, known *producerState) *producerState {
	fl := &inFlightRequest{state: producerState{
		id: req.ProducerID, epoch: req.Epoch, hash: req.BodyHash,
		request: request{seq: req.Sequence, base: base, count: req.Lines.Len(), timestamp: lineTimestamp(req.Lines.Buf)},
	}}
	if known != nil {
		fl.state.follow(known)
	}
	if l.inFlight == nil {
		l.inFlight = map[string]*inFlightRequest{}
	}
	l.inFlight[req.ProducerID] = fl
	return &fl.state
}

// forgetInFlight undoes enterInFlight for an entry that raft did not take. No
// retry waits for these requests: retries are found when the next entry is
// made, and this one was the newest.
func (l *leading) forgetInFlight(ps []Proposal) {
	for i := range ps {
		if id := ps[i].producer(); id != "" {
			delete(l.inFlight, id)
		}
	}
}

// requestCommitted notes that a producer's request stands in the committed
// entry e. Its retries are answered together with e.
func (l *leading) requestCommitted(e *PendingEntry, req *protocol.ProduceRequest) {
	fl := l.inFlight[req.ProducerID]
	if fl == nil {
		return
	}
	delete(l.inFlight, req.ProducerID)
	for _, w := range fl.waiters {
		e.retries = append(e.retries, w)
		e.retried = append(e.retried, fl.state.result())
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
