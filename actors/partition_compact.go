package actors

import (
	"errors"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
	"ottla/actors/compaction"
	"ottla/logfile"
)

// compactTick starts a compaction that is due. It runs on every replica, also on
// quiet ones.
func (p *partitionActor) compactTick(ctx actor.Context) {
	if p.compaction.Overdue(p.ticks) {
		p.askParts(ctx)
	}
	if p.compaction.Busy(p.ticks) || p.diskFull {
		return
	}
	// The files that compaction has replaced go on a tick: by then the view without them is
	// published.
	if p.rep.Replaced() {
		p.do(ctx, p.rep.DropCompacted)
	}
	if spec, due := p.rep.PendingCompaction(); due {
		self, root := ctx.Self(), ctx.ActorSystem().Root
		// It reads sealed segments and writes new files, on a goroutine and at the
		// background's pace. Nothing of the log changes before install.
		p.compaction.Start(p.env.background, p.file.CompactionSource(), spec, func(m *compaction.Done) { root.Send(self, m) })
	}
}

// compactDone installs the result of a compaction, if it is still wanted: the replica may have
// taken a snapshot meanwhile, or have ended.
func (p *partitionActor) compactDone(ctx actor.Context, m *compaction.Done) {
	switch {
	case p.life != partitionRunning || !p.compaction.Done(m, p.ticks, p.env.compactionPatience()):
		p.discard(m.Set) // after the actor's end the next start removes it
	case m.Err != nil:
		p.log.Error("compaction failed", "error", m.Err)
	default:
		p.log.Info("compacted", "offsets_below", m.Set.Next, "records", m.Set.Records, "tombstones", m.Set.Tombstones)
		p.install(ctx, m.Set)
	}
}

func (p *partitionActor) install(ctx actor.Context, set *logfile.CompactedSet) {
	p.do(ctx, func() {
		if err := p.rep.InstallParts(set); err != nil {
			p.log.Warn("remove compacted records", "error", err)
		}
	})
}

// discard removes parts that are not wanted any more.
func (p *partitionActor) discard(set *logfile.CompactedSet) {
	if set == nil {
		return
	}
	if err := set.Discard(); err != nil {
		p.log.Warn("remove compacted records", "error", err)
	}
}

// compactionMessage handles the messages of compaction; false for any other.
func (p *partitionActor) compactionMessage(ctx actor.Context, message any) bool {
	switch m := message.(type) {
	case *compaction.Done:
		p.compactDone(ctx, m)
	case *compaction.PartsAsked:
		p.partsAsked(ctx, m)
	case *compaction.PartsChunk:
		switch err := p.compaction.Take(m); {
		case errors.Is(err, compaction.ErrDamagedChunk):
			p.log.Error("compacted records", "error", err)
		case err != nil:
			p.log.Warn("compacted records", "error", err)
		}
	case *compaction.ChunkWritten:
		if p.compaction.Written(m) {
			p.askParts(ctx)
		}
	case *compaction.PartsWritten:
		p.partsWritten(ctx, m)
	default:
		return false
	}
	return true
}

// compacts reports whether the partition's topic keeps the newest per key.
func (p *partitionActor) compacts() bool { return p.settings.CleanupPolicy == catalog.CleanupCompact }

// askCompaction proposes a compaction on the leader when one is due. What is compacted, and up
// to where, is an entry of the log: all replicas must remove the same records, or a reader
// would see other ones after a change of the leader.
func (p *partitionActor) askCompaction() {
	generation := p.rep.CompactionGeneration()
	if !p.compaction.MayAsk(p.ticks, generation, p.env.compactionPatience()) {
		return
	}
	plan, due := p.rep.PlanCompaction(p.env.clock.Millis(), p.settings.DeleteRetentionMs)
	if !due {
		return
	}
	p.compaction.Asks(p.ticks, generation)
	p.log.Info("asking for compaction", "offsets_below", plan.Next, "tombstones_below", plan.DropBelow)
	p.rep.ProposeCompaction(plan)
}

// startFetch begins to fetch the compacted records that the snapshot waits for. They are
// fetched in chunks, each asked for when the one before is written: a set may be larger than
// memory.
func (p *partitionActor) startFetch(ctx actor.Context) {
	from, parts, held := p.rep.MissingParts()
	if !held || p.life != partitionRunning {
		return
	}
	self, root := ctx.Self(), ctx.ActorSystem().Root
	if p.compaction.StartFetch(from, parts, p.file, p.env.background, func(m any) { root.Send(self, m) }) {
		p.log.Info("fetching compacted records", "offsets_below", parts.Next, "records", parts.Records)
		p.askParts(ctx)
	}
}

func (p *partitionActor) askParts(ctx actor.Context) {
	if of, m := p.compaction.Question(p.spec.id.ReplicaID, p.ticks); m != nil {
		p.spec.group.Tell(ctx, of, m)
	}
}

// partsAsked reads a chunk for another replica, on a goroutine.
func (p *partitionActor) partsAsked(ctx actor.Context, m *compaction.PartsAsked) {
	if p.life != partitionRunning {
		return
	}
	// It reads a snapshot of the parts, whatever compaction puts in their place meanwhile.
	read := p.compaction.Serve(m, p.file.CompactedReader(), p.ticks, p.env.background)
	group, root := p.spec.group, ctx.ActorSystem().Root
	go func() { group.Tell(root, m.From, read()) }()
}

func (p *partitionActor) partsWritten(ctx actor.Context, m *compaction.PartsWritten) {
	switch {
	case p.life != partitionRunning || !p.compaction.Fetched(m):
		p.discard(m.Set)
	case m.Err != nil:
		p.log.Error("compacted records cannot be kept", "error", m.Err)
	default:
		p.install(ctx, m.Set)
	}
}
