package actors

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"ottla/protocol"
)

// leads reports whether this replica is the group's raft leader. It may not
// serve yet; see serving.
func (r *replica) leads() bool { return r.leading != nil }

// serving returns the term in which this replica leads and has committed an
// entry; ok is false when it does not: then it may not answer anybody.
func (r *replica) serving() (term uint64, ok bool) {
	if r.leading == nil || !r.leading.serving {
		return 0, false
	}
	return r.leading.term, true
}

// movesLeadership reports whether a hand-over of leadership is under way.
func (r *replica) movesLeadership() bool { return r.leading != nil && r.leading.moving }

// leader is the raft id of the replica known to lead, 0 when none is.
func (r *replica) leader() uint64 { return r.leaderID }

// highWatermark is the offset after the last committed record.
func (r *replica) highWatermark() int64 { return r.hw }

// appliedIndex is the raft index of the last entry that was applied.
func (r *replica) appliedIndex() uint64 { return r.applied }

// err is the storage failure that ended the replica, nil while it runs.
func (r *replica) err() error { return r.failed }

// voters are the voting members; outgoing are those of the membership that a
// joint change leaves, nil outside of one. Neither may be changed.
func (r *replica) voters() (incoming, outgoing []uint64) {
	return r.storage.conf.Voters, r.storage.conf.VotersOutgoing
}

// pendingWrites are the writes handed out that the disk has not answered, in
// order. The slice may not be changed.
func (r *replica) pendingWrites() []*stagedWrite { return r.writes }

// asksForMore reports whether take would return something to send, write or
// answer.
func (r *replica) asksForMore() bool {
	return len(r.fx.writes) > 0 || len(r.fx.sends) > 0 || len(r.fx.committed) > 0
}

// syncsLazily reports whether w may be answered before it is durable.
func (r *replica) syncsLazily(w *stagedWrite) bool {
	return r.cfg.lazySync && !r.cfg.internal && !w.mustSync
}

// gathered reports whether proposals wait for their round.
func (r *replica) gathered() bool { return r.leading != nil && len(r.leading.queue) > 0 }

// proposalsTaken counts the proposals that this leader has taken so far; ok is
// false when it does not lead.
func (r *replica) proposalsTaken() (n uint64, ok bool) {
	if r.leading == nil {
		return 0, false
	}
	return r.leading.taken, true
}

// proposalsSettled reports whether the first upTo proposals that this leader
// took have been answered. When it does not lead (any more), all have.
func (r *replica) proposalsSettled(upTo uint64) bool {
	l := r.leading
	return l == nil || l.answered >= upTo || len(l.rounds)+len(l.queue) == 0
}

// producerIDs lists the producers that the log remembers.
func (r *replica) producerIDs() []string { return r.producers.ids() }

// compactionGeneration is that of the compaction asked for last, 0 if none was.
func (r *replica) compactionGeneration() uint64 { return r.compaction.Generation }

// everywhereApplied reports whether this replica serves as the leader, nothing
// is under way, and every member that is reachable, as all must be, has all of
// the log. Then raft's clock may stand still.
func (r *replica) everywhereApplied(reachable func(replica uint64) bool) bool {
	l := r.leading
	if l == nil || l.moving || len(l.queue)+len(l.rounds)+len(l.reads)+len(r.writes) > 0 || r.applied != r.log.LastIndex() {
		return false
	}
	even := true
	r.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		even = even && (id == r.id.ReplicaID || pr.Match == r.applied && reachable(id))
	})
	return even
}

// agreesWith reports whether this replica follows leader in term, has applied
// the log up to index and has nothing under way.
func (r *replica) agreesWith(leader, term, index uint64) bool {
	return r.leading == nil && r.leaderID == leader && r.applied == index && len(r.writes) == 0 && r.rn.BasicStatus().Term == term
}

// abandon ends the wait of everybody in committed rounds that a panic kept
// from being answered, those in due and those not taken yet. Who has an answer
// already keeps it.
func (r *replica) abandon(due []round) {
	lost := protocol.Unknownf("the leader failed before it could answer")
	for _, rounds := range [][]round{due, r.fx.committed} {
		for i := range rounds {
			failAll(rounds[i].proposals, lost)
			for _, req := range rounds[i].retries {
				req.Reply.Put(protocol.ProduceResult{Err: lost})
			}
		}
	}
}
