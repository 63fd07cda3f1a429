package remote

import (
	"ottla/actors/routing"
	"ottla/actors/wire"
	"ottla/link"
	"ottla/protocol"
)

// Reads that wait at a leader elsewhere: the waiter stays at the node that was
// asked, and a proxy of it is parked at the leader.

// parkMessage parks a waiter, or takes it out again.
type parkMessage struct {
	ID     uint64 `json:"i"`
	Offset int64  `json:"o,omitempty"`
}

// parkedKey names a waiter of another node.
type parkedKey struct {
	node link.NodeID
	id   uint64
}

// parkedWaiter stands for it at a leader here.
type parkedWaiter struct {
	leader routing.Leader
	waiter *protocol.Waiter
}

// pollSignal tells a poll at another node something.
type pollSignal struct {
	Poll   uint64             `json:"p"`
	Signal routing.PollSignal `json:"s"`
}

// keepWaiter gives a waiter a number by which another node can wake it.
func (p *Leaders) keepWaiter(w *protocol.Waiter, l *Leader) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nextID++
	p.waiters[p.nextID] = parkedElsewhere{w, l}
	return p.nextID
}

// parkedElsewhere is a waiter of this node and where it is parked.
type parkedElsewhere struct {
	waiter *protocol.Waiter
	leader *Leader
}

func (p *Leaders) forgetWaiter(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiters, id)
}

// keepPoll gives a poll a number by which a group elsewhere can signal it.
func (p *Leaders) keepPoll(h *routing.PollHandle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.ID != 0 {
		return
	}
	p.nextID++
	id := p.nextID
	h.ID = id
	p.polls[id] = h
	h.OnEnd(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.polls, id)
	})
}

// park parks the waiter of another node at the leader here, or takes it out.
func (p *Leaders) park(from link.NodeID, parks bool, body []byte) error {
	at, rest, err := wire.TakePartition(body)
	if err != nil {
		return err
	}
	var m parkMessage
	if err := wire.Decode(rest, &m); err != nil {
		return err
	}
	key := parkedKey{from, m.ID}
	l, leads := p.local(at)
	p.mu.Lock()
	was := p.parked[key]
	delete(p.parked, key)
	var w *parkedWaiter
	if parks && leads {
		w = &parkedWaiter{leader: l}
		w.waiter = protocol.NewWaiter(func() { p.unparked(key, w) })
		p.parked[key] = w
	}
	p.mu.Unlock()
	if was != nil {
		was.leader.Unregister(was.waiter)
	}
	switch {
	case w != nil:
		l.Register(w.waiter, protocol.Offset(m.Offset))
	case parks:
		p.sendWake(key)
	}
	return nil
}

// unparked wakes the waiter at its own node.
func (p *Leaders) unparked(key parkedKey, w *parkedWaiter) {
	p.mu.Lock()
	current := p.parked[key] == w
	if current {
		delete(p.parked, key)
	}
	p.mu.Unlock()
	if current {
		p.sendWake(key)
	}
}

func (p *Leaders) sendWake(key parkedKey) {
	p.link.Send(key.node, link.Control, wire.Wake, wire.Encode(&parkMessage{ID: key.id}))
}

// wake wakes a waiter of this node.
func (p *Leaders) wake(body []byte) error {
	var m parkMessage
	if err := wire.Decode(body, &m); err != nil {
		return err
	}
	p.mu.Lock()
	at, known := p.waiters[m.ID]
	delete(p.waiters, m.ID)
	p.mu.Unlock()
	if known {
		at.leader.woken(at.waiter)
		at.waiter.Wake()
	}
	return nil
}

// signal tells a poll of this node what its group says.
func (p *Leaders) signal(body []byte) error {
	var m pollSignal
	if err := wire.Decode(body, &m); err != nil {
		return err
	}
	p.mu.Lock()
	h := p.polls[m.Poll]
	p.mu.Unlock()
	if h != nil {
		h.Tell(m.Signal)
	}
	return nil
}
