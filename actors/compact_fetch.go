package actors

import (
	"context"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/logfile"
)

// A replica that lacks entries which its leader has compacted gets a snapshot. The
// snapshot takes effect only after the leader's compacted records have arrived:
// they are asked for and sent one chunk at a time, and written aside by a
// goroutine.

// Messages between two replicas of a partition, addressed by replica ids.
type (
	// partsAsked asks for compacted records from an offset on.
	partsAsked struct {
		From       uint64
		Generation uint64
		Offset     int64
	}
	// partsChunk answers it with whole record lines.
	partsChunk struct {
		Generation uint64
		Offset     int64 // as asked
		Next       int64 // where to go on
		Lines      []byte
		Sum        uint32 // CRC32C of Lines
		Err        string // why there are none
	}
)

// partsFetch is one transfer at its receiver.
type partsFetch struct {
	info    logfile.CompactedInfo
	from    uint64
	offset  int64 // asked for; -1 while a chunk is being written
	askedAt int   // tick
	tries   int
	chunks  chan *partsChunk
	cancel  context.CancelFunc
}

// Messages from the goroutine that writes.
type (
	chunkWritten struct {
		fetch *partsFetch
		next  int64
	}
	partsWritten struct {
		fetch *partsFetch
		set   *logfile.CompactedSet
		err   error
	}
)

const (
	partsChunkBytes = 1 << 20
	partsAskTicks   = 20 // until a question is asked again
	partsAskTries   = 10
)

// startFetch begins to fetch the compacted records that the snapshot waits for,
// unless that is under way.
func (p *partitionActor) startFetch(ctx actor.Context) {
	from, parts, held := p.rep.MissingParts()
	if !held || p.life != partitionRunning {
		return
	}
	if f := p.compaction.fetch; f != nil && f.from == from && f.info.Generation == parts.Generation {
		return
	}
	p.endFetch()
	work, cancel := context.WithCancel(context.Background())
	f := &partsFetch{
		info: parts, from: from, offset: parts.Start,
		chunks: make(chan *partsChunk, 1), cancel: cancel,
	}
	p.compaction.fetch = f
	p.log.Info("fetching compacted records", "offsets_below", f.info.Next, "records", f.info.Records)
	w := p.file.NewPartWriter(f.info, p.env.background.pace(work))
	self, root := ctx.Self(), ctx.ActorSystem().Root
	go func() {
		set, err := f.write(work, w, func(next int64) { root.Send(self, &chunkWritten{f, next}) })
		root.Send(self, &partsWritten{f, set, err})
	}()
	if f.info.Start < f.info.Next {
		p.ask(ctx)
	}
}

// write writes chunks as they arrive, until all are there.
func (f *partsFetch) write(ctx context.Context, w *logfile.PartWriter, written func(next int64)) (*logfile.CompactedSet, error) {
	for next := f.info.Start; next < f.info.Next; {
		select {
		case c := <-f.chunks:
			if err := w.Append(c.Lines); err != nil {
				return nil, w.Abort(err)
			}
			if next = c.Next; next < f.info.Next {
				written(next)
			}
		case <-ctx.Done():
			return nil, w.Abort(ctx.Err())
		}
	}
	set, err := w.Finish()
	if err == nil && set.Records != f.info.Records {
		err = fmt.Errorf("%d records came instead of %d", set.Records, f.info.Records)
	}
	if err != nil {
		return nil, w.Abort(err)
	}
	return set, nil
}

func (p *partitionActor) ask(ctx actor.Context) {
	f := p.compaction.fetch
	f.askedAt = p.ticks
	p.spec.group.tell(ctx, f.from, &partsAsked{From: p.spec.id.ReplicaID, Generation: f.info.Generation, Offset: f.offset})
}

// partsAsked reads a chunk for another replica, on a goroutine.
func (p *partitionActor) partsAsked(ctx actor.Context, m *partsAsked) {
	if p.life != partitionRunning {
		return
	}
	p.compaction.served = p.ticks
	parts := p.file.CompactedReader()
	group, root, pace := p.spec.group, ctx.ActorSystem().Root, p.env.background.pace(context.Background())
	go func() {
		c := &partsChunk{Generation: m.Generation, Offset: m.Offset}
		err := fmt.Errorf("generation %d of compacted records is not here any more", m.Generation)
		if parts != nil && parts.Generation == m.Generation && m.Offset >= parts.Start {
			if c.Lines, c.Next, err = parts.Lines(m.Offset, partsChunkBytes); err == nil {
				err = pace(len(c.Lines))
			}
		}
		if err != nil {
			c.Lines, c.Err = nil, err.Error()
		}
		c.Sum = logfile.Checksum(c.Lines)
		group.tell(root, m.From, c)
	}()
}

// partsChunk hands a chunk to the goroutine that writes. A chunk that was asked
// for twice is written once.
func (p *partitionActor) partsChunk(m *partsChunk) {
	f := p.compaction.fetch
	switch {
	case f == nil || m.Generation != f.info.Generation || m.Offset != f.offset:
	case m.Err != "":
		p.log.Warn("compacted records cannot be fetched", "error", m.Err)
		p.endFetch() // the leader sends its snapshot again
	case m.Next <= m.Offset || logfile.Checksum(m.Lines) != m.Sum:
		p.log.Error("a chunk of compacted records arrived damaged, and is asked for again", "offset", m.Offset)
	default:
		f.offset, f.tries = -1, 0
		f.chunks <- m // it is empty: one chunk is asked for at a time
	}
}

func (p *partitionActor) chunkWritten(ctx actor.Context, m *chunkWritten) {
	if p.compaction.fetch == m.fetch {
		m.fetch.offset = m.next
		p.ask(ctx)
	}
}

func (p *partitionActor) partsWritten(ctx actor.Context, m *partsWritten) {
	if p.compaction.fetch != m.fetch || p.life != partitionRunning {
		p.discard(m.set)
		return
	}
	p.endFetch()
	if m.err != nil {
		p.log.Error("compacted records cannot be kept", "error", m.err)
		return
	}
	p.install(ctx, m.set)
}

// fetchTick asks again for what did not come, and gives up when nobody answers.
func (p *partitionActor) fetchTick(ctx actor.Context) {
	f := p.compaction.fetch
	if f == nil || f.offset < 0 || p.ticks-f.askedAt < partsAskTicks {
		return
	}
	if f.tries++; f.tries > partsAskTries {
		p.endFetch()
		return
	}
	p.ask(ctx)
}

// endFetch ends a transfer and lets its goroutine clean up.
func (p *partitionActor) endFetch() {
	if f := p.compaction.fetch; f != nil {
		f.cancel()
		p.compaction.fetch = nil
	}
}
