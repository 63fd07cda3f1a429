package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
	"ottla/mutate"
	"ottla/protocol"
)

// Proposal is something that wants to be in the log: a client's records, a
// state machine's records, or a control entry.
type Proposal struct {
	Request *protocol.ProduceRequest // a client's; answered through its reply slot
	Lines   *protocol.Lines
	control []byte // instead of lines
	Done    func(protocol.ProduceResult)
}

// Answer tells whoever waits for the proposal what became of it.
func (p *Proposal) Answer(res protocol.ProduceResult) {
	switch {
	case p.Request != nil:
		p.Request.Reply.Put(res)
	case p.Done != nil:
		p.Done(res)
	}
}

// Round is one proposed entry and who waits for it.
type Round struct {
	index, term uint64
	base        int64
	bytes       int
	proposals   []Proposal
	retries     []*protocol.ProduceRequest // that waited for this round
	retried     []protocol.ProduceResult   // their answers
	began       time.Time                  // when it was proposed
}

// leading is what a replica has while it leads: gathered proposals, rounds in
// flight and linearizable reads. Group commit needs no timer: the first
// proposal of an idle partition goes at once, and whatever arrives while that
// round is on its way to a majority's disks becomes the next one.
type leading struct {
	term       uint64
	serving    bool // an entry of this term is committed; nothing is answered before
	moving     bool // leadership is being handed over; nothing new is proposed
	transferee uint64
	movedAt    int // ticks since moving began

	queue       []Proposal
	queuedBytes int
	rounds      []Round
	kicked      bool
	recentMax   int                  // proposals of a round lately: the greatest, forgotten by a quarter a round
	yields      int                  // since kicked, see ExpectsMore
	inFlight    map[string]*inFlight // by producer id
	taken       uint64               // proposals gathered so far
	answered    uint64               // of these, in order
	pace        time.Duration        // what the last round took, see dropLate
	paced       time.Time            // when it was over

	readSeq uint64
	reads   []pendingRead

	proof     membersProof   // of the present membership
	snapshots map[uint64]int // ticks for which a follower has owed the answer to a snapshot
}

// secondRoundBytes is how much must have gathered before a second round may
// start while the first is in flight. Rounds of a few small records cost more
// than the disk; big ones overlap the network and encoding with the disk.
const secondRoundBytes = 64 << 10

const maxRoundsInFlight = 2

// maxQueuedBytes bounds what clients may have gathered at one leader beyond its
// rounds in flight. The front end bounds what is in flight for those who wait,
// but not what nobody waits for any more, on a disk that hardly moves.
const maxQueuedBytes = 64 << 20

// errQueueFull refuses a client's records; nothing happened.
var errQueueFull = protocol.Errorf(protocol.CodeOverloaded, "the partition's disk does not keep up")

// maxYields bounds how long an expectation that is not met holds a round up: to
// microseconds when nothing else runs.
const maxYields = 10

// pendingRead is a linearizable read: it waits for a majority to confirm the
// leader, and then until everything committed by then is applied.
type pendingRead struct {
	id        uint64
	index     uint64
	confirmed bool
	done      func(*protocol.Error)
}

func newLeading(term uint64) *leading { return &leading{term: term} }

// Propose gathers p. The shell calls flush after what is in its mailbox now,
// so that everything that arrived together shares one entry.
func (r *Replica) Propose(p Proposal) {
	l := r.leading
	if r.failed != nil || l == nil || l.moving {
		p.Answer(protocol.ProduceResult{Err: protocol.ErrNotLeader})
		return
	}
	if p.Request != nil && len(l.queue) > 0 && l.queuedBytes+p.size() > maxQueuedBytes {
		p.Answer(protocol.ProduceResult{Err: errQueueFull})
		return
	}
	if p.Request != nil && p.Request.NoAck {
		p.Answer(protocol.ProduceResult{BaseOffset: -1}) // its later, true answer finds the slot taken
	}
	if l.queue == nil {
		l.queue = make([]Proposal, 0, l.recentMax) // what is taken stays with its round
	}
	l.queue = append(l.queue, p)
	l.queuedBytes += p.size()
	l.taken++
	if !l.kicked {
		l.kicked = true
		r.fx.Flush = true
	}
}

func (p *Proposal) size() int {
	if p.Lines != nil {
		return len(p.Lines.Buf)
	}
	return len(p.control)
}

// ExpectsMore reports whether what has gathered is little beside the rounds
// before, so that more is likely to be on its way: clients that were answered
// together ask again together, and without this the first of them would get a
// round of its own, for which all the others wait. A caller that has let the
// others run maxYields times is told to go on.
func (r *Replica) ExpectsMore() bool {
	l := r.leading
	if l == nil || len(l.rounds) > 0 || len(l.queue)*2 >= l.recentMax || l.yields >= maxYields {
		return false
	}
	l.yields++
	return true
}

// Flush proposes what was gathered, as far as the rounds in flight allow.
func (r *Replica) Flush() {
	if r.leading == nil || r.failed != nil {
		return
	}
	r.leading.kicked, r.leading.yields = false, 0
	r.leading.pump(r)
	r.drain()
}

func (l *leading) pump(r *Replica) {
	for len(l.queue) > 0 && l.serving {
		if n := len(l.rounds); n >= maxRoundsInFlight || n > 0 && l.queuedBytes < secondRoundBytes {
			return
		}
		if !l.proposeRound(r) {
			return
		}
	}
}

// proposeRound makes one entry of the oldest proposals: at most MaxBatchBytes,
// or a single one that is larger. It reports whether more may follow.
func (l *leading) proposeRound(r *Replica) bool {
	l.dropLate()
	n, size := l.admitted(r)
	if n == 0 {
		return false // nothing new, or it waits for a round in flight
	}
	taken := l.queue[:n:n]
	base := r.log.NextOffset()
	data := l.encode(r, taken, base, size)
	index := r.log.LastIndex() + 1
	if err := r.rn.Propose(data); err != nil {
		l.forgetInFlight(taken)
		if errors.Is(err, raft.ErrProposalDropped) && len(l.rounds) > 0 {
			return false // too much is uncommitted: wait for a round to end
		}
		l.take(n, size)
		l.answered += uint64(n)
		failAll(taken, protocol.ErrNotLeader)
		return true
	}
	l.take(n, size)
	l.recentMax = max(n, l.recentMax*3/4)
	l.rounds = append(l.rounds, Round{index: index, term: l.term, base: base, bytes: size, proposals: taken, began: time.Now()})
	if mutate.On(mutate.AckOnLocalAppend) && !r.cfg.Internal { // else no cluster comes about
		l.rounds[len(l.rounds)-1].Answer()
	}
	r.drain()
	return r.leading == l
}

// admitted returns how many of the oldest proposals, and how many bytes, make
// the next entry, after it has answered those that are not new.
func (l *leading) admitted(r *Replica) (n, size int) {
	for n < len(l.queue) && l.fits(n, size, r.cfg.MaxBatchBytes) {
		if l.queue[n].producer() != "" {
			return l.admittedOnce(r, n, size)
		}
		size += l.queue[n].size()
		n++
	}
	return n, size
}

// fits reports whether proposal n of the queue may go into an entry with all
// before it.
func (l *leading) fits(n, size, limit int) bool {
	p := &l.queue[n]
	return n == 0 || p.control == nil && l.queue[0].control == nil && size+p.size() <= limit
}

// admittedOnce goes on where proposals of producers are among the oldest. Those
// that are not new are answered and leave the queue. A producer has one request
// in flight: a further one stays where it is until that one is through.
func (l *leading) admittedOnce(r *Replica, n, size int) (int, int) {
	seen := map[string]bool{}
	for n < len(l.queue) && l.fits(n, size, r.cfg.MaxBatchBytes) {
		p := &l.queue[n]
		if id := p.producer(); id != "" {
			if seen[id] {
				break
			}
			switch l.admit(r, p) {
			case admitWait:
				return n, size
			case admitAnswered:
				l.queuedBytes -= p.size()
				l.answered++
				l.queue = slices.Delete(l.queue, n, n+1)
				continue
			}
			seen[id] = true
		}
		size += p.size()
		n++
	}
	if len(l.queue) == 0 {
		l.queue, l.queuedBytes = nil, 0
	}
	return n, size
}

func (p *Proposal) producer() string {
	if p.Request == nil {
		return ""
	}
	return p.Request.ProducerID
}

func (l *leading) take(n, size int) {
	l.queue = l.queue[n:]
	l.queuedBytes -= size
	if len(l.queue) == 0 {
		l.queue, l.queuedBytes = nil, 0
	}
}

func (l *leading) encode(r *Replica, taken []Proposal, base int64, size int) []byte {
	now := max(r.cfg.Now().UnixMilli(), r.log.LastAppendTime())
	if c := taken[0].control; c != nil {
		body := logfile.OpaqueBody(c)
		buf := append(make([]byte, entryHeaderSize, entryHeaderSize+len(body)), body...)
		return encodeEntry(buf, logfile.KindControl, base, 0, now)
	}
	records := 0
	for i := range taken {
		records += taken[i].Lines.Len()
	}
	buf := mutate.Reused(make([]byte, entryHeaderSize, entryHeaderSize+size+records*decimalDigits(base+int64(records))))
	next := base
	for i := range taken {
		if taken[i].producer() != "" {
			buf = l.enterInFlight(taken[i].Request, next).appendLine(buf)
		}
		next += int64(taken[i].Lines.Len())
	}
	next = base
	for i := range taken {
		buf = taken[i].Lines.AppendNumbered(buf, protocol.Offset(next))
		next += int64(taken[i].Lines.Len())
	}
	if r.cfg.Proposed != nil && !r.cfg.Internal {
		r.cfg.Proposed(records, len(buf))
	}
	return encodeEntry(buf, logfile.KindRecords, base, records, now)
}

func decimalDigits(n int64) int {
	d := 1
	for n >= 10 {
		n /= 10
		d++
	}
	return d
}

// Committed is called for each entry as it is applied on the leader. The round
// that made exactly this entry is done, and answered once readers can see it;
// any round that should stand at or before this index but does not is lost to
// another term.
func (l *leading) committed(r *Replica, e *raftpb.Entry) {
	if e.Term == l.term && !l.serving {
		l.serving = true
		r.fx.RoleChanged = true
		if len(l.reads) > 0 {
			l.readSeq++
			l.askRead(r, l.readSeq)
		}
	}
	for len(l.rounds) > 0 && l.rounds[0].index <= e.Index {
		rd := l.rounds[0]
		l.rounds[0] = Round{}
		l.rounds = l.rounds[1:]
		l.answered += uint64(len(rd.proposals))
		if rd.index != e.Index || rd.term != e.Term {
			failAll(rd.proposals, protocol.Unknownf("another entry took the place of this one"))
			continue
		}
		l.keepPace(rd.began)
		r.fx.Committed = append(r.fx.Committed, rd)
		for i := range rd.proposals {
			if p := &rd.proposals[i]; p.producer() != "" {
				l.landed(r, p.Request)
			}
		}
	}
}

// Answer tells everyone in a committed round where their records are.
func (rd *Round) Answer() {
	next := rd.base
	for i := range rd.proposals {
		p := &rd.proposals[i]
		p.Answer(protocol.ProduceResult{BaseOffset: protocol.Offset(next)})
		if p.Lines != nil {
			next += int64(p.Lines.Len())
		}
	}
	for i := range rd.retries {
		rd.retries[i].Reply.Put(rd.retried[i])
	}
}

// applied is called after a run of entries was applied: reads that waited for
// them are answered, and the next round may start.
func (l *leading) applied(r *Replica) {
	kept := l.reads[:0]
	for _, rd := range l.reads {
		if rd.confirmed && rd.index <= r.applied {
			rd.done(nil)
			continue
		}
		kept = append(kept, rd)
	}
	l.reads = kept
	if len(l.queue) > 0 && !l.kicked {
		l.kicked = true
		r.fx.Flush = true
	}
	if l.moving && l.transferee != 0 && len(l.rounds) == 0 {
		l.transfer(r)
	}
}

// ReadIndex calls done once the replica has applied everything that was
// committed anywhere when it was called, or with an error if it does not lead.
func (r *Replica) ReadIndex(done func(*protocol.Error)) {
	l := r.leading
	if l == nil || r.failed != nil {
		done(protocol.ErrNotLeader)
		return
	}
	l.readSeq++
	l.reads = append(l.reads, pendingRead{id: l.readSeq, done: done})
	l.askRead(r, l.readSeq)
	r.drain()
}

// askRead asks raft to confirm the reads up to id, once this leader knows what
// is committed: raft keeps that rule by itself only where there are peers to
// ask.
func (l *leading) askRead(r *Replica, id uint64) {
	if !l.serving {
		return
	}
	r.rn.ReadIndex(binary.BigEndian.AppendUint64(nil, id))
}

func (l *leading) readConfirmed(r *Replica, rs raft.ReadState) {
	if len(rs.RequestCtx) != 8 {
		return
	}
	id := binary.BigEndian.Uint64(rs.RequestCtx)
	for i := range l.reads {
		// A majority that confirmed a later request confirmed the earlier ones.
		if !l.reads[i].confirmed && l.reads[i].id <= id {
			l.reads[i].confirmed, l.reads[i].index = true, rs.Index
		}
	}
	l.applied(r)
}

// retryReads asks again, under a fresh id, for reads whose confirmation was
// lost. A tick calls it.
func (l *leading) retryReads(r *Replica) {
	waiting := false
	for i := range l.reads {
		waiting = waiting || !l.reads[i].confirmed
	}
	if waiting {
		l.readSeq++
		l.askRead(r, l.readSeq)
		r.drain()
	}
}

// stepDown answers everyone: what was proposed may or may not survive, what
// was only gathered did not happen.
func (l *leading) stepDown(unknown *protocol.Error) {
	for i := range l.rounds {
		failAll(l.rounds[i].proposals, unknown)
	}
	l.dropInFlight(unknown)
	failAll(l.queue, protocol.ErrNotLeader)
	for i := range l.reads {
		l.reads[i].done(protocol.ErrNotLeader)
	}
	l.rounds, l.queue, l.reads, l.queuedBytes = nil, nil, nil, 0
}

func failAll(ps []Proposal, err *protocol.Error) {
	for i := range ps {
		ps[i].Answer(protocol.ProduceResult{Err: err})
	}
}

// String helps in test failures.
func (l *leading) String() string {
	return fmt.Sprintf("leading(term=%d serving=%v queued=%d rounds=%d)", l.term, l.serving, len(l.queue), len(l.rounds))
}
