package replica

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"

	"ottla/mutate"
	"ottla/protocol"
)

// Propose gathers p, or answers it with a refusal. When it is the first to be
// gathered, Effects.Flush asks the owner to call Flush after it has handled what
// is in its mailbox now, so that everything that arrived together shares one
// entry.
func (r *Replica) Propose(p Proposal) {
	if r.failed != nil || r.leading == nil {
		p.Answer(protocol.ProduceResult{Err: protocol.ErrNotLeader})
		return
	}
	if r.leading.gather(p) {
		r.fx.Flush = true
	}
}

// PostponeFlush reports whether the owner should let other goroutines run before
// it calls Flush, because what has gathered is little beside what recent entries
// had, so that more is likely to be on its way: clients that were answered
// together ask again together. Without this the first of them would get an entry
// of its own, for which all the others wait. After maxYields postponements in a
// row it is false.
func (r *Replica) PostponeFlush() bool { return r.leading != nil && r.leading.postponeFlush() }

// Flush proposes what was gathered, as far as the entries in flight allow. The
// rest follows when they are committed, by another Effects.Flush.
func (r *Replica) Flush() {
	if r.leading == nil || r.failed != nil {
		return
	}
	r.leading.flush = flushRequest{}
	r.proposeGathered()
	r.drain()
}

func (r *Replica) proposeGathered() {
	l := r.leading
	for r.leading == l && l.mayPropose() { // a drain may end the leadership
		now := r.cfg.Now()
		e, data := l.nextEntry(now, r.appends.after(r.log.LastAppendTime()), r.log.NextOffset(), r.producers)
		if data == nil {
			return
		}
		index := r.log.LastIndex() + 1
		switch err := r.rn.Propose(data); {
		case err == nil:
			l.proposed(e, index)
			if r.cfg.Proposed != nil && !r.cfg.Internal && e.records > 0 {
				r.cfg.Proposed(e.records, len(data))
			}
			if mutate.On(mutate.AckOnLocalAppend) && !r.cfg.Internal { // else no cluster comes about
				e.Answer()
			}
			r.drain()
		case errors.Is(err, raft.ErrProposalDropped) && len(l.pending) > 0:
			l.postponed(&e) // too much is uncommitted
			return
		default:
			l.refused(&e)
		}
	}
}

// leaderAdvanced does what may have become possible on a leader: answer reads,
// propose the next entry, hand the leadership over.
func (r *Replica) leaderAdvanced() {
	l := r.leading
	if l == nil {
		return
	}
	l.reads.answer(r.applied)
	if r.applied >= l.narrowing {
		l.narrowing = 0
	}
	if len(l.queue.items) > 0 && l.askFlush() {
		r.fx.Flush = true
	}
	r.transferLeader()
}

func (r *Replica) transferLeader() {
	if to := r.leading.nextTransfer(); to != 0 {
		r.rn.TransferLeader(to)
	}
}

// ReadIndex calls done once the replica has applied everything that was
// committed anywhere when it was called, or with an error if it does not lead
// (any more). Done is called on the owner's goroutine, from within a call of the
// Replica.
func (r *Replica) ReadIndex(done func(*protocol.Error)) {
	if r.leading == nil || r.failed != nil {
		done(protocol.ErrNotLeader)
		return
	}
	r.leading.reads.add(done)
	r.confirmReads()
	r.drain()
}

// confirmReads asks raft for a majority's confirmation of all reads that wait,
// once this leader knows what is committed. Raft keeps that rule by itself only
// where there are peers to ask.
func (r *Replica) confirmReads() {
	if l := r.leading; l.serving {
		r.rn.ReadIndex(binary.BigEndian.AppendUint64(nil, l.reads.nextRequest()))
	}
}

func (r *Replica) readConfirmed(rs raft.ReadState) {
	if r.leading == nil || len(rs.RequestCtx) != 8 {
		return
	}
	r.leading.reads.confirm(binary.BigEndian.Uint64(rs.RequestCtx), rs.Index)
	r.leaderAdvanced()
}

// retryReads asks again for reads whose confirmation may be lost. A tick calls
// it.
func (r *Replica) retryReads() {
	if r.leading != nil && r.leading.reads.unconfirmed() {
		r.confirmReads()
		r.drain()
	}
}

// HandOver lets another replica take over, once the entries in flight have been
// answered: a leader that steps down can only call them unknown. Nothing new
// is proposed meanwhile; what was only gathered is refused, and asked again of
// the next leader. An attempt that comes to nothing ends after an election
// timeout. It does nothing on a follower, when to is 0, or while another attempt
// is under way.
func (r *Replica) HandOver(to uint64) { r.handOver(to, false) }

// HandOverNow is HandOver that does not wait for entries in flight: this replica's disk
// hangs. Of these, those that others have committed are answered when the leadership has
// gone; what became of the rest is unknown then.
func (r *Replica) HandOverNow(to uint64) { r.handOver(to, true) }

func (r *Replica) handOver(to uint64, now bool) {
	if r.leading == nil || to == 0 || r.leading.handOver.active {
		return
	}
	r.leading.beginHandOver(to)
	r.leading.handOver.now = now
	r.transferLeader()
	r.drain()
}

// ProposeLogStart has the log begin at offset start, on every replica that applies
// the entry that says so; the segments below it are then removed. It does
// nothing on a follower.
func (r *Replica) ProposeLogStart(start int64) { r.proposeControl(control{LogStart: &start}) }

// TrimLog has the log begin at offset start, as ProposeLogStart does, and calls done
// once that is applied here, and so on a majority, or with what became of it. Done is
// called on the owner's goroutine, from within a call of the Replica.
func (r *Replica) TrimLog(start int64, done func(*protocol.Error)) {
	r.Propose(Proposal{control: encodeControl(control{LogStart: &start}), Done: func(res protocol.ProduceResult) { done(res.Err) }})
}

// ProposeCompaction asks all replicas for a compaction that PlanCompaction
// found due. It does nothing on a follower.
func (r *Replica) ProposeCompaction(plan Compaction) { r.proposeControl(control{Compact: &plan}) }

func (r *Replica) proposeControl(c control) { r.Propose(Proposal{control: encodeControl(c)}) }

func encodeControl(c control) []byte {
	data, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("BUG: control entry does not encode: %v", err))
	}
	return data
}

// CorrectTime has an entry written that says what time it is, where nobody may write
// another one for long, in two cases. The last entry of the log, or the last one that
// producers were heard of by, has been far ahead for as long as clocks differ at most: a
// clock that was behind is most likely right by then. Or Idempotency-Keys are remembered
// that are old enough to go, and count among those of the process. It does nothing on a
// follower. It is called again and again.
func (r *Replica) CorrectTime() {
	if r.leading == nil || !r.leading.serving {
		r.aheadSince = 0
		return
	}
	now, latest := r.appends.now(), max(r.log.LastAppendTime(), r.producers.latest)
	due := false
	switch {
	case !r.appends.isAhead(latest, now):
		r.aheadSince = 0
		oldest := r.producers.keys.oldest()
		due = oldest != nil && oldest.at < r.appends.after(r.log.LastAppendTime())-r.producers.keys.retention
	case r.aheadSince == 0 || now < r.aheadSince:
		r.aheadSince = now
	default:
		due = now-r.aheadSince >= r.appends.jump
	}
	if due && !r.Gathered() {
		r.aheadSince = 0
		r.proposeControl(control{Time: true})
	}
}

// Placed calls done with what is known of a request, also of one that is in flight. From
// then on requests that are placed by fewer than that many partitions are refused where
// they are not known. Done is called on the owner's goroutine, from within a call of the
// Replica.
func (r *Replica) Placed(req *protocol.ProduceRequest, partitions int, done func(protocol.Knowledge, *protocol.Error)) {
	l := r.leading
	if r.failed != nil || l == nil || !l.serving {
		done(protocol.KnownNot, protocol.ErrNotLeader)
		return
	}
	if r.producers.placed >= partitions {
		done(l.knows(r.producers, req), nil)
		return
	}
	l.placing.waiting = append(l.placing.waiting, placedQuestion{partitions, func(err *protocol.Error) {
		if err != nil {
			done(protocol.KnownNot, err)
			return
		}
		done(l.knows(r.producers, req), nil)
	}})
	if l.placing.underWay >= partitions {
		return
	}
	l.placing.by, l.placing.underWay = max(l.placing.by, partitions), partitions
	r.Propose(Proposal{control: encodeControl(control{Placed: partitions}), Done: func(res protocol.ProduceResult) {
		l.placing.said(partitions, res.Err)
	}})
}
