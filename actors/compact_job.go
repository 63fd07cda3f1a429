package actors

import (
	"context"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
	"ottla/logfile"
)

// background bounds work that runs beside the load: compaction, and the copying of
// compacted records. One compaction runs at a time, and all of it together reads
// and writes at most backgroundBytes per second.
type background struct {
	slot chan struct{}

	mu   sync.Mutex
	free time.Time // when the bytes granted so far are paid for
}

const (
	backgroundBytes = 64 << 20               // per second
	backgroundBurst = 100 * time.Millisecond // that may be taken in advance
)

func newBackground() *background { return &background{slot: make(chan struct{}, 1)} }

// pace returns a function that waits until n more bytes may be read or
// written, or fails when ctx ends.
func (b *background) pace(ctx context.Context) func(n int) error {
	return func(n int) error {
		b.mu.Lock()
		now := time.Now()
		if b.free.Before(now) {
			b.free = now
		}
		b.free = b.free.Add(time.Duration(n) * time.Second / backgroundBytes)
		wait := b.free.Sub(now) - backgroundBurst
		b.mu.Unlock()
		if wait <= 0 {
			return ctx.Err()
		}
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// partitionCompaction is what a partition's actor knows of its compactions.
type partitionCompaction struct {
	job     *compactJob // under way
	retryAt int         // the tick at which a failed one is tried again
	asked   uint64      // generation that was the newest when this leader asked for another
	askedAt int         // and the tick
	served  int         // the tick at which parts were last read for another replica
	fetch   *partsFetch // parts on their way here
}

// compactJob is one compaction on its own goroutine.
type compactJob struct{ cancel context.CancelFunc }

// compactDone comes back from it.
type compactDone struct {
	job *compactJob
	set *logfile.CompactedSet
	err error
}

const (
	// compactPatience is how long a failed compaction rests before it is tried again,
	// and how long a leader waits for its own request to appear in the log.
	compactPatience = 30 * time.Second
	// servePatience is how long a leader does not compact again for the sake of a
	// replica that is reading its compacted records.
	servePatience = 5 * time.Second
)

// compactTick starts a compaction that is due. It runs on every replica, also on
// quiet ones.
func (p *partitionActor) compactTick(ctx actor.Context) {
	c := &p.compaction
	p.fetchTick(ctx)
	if c.job != nil || c.fetch != nil || p.ticks < c.retryAt || p.diskFull {
		return
	}
	p.do(ctx, p.rep.DropCompacted)
	spec, due := p.rep.PendingCompaction()
	if !due {
		return
	}
	work, cancel := context.WithCancel(context.Background())
	job := &compactJob{cancel: cancel}
	c.job = job
	source, bg := p.file.CompactionSource(), p.env.background
	self, root := ctx.Self(), ctx.ActorSystem().Root
	go func() {
		m := &compactDone{job: job}
		select {
		case bg.slot <- struct{}{}:
			m.set, m.err = source.Compact(spec, bg.pace(work))
			<-bg.slot
		case <-work.Done():
			m.err = work.Err()
		}
		root.Send(self, m)
	}()
}

func (p *partitionActor) compactDone(ctx actor.Context, m *compactDone) {
	if p.compaction.job != m.job || p.life != partitionRunning {
		p.discard(m.set) // after the actor's end the next start removes it
		return
	}
	p.compaction.job = nil
	m.job.cancel()
	if m.err != nil {
		p.compaction.retryAt = p.ticks + p.env.ticks(compactPatience)
		p.log.Error("compaction failed", "error", m.err)
		return
	}
	p.log.Info("compacted", "offsets_below", m.set.Next, "records", m.set.Records, "tombstones", m.set.Tombstones)
	p.install(ctx, m.set)
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
	case *compactDone:
		p.compactDone(ctx, m)
	case *partsAsked:
		p.partsAsked(ctx, m)
	case *partsChunk:
		p.partsChunk(m)
	case *chunkWritten:
		p.chunkWritten(ctx, m)
	case *partsWritten:
		p.partsWritten(ctx, m)
	default:
		return false
	}
	return true
}

// stopCompaction ends the goroutines of compaction.
func (p *partitionActor) stopCompaction() {
	if p.compaction.job != nil {
		p.compaction.job.cancel()
		p.compaction.job = nil
	}
	p.endFetch()
}

// compacts reports whether the partition's topic keeps the newest per key.
func (p *partitionActor) compacts() bool { return p.settings.CleanupPolicy == catalog.CleanupCompact }

// askCompaction proposes a compaction on the leader when one is due, unless
// another replica is being given the present parts.
func (p *partitionActor) askCompaction() {
	c := &p.compaction
	patience := p.env.ticks(compactPatience)
	if c.served > 0 && p.ticks-c.served < p.env.ticks(servePatience) {
		return
	}
	if generation := p.rep.CompactionGeneration(); c.askedAt > 0 && c.asked == generation && p.ticks-c.askedAt < patience {
		return
	}
	plan, due := p.rep.PlanCompaction(p.env.now().UnixMilli(), p.settings.DeleteRetentionMs)
	if !due {
		return
	}
	c.asked, c.askedAt = p.rep.CompactionGeneration(), p.ticks
	p.log.Info("asking for compaction", "offsets_below", plan.Next, "tombstones_below", plan.DropBelow)
	p.rep.ProposeCompaction(plan)
}
