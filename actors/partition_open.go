package actors

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
	"ottla/protocol"
)

// partitionSpec is everything a replica is told when it is opened.
type partitionSpec struct {
	id         logfile.Identity
	dir        string
	want       []protocol.PlacedReplica // membership as __cluster_metadata wants it, preferred leader first
	replacing  bool                     // __cluster_metadata waits to hear that the group has it
	founders   []uint64                 // the group's first voters when this replica is one of them
	settings   topicSettings
	lazySync   bool
	route      *partitionRoute
	group      *groupLinks
	clusterPID *actor.PID
}

func (s *partitionSpec) key() protocol.PartitionID {
	return protocol.PartitionID{TopicID: s.id.TopicID, Partition: s.id.Partition}
}

func (s *partitionSpec) internal() bool { return protocol.IsInternalTopic(s.id.Topic) }

func (s *partitionSpec) logOptions(env *environment) logfile.Options {
	return logfile.Options{SegmentBytes: s.segmentBytes(env, s.settings), BootID: env.bootID, Cache: env.handles}
}

func (s *partitionSpec) segmentBytes(env *environment, settings topicSettings) int64 {
	if n := env.opt.internalSegmentBytes; n > 0 && s.internal() {
		return n
	}
	return settings.SegmentBytes
}

// create makes the replica's first, empty log; durable when it returns. A
// founder begins with all founders as voters, a replica that joins later with
// no membership at all: the leader's snapshot brings it. A directory that
// holds this very replica already is fine: a crash came before the ledger. One
// that holds something else, or a damaged log, is put aside: the ledger has
// nothing there, so what it is has never run, or a crash came after the ledger
// was told and before the directory lost its name.
func (s *partitionSpec) create(env *environment) error {
	log, _, err := logfile.Open(env.fs, s.dir, s.logOptions(env))
	switch {
	case err == nil && log.Identity() == s.id:
		return log.Close()
	case err == nil:
		if err := errors.Join(log.Close(), putReplicaAside(env, s.dir, log.Identity().ReplicaID)); err != nil {
			return err
		}
	case openFault(err) == faultDamage: // whose it was may be what is damaged
		if err := putReplicaAside(env, s.dir, s.id.ReplicaID); err != nil {
			return err
		}
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	cp := logfile.Checkpoint{}
	if len(s.founders) > 0 {
		conf := raftpb.ConfState{Voters: s.founders}
		if cp.ConfState, err = conf.Marshal(); err != nil {
			return err
		}
		cp.Index, cp.Term, cp.HardTerm, cp.Applied = firstLogIndex, firstLogTerm, firstLogTerm, firstLogIndex
	}
	if log, err = logfile.Create(env.fs, s.dir, s.id, cp, s.logOptions(env)); err != nil {
		return err
	}
	return log.Close()
}

// open opens the replica's log, which takes I/O: the actor's own goroutine is
// the right place, nobody else waits for it.
func (p *partitionActor) open(ctx actor.Context) {
	p.waiters = map[*protocol.Waiter]protocol.Offset{}
	p.want, p.replacing, p.settings = p.spec.want, p.spec.replacing, p.spec.settings
	if err := p.openReplica(ctx); err != nil {
		fault := openFault(err)
		p.log.Error("replica cannot be opened", "fault", string(fault), "error", err)
		ctx.Send(ctx.Parent(), &replicaDown{Key: p.spec.key(), Replica: p.spec.id.ReplicaID, Cause: err, Fault: fault})
		ctx.Poison(ctx.Self())
		return
	}
	others := p.spec.group.register(p.spec.id.ReplicaID, ctx.Self())
	for _, pid := range others {
		ctx.Send(pid, &peersChanged{})
	}
	ctx.Send(ctx.Parent(), &replicaUp{Key: p.spec.key(), Replica: p.spec.id.ReplicaID})
	p.do(ctx, func() { p.seekLeader(ctx) })
}

// replicaUp tells the broker that a replica runs.
type replicaUp struct {
	Key     protocol.PartitionID
	Replica uint64
}

func (p *partitionActor) openReplica(ctx actor.Context) error {
	log, rec, err := logfile.Open(p.env.fs, p.spec.dir, p.spec.logOptions(p.env))
	if err != nil {
		return err
	}
	if log.Identity() != p.spec.id {
		return errors.Join(fmt.Errorf("%s holds %+v, not %+v: %w", p.spec.dir, log.Identity(), p.spec.id, os.ErrNotExist), log.Close())
	}
	if rec.CutBytes > 0 {
		p.log.Warn("an unsynced tail was cut", "bytes", rec.CutBytes, "copy", rec.BrokenCopy)
	}
	p.file = log
	p.onDamage(ctx, log)
	p.scrub = newScrubPlan(p.env.opt.ScrubInterval, p.spec.dir, p.env.now())
	apply, restore := p.stateMachine(ctx)
	p.rep, err = newReplica(replicaConfig{
		internal: p.spec.internal(), lazySync: p.spec.lazySync,
		electionTicks: p.env.opt.ElectionTicks, heartbeatTicks: p.env.opt.HeartbeatTicks,
		maxBatchBytes: p.env.opt.MaxBatchBytes, now: p.env.now, logger: p.log,
		applyState: apply, restoreState: restore, stats: &p.env.stats,
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
		p.coord = newCoordinator(p)
		return p.coord.apply, p.coord.restore
	}
	return nil, nil
}

// stageFinal writes what makes the next start short: a checkpoint, and a vouch
// for the last entry.
func (r *replica) stageFinal() {
	b := &logfile.Batch{}
	r.log.StageCheckpoint(b)
	r.log.StageSyncMark(b)
	r.enqueue(&stagedWrite{batch: b, mustSync: true})
}

func encodeControl(c control) []byte {
	data, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("BUG: control entry does not encode: %v", err))
	}
	return data
}
