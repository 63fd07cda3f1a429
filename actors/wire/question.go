package wire

import (
	"fmt"
	"sync/atomic"

	"github.com/fxamacker/cbor/v2"

	"ottla/actors/routing"
	"ottla/protocol"
)

// Kinds of questions. They may not be given to anything else, ever.
const (
	askPoll uint8 = iota + 1
	askStart
	askDelivered
	askPollEnded
	askCommit
	askHeartbeat
	askRead
	askChange
	askListGroups
	askDescribe
	askProducers
	askCheckKey
	askChangeMetadata
	askConfirmEnd
	askTrimLog
	askQueue
	askSay
	askReturn
	askClassic
	askPlaced
)

// question is the form of a routing.Question.
type question struct {
	Cluster   string             `json:"c"`
	TopicID   string             `json:"t"`
	Partition int                `json:"p"`
	Group     string             `json:"g,omitempty"`
	Kind      uint8              `json:"k"`
	Poll      uint64             `json:"h,omitempty"` // the id of the poll's handle where it is parked
	Signal    routing.PollSignal `json:"s,omitempty"` // that the handle has had
	Body      cbor.RawMessage    `json:"b"`
}

// EncodeQuestion is the form of a question to the leader of a partition; false if
// it cannot be asked of another node.
func EncodeQuestion(p Partition, q routing.Question) ([]byte, bool) {
	out := question{Cluster: p.Cluster, TopicID: p.TopicID, Partition: p.Partition}
	if m, ok := q.(*routing.GroupRequest); ok {
		out.Group, q = m.Group, m.Msg
	}
	var h *routing.PollHandle
	switch m := q.(type) {
	case *routing.GroupPoll:
		out.Kind, h = askPoll, m.Handle
	case *routing.GroupStart:
		out.Kind = askStart
	case *routing.GroupDelivered:
		out.Kind, h = askDelivered, m.Handle
	case *routing.GroupPollEnded:
		out.Kind, h = askPollEnded, m.Handle
	case *routing.GroupCommit:
		out.Kind = askCommit
	case *routing.GroupHeartbeat:
		out.Kind = askHeartbeat
	case *routing.GroupRead:
		out.Kind = askRead
	case *routing.GroupChange:
		out.Kind = askChange
	case *routing.ListGroups:
		out.Kind = askListGroups
	case *routing.DescribePartition:
		out.Kind = askDescribe
	case *routing.ListProducers:
		out.Kind = askProducers
	case *routing.CheckKey:
		out.Kind = askCheckKey
	case *routing.AskPlaced:
		out.Kind = askPlaced
	case *routing.ChangeMetadata:
		out.Kind = askChangeMetadata
	case *routing.ConfirmEnd:
		out.Kind = askConfirmEnd
	case *routing.TrimLog:
		out.Kind = askTrimLog
	case *routing.GroupQueue:
		out.Kind = askQueue
	case *routing.GroupSay:
		out.Kind = askSay
	case *routing.GroupReturn:
		out.Kind = askReturn
	case *routing.Classic:
		out.Kind = askClassic
	default:
		return nil, false
	}
	if h != nil {
		out.Poll, out.Signal = h.ID, h.Signal()
	}
	out.Body = Encode(q)
	return Encode(&out), true
}

// Reply takes the answer of a question once.
type Reply func(body []byte, err error)

// DecodeQuestion makes a question that answers through reply. Node is where it
// comes from; signal tells a poll there something.
func DecodeQuestion(b []byte, node uint64, reply Reply, signal func(poll uint64, s routing.PollSignal)) (p Partition, q routing.Question, err error) {
	var in question
	if err := Decode(b, &in); err != nil {
		return p, nil, err
	}
	p = Partition{Cluster: in.Cluster, PartitionID: protocol.PartitionID{TopicID: in.TopicID, Partition: in.Partition}}
	once := AnswerOnce(reply)
	switch in.Kind {
	case askPoll:
		m := &routing.GroupPoll{Handle: in.handle(node, signal), Reply: future(once, func(a *routing.GroupShare) *protocol.Error { return a.Err })}
		q, err = m, Decode(in.Body, m)
	case askStart:
		m := &routing.GroupStart{Reply: future(once, offsetsError)}
		q, err = m, Decode(in.Body, m)
	case askDelivered:
		m := &routing.GroupDelivered{Handle: in.handle(node, signal), Reply: future(once, func(a *routing.GroupCursor) *protocol.Error { return a.Err })}
		q, err = m, Decode(in.Body, m)
	case askPollEnded:
		m := &routing.GroupPollEnded{Handle: in.handle(node, signal)}
		q, err = m, Decode(in.Body, m)
		once(nil, nil)
	case askCommit:
		m := &routing.GroupCommit{Reply: future(once, offsetsError)}
		q, err = m, Decode(in.Body, m)
	case askHeartbeat:
		m := &routing.GroupHeartbeat{Reply: future(once, func(a *routing.GroupLease) *protocol.Error { return a.Err })}
		q, err = m, Decode(in.Body, m)
	case askRead:
		m := &routing.GroupRead{Reply: future(once, func(a *routing.GroupReading) *protocol.Error { return a.Err })}
		q, err = m, Decode(in.Body, m)
	case askChange:
		m := &routing.GroupChange{Reply: future(once, itself)}
		q, err = m, Decode(in.Body, m)
	case askListGroups:
		m := &routing.ListGroups{Reply: future(once, func(a *routing.GroupList) *protocol.Error { return a.Err })}
		q, err = m, Decode(in.Body, m)
	case askDescribe:
		q = &routing.DescribePartition{Reply: future(once, func(a *routing.PartitionState) *protocol.Error { return a.Err })}
	case askProducers:
		q = &routing.ListProducers{Reply: future(once, func(a *routing.ProducerList) *protocol.Error { return a.Err })}
	case askCheckKey:
		m := &routing.CheckKey{Reply: future(once, itself)}
		q, err = m, Decode(in.Body, m)
	case askPlaced:
		m := &routing.AskPlaced{Reply: future(once, func(a *routing.Placed) *protocol.Error { return a.Err })}
		q, err = m, Decode(in.Body, m)
	case askChangeMetadata:
		m := &routing.ChangeMetadata{Reply: future(once, func(a *protocol.ProduceResult) *protocol.Error { return a.Err })}
		q, err = m, Decode(in.Body, m)
		if err == nil && m.Lines == nil {
			err = errShort
		}
	case askConfirmEnd:
		q = &routing.ConfirmEnd{Reply: future(once, func(a *routing.LogEnd) *protocol.Error { return a.Err })}
	case askTrimLog:
		m := &routing.TrimLog{Reply: future(once, func(a *routing.LogStart) *protocol.Error { return a.Err })}
		q, err = m, Decode(in.Body, m)
	case askClassic:
		m := &routing.Classic{Reply: future(once, func(a *routing.ClassicAnswer) *protocol.Error { return a.Err })}
		q, err = m, Decode(in.Body, m)
	default:
		if q, err = in.ofQueue(once); q == nil {
			return p, nil, err
		}
	}
	if err == nil && in.Group != "" {
		q = &routing.GroupRequest{Group: in.Group, Msg: q}
	}
	return p, q, err
}

// ofQueue makes a question about a queue.
func (in *question) ofQueue(once Reply) (q routing.Question, err error) {
	switch in.Kind {
	case askQueue:
		m := &routing.GroupQueue{Reply: future(once, func(a *routing.GroupQueued) *protocol.Error { return a.Err })}
		return m, Decode(in.Body, m)
	case askSay:
		m := &routing.GroupSay{Reply: future(once, func(a *routing.GroupSaid) *protocol.Error { return a.Err })}
		return m, Decode(in.Body, m)
	case askReturn:
		m := &routing.GroupReturn{Reply: future(once, itself)}
		return m, Decode(in.Body, m)
	}
	return nil, fmt.Errorf("question of kind %d is not known to this version", in.Kind)
}

func offsetsError(a *routing.GroupOffsets) *protocol.Error { return a.Err }

func itself(err **protocol.Error) *protocol.Error { return *err }

// handle is how a group reaches a poll at another node.
func (q *question) handle(node uint64, signal func(uint64, routing.PollSignal)) *routing.PollHandle {
	h := &routing.PollHandle{Node: node, ID: q.Poll}
	h.Waiter = protocol.NewWaiter(func() {})
	h.Tell(q.Signal)
	h.Waiter = protocol.NewWaiter(func() { signal(h.ID, h.Signal()) })
	return h
}

// AnswerOnce is reply, but that only its first call counts.
func AnswerOnce(reply Reply) Reply {
	var answered atomic.Bool
	return func(body []byte, err error) {
		if !answered.Swap(true) {
			reply(body, err)
		}
	}
}

// future is a reply slot whose answer goes to reply.
func future[T any](reply Reply, failed func(*T) *protocol.Error) protocol.Future[T] {
	return protocol.Called(func(v T) {
		if err := failed(&v); err != nil {
			reply(nil, err)
			return
		}
		reply(Encode(&v), nil)
	})
}

// Answer gives a question the answer that has come from another node.
func Answer(q routing.Question, body []byte) {
	if m, ok := q.(*routing.GroupRequest); ok {
		q = m.Msg
	}
	var err error
	switch m := q.(type) {
	case *routing.GroupPoll:
		err = put(m.Reply, body)
	case *routing.GroupStart:
		err = put(m.Reply, body)
	case *routing.GroupDelivered:
		err = put(m.Reply, body)
	case *routing.GroupPollEnded:
	case *routing.GroupCommit:
		err = put(m.Reply, body)
	case *routing.GroupHeartbeat:
		err = put(m.Reply, body)
	case *routing.GroupRead:
		err = put(m.Reply, body)
	case *routing.GroupChange:
		m.Reply.Put(nil)
	case *routing.ListGroups:
		err = put(m.Reply, body)
	case *routing.DescribePartition:
		err = put(m.Reply, body)
	case *routing.ListProducers:
		err = put(m.Reply, body)
	case *routing.CheckKey:
		m.Reply.Put(nil)
	case *routing.AskPlaced:
		err = put(m.Reply, body)
	case *routing.ChangeMetadata:
		err = put(m.Reply, body)
	case *routing.ConfirmEnd:
		err = put(m.Reply, body)
	case *routing.TrimLog:
		err = put(m.Reply, body)
	case *routing.GroupQueue:
		err = put(m.Reply, body)
	case *routing.GroupSay:
		err = put(m.Reply, body)
	case *routing.GroupReturn:
		m.Reply.Put(nil)
	case *routing.Classic:
		err = put(m.Reply, body)
	default:
		err = fmt.Errorf("no answer to %T can come from another node", q)
	}
	if err != nil {
		q.Refuse(protocol.Unknownf("the answer of another node cannot be read: %v", err))
	}
}

func put[T any](slot protocol.Future[T], body []byte) error {
	var v T
	if err := Decode(body, &v); err != nil {
		return err
	}
	slot.Put(v)
	return nil
}
