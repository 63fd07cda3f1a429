package peers

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"ottla/link"
)

// tenure is the newest leadership of a replica of this process, as the messages between it
// and the replicas at other nodes show it: when each of those has acknowledged it.
//
// It is what a voucher lacks. A node vouches that it does not give this one up; it may
// have done so before, while this process stood still, and have helped to elect another
// leader, of which the one here has not heard. So the voucher of a node counts for a leader
// only if the leader's replica there has acknowledged the leader's term since the node has
// vouched without a gap. An acknowledgement counts as of when what it answers was sent.
type tenure struct {
	mu     sync.Mutex
	term   atomic.Uint64     // changed while mu is held
	began  time.Duration     // when the first message of the term was sent
	probes [probesKept]probe // the newest requests for a confirmation, in a ring
	newest int               // of probes

	acks atomic.Pointer[acks] // replaced while mu is held, never changed
}

// acks are the acknowledgements of a term.
type acks struct {
	term  uint64
	over  bool                     // a later term has begun
	since map[uint64]time.Duration // by replica: when it was sent what the newest one answers
}

// probe is a request for a confirmation that the leader leads. Raft numbers it, and sends
// it along with heartbeats; those who answer a later one have got what was sent later.
type probe struct {
	request uint64
	at      time.Duration
}

// How many requests are remembered, and how far apart they are at least: leaders that are
// read from often make many, and an answer that takes longer than all of these is worth
// nothing.
const (
	probesKept = 8
	probesGap  = 50 * time.Millisecond
)

// sends takes note of a message that a replica of this process sends to one elsewhere.
func (t *tenure) sends(m *raftpb.Message, now func() time.Duration) {
	request := uint64(0)
	switch m.Type {
	case raftpb.MsgApp, raftpb.MsgSnap:
	case raftpb.MsgHeartbeat:
		request = requestOf(m)
	default:
		return // not a leader's
	}
	if request == 0 && m.Term == t.term.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if term := t.term.Load(); m.Term > term {
		t.term.Store(m.Term)
		t.began, t.probes = now(), [probesKept]probe{}
		t.acks.Store(&acks{term: m.Term})
	} else if m.Term < term {
		return
	}
	if last := t.probes[t.newest]; request > last.request {
		if at := now(); last.request == 0 || at-last.at >= probesGap {
			t.newest = (t.newest + 1) % probesKept
			t.probes[t.newest] = probe{request, at}
		}
	}
}

// requestOf is the number of the request for a confirmation that a message carries, 0 if
// it has none.
func requestOf(m *raftpb.Message) uint64 {
	if len(m.Context) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(m.Context)
}

// gets takes note of a message from a replica elsewhere.
func (t *tenure) gets(m *raftpb.Message) {
	switch m.Type {
	case raftpb.MsgAppResp, raftpb.MsgHeartbeatResp, raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap:
	default:
		return // a vote may come to nothing
	}
	known := t.acks.Load()
	if known == nil || m.Term < known.term || known.over {
		return
	}
	request := requestOf(m)
	if _, acked := known.since[m.From]; acked && m.Term == known.term && (m.Type != raftpb.MsgHeartbeatResp || request == 0) {
		return // nothing new
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	known = t.acks.Load()
	switch {
	case m.Term > known.term:
		t.acks.Store(&acks{term: known.term, over: true})
	case m.Term < known.term || known.over || m.Type != raftpb.MsgAppResp && m.Type != raftpb.MsgHeartbeatResp:
	default:
		t.acknowledged(known, m.From, t.askedAt(request))
	}
}

// acknowledged replaces what is known of the term by one acknowledgement more.
func (t *tenure) acknowledged(known *acks, replica uint64, at time.Duration) {
	if was, found := known.since[replica]; found && was >= at {
		return
	}
	next := &acks{term: known.term, since: make(map[uint64]time.Duration, len(known.since)+1)}
	for id, since := range known.since {
		next.since[id] = since
	}
	next.since[replica] = at
	t.acks.Store(next)
}

// askedAt is when a request was sent, at the earliest.
func (t *tenure) askedAt(request uint64) time.Duration {
	at := t.began
	for _, p := range t.probes {
		if p.request != 0 && p.request <= request {
			at = max(at, p.at)
		}
	}
	return at
}

// Touch is whether a leader knows that it has no successor.
type Touch int

const (
	// InTouch is a leader that a majority follows.
	InTouch Touch = iota
	// Unconfirmed is a leader that a majority does not give up, but which has to ask
	// whether that was so all the time.
	Unconfirmed
	// OutOfTouch is a leader that may have been given up, or has been.
	OutOfTouch
)

// touch says of a partition with so many replicas, of which these run, what holds for the
// leader of a term. In touch are the replicas of this process, and those whose node has
// vouched for this one without a gap since they have acknowledged the term.
func (t *tenure) touch(term uint64, placed int, running map[uint64]Mailbox, vouched func(link.NodeID) (since time.Duration, holds bool)) Touch {
	known := t.acks.Load()
	switch {
	case known == nil || known.term < term:
		known = &acks{} // nothing is known yet
	case known.term > term || known.over:
		return OutOfTouch
	}
	majority, hear, follow := placed/2+1, 0, 0
	for id, at := range running {
		if at.PID != nil {
			hear, follow = hear+1, follow+1
			continue
		}
		since, holds := vouched(at.Node)
		if !holds {
			continue
		}
		hear++
		if acked, found := known.since[id]; found && acked >= since {
			follow++
		}
	}
	switch {
	case follow >= majority:
		return InTouch
	case hear >= majority:
		return Unconfirmed
	}
	return OutOfTouch
}
