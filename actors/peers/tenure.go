package peers

import (
	"encoding/binary"
	"maps"
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
	mu       sync.Mutex
	term     atomic.Uint64            // changed while mu is held
	began    time.Duration            // when the first message of the term was sent; never: that counts no more
	restarts map[uint64]time.Duration // by replica: when it began or ended to run last
	probes   []probe                  // requests for a confirmation, oldest first
	waits    time.Duration            // what is sent before that is not counted

	acks atomic.Pointer[acks] // replaced while mu is held, never changed
}

// acks are the acknowledgements of a term.
type acks struct {
	term  uint64
	since map[uint64]time.Duration // by replica: when it was sent what the newest one answers
}

// probe is a request for a confirmation that the leader leads. Raft numbers it, and sends
// it along with heartbeats; those who answer a later one have got what was sent later.
type probe struct {
	request uint64
	at      time.Duration
}

// Which requests are remembered: leaders that are read from often make many. They are
// probesGap apart at least, and the older, the farther: an answer that takes long counts
// from one that was sent at most twice as long ago. What takes longer than probesAge is
// worth nothing.
const (
	probesGap = 50 * time.Millisecond
	probesAge = time.Minute
)

// never is before everything.
const never = time.Duration(-1 << 63)

// sends takes note of a message that a replica of this process sends to one elsewhere.
func (t *tenure) sends(m *raftpb.Message, now func() time.Duration) {
	request := uint64(0)
	switch m.Type {
	case raftpb.MsgApp, raftpb.MsgSnap:
	case raftpb.MsgHeartbeat:
		request = requestOf(m)
	case raftpb.MsgTimeoutNow:
		t.handsOver(m.Term, now())
		return
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
		t.began, t.probes, t.waits = now(), nil, never
		t.acks.Store(&acks{term: m.Term})
	} else if m.Term < term {
		return
	}
	last := len(t.probes) - 1
	if request == 0 || last >= 0 && request <= t.probes[last].request {
		return
	}
	if at := now(); last < 0 || at-t.probes[last].at >= probesGap {
		t.thin(at)
		t.probes = append(t.probes, probe{request, at})
	}
}

// thin forgets probes that are not needed beside the next newer one.
func (t *tenure) thin(now time.Duration) {
	kept := t.probes[:0]
	for i, p := range t.probes {
		newer := now
		if i+1 < len(t.probes) {
			newer = t.probes[i+1].at
		}
		older := now - probesAge
		if len(kept) > 0 {
			older = kept[len(kept)-1].at
		}
		if p.at > older && newer-older > max(probesGap, (now-newer)/2) {
			kept = append(kept, p)
		}
	}
	t.probes = kept
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
	answer := m.Type == raftpb.MsgAppResp || m.Type == raftpb.MsgHeartbeatResp
	switch m.Type {
	case raftpb.MsgAppResp, raftpb.MsgHeartbeatResp, raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap:
	default:
		return // a vote may come to nothing
	}
	known := t.acks.Load()
	if known == nil || m.Term < known.term || m.Term == known.term && !answer {
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
		t.doubt(known)
	case m.Term == known.term:
		t.acknowledged(known, m.From, t.askedAt(request))
	}
}

// doubt is what follows from a message of a later term: nothing counts that was sent
// before. It is no proof, as it may come from a replica that is a member no more.
func (t *tenure) doubt(known *acks) {
	t.began, t.probes = never, nil
	t.acks.Store(&acks{term: known.term})
}

// handOverPause is how long nothing counts after a leader has told another replica to
// campaign at once: for that one they vote who follow this leader, too. A hand-over that
// takes longer has failed.
const handOverPause = 2 * time.Second

func (t *tenure) handsOver(term uint64, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.acks.Load(); known != nil && known.term == term {
		t.doubt(known)
		t.waits = now + handOverPause
	}
}

// restarted takes note of a replica elsewhere that begins or ends to run: it may vote for
// others at once, so that what it acknowledged before does not count.
func (t *tenure) restarted(replica uint64, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.restarts == nil {
		t.restarts = map[uint64]time.Duration{}
	}
	t.restarts[replica] = now
	if known := t.acks.Load(); known != nil {
		next := &acks{term: known.term, since: maps.Clone(known.since)}
		delete(next.since, replica)
		t.acks.Store(next)
	}
}

// acknowledged replaces what is known of the term by one acknowledgement more, of what was
// sent at a time.
func (t *tenure) acknowledged(known *acks, replica uint64, at time.Duration) {
	if restart, found := t.restarts[replica]; at == never || at < t.waits || found && at <= restart {
		return
	}
	if was, found := known.since[replica]; found && was >= at {
		return
	}
	next := &acks{term: known.term, since: maps.Clone(known.since)}
	if next.since == nil {
		next.since = map[uint64]time.Duration{}
	}
	next.since[replica] = at
	t.acks.Store(next)
}

// askedAt is when a request was sent, at the earliest.
func (t *tenure) askedAt(request uint64) time.Duration {
	at := t.began
	for _, p := range t.probes {
		if p.request <= request {
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

// voters are the members of a partition that decide, and, in a joint change, also those
// that decided before it: each half by its majority.
type voters struct{ incoming, outgoing []uint64 }

// touch says of a partition whose replicas run at these places what holds for the leader
// of a term, with its voters. In touch are the replicas of this process, and those whose
// node has vouched for this one without a gap since they have acknowledged the term.
func (t *tenure) touch(term uint64, v *voters, running map[uint64]Mailbox, vouched func(link.NodeID) (since time.Duration, holds bool)) Touch {
	known := t.acks.Load()
	switch {
	case known == nil || known.term < term:
		known = &acks{} // nothing is known yet
	case known.term > term:
		return OutOfTouch
	}
	touch := InTouch
	for _, half := range [][]uint64{v.incoming, v.outgoing} {
		hear, follow := 0, 0
		for _, id := range half {
			at := running[id]
			if at.PID != nil {
				hear, follow = hear+1, follow+1
				continue
			}
			if at.Node == 0 {
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
		switch majority := len(half)/2 + 1; {
		case len(half) == 0 || follow >= majority:
		case hear >= majority:
			touch = max(touch, Unconfirmed)
		default:
			return OutOfTouch
		}
	}
	return touch
}
