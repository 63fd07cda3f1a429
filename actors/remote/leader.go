package remote

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"ottla/actors/routing"
	"ottla/actors/wire"
	"ottla/link"
	"ottla/logfile"
	"ottla/protocol"
)

// Leader is the leadership of a replica at another node: what is asked of it
// goes there.
type Leader struct {
	*routing.Leadership
	owner *Leaders
	Node  link.NodeID
	At    wire.Partition

	mu    sync.Mutex
	parks map[*protocol.Waiter]uint64 // ids of the waiters that are parked there
	gone  bool                        // it was withdrawn
}

// Leader makes the leadership of a replica at another node.
func (p *Leaders) Leader(node link.NodeID, at wire.Partition, broker int, term uint64) *Leader {
	l := &Leader{owner: p, Node: node, At: at, parks: map[*protocol.Waiter]uint64{}}
	l.Leadership = &routing.Leadership{Leader: l, Broker: broker, Away: true, Term: term}
	return l
}

// Withdraw wakes everybody who is parked there: it does not lead any more, or is
// not heard of.
func (l *Leader) Withdraw() {
	l.mu.Lock()
	l.gone = true
	parks := l.parks
	l.parks = map[*protocol.Waiter]uint64{}
	l.mu.Unlock()
	for w, id := range parks {
		l.owner.forgetWaiter(id)
		w.Wake()
	}
}

// NotAsked turns the error of a question that did not reach the other node into one
// that sends whoever asked to the next leader.
func NotAsked(err error) *protocol.Error {
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
func (l *Leader) Produce(req *protocol.ProduceRequest) {
	deadline := req.Deadline
	if deadline.IsZero() {
		deadline = time.Now().Add(callPatience)
	}
	l.owner.link.Call(l.Node, link.Bulk, wire.Produce, deadline, func(body []byte, err error) {
		if err != nil {
			req.Reply.Put(protocol.ProduceResult{Err: NotAsked(err)})
			return
		}
		res, err := wire.DecodeProduced(body)
		if err != nil {
			res.Err = protocol.Unknownf("the answer of the leader's node cannot be read: %v", err)
		}
		req.Reply.Put(res)
	}, wire.ProduceHead(l.At, req), req.Lines.Buf)
}

// Ask implements routing.Leader.
func (l *Leader) Ask(q routing.Question) {
	if m, ok := q.(*routing.GroupRequest); ok {
		switch poll := m.Msg.(type) {
		case *routing.GroupPoll:
			l.owner.keepPoll(poll.Handle)
		case *routing.GroupDelivered:
			if poll.Stay {
				l.owner.keepPoll(poll.Handle)
			}
		}
	}
	body, ok := wire.EncodeQuestion(l.At, q)
	if !ok {
		q.Refuse(protocol.ErrNotLeader) // of what the leader's own node sees to
		return
	}
	l.owner.link.Call(l.Node, link.Control, wire.Ask, time.Now().Add(askPatience), func(body []byte, err error) {
		if err != nil {
			q.Refuse(NotAsked(err))
			return
		}
		wire.Answer(q, body)
	}, body)
}

// askPatience is how long the answer of another node is waited for; whoever asks
// gives up earlier.
const askPatience = 30 * time.Second

// call asks the node and waits for the answer.
func (l *Leader) call(kind uint16, parts ...[]byte) ([]byte, *protocol.Error) {
	type answer struct {
		body []byte
		err  error
	}
	c := make(chan answer, 1)
	l.owner.link.Call(l.Node, link.Bulk, kind, time.Now().Add(callPatience), func(body []byte, err error) { c <- answer{body, err} }, parts...)
	a := <-c
	if a.err != nil {
		if e := NotAsked(a.err); e.Outcome != protocol.OutcomeUnknown {
			return nil, e
		}
		return nil, protocol.ErrNotLeader // a read that was lost had no effect
	}
	return a.body, nil
}

// LogBytes implements routing.Leader.
func (l *Leader) LogBytes() int64 { return 0 }

// View implements routing.Leader.
func (l *Leader) View() (routing.LogView, *protocol.Error) {
	body, err := l.call(wire.View, wire.AppendPartition(nil, l.At))
	if err != nil {
		return nil, err
	}
	v := &view{leader: l}
	if err := wire.Decode(body, &v.Bounds); err != nil {
		return nil, protocol.ErrNotLeader
	}
	return v, nil
}

// Register implements routing.Leader.
func (l *Leader) Register(w *protocol.Waiter, offset protocol.Offset) {
	l.mu.Lock()
	gone := l.gone
	id, known := l.parks[w]
	if !known && !gone {
		id = l.owner.keepWaiter(w, l)
		l.parks[w] = id
	}
	l.mu.Unlock()
	if gone {
		w.Wake()
		return
	}
	m := wire.Encode(&parkMessage{ID: id, Offset: int64(offset)})
	if !l.owner.link.Send(l.Node, link.Control, wire.Park, wire.AppendPartition(nil, l.At), m) {
		w.Wake()
	}
}

// Unregister implements routing.Leader.
func (l *Leader) Unregister(w *protocol.Waiter) {
	l.mu.Lock()
	id, known := l.parks[w]
	delete(l.parks, w)
	l.mu.Unlock()
	if !known {
		return
	}
	l.owner.forgetWaiter(id)
	l.owner.link.Send(l.Node, link.Control, wire.Unpark, wire.AppendPartition(nil, l.At), wire.Encode(&parkMessage{ID: id}))
}

// woken takes out a waiter that the other node has woken.
func (l *Leader) woken(w *protocol.Waiter) {
	l.mu.Lock()
	delete(l.parks, w)
	l.mu.Unlock()
}

// view is what may be read at another node.
type view struct {
	wire.Bounds
	leader *Leader
}

// Earliest implements routing.LogView.
func (v *view) Earliest() int64 { return v.Bounds.Earliest }

// HighWatermark implements routing.LogView.
func (v *view) HighWatermark() int64 { return v.Bounds.HighWatermark }

// estimatedRecord is what a record takes as long as nobody knows better, in bytes.
const estimatedRecord = 256

// Estimate implements routing.LogView. This node does not know the index.
func (v *view) Estimate(offset int64, n int) int64 {
	return max(0, min(int64(n), v.Bounds.HighWatermark-offset)) * estimatedRecord
}

// OffsetForTime implements routing.LogView.
func (v *view) OffsetForTime(ms int64) (int64, error) {
	body, err := v.leader.call(wire.SeekTime, wire.AppendPartition(nil, v.leader.At), binary.AppendVarint(nil, ms))
	if err != nil {
		return 0, unread(err)
	}
	return wire.DecodeSeek(body)
}

// unread is the error of a read that was not answered. Nothing is known to be wrong with
// the log: whoever reads takes a new view, of whoever leads then.
func unread(err *protocol.Error) error { return fmt.Errorf("%w: %w", logfile.ErrStale, err) }

// Each implements routing.LogView.
func (v *view) Each(offset int64, maxRecords, maxBytes int, emit func(*logfile.Record)) error {
	if offset < v.Bounds.Earliest {
		return logfile.ErrBelowStart
	}
	if offset >= v.Bounds.HighWatermark || maxRecords <= 0 {
		return nil
	}
	body, err := v.leader.call(wire.Read, wire.EncodeRead(&wire.ReadQuestion{
		Partition: v.leader.At, Offset: offset, MaxRecords: maxRecords, MaxBytes: maxBytes, HighWatermark: v.Bounds.HighWatermark,
	}))
	if err != nil {
		return unread(err)
	}
	rerr := wire.EachRecord(body, emit)
	if errors.Is(rerr, logfile.ErrBelowStart) { // the log begins later than this view says
		return fmt.Errorf("%w: offset %d was removed", logfile.ErrStale, offset)
	}
	return rerr
}

// Read implements routing.LogView.
func (v *view) Read(dst []logfile.Record, offset int64, maxRecords, maxBytes int) ([]logfile.Record, error) {
	err := v.Each(offset, maxRecords, maxBytes, func(r *logfile.Record) { dst = append(dst, *r) })
	return dst, err
}
