package actors

import (
	"log/slog"
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/actors/background"
	"ottla/actors/catalog"
	"ottla/actors/compaction"
	"ottla/actors/coordinator"
	"ottla/actors/disk"
	"ottla/actors/election"
	"ottla/actors/peers"
	"ottla/actors/replica"
	"ottla/actors/routing"
	"ottla/actors/supervise"
	"ottla/logfile"
	"ottla/protocol"
)

// partitionActor is the shell around a replica: it owns the replica's log and
// raft state, the waiters parked at it, and, on a leader of
// __consumer_offsets, the groups below it.
//
// Its states are those of partitionLife. All that the replica is asked for is refused unless
// it runs.
//
// The replica is a plain struct without a goroutine: each message is one step of it, followed
// by what it then wants done (carryOut). This actor must not wait: while it does, nobody can
// produce, no heartbeat is answered, and the others elect another leader. So writes go to the
// Disk's actor, reads of old entries, compaction and mending to goroutines, and all answers
// come back as messages, which may find another life, term or leadership than the one that has
// asked.
type partitionActor struct {
	supervise.Children // of groups
	env                *environment
	spec               partitionSpec
	log                *slog.Logger

	life partitionLife
	rep  *replica.Replica // nil while opening
	file *logfile.Log
	// Readers do not come here: they read through ref what is committed, and are told by the
	// waiters when there is more.
	ref     *peers.LocalLeader // published while this replica leads and serves
	waiters map[*protocol.Waiter]protocol.Offset

	compaction compaction.State
	scrub      background.ScrubPlan
	damaged    bool // damage was found in the only copy, which goes on

	coord     *coordinator.Coordinator // __consumer_offsets only
	want      []protocol.PlacedReplica
	replacing bool // see partitionSpec
	settings  catalog.TopicSettings

	ticks       int // since it began
	ticked      int // ticks at the tick before
	began       int // the broker's ticks then; 0: none yet
	member      election.Member
	outstanding int  // writes at the disk without an answer
	diskFull    bool // the disk refused a write for lack of space; sent again on a tick
	closing     closing
	handReply   *actor.PID             // asked for the hand-over that is under way; nil: nobody
	due         []replica.PendingEntry // committed entries that carryOut is answering; nil otherwise
}

// Private messages of the partition actor.
type (
	// partitionTick is the broker's clock, which counts ticks. Not all are sent.
	partitionTick struct{ At int }
	// flushGathered is sent by a partition to itself, to be handled after everything
	// that is in the mailbox already.
	flushGathered struct{}
	// handOverLeadership asks a replica to give up leadership; handedOver answers
	// once it has, or cannot.
	handOverLeadership struct{ ReplyTo *actor.PID }
	// closePartition asks for a clean end; partitionClosed answers it.
	closePartition  struct{ ReplyTo *actor.PID }
	partitionClosed struct{ Key protocol.PartitionID }
	// placementChanged brings what __cluster_metadata says now.
	placementChanged struct {
		Want      []protocol.PlacedReplica
		Replacing bool
		Settings  catalog.TopicSettings
		Restored  bool // the topic was filled from a backup, and is complete now
	}
	// replicaDown tells the broker that a replica cannot go on.
	replicaDown struct {
		Key     protocol.PartitionID
		Replica uint64
		Cause   error
		Fault   replica.Fault
		Running bool // it serves what it can
	}
)

// Receive implements actor.Actor. After a disk.Failed, bytes that were acknowledged on the
// promise of a later sync may be lost: the replica may not vote or acknowledge any more.
func (p *partitionActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		p.open(ctx)
	case *actor.Stopping:
		p.stopping(ctx)
	case *actor.Stopped, *actor.Restarting:
	case *actor.Terminated:
		p.coord.Ended(m.Who)
	case *protocol.ProduceRequest:
		p.propose(ctx, replica.Proposal{Request: m, Lines: &m.Lines})
	case *flushGathered:
		p.flushGathered(ctx, m)
	case *peers.Raft:
		// Any message says that somebody has something to do, so the clock runs again.
		if p.member.Quiet() && m.Type != raftpb.MsgHeartbeatResp { // the last answers to the last heartbeats
			p.member.Wake()
		}
		if err := m.Damaged(replica.Intact); err != nil {
			p.log.Error("a message of another replica was dropped", "error", err)
			return
		}
		p.do(ctx, func() { p.rep.Step(m.Message) })
	case *pieceRead:
		p.do(ctx, func() { p.rep.Fed(m.Read) })
	case *disk.Done:
		p.diskDone(ctx, m)
	case *disk.Failed:
		p.do(ctx, func() { p.rep.Fail(m.Err) })
	case *partitionTick:
		p.tick(ctx, m.At)
	case *peers.ParkWaiter:
		p.park(m)
	case *peers.UnparkWaiter:
		delete(p.waiters, m.Waiter)
	case *coordinator.ProposeRecords:
		p.proposeRecords(ctx, m)
	case *coordinator.ConfirmRead:
		p.confirm(ctx, m)
	case *election.FallQuiet:
		p.followQuiet(m)
	case *peers.Changed:
		p.do(ctx, func() { p.electing(ctx, p.member.Changed) })
	case *election.Leaderless:
		p.do(ctx, func() {
			p.electing(ctx, func(v election.View) *election.Leaderless { return p.member.Heard(m, v) })
		})
	case *handOverLeadership:
		p.member.Wake()
		p.handReply = m.ReplyTo
		p.do(ctx, p.handOver)
		p.answerHandOver(ctx)
	case *placementChanged:
		p.want, p.replacing, p.settings = m.Want, m.Replacing, m.Settings
		if p.file != nil {
			p.file.SetSegmentBytes(p.spec.segmentBytes(p.env, m.Settings))
		}
		p.member.Wake()
		p.membersChanged(ctx)
		if m.Restored { // what stands for compacted records is in sealed segments from now on, where compaction removes it
			p.do(ctx, p.rep.Roll)
		}
	case *closePartition:
		p.close(ctx, m)
	default:
		if !p.answers(ctx, m) && !p.coord.Receive(ctx, m) && !p.compactionMessage(ctx, m) && !p.damageMessage(ctx, m) {
			p.log.Error("BUG: partition got an unknown message", "type", typeName(m))
		}
	}
}

// answers answers what a leader is asked; false for anything else.
func (p *partitionActor) answers(ctx actor.Context, question any) bool {
	switch m := question.(type) {
	case *routing.ChangeMetadata:
		p.changeMetadata(ctx, m)
	case *routing.ConfirmEnd:
		p.confirmEnd(ctx, m)
	case *routing.TrimLog:
		p.trimLog(ctx, m)
	case *routing.DescribePartition:
		m.Reply.Put(p.describe())
	case *routing.ListProducers:
		m.Reply.Put(p.listProducers())
	case *routing.CheckKey:
		m.Reply.Put(p.checkKey(m))
	case *routing.AskPlaced:
		p.askPlaced(ctx, m)
	default:
		return false
	}
	return true
}

// do runs one step of the replica and then whatever it asked for. Every call that may change
// the replica goes through here or, when closing, is followed by carryOut: what it wants done
// must be done before the next message, or an answer could overtake a write.
func (p *partitionActor) do(ctx actor.Context, step func()) {
	if p.rep == nil {
		return
	}
	step()
	p.carryOut(ctx)
}

// carryOut does what the replica wants done, in the order that replica.Effects asks for, until
// it wants nothing more.
//
// Messages go before writes, because a leader's disk and its followers' work at the same time:
// an entry is committed when any majority has it. What a message promises (a vote, an
// acknowledgement) is not among them before the write that it stands on is durable; the
// replica holds it back. Whoever leads is published before anybody is told that records are
// committed, and the view that has these records before the produce is answered, so that a
// client with an answer can read what it has written.
func (p *partitionActor) carryOut(ctx actor.Context) {
	for again := true; again; {
		again = false
		if p.member.Seeking() {
			p.electing(ctx, p.member.Learned)
		}
		fx := p.rep.Take()
		for i := range fx.Messages {
			if p.life == partitionRunning {
				if m := &fx.Messages[i]; !p.spec.group.Send(ctx, *m, false) {
					p.rep.Unreachable(m.To)
				}
			}
		}
		for _, m := range fx.Old {
			if p.life == partitionRunning && !p.spec.group.Send(ctx, m, true) {
				p.rep.Unreachable(m.To)
			}
		}
		p.readPieces(ctx, fx.Reads)
		for _, w := range fx.Writes {
			p.write(ctx, w)
		}
		if fx.RoleChanged {
			p.roleChanged(ctx)
			p.answerHandOver(ctx)
		}
		if fx.MembersChanged {
			p.membersChanged(ctx)
		}
		if fx.HighWatermarkMoved {
			p.publish()
		}
		// Kept in the actor, so that stopping finds who was not answered yet if an answer
		// panics.
		p.due = fx.Committed
		for i := range p.due { // after publish: a client with an answer must be able to read its records
			p.due[i].Answer()
		}
		p.due = nil
		if fx.FetchParts {
			p.startFetch(ctx)
		}
		if fx.Flush {
			ctx.Send(ctx.Self(), &flushGathered{})
		}
		if p.rep.Err() != nil {
			p.replicaFailed(ctx)
		}
		again = p.rep.HasEffects()
	}
}

// write hands a write to the disk. Writes of this actor are executed and answered in order. A
// leader says how many other replicas of the group in this process are about to write the same
// entry, so that one sync serves all of them.
func (p *partitionActor) write(ctx actor.Context, w *replica.Write) {
	siblings := 0
	if p.rep.Leads() && w.LastIndex() > 0 {
		siblings = p.spec.group.Locals() - 1
	}
	p.outstanding++
	ctx.Send(p.env.disk, &disk.Write{
		From: ctx.Self(), Seq: w.Seq, Batch: w.Batch,
		Group: disk.Group{TopicID: p.spec.id.TopicID, Partition: p.spec.id.Partition},
		Index: w.LastIndex(), Siblings: siblings, Priority: w.Priority, Urgent: w.Urgent,
		NoSync: p.rep.SyncsLazily(w),
	})
}

// diskDone takes the disk's answer. A full disk refuses a write and all writes
// behind it, and none of them has an effect: they are sent again on a tick, once
// all are answered.
func (p *partitionActor) diskDone(ctx actor.Context, m *disk.Done) {
	p.outstanding--
	// The replica is not told: to it the write is still under way, and nothing that stands on
	// it has happened.
	if m.Err != nil && disk.Retriable(m.Err) {
		if !p.diskFull {
			p.log.Error("disk is full, writes are held", "error", m.Err)
		}
		p.diskFull = true
		p.continueClosing(ctx)
		return
	}
	p.do(ctx, func() { p.rep.DiskDone(m.Seq, m.Err) })
	p.continueClosing(ctx)
}

func (p *partitionActor) retryWrites(ctx actor.Context) {
	if !p.diskFull || p.outstanding > 0 {
		return
	}
	p.diskFull = false
	for _, w := range p.rep.PendingWrites() {
		if w.Seq > 0 {
			p.write(ctx, w)
		}
	}
}

// park keeps a reader that waits for an offset. The offset is compared here, on the goroutine
// that moves the high watermark: records committed between the reader's look and this message
// wake it at once, or it would wait for the next ones. A reader that is not parked is woken
// too, and looks for the leader anew.
func (p *partitionActor) park(m *peers.ParkWaiter) {
	if p.ref == nil || protocol.Offset(p.rep.HighWatermark()) > m.Offset {
		m.Waiter.Wake()
		return
	}
	p.waiters[m.Waiter] = m.Offset
}

// publish shows readers the new high watermark and wakes those waiting for it. The view comes
// first: who is woken reads at once.
func (p *partitionActor) publish() {
	if p.ref == nil {
		return
	}
	p.ref.Show(p.file.View(p.rep.HighWatermark()))
	for w, off := range p.waiters {
		if off < protocol.Offset(p.rep.HighWatermark()) {
			delete(p.waiters, w)
			w.Wake()
		}
	}
}

// roleChanged publishes or withdraws this replica as the partition's leader.
func (p *partitionActor) roleChanged(ctx actor.Context) {
	term, serving := p.rep.Serving()
	serving = serving && p.life == partitionRunning
	// A new term is a new leadership, even of the same replica: between the two another one
	// may have led, and what was promised in the old term (a read, a place in a group) need
	// not hold.
	if p.ref != nil && (!serving || term != p.ref.Term) {
		p.withdraw(ctx)
	}
	if !serving || p.ref != nil {
		return
	}
	p.ref = p.spec.group.NewLocalLeader(ctx.ActorSystem().Root, ctx.Self(), p.spec.id.Broker, term)
	p.ref.Show(p.file.View(p.rep.HighWatermark()))
	p.ref.SetVoters(p.rep.Voters())
	// The coordinator is ready before anybody can find this leader and ask it something.
	if p.coord != nil {
		p.coord.Lead(p.ref.Term)
	}
	p.env.stats.Elections.Add(1)
	p.spec.group.Lead(p.ref.Leadership)
	p.spec.route.Set(p.ref.Leadership)
	p.log.Debug("leads", "topic_id", p.spec.id.TopicID, "term", p.ref.Term, "high_watermark", p.rep.HighWatermark())
	// Of the metadata's leader this comes behind all records that it has applied, which the
	// cluster counts on (clusterActor.runNext).
	ctx.Send(p.spec.clusterPID, &partitionLed{Key: p.spec.key(), Broker: p.spec.id.Broker, Term: p.ref.Term})
	p.membersChanged(ctx)
}

// withdraw ends this replica's leadership as far as others can see it. Routes are cleared
// before waiters are woken, so that these do not find this leader again. Whether it leads any
// more, as far as raft goes, does not matter here.
func (p *partitionActor) withdraw(ctx actor.Context) {
	if p.ref == nil {
		return
	}
	p.spec.group.Lead(nil)
	p.spec.route.Clear(p.ref.Leadership)
	p.ref = nil
	for w := range p.waiters {
		w.Wake()
	}
	clear(p.waiters)
	if p.coord != nil {
		p.coord.Resign(ctx)
	}
}

func (p *partitionActor) describe() routing.PartitionState {
	if p.rep == nil || p.ref == nil {
		return routing.PartitionState{Err: protocol.ErrNotLeader}
	}
	st := routing.PartitionState{
		Replica: p.spec.id.ReplicaID, Settled: p.rep.HasMembers(p.want),
		Earliest: protocol.Offset(p.file.LogStart()), Latest: protocol.Offset(p.rep.HighWatermark()), LogBytes: p.ref.LogBytes(), Lags: p.lags(),
	}
	in := p.rep.InSync(p.spec.group.Reachable)
	for _, w := range p.want {
		for _, id := range in {
			if id == w.ReplicaID {
				st.InSync = append(st.InSync, w.Broker)
			}
		}
	}
	return st
}

// answerHandOver answers whoever asked for a hand-over, once it has ended.
func (p *partitionActor) answerHandOver(ctx actor.Context) {
	if p.handReply == nil || p.rep != nil && p.rep.HandingOver() {
		return
	}
	ctx.Send(p.handReply, &handedOver{Key: p.spec.key()})
	p.handReply = nil
}

// membersChanged tells the cluster that the group has the members it wants. While the metadata
// waits for a replacement it is told only what a majority has on disk: the files of the old
// replica are removed on that word, and after a power cut the group must not come back with
// the old one as a voter.
func (p *partitionActor) membersChanged(ctx actor.Context) {
	if p.ref != nil {
		p.ref.SetVoters(p.rep.Voters())
	}
	if p.ref != nil && p.rep.HasMembers(p.want) && (!p.replacing || p.rep.MembersProven()) {
		voters, _ := p.rep.Voters()
		ctx.Send(p.spec.clusterPID, &membersSettled{Key: p.spec.key(), Voters: slices.Clone(voters)})
	}
}

func (p *partitionActor) checkKey(m *routing.CheckKey) *protocol.Error {
	if p.rep == nil || p.ref == nil {
		return protocol.ErrNotLeader
	}
	return p.rep.CheckKey(m.ID, m.Hash)
}

func (p *partitionActor) listProducers() routing.ProducerList {
	if p.rep == nil || p.ref == nil {
		return routing.ProducerList{Err: protocol.ErrNotLeader}
	}
	return routing.ProducerList{IDs: p.rep.ProducerIDs()}
}
