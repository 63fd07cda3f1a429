package remote

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"ottla/actors/routing"
	"ottla/actors/wire"
	"ottla/link"
	"ottla/logfile"
	"ottla/protocol"
)

// Link is how other nodes are reached: a link.Links.
type Link interface {
	Send(to link.NodeID, lane link.Lane, kind uint16, parts ...[]byte) bool
	Call(to link.NodeID, lane link.Lane, kind uint16, deadline time.Time, done func([]byte, error), parts ...[]byte)
}

// Leaders are both ends of what is asked of leaders: it asks those at other nodes, and
// answers for those of this process. It is safe for concurrent use.
type Leaders struct {
	link  Link
	local func(wire.Partition) (routing.Leader, bool)
	log   *slog.Logger

	mu      sync.Mutex
	waiters map[uint64]parkedElsewhere     // parked at leaders elsewhere, by id
	polls   map[uint64]*routing.PollHandle // which groups elsewhere may signal, by id
	nextID  uint64
	parked  map[parkedKey]*parkedWaiter // of other nodes, at leaders here
}

// New returns the leaders that are reached by a link. Local finds those of this process.
func New(l Link, local func(wire.Partition) (routing.Leader, bool), log *slog.Logger) *Leaders {
	return &Leaders{
		link: l, local: local, log: log,
		waiters: map[uint64]parkedElsewhere{}, polls: map[uint64]*routing.PollHandle{}, parked: map[parkedKey]*parkedWaiter{},
	}
}

// callPatience is how long another node may take to answer what takes no time.
const callPatience = 3 * time.Second

// errNotHere is the answer for a leader that this process does not have.
var errNotHere = protocol.ErrNotLeader

// Message takes a message of another node that concerns leaders, or those who wait at
// them. Errors: it cannot be understood.
func (p *Leaders) Message(from link.NodeID, kind uint16, body []byte) error {
	switch kind {
	case wire.Park, wire.Unpark:
		return p.park(from, kind == wire.Park, body)
	case wire.Wake:
		return p.wake(body)
	case wire.PollSignal:
		return p.signal(body)
	}
	return fmt.Errorf("message of kind %d is not for a leader", kind)
}

// Down forgets what a node has parked here: nobody there listens.
func (p *Leaders) Down(id link.NodeID) {
	var gone []*parkedWaiter
	p.mu.Lock()
	for key, w := range p.parked {
		if key.node == id {
			delete(p.parked, key)
			gone = append(gone, w)
		}
	}
	p.mu.Unlock()
	for _, w := range gone {
		w.leader.Unregister(w.waiter)
	}
}

// Call answers a question of another node to a leader of this process, through reply,
// exactly once unless it returns an error: it cannot be understood.
func (p *Leaders) Call(from link.NodeID, kind uint16, body []byte, left time.Duration, reply func([]byte, error)) error {
	switch kind {
	case wire.Produce:
		at, req, err := wire.DecodeProduce(body, left)
		if err != nil {
			return err
		}
		p.produce(at, req, reply)
	case wire.Ask:
		at, q, err := wire.DecodeQuestion(body, uint64(from), reply, func(poll uint64, s routing.PollSignal) {
			p.link.Send(from, link.Control, wire.PollSignal, wire.Encode(&pollSignal{poll, s}))
		})
		if err != nil {
			return err
		}
		if l, ok := p.local(at); ok {
			l.Ask(q)
			return nil
		}
		q.Refuse(errNotHere)
	case wire.View:
		at, _, err := wire.TakePartition(body)
		if err != nil {
			return err
		}
		p.view(at, reply)
	case wire.Read:
		q, err := wire.DecodeRead(body)
		if err != nil {
			return err
		}
		p.work(reply, func() { p.read(&q, reply) })
	case wire.SeekTime:
		at, rest, err := wire.TakePartition(body)
		if err != nil {
			return err
		}
		ms, n := binary.Varint(rest)
		if n <= 0 {
			return errors.New("the time is missing")
		}
		p.work(reply, func() { p.seekTime(at, ms, reply) })
	default:
		return fmt.Errorf("call of kind %d is not for a leader", kind)
	}
	return nil
}

// work runs what waits for the disk on a goroutine of its own.
func (p *Leaders) work(reply func([]byte, error), do func()) {
	go func() {
		defer func() {
			if cause := recover(); cause != nil {
				p.log.Error("a request of another node failed", "panic", cause)
				reply(nil, protocol.Errorf(protocol.CodeInternal, "it failed"))
			}
		}()
		do()
	}()
}

func (p *Leaders) produce(at wire.Partition, req *protocol.ProduceRequest, reply func([]byte, error)) {
	l, ok := p.local(at)
	if !ok {
		reply(nil, errNotHere)
		return
	}
	once := wire.AnswerOnce(reply)
	req.Reply = protocol.Called(func(res protocol.ProduceResult) {
		if res.Err != nil {
			once(nil, res.Err)
			return
		}
		once(wire.EncodeProduced(&res), nil)
	})
	l.Produce(req)
}

// view answers what may be read at a leader.
func (p *Leaders) view(at wire.Partition, reply func([]byte, error)) {
	v, err := p.localView(at)
	if err != nil {
		reply(nil, err)
		return
	}
	reply(wire.Encode(&wire.Bounds{Earliest: v.Earliest(), HighWatermark: v.HighWatermark()}), nil)
}

func (p *Leaders) localView(at wire.Partition) (routing.LogView, *protocol.Error) {
	l, ok := p.local(at)
	if !ok {
		return nil, errNotHere
	}
	return l.View()
}

// read answers with records. What it reads is bounded by what one message may have.
func (p *Leaders) read(q *wire.ReadQuestion, reply func([]byte, error)) {
	v, verr := p.localView(q.Partition)
	if verr != nil {
		reply(nil, verr)
		return
	}
	maxRecords := int(min(int64(q.MaxRecords), max(0, q.HighWatermark-q.Offset)))
	answer := wire.ReadEnd(nil)
	err := v.Each(q.Offset, maxRecords, min(q.MaxBytes, maxReadBytes), func(r *logfile.Record) {
		if r.Offset < q.HighWatermark {
			answer = wire.AppendRecord(answer, r)
		}
	})
	if err != nil && len(answer) == 1 {
		answer = wire.ReadEnd(err) // else what was read before is good
	}
	reply(answer, nil)
}

// maxReadBytes is the most that one read of another node brings, in bytes. One
// record may be more.
const maxReadBytes = link.MaxBody / 2

func (p *Leaders) seekTime(at wire.Partition, ms int64, reply func([]byte, error)) {
	v, verr := p.localView(at)
	if verr != nil {
		reply(nil, verr)
		return
	}
	offset, err := v.OffsetForTime(ms)
	answer := wire.ReadEnd(err)
	if err == nil {
		answer = binary.AppendVarint(answer, offset)
	}
	reply(answer, nil)
}
