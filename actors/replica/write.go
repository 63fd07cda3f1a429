package replica

import (
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
	"ottla/mutate"
	"ottla/pool"
)

// batches are for the writes of all replicas. Each stages its bytes in one, as many as all
// copies of a log together take in, so making new ones keeps the garbage collector busy.
var batches pool.BySize[logfile.Batch]

const (
	// keptBatchBytes is the largest batch that is kept for another write.
	keptBatchBytes = 2 << 20
	// frameBytes is what a frame takes besides its entry's data, mostly.
	frameBytes = 512
)

// newBatch returns a batch with room for about that many bytes.
func newBatch(bytes int) *logfile.Batch {
	if b := batches.Get(bytes); b != nil {
		return b
	}
	return logfile.NewBatch(pool.SizeFor(bytes))
}

// recycle takes the batch of a write that is durable, which the disk is done with.
func recycle(w *Write) {
	b := w.Batch
	w.Batch = nil
	unused(b)
}

// unused takes a batch that nobody needs any more.
func unused(b *logfile.Batch) {
	if b.Room() <= keptBatchBytes {
		b.Reset()
		batches.Put(b, b.Room())
	}
}

// storageAppend stages what raft wants to be durable. Its responses, which are
// votes and acknowledgements, leave in order, and only after a sync that began
// after this and all earlier writes of the replica were executed: raft relies on
// both.
func (r *Replica) storageAppend(m raftpb.Message) {
	b := newBatch(roomFor(m.Entries))
	w := &Write{Batch: b, entries: m.Entries, snapshot: m.Snapshot, responses: m.Responses}
	if m.Snapshot != nil && !raft.IsEmptySnap(*m.Snapshot) {
		if err := r.stageSnapshot(b, m); err != nil {
			r.Fail(err)
			return
		}
	}
	if m.Term != 0 && (m.Term != r.storage.hard.Term || m.Vote != r.storage.hard.Vote) {
		r.storage.hard.Term, r.storage.hard.Vote = m.Term, m.Vote
		r.log.SetHardState(b, m.Term, m.Vote)
		w.mustSync, w.Priority, w.Urgent = true, true, true
	}
	if m.Commit != 0 {
		r.storage.hard.Commit = m.Commit
	}
	if len(m.Entries) > 0 {
		if err := r.stageEntries(b, m.Entries); err != nil {
			r.Fail(err)
			return
		}
	}
	r.enqueue(w)
}

// roomFor is about how many bytes a batch takes in for entries: large bodies are not
// copied into it.
func roomFor(ents []raftpb.Entry) int {
	bytes := frameBytes
	for i := range ents {
		n := max(len(ents[i].Data)-entryHeaderSize, 0)
		bytes += frameBytes + n/256 // checksums of blocks
		if n < logfile.LargeBody {
			bytes += n
		}
	}
	return bytes
}

func (r *Replica) stageEntries(b *logfile.Batch, ents []raftpb.Entry) error {
	frames := make([]logfile.Frame, len(ents))
	now := r.appends.after(r.log.LastAppendTime())
	next, err := r.log.OffsetOf(ents[0].Index) // for entries that carry no offset of their own
	if err != nil {
		return err
	}
	for i := range ents {
		f, err := frameOf(&ents[i], next, now)
		if err != nil {
			return fmt.Errorf("entry %d: %w", ents[i].Index, err)
		}
		frames[i] = f
		next = f.BaseOffset + int64(f.Count)
	}
	return r.log.Append(b, frames)
}

// enqueue hands a write to the owner. One with nothing to write is not handed
// out: its responses wait behind the writes that are under way, because they say
// that those are durable.
func (r *Replica) enqueue(w *Write) {
	if w.Batch.Empty() {
		if len(w.responses) == 0 && w.snapshot == nil {
			recycle(w)
			return
		}
		if len(r.writes) == 0 {
			r.deliver(w)
			recycle(w)
			return
		}
		r.writes = append(r.writes, w)
		return
	}
	r.writeSeq++
	w.Seq = r.writeSeq
	w.Priority = w.Priority || r.cfg.Internal
	r.writes = append(r.writes, w)
	r.fx.Writes = append(r.fx.Writes, w)
}

// DiskDone takes the disk's answer to the write with that Seq, which covers all
// before it. An error is final, see Fail: nobody knows what of the write is on
// disk. A write that failed without effect is to be retried by the owner instead,
// under the same Seq.
func (r *Replica) DiskDone(seq uint64, err error) {
	if r.failed != nil {
		return
	}
	if err != nil && !mutate.On(mutate.IgnoreSyncError) {
		r.Fail(err)
		return
	}
	for len(r.writes) > 0 && r.writes[0].Seq <= seq {
		w := r.writes[0]
		r.writes[0] = nil
		r.writes = r.writes[1:]
		if last := w.LastIndex(); last > 0 {
			r.log.Synced(last)
		}
		r.deliver(w)
		recycle(w)
	}
	r.drain()
}

// deliver lets the responses of a write go that is durable, as is everything
// before it. Those to this very replica are stepped at once.
func (r *Replica) deliver(w *Write) {
	if w.snapshot != nil {
		r.snapshotInstalled(w.snapshot)
	}
	if w.then != nil {
		w.then()
	}
	r.storage.stable(w.entries)
	for i := range w.responses {
		m := w.responses[i]
		if m.To != r.id.ReplicaID {
			r.fx.Messages = append(r.fx.Messages, m)
			continue
		}
		if err := r.rn.Step(m); err != nil {
			r.cfg.Logger.Debug("local raft response refused", "type", m.Type.String(), "error", err)
		}
	}
}

// Roll seals the active segment, if it has records.
func (r *Replica) Roll() {
	b := newBatch(frameBytes)
	if r.log.Roll(b) {
		r.enqueue(&Write{Batch: b, mustSync: true})
	}
}

// RemoveOld removes segments below the log start that could not go when it moved: they
// were still written to, or not known to be applied.
func (r *Replica) RemoveOld() {
	if !r.log.StartDue() {
		return
	}
	b := newBatch(frameBytes)
	r.log.SetLogStart(b, r.log.LogStart())
	r.enqueue(&Write{Batch: b})
}

// StageFinal asks for a last write, which makes the next start short: a
// checkpoint, and a sync mark behind the last entry.
func (r *Replica) StageFinal() {
	b := newBatch(frameBytes)
	r.log.StageCheckpoint(b)
	r.log.StageSyncMark(b)
	r.enqueue(&Write{Batch: b, mustSync: true})
}
