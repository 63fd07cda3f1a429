package replica

import (
	"slices"

	"ottla/protocol"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// ReconcileMembers moves the group one step from the membership it has to the
// one that placement asks for: a new replica joins as a learner, and once it
// has caught up it replaces the lost one in a single joint change. It looks at
// nothing but the present membership, so a new leader goes on where the last one
// stopped. Called on a tick; it does nothing on a follower.
func (r *Replica) ReconcileMembers(want []protocol.PlacedReplica) {
	if r.leading == nil || !r.leading.serving || r.leading.handOver.active || r.leading.narrowing > 0 || r.failed != nil || len(want) == 0 {
		return // raft would make an entry of a change that it refuses
	}
	cs := r.storage.conf
	if len(cs.VotersOutgoing) > 0 {
		r.leaveJoint()
		return
	}
	wanted := make(map[uint64]bool, len(want))
	for _, w := range want {
		wanted[w.ReplicaID] = true
	}
	if cc, ok := r.nextChange(cs, want, wanted); ok {
		index := r.log.LastIndex() + 1
		if err := r.rn.ProposeConfChange(cc); err != nil {
			r.cfg.Logger.Debug("membership change refused", "error", err)
		} else if len(cs.Voters) == 2 && cc.Changes[0].Type == raftpb.ConfChangeRemoveNode && slices.Contains(cs.Voters, cc.Changes[0].NodeID) {
			// Should this replica lose what it has not synced, it may not know that it is alone,
			// and need the vote of the one that goes. That one refuses it if its log is longer,
			// and cannot lead itself (found by the simulation).
			r.leading.narrowing = index
		}
		r.drain()
	}
}

// yieldsTo reports whether a vote is asked for by the only voter that there is as far as
// this replica knows. It asks because it knows of a later membership in which both vote, or
// does not know that this one is its only one; and it may have sent more than it had synced
// when it lost power, for which raft would refuse it the vote: then both would wait for
// ever (found by the simulation). It lacks nothing: this replica's log has at most one
// change of membership behind the one that it knows (committedByChanges), which can only
// add a voter, so whatever is committed of that log has been committed by the one that asks.
func (r *Replica) yieldsTo(m *raftpb.Message) bool {
	cs := &r.storage.conf
	return (m.Type == raftpb.MsgVote || m.Type == raftpb.MsgPreVote) && len(cs.Voters) == 1 && cs.Voters[0] == m.From && len(cs.VotersOutgoing) == 0
}

// leaveJoint ends a joint membership. Raft proposes that by itself, once, and
// again only when something else is applied; a proposal that was dropped, in a
// hand-over for one, would leave an idle group in it for good.
func (r *Replica) leaveJoint() {
	if r.applied != r.log.LastIndex() {
		return
	}
	if err := r.rn.ProposeConfChange(raftpb.ConfChangeV2{}); err != nil {
		r.cfg.Logger.Debug("leaving the joint membership refused", "error", err)
	}
	r.drain()
}

// nextChange is the next step towards want, false when there is none, or none
// that is safe yet. Learners that are not wanted go first. A voter is never
// removed before its successor has caught up, and a leader never removes itself:
// it hands the leadership over first (LeavesLeading), which a sole voter can only
// to its successor.
func (r *Replica) nextChange(cs raftpb.ConfState, want []protocol.PlacedReplica, wanted map[uint64]bool) (raftpb.ConfChangeV2, bool) {
	var leaving uint64 // a voter that placement no longer has, other than this replica; 0: none
	for _, id := range cs.Voters {
		if !wanted[id] && id != r.id.ReplicaID {
			leaving = id
			break
		}
	}
	succeeded := wanted[r.id.ReplicaID] || !slices.ContainsFunc(cs.Voters, func(id uint64) bool { return wanted[id] })
	for _, id := range cs.Learners {
		if !wanted[id] {
			return single(raftpb.ConfChangeRemoveNode, id), true
		}
	}
	for _, w := range want {
		if slices.Contains(cs.Voters, w.ReplicaID) {
			continue
		}
		if !slices.Contains(cs.Learners, w.ReplicaID) {
			return single(raftpb.ConfChangeAddLearnerNode, w.ReplicaID), true
		}
		if !r.CaughtUp(w.ReplicaID) || leaving == 0 && !succeeded {
			continue
		}
		cc := raftpb.ConfChangeV2{Changes: []raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeAddNode, NodeID: w.ReplicaID}}}
		if leaving != 0 {
			cc.Changes = append(cc.Changes, raftpb.ConfChangeSingle{Type: raftpb.ConfChangeRemoveNode, NodeID: leaving})
		}
		return cc, true
	}
	if leaving != 0 && len(cs.Learners) == 0 && len(cs.Voters) > len(want) {
		return single(raftpb.ConfChangeRemoveNode, leaving), true
	}
	return raftpb.ConfChangeV2{}, false
}

// LeavesLeading reports whether this replica leads, is the last one that placement no
// longer has, and all that placement wants are ready: it is to hand the leadership over
// now, so that its successor can take its place in a single change.
func (r *Replica) LeavesLeading(want []protocol.PlacedReplica) bool {
	cs := r.storage.conf
	if r.leading == nil || !r.leading.serving || r.leading.handOver.active || r.failed != nil || len(want) == 0 || len(cs.VotersOutgoing) > 0 {
		return false
	}
	voters := 0
	for _, w := range want {
		switch {
		case w.ReplicaID == r.id.ReplicaID:
			return false
		case slices.Contains(cs.Voters, w.ReplicaID):
			voters++
		case !slices.Contains(cs.Learners, w.ReplicaID) || !r.CaughtUp(w.ReplicaID):
			return false
		}
	}
	return voters > 0 && len(cs.Voters) == voters+1
}

func single(t raftpb.ConfChangeType, id uint64) raftpb.ConfChangeV2 {
	return raftpb.ConfChangeV2{Changes: []raftpb.ConfChangeSingle{{Type: t, NodeID: id}}}
}

// CaughtUp reports whether a follower has every committed entry, as far as
// this leader knows. Raft's own RecentActive would not do: it is cleared every
// election timeout, so a caller that asks at the same moments never sees it set.
func (r *Replica) CaughtUp(id uint64) bool {
	ok := false
	r.rn.WithProgress(func(pid uint64, _ raft.ProgressType, pr tracker.Progress) {
		if pid == id {
			ok = pr.Match >= r.applied
		}
	})
	return ok
}

// HasMembers reports whether the membership is exactly what placement wants,
// without learners or a joint change under way.
func (r *Replica) HasMembers(want []protocol.PlacedReplica) bool {
	cs := r.storage.conf
	if len(cs.VotersOutgoing) > 0 || len(cs.Learners) > 0 || len(cs.Voters) != len(want) {
		return false
	}
	for _, w := range want {
		if !slices.Contains(cs.Voters, w.ReplicaID) {
			return false
		}
	}
	return true
}

// Unreachable says that a message to another replica was lost on the way: raft
// probes it then, instead of sending on.
func (r *Replica) Unreachable(id uint64) {
	if r.failed == nil {
		r.rn.ReportUnreachable(id)
	}
}

// BestTransferee is the reachable voter that should lead next: the first in
// placement's order of preference that has caught up, else the one with the
// longest log; 0 if there is none. Only a leader knows.
func (r *Replica) BestTransferee(want []protocol.PlacedReplica, reachable func(uint64) bool) uint64 {
	var best, bestMatch uint64
	r.rn.WithProgress(func(id uint64, typ raft.ProgressType, pr tracker.Progress) {
		if id == r.id.ReplicaID || typ == raft.ProgressTypeLearner || !reachable(id) {
			return
		}
		if best == 0 || pr.Match > bestMatch {
			best, bestMatch = id, pr.Match
		}
	})
	for _, w := range want {
		if w.ReplicaID != r.id.ReplicaID && reachable(w.ReplicaID) && r.CaughtUp(w.ReplicaID) &&
			slices.Contains(r.storage.conf.Voters, w.ReplicaID) {
			return w.ReplicaID
		}
	}
	return best
}

// InSync lists the replicas that have every entry that was committed one to two
// election timeouts ago, as Kafka's in-sync replicas, and that count for
// majorities, in both halves of a joint membership; nil on a follower.
func (r *Replica) InSync(reachable func(uint64) bool) []uint64 {
	if r.leading == nil {
		return nil
	}
	ids, out := []uint64{r.id.ReplicaID}, r.storage.conf.VotersOutgoing
	r.rn.WithProgress(func(id uint64, typ raft.ProgressType, pr tracker.Progress) {
		counts := typ != raft.ProgressTypeLearner && (len(out) == 0 || slices.Contains(out, id))
		if id != r.id.ReplicaID && counts && pr.State == tracker.StateReplicate && pr.Match >= r.syncFloor && reachable(id) {
			ids = append(ids, id)
		}
	})
	return ids
}

// retrySnapshots sends a snapshot again when its receiver has not answered for
// an election timeout. Raft waits for the answer for ever: it leaves it to its
// owner to notice that the message, or the receiver, was lost. A snapshot is
// small, and one that arrives twice does no harm. A tick calls it.
func (r *Replica) retrySnapshots() {
	l := r.leading
	if l == nil {
		return
	}
	var owing map[uint64]int // ticks by follower
	r.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if pr.State == tracker.StateSnapshot {
			if owing == nil {
				owing = map[uint64]int{}
			}
			owing[id] = l.snapshots[id] + 1
		}
	})
	l.snapshots = owing
	for id, ticks := range owing {
		if ticks >= r.cfg.ElectionTicks {
			r.rn.ReportSnapshot(id, raft.SnapshotFailure)
			delete(owing, id)
		}
	}
	r.drain()
}

// runAlone carries out what a replica without peers asks for, until it asks
// for nothing.
func (r *Replica) runAlone() error {
	for {
		fx := r.Take()
		for _, w := range fx.Writes {
			if err := w.Batch.Execute(); err != nil {
				return err
			}
			for _, file := range w.Batch.Files() {
				if err := file.Sync(); err != nil {
					return err
				}
			}
			r.DiskDone(w.Seq, nil)
		}
		if r.failed != nil {
			return r.failed
		}
		if len(fx.Writes) == 0 {
			return nil
		}
	}
}

// becomeSoleVoter replaces the membership, and all changes of it in the log.
func (r *Replica) becomeSoleVoter() (err error) {
	r.storage.conf = raftpb.ConfState{Voters: []uint64{r.id.ReplicaID}}
	r.confBytes, err = r.storage.conf.Marshal()
	r.confIndex = r.log.LastIndex()
	// Entries that a received table of producers has, and this log has not, are lost: those
	// that get their indexes now are others.
	r.producers.asOf = min(r.producers.asOf, r.log.LastIndex())
	return err
}

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
