package actors

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"ottla/actors/routing"
	"ottla/actors/wire"
	"ottla/link"
	"ottla/logfile"
	"ottla/protocol"
)

// remoteLeader is the leadership of a replica at another node: what is asked of it
// goes there.
type remoteLeader struct {
	*routing.Leadership
	peers *peers
	node  link.NodeID
	at    wire.Partition

	mu    sync.Mutex
	parks map[*protocol.Waiter]uint64 // ids of the waiters that are parked there
	gone  bool                        // it was withdrawn
}

func newRemoteLeader(p *peers, node link.NodeID, at wire.Partition, broker int, term uint64) *remoteLeader {
	l := &remoteLeader{peers: p, node: node, at: at, parks: map[*protocol.Waiter]uint64{}}
	l.Leadership = &routing.Leadership{Leader: l, Broker: broker, Away: true, Term: term}
	return l
}

// withdraw wakes everybody who is parked there: it does not lead any more, or is
// not heard of.
func (l *remoteLeader) withdraw() {
	l.mu.Lock()
	l.gone = true
	parks := l.parks
	l.parks = map[*protocol.Waiter]uint64{}
	l.mu.Unlock()
	for w, id := range parks {
		l.peers.forgetWaiter(id)
		w.Wake()
	}
}

// notAsked turns the error of a question that did not reach the other node into one
// that sends whoever asked to the next leader.
func notAsked(err error) *protocol.Error {
	var e *protocol.Error
	switch {
	case !errors.As(err, &e):
		return protocol.Unknownf("the leader's node does not answer: %v", err)
	case e.Code == protocol.CodeNodeUnreachable && e.Outcome != protocol.OutcomeUnknown:
		return protocol.ErrNotLeader
	}
	return e
}

// Produce implements routing.Leader.
func (l *remoteLeader) Produce(req *protocol.ProduceRequest) {
	deadline := req.Deadline
	if deadline.IsZero() {
		deadline = time.Now().Add(callPatience)
	}
	l.peers.link.Call(l.node, link.Bulk, wire.Produce, deadline, func(body []byte, err error) {
		if err != nil {
			req.Reply.Put(protocol.ProduceResult{Err: notAsked(err)})
			return
		}
		res, err := wire.DecodeProduced(body)
		if err != nil {
			res.Err = protocol.Unknownf("the answer of the leader's node cannot be read: %v", err)
		}
		req.Reply.Put(res)
	}, wire.ProduceHead(l.at, req), req.Lines.Buf)
}

// Ask implements routing.Leader.
func (l *remoteLeader) Ask(q routing.Question) {
	if m, ok := q.(*routing.GroupRequest); ok {
		if poll, ok := m.Msg.(*routing.GroupPoll); ok {
			l.peers.keepPoll(poll.Handle)
		}
	}
	body, ok := wire.EncodeQuestion(l.at, q)
	if !ok {
		q.Refuse(protocol.ErrNotLeader) // of what the leader's own node sees to
		return
	}
	l.peers.link.Call(l.node, link.Control, wire.Ask, time.Now().Add(askPatience), func(body []byte, err error) {
		if err != nil {
			q.Refuse(notAsked(err))
			return
		}
		wire.Answer(q, body)
	}, body)
}

// askPatience is how long the answer of another node is waited for; whoever asks
// gives up earlier.
const askPatience = 30 * time.Second

// call asks the node and waits for the answer.
func (l *remoteLeader) call(kind uint16, parts ...[]byte) ([]byte, *protocol.Error) {
	type answer struct {
		body []byte
		err  error
	}
	c := make(chan answer, 1)
	l.peers.link.Call(l.node, link.Bulk, kind, time.Now().Add(callPatience), func(body []byte, err error) { c <- answer{body, err} }, parts...)
	a := <-c
	if a.err != nil {
		if e := notAsked(a.err); e.Outcome != protocol.OutcomeUnknown {
			return nil, e
		}
		return nil, protocol.ErrNotLeader // a read that was lost had no effect
	}
	return a.body, nil
}

// LogBytes implements routing.Leader.
func (l *remoteLeader) LogBytes() int64 { return 0 }

// View implements routing.Leader.
func (l *remoteLeader) View() (routing.LogView, *protocol.Error) {
	body, err := l.call(wire.View, wire.AppendPartition(nil, l.at))
	if err != nil {
		return nil, err
	}
	v := &remoteView{leader: l}
	if err := wire.Decode(body, &v.Bounds); err != nil {
		return nil, protocol.ErrNotLeader
	}
	return v, nil
}

// Register implements routing.Leader.
func (l *remoteLeader) Register(w *protocol.Waiter, offset protocol.Offset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		w.Wake()
		return
	}
	id, known := l.parks[w]
	if !known {
		id = l.peers.keepWaiter(w, l)
		l.parks[w] = id
	}
	m := wire.Encode(&parkMessage{ID: id, Offset: int64(offset)})
	if !l.peers.link.Send(l.node, link.Control, wire.Park, wire.AppendPartition(nil, l.at), m) {
		w.Wake()
	}
}

// Unregister implements routing.Leader.
func (l *remoteLeader) Unregister(w *protocol.Waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, known := l.parks[w]
	if !known {
		return
	}
	delete(l.parks, w)
	l.peers.forgetWaiter(id)
	l.peers.link.Send(l.node, link.Control, wire.Unpark, wire.AppendPartition(nil, l.at), wire.Encode(&parkMessage{ID: id}))
}

// woken takes out a waiter that the other node has woken.
func (l *remoteLeader) woken(w *protocol.Waiter) {
	l.mu.Lock()
	delete(l.parks, w)
	l.mu.Unlock()
}

// remoteView is what may be read at another node.
type remoteView struct {
	wire.Bounds
	leader *remoteLeader
}

// Earliest implements routing.LogView.
func (v *remoteView) Earliest() int64 { return v.Bounds.Earliest }

// HighWatermark implements routing.LogView.
func (v *remoteView) HighWatermark() int64 { return v.Bounds.HighWatermark }

// estimatedRecord is what a record takes as long as nobody knows better, in bytes.
const estimatedRecord = 256

// Estimate implements routing.LogView. This node does not know the index.
func (v *remoteView) Estimate(offset int64, n int) int64 {
	return max(0, min(int64(n), v.Bounds.HighWatermark-offset)) * estimatedRecord
}

// OffsetForTime implements routing.LogView.
func (v *remoteView) OffsetForTime(ms int64) (int64, error) {
	body, err := v.leader.call(wire.SeekTime, wire.AppendPartition(nil, v.leader.at), binary.AppendVarint(nil, ms))
	if err != nil {
		return 0, err
	}
	return wire.DecodeSeek(body)
}

// Each implements routing.LogView.
func (v *remoteView) Each(offset int64, maxRecords, maxBytes int, emit func(*logfile.Record)) error {
	if offset < v.Bounds.Earliest {
		return logfile.ErrBelowStart
	}
	if offset >= v.Bounds.HighWatermark || maxRecords <= 0 {
		return nil
	}
	body, err := v.leader.call(wire.Read, wire.EncodeRead(&wire.ReadQuestion{
		Partition: v.leader.at, Offset: offset, MaxRecords: maxRecords, MaxBytes: maxBytes, HighWatermark: v.Bounds.HighWatermark,
	}))
	if err != nil {
		return err
	}
	return wire.EachRecord(body, emit)
}

// Read implements routing.LogView.
func (v *remoteView) Read(dst []logfile.Record, offset int64, maxRecords, maxBytes int) ([]logfile.Record, error) {
	err := v.Each(offset, maxRecords, maxBytes, func(r *logfile.Record) { dst = append(dst, *r) })
	return dst, err
}
