package actors

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/background"
	"ottla/actors/catalog"
	"ottla/actors/clock"
	"ottla/actors/coordinator"
	"ottla/actors/peers"
	"ottla/actors/replica"
	"ottla/actors/routing"
	"ottla/actors/supervise"
	"ottla/logfile"
	"ottla/protocol"
)

// partitionLife says where a replica's actor stands.
type partitionLife int

// The states, in the order in which an actor goes through them. From running it
// goes to closing or to failed, and from either it ends.
const (
	partitionOpening partitionLife = iota // its log is being opened
	partitionRunning
	partitionClosing // a clean end was asked for: the last writes and a checkpoint go to disk
	partitionFailed  // its storage failed; the broker has been told, the actor ends
)

// closing is a clean end under way. The final writes are staged once everything
// that was under way before is on disk.
type closing struct {
	replyTo     *actor.PID // nil: nobody asked
	finalStaged bool
}

// close begins a clean end: every waiting request is answered, the writes at the disk are
// awaited, and a checkpoint is written that covers all of them. The order: nobody finds this
// leader any more, nobody sends to this replica any more, what waits is answered, and only
// then is it written to the end. If the process dies in between, the next start reads the log
// as after a crash.
func (p *partitionActor) close(ctx actor.Context, m *closePartition) {
	p.closing.replyTo = m.ReplyTo
	if p.life != partitionRunning {
		p.closed(ctx)
		return
	}
	p.withdraw(ctx)
	p.life = partitionClosing
	p.unregister(ctx)
	p.rep.Close()
	p.carryOut(ctx)
	p.continueClosing(ctx)
}

func (p *partitionActor) continueClosing(ctx actor.Context) {
	switch {
	case p.life != partitionClosing:
	case p.rep.Err() != nil || p.diskFull:
		p.closed(ctx)
	case len(p.rep.PendingWrites()) > 0:
	case p.closing.finalStaged:
		p.closed(ctx)
	default:
		p.closing.finalStaged = true
		p.rep.StageFinal()
		p.carryOut(ctx)
	}
}

// closed ends the actor. It is poisoned, not stopped: what came to the mailbox meanwhile is
// refused and answered first.
func (p *partitionActor) closed(ctx actor.Context) {
	if p.closing.replyTo != nil {
		ctx.Send(p.closing.replyTo, &partitionClosed{Key: p.spec.key()})
	}
	ctx.Poison(ctx.Self())
}

// stopping is the last thing the actor does, also after a panic: every waiting
// request is answered. After a panic any of the state may be broken, so each
// step is tried even where another panics.
func (p *partitionActor) stopping(ctx actor.Context) {
	supervise.Attempt(p.log, func() { p.withdraw(ctx) })
	supervise.Attempt(p.log, func() { p.unregister(ctx) })
	supervise.Attempt(p.log, p.compaction.Stop)
	p.scrub.Stop()
	if p.rep != nil {
		supervise.Attempt(p.log, func() { p.rep.Abandon(p.due) })
		supervise.Attempt(p.log, p.rep.Close)
	}
	if p.file != nil {
		supervise.Attempt(p.log, func() {
			if err := p.file.Close(); err != nil {
				p.log.Warn("close log", "error", err)
			}
		})
	}
}

// unregister takes the replica out of those that run, and tells the others at once: they elect
// a leader within milliseconds, instead of after a time-out.
func (p *partitionActor) unregister(ctx actor.Context) {
	for _, pid := range p.spec.group.Register(p.spec.id.ReplicaID, peers.Mailbox{}) {
		ctx.Send(pid, &peers.Changed{})
	}
	p.spec.group.Announce(p.spec.id.ReplicaID, false)
}

// partitionSpec is everything a replica is told when it is opened. The broker keeps it, also
// while the replica is down, and opens the next actor with it.
type partitionSpec struct {
	ticks      *clock.Ticks  // see localReplica; nil: whoever ticks does not ask
	opening    chan struct{} // whoever opens the log sends to it; nil: nobody waits for anybody
	id         logfile.Identity
	dir        string
	want       []protocol.PlacedReplica // membership as __cluster_metadata wants it, preferred leader first
	replacing  bool                     // __cluster_metadata waits to hear that the group has it
	founders   []uint64                 // the group's first voters when this replica is one of them
	start      int64                    // the offset of its first record
	restoring  bool                     // the topic is filled from a backup
	settings   catalog.TopicSettings
	lazySync   bool
	route      *routing.Partition
	group      *peers.Group
	clusterPID *actor.PID
}

func (s *partitionSpec) key() protocol.PartitionID {
	return protocol.PartitionID{TopicID: s.id.TopicID, Partition: s.id.Partition}
}

// create makes the replica's first, empty log (see replica.Create), in the directory of its
// broker, which is not made: where that is not any more, nothing is to take its place.
func (s *partitionSpec) create(env *environment) error {
	if _, err := env.fs.Stat(filepath.Dir(s.dir)); err != nil {
		return fmt.Errorf("directory of the broker: %w", err)
	}
	return replica.Create(env.fs, s.dir, s.id, s.founders, s.start, s.logOptions(env))
}

func (s *partitionSpec) internal() bool { return protocol.IsInternalTopic(s.id.Topic) }

func (s *partitionSpec) logOptions(env *environment) logfile.Options {
	return logfile.Options{SegmentBytes: s.segmentBytes(env, s.settings), BootID: env.bootID, Cache: env.handles, Recent: env.recent, ClockJump: env.opt.ClockJump}
}

func (s *partitionSpec) segmentBytes(env *environment, settings catalog.TopicSettings) int64 {
	if n := env.opt.internalSegmentBytes; n > 0 && s.internal() {
		return n
	}
	return settings.SegmentBytes
}

// open opens the replica's log, which takes I/O: the actor's own goroutine is the right place,
// nobody else waits for it. Messages that come meanwhile wait in the mailbox. The replica
// registers only when it can answer: from then on others count on it.
func (p *partitionActor) open(ctx actor.Context) {
	p.waiters = map[*protocol.Waiter]protocol.Offset{}
	p.member.ID = p.spec.id.ReplicaID
	if t := p.spec.ticks; t != nil && !p.spec.internal() { // the clock of a coordinator is that of its groups
		p.member.Rests = &t.Rests
	}
	p.want, p.replacing, p.settings = p.spec.want, p.spec.replacing, p.spec.settings
	if err := p.openReplica(ctx); err != nil {
		fault := replica.OpenFault(err)
		p.log.Error("replica cannot be opened", "fault", string(fault), "error", err)
		ctx.Send(ctx.Parent(), &replicaDown{Key: p.spec.key(), Replica: p.spec.id.ReplicaID, Cause: err, Fault: fault})
		ctx.Poison(ctx.Self())
		return
	}
	p.life = partitionRunning
	p.spec.ticks.Take()
	if p.spec.internal() {
		p.spec.group.Urgent()
	}
	others := p.spec.group.Register(p.spec.id.ReplicaID, peers.Mailbox{PID: ctx.Self()})
	for _, pid := range others {
		ctx.Send(pid, &peers.Changed{})
	}
	p.spec.group.Announce(p.spec.id.ReplicaID, true)
	ctx.Send(ctx.Parent(), &replicaUp{Key: p.spec.key(), Replica: p.spec.id.ReplicaID})
	p.do(ctx, func() { p.electing(ctx, p.member.Seek) })
}

// replicaUp tells the broker that a replica runs.
type replicaUp struct {
	Key     protocol.PartitionID
	Replica uint64
}

// openLog opens the log when it is the replica's turn. Where many wait, they are synced together.
func (p *partitionActor) openLog() (*logfile.Log, *logfile.Recovered, error) {
	opt := p.spec.logOptions(p.env)
	if turn := p.spec.opening; turn != nil {
		turn <- struct{}{}
		defer func() { <-turn }()
		if len(turn) == cap(turn) {
			opt.Together = func(f *logfile.File) bool { return p.env.together.Sync(f) }
		}
	}
	return logfile.Open(p.env.fs, p.spec.dir, opt)
}

func (p *partitionActor) openReplica(ctx actor.Context) error {
	log, rec, err := p.openLog()
	if err != nil {
		return err
	}
	// Somebody has put another replica's files here. To this one its own are missing: it must
	// not go on with what others have promised.
	if log.Identity() != p.spec.id {
		return errors.Join(fmt.Errorf("%s holds %+v, not %+v: %w", p.spec.dir, log.Identity(), p.spec.id, os.ErrNotExist), log.Close())
	}
	if rec.CutBytes > 0 {
		p.log.Warn("an unsynced tail was cut", "bytes", rec.CutBytes, "copy", rec.BrokenCopy)
	}
	p.file = log
	p.onDamage(ctx, log)
	p.scrub = background.NewScrubPlan(p.env.opt.ScrubInterval, p.spec.dir, p.env.now())
	apply, restore := p.stateMachine(ctx)
	p.rep, err = replica.New(replica.Config{
		Internal: p.spec.internal(), LazySync: p.spec.lazySync,
		ElectionTicks: p.env.opt.ElectionTicks, HeartbeatTicks: p.env.opt.HeartbeatTicks,
		MaxBatchBytes: p.env.opt.MaxBatchBytes, Now: p.env.now, Logger: p.log, Keys: p.env.keys, Millis: p.env.clock.Millis, ClockJump: p.env.opt.ClockJump,
		ApplyState: apply, RestoreState: restore, Proposed: p.env.stats.Entry, Level: p.env.fleet.Level,
	}, log, rec)
	return err
}

// stateMachine is what follows the committed records of an internal topic, and
// what takes over compacted ones.
func (p *partitionActor) stateMachine(ctx actor.Context) (apply func([]logfile.Record), restore func([]logfile.Record, int64)) {
	switch p.spec.id.Topic {
	case protocol.MetadataTopic:
		cluster, system := p.spec.clusterPID, ctx.ActorSystem()
		apply = func(records []logfile.Record) {
			system.Root.Send(cluster, &metadataApplied{Records: records})
		}
		return apply, func(records []logfile.Record, next int64) {
			system.Root.Send(cluster, &metadataApplied{Records: records, Restore: next})
		}
	case protocol.OffsetsTopic:
		p.coord = coordinator.New(p, p.env.groups, p.log, p.spec.id)
		return p.coord.Apply, p.coord.Restore
	}
	return nil, nil
}
