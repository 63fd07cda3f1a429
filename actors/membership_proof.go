package actors

import (
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
)

// A membership counts when its entry is applied, and a replica writes it down
// in a checkpoint then. One that loses power before that is synced has, after
// the restart, the membership before, and asks replaced replicas for their
// votes. So a replacement is over only when a majority has the new membership
// on disk: from then on one more replica may be lost for good, and all may lose
// power with it.
//
// The leader learns that from what it is told anyway. Who has acknowledged an
// entry that was proposed after the leader had applied the membership, was told
// with that entry that the membership is committed, has applied it, and staged
// the checkpoint. Who then acknowledges an entry that did not exist before has
// synced the checkpoint, because a replica's writes are synced in order.

// membersProof is how much of that a leader has seen.
type membersProof struct {
	conf  uint64   // the membership it is about, as replica.confIndex
	after uint64   // an entry behind this one must be acknowledged
	told  []uint64 // voters that had acknowledged such a one when after was moved, nil before
	done  bool
}

// membersProven reports whether a majority is known to have the present
// membership on disk.
func (r *replica) membersProven() bool {
	l := r.leading
	return l != nil && l.proof.done && l.proof.conf == r.confIndex
}

// proveMembers goes on with the proof, and reports whether it is complete with
// this. Where nobody writes it proposes empty entries, two in all. Called on a
// tick.
func (r *replica) proveMembers(want []placedReplica) bool {
	l := r.leading
	if l == nil || !l.serving || l.moving || r.failed != nil || r.membersProven() || !r.settled(want) {
		return false
	}
	if l.proof.conf != r.confIndex || l.proof.after == 0 {
		l.proof = membersProof{conf: r.confIndex, after: r.log.LastIndex()}
	}
	p := &l.proof
	acked := r.votersBeyond(p.after)
	if p.told != nil {
		acked = slices.DeleteFunc(acked, func(id uint64) bool { return !slices.Contains(p.told, id) })
	}
	switch {
	case len(acked) <= len(r.storage.conf.Voters)/2:
		r.proposeEmpty(p.after)
	case p.told == nil:
		p.told, p.after = acked, r.log.LastIndex()
		r.proposeEmpty(p.after)
	default:
		p.done = true
	}
	return p.done
}

// votersBeyond lists the voters known to have an entry behind index on disk.
func (r *replica) votersBeyond(index uint64) (ids []uint64) {
	r.rn.WithProgress(func(id uint64, typ raft.ProgressType, pr tracker.Progress) {
		if typ != raft.ProgressTypeLearner && pr.Match > index {
			ids = append(ids, id)
		}
	})
	return ids
}

// proposeEmpty makes sure that there is an entry behind index.
func (r *replica) proposeEmpty(index uint64) {
	if r.log.LastIndex() > index {
		return
	}
	if err := r.rn.Propose(nil); err != nil {
		r.cfg.logger.Debug("empty entry refused", "error", err)
	}
	r.drain()
}
