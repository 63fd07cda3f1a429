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
// The leader learns that from acknowledgements, which it gets anyway. A voter
// that acknowledges an entry proposed after the leader applied the membership was
// told with that entry that the membership is committed; it has applied it and
// staged the checkpoint. A voter that then acknowledges an entry that did not
// exist at that time has synced the checkpoint, because a replica's writes are
// synced in order; unless it was restarted in between, and then one more
// acknowledgement proves it.

// membersAcks is how many such acknowledgements prove it for a voter.
const membersAcks = 3

// membersProof is what a leader has seen of these acknowledgements.
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

// MembersProven reports whether this leader knows that a majority has the present
// membership on disk.
func (r *Replica) MembersProven() bool {
	l := r.leading
	return l != nil && l.proof.done && l.proof.conf == r.confIndex
}

// ProveMembers goes on with the proof that a majority has the membership want on
// disk, and reports whether this call completed it. Where nobody writes it
// proposes empty entries, so that there is something to acknowledge. Any majority
// will do, so a voter that is lost meanwhile does not hold the proof up. Called on
// a tick; it does nothing on a follower.
func (r *Replica) ProveMembers(want []protocol.PlacedReplica) (completed bool) {
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

// proposeEmpty proposes an entry without content.
func (r *Replica) proposeEmpty() {
	if err := r.rn.Propose(nil); err != nil {
		r.cfg.Logger.Debug("empty entry refused", "error", err)
	}
	r.drain()
}
