package replica

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"ottla/protocol"
)

// Leads reports whether this replica is the group's raft leader. It may not
// serve yet, see Serving.
func (r *Replica) Leads() bool { return r.leading != nil }

// Serving returns the term in which this replica leads and has committed an
// entry. Ok is false when there is none: then it does not know what is committed,
// and may not answer anybody.
func (r *Replica) Serving() (term uint64, ok bool) {
	if r.leading == nil || !r.leading.serving {
		return 0, false
	}
	return r.leading.term, true
}

// HandingOver reports whether a hand-over of leadership is under way.
func (r *Replica) HandingOver() bool { return r.leading != nil && r.leading.handOver.active }

// Leader is the raft id of the replica known to lead, 0 when none is.
func (r *Replica) Leader() uint64 { return r.leaderID }

// HighWatermark is the offset after the last committed record.
func (r *Replica) HighWatermark() int64 { return r.hw }

// NextOffset is the offset that the next record to be proposed would get. Only a
// leader knows.
func (r *Replica) NextOffset() int64 {
	next := r.log.NextOffset()
	if r.leading != nil {
		next += r.leading.gatheredRecords()
	}
	return next
}

// AppliedIndex is the raft index of the last entry that was applied.
func (r *Replica) AppliedIndex() uint64 { return r.applied }

// Err is the storage failure that ended the replica, nil while it runs.
func (r *Replica) Err() error { return r.failed }

// Voters are the voting members; outgoing are those of the membership that a
// joint change leaves, nil outside of one. Neither may be changed.
func (r *Replica) Voters() (incoming, outgoing []uint64) {
	return r.storage.conf.Voters, r.storage.conf.VotersOutgoing
}

// PendingWrites are the writes that are not durable yet, in order: those that
// were handed out, and, with Seq 0, those that only wait behind them. The slice
// may not be changed. After an error that left everything as it was (no space) the
// owner hands out the same writes again.
func (r *Replica) PendingWrites() []*Write { return r.writes }

// HasEffects reports whether Take would return something to send, write or
// answer: handling effects may ask for more.
func (r *Replica) HasEffects() bool {
	return len(r.fx.Writes) > 0 || len(r.fx.Messages) > 0 || len(r.fx.Committed) > 0 || len(r.fx.Old)+len(r.fx.Reads) > 0
}

// SyncsLazily reports whether DiskDone may be called for w when it is written, but
// not yet synced.
func (r *Replica) SyncsLazily(w *Write) bool {
	return r.cfg.LazySync && !r.cfg.Internal && !w.mustSync
}

// Gathered reports whether there are proposals that are in no entry yet.
func (r *Replica) Gathered() bool { return r.leading != nil && len(r.leading.queue.items) > 0 }

// ProposalsAccepted counts the proposals that this leader has taken so far, for
// ProposalsAnswered. Ok is false when it does not lead.
func (r *Replica) ProposalsAccepted() (n uint64, ok bool) {
	if r.leading == nil {
		return 0, false
	}
	return r.leading.accepted, true
}

// ProposalsAnswered reports whether the first upTo proposals that this leader
// took have been answered. When it does not lead any more, all have.
func (r *Replica) ProposalsAnswered(upTo uint64) bool {
	return r.leading == nil || r.leading.isAnswered(upTo)
}

// CheckKey returns the error idempotency_mismatch if an Idempotency-Key, as a
// producer's id, has come with a body of another hash; also if that request is not
// committed yet.
func (r *Replica) CheckKey(id string, hash uint64) *protocol.Error {
	req := &protocol.ProduceRequest{ProducerID: id, BodyHash: hash}
	known := r.producers.get(id)
	if r.leading == nil {
		return protocol.ErrNotLeader
	}
	if fl := r.leading.inFlight[id]; fl != nil {
		known = &fl.state
	}
	if known == nil {
		return nil
	}
	_, _, err := known.judge(req)
	return err
}

// ProducerIDs lists the producers that the partition remembers, least recently
// heard of first.
func (r *Replica) ProducerIDs() []string { return r.producers.ids() }

// CompactionGeneration is that of the compaction asked for last, 0 if none was.
func (r *Replica) CompactionGeneration() uint64 { return r.compaction.Generation }

// Quiescent reports whether this replica leads, nothing is under way, and every
// other member is reachable and has all of the log. Then raft's clock may stand
// still, here and on the followers for which AgreesWith holds.
func (r *Replica) Quiescent(reachable func(replica uint64) bool) bool {
	l := r.leading
	if l == nil || l.handOver.active || !l.idle() || len(r.writes) > 0 || r.applied != r.log.LastIndex() {
		return false
	}
	caughtUp := true
	r.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		caughtUp = caughtUp && (id == r.id.ReplicaID || pr.Match == r.applied && reachable(id))
	})
	return caughtUp
}

// AgreesWith reports whether this replica follows leader in term, has applied
// the log up to index and has nothing under way.
func (r *Replica) AgreesWith(leader, term, index uint64) bool {
	return r.leading == nil && r.leaderID == leader && r.applied == index && len(r.writes) == 0 && r.rn.BasicStatus().Term == term
}

// Abandon ends the wait of everybody in committed entries that a panic kept
// from being answered: those in due, which the owner had from Take, and those
// that nobody has taken yet. Whoever has an answer already keeps it.
func (r *Replica) Abandon(due []PendingEntry) {
	unknown := protocol.Unknownf("the leader failed before it could answer")
	for _, entries := range [][]PendingEntry{due, r.fx.Committed} {
		for i := range entries {
			entries[i].abandon(unknown)
		}
	}
}
