package replica

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"ottla/protocol"
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
// synced the checkpoint, because a replica's writes are synced in order; unless
// it was started anew in between, and then one more acknowledgement tells.

// membersAcks is how many such acknowledgements a voter owes.
const membersAcks = 3

// membersProof is how much of that a leader has seen.
type membersProof struct {
	conf   uint64              // the membership it is about, as replica.confIndex
	voters map[uint64]ackCount // nil before the proof has begun
	done   bool
}

// ackCount counts one voter's acknowledgements.
type ackCount struct {
	after uint64 // an entry behind this one counts
	acks  int
}

// MembersProven reports whether a majority is known to have the present
// membership on disk.
func (r *Replica) MembersProven() bool {
	l := r.leading
	return l != nil && l.proof.done && l.proof.conf == r.confIndex
}

// ProveMembers goes on with the proof, and reports whether it is complete with
// this. Where nobody writes it proposes empty entries, one for each
// acknowledgement. Any majority will do: one that is lost meanwhile holds
// nothing up. Called on a tick.
func (r *Replica) ProveMembers(want []protocol.PlacedReplica) bool {
	l := r.leading
	if l == nil || !l.serving || l.handOver.active || r.failed != nil || r.MembersProven() || !r.HasMembers(want) {
		return false
	}
	last := r.log.LastIndex()
	if l.proof.conf != r.confIndex || l.proof.voters == nil {
		l.proof = membersProof{conf: r.confIndex, voters: map[uint64]ackCount{}}
		for _, id := range r.storage.conf.Voters {
			l.proof.voters[id] = ackCount{after: last}
		}
	}
	known, owes := 0, false
	r.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		v, ok := l.proof.voters[id]
		if ok && v.acks < membersAcks && pr.Match > v.after {
			v = ackCount{after: last, acks: v.acks + 1}
			l.proof.voters[id] = v
		}
		if ok && v.acks == membersAcks {
			known++
		}
		owes = owes || ok && v.acks < membersAcks && v.after == last
	})
	if known > len(r.storage.conf.Voters)/2 {
		l.proof.done = true
		return true
	}
	if owes {
		r.proposeEmpty()
	}
	return false
}

// proposeEmpty makes an entry that has nothing to say.
func (r *Replica) proposeEmpty() {
	if err := r.rn.Propose(nil); err != nil {
		r.cfg.Logger.Debug("empty entry refused", "error", err)
	}
	r.drain()
}
