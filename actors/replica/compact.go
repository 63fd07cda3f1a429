package replica

import (
	"encoding/json"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
)

// Compaction keeps, of the records below an offset, the newest per key. The
// leader decides up to where, and below which offset tombstones may go, and
// says so in a control entry. Every replica then compacts for itself, in the
// background: what remains is a function of the committed records and of that
// entry, so all are left with the same. A replica that was away for too long has
// nothing to compact; it fetches the compacted records from a peer before raft
// sees the snapshot that relies on them. See logfile/README.md for the files;
// the work itself is the owner's.

// Compaction is what the last control entry of its kind asked for; see
// logfile.Compaction for To to DropBelow. A tombstone is dropped when it has
// been among compacted records for the topic's delete_retention_ms. Of all
// tombstones below Mark that has been true since MarkedAt; once that is long
// enough ago, DropBelow takes over Mark, and a new mark begins.
type Compaction struct {
	Generation uint64 `json:"generation,omitempty"` // index of the entry that asked; 0: nothing was asked for
	To         uint64 `json:"to"`                   // index of the last entry to be compacted
	Next       int64  `json:"next"`                 // offset after that entry
	Start      int64  `json:"start"`                // log start
	DropBelow  int64  `json:"drop_below"`           // tombstones below this offset go
	Mark       int64  `json:"mark"`                 // offset
	MarkedAt   int64  `json:"marked_at"`            // milliseconds since 1970
}

func decodeCompaction(data []byte) (c Compaction, err error) {
	if len(data) == 0 {
		return c, nil
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("compaction: %w", err)
	}
	return c, nil
}

// encode writes c for a checkpoint or a snapshot; nil before the first
// compaction.
func (c *Compaction) encode() []byte {
	if c.Generation == 0 {
		return nil
	}
	data, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("BUG: compaction does not encode: %v", err))
	}
	return data
}

// PlanCompaction returns what ProposeCompaction is to ask for if a compaction is
// due: when at least as much was written since the last one as that left, so that
// a record is rewritten a bounded number of times; or when tombstones have become
// old enough. None is due on a follower, or while one is under way. Now is in
// milliseconds since 1970.
func (r *Replica) PlanCompaction(now, deleteRetentionMs int64) (plan Compaction, due bool) {
	done := r.log.Compacted()
	if r.leading == nil || !r.leading.serving || r.compaction.Generation > done.Generation {
		return Compaction{}, false
	}
	to, next, dirty, clean := r.log.CompactionDue(r.applied)
	c := r.compaction
	c.Generation, c.To, c.Next, c.Start = 0, to, next, r.log.LogStart()
	tombstonesDue := c.Mark > c.DropBelow && now-c.MarkedAt >= deleteRetentionMs
	if tombstonesDue {
		c.DropBelow = c.Mark
	}
	if c.Mark <= c.DropBelow || c.MarkedAt > now+r.appends.jump {
		c.Mark, c.MarkedAt = next, now
	}
	due = dirty > 0 && dirty >= clean || tombstonesDue && done.Tombstones > 0
	return c, due && next > c.Start
}

// compactionAsked applies a control entry that asks for a compaction. The owner
// does it, later, see PendingCompaction.
func (r *Replica) compactionAsked(index uint64, c Compaction) {
	if index <= r.compaction.Generation {
		return // a snapshot, or the checkpoint this replica began with, knew of it
	}
	c.Generation = index
	r.compaction = c
	r.log.SetCompaction(c.encode())
}

// PendingCompaction returns the compaction that was asked for last; pending is
// false when it is done here, on its way through the disk, or not possible yet.
func (r *Replica) PendingCompaction() (c logfile.Compaction, pending bool) {
	last := r.compaction
	pending = last.Generation > max(r.log.Compacted().Generation, r.installing) &&
		last.Next > r.log.LogStart() && r.applied >= last.To
	return logfile.Compaction{
		Generation: last.Generation, To: last.To, Next: last.Next, Start: last.Start, DropBelow: last.DropBelow,
	}, pending
}

// InstallParts gives finished parts their names, by a write that the disk
// executes in its order among the replica's others, and then lets them take the
// place of what they replace. That is removed by DropCompacted, later, when
// readers have a newer view. Parts older than what is installed are discarded.
func (r *Replica) InstallParts(set *logfile.CompactedSet) error {
	if set.Generation <= max(r.installing, r.log.Compacted().Generation) {
		return set.Discard()
	}
	r.installing = set.Generation
	b := newBatch(frameBytes)
	r.log.StageCompacted(b, set)
	r.enqueue(&Write{Batch: b, then: func() {
		if r.installing == set.Generation {
			r.installing = 0
		}
		r.log.AdoptCompacted(set)
		r.fx.HighWatermarkMoved = true // to publish a view of them
		r.releaseSnapshot()
	}})
	return nil
}

// Replaced reports whether there are files for DropCompacted to remove.
func (r *Replica) Replaced() bool { return r.log.Replaced() }

// DropCompacted removes the files that compaction has replaced. It may be called
// at any time after the view without them was published.
func (r *Replica) DropCompacted() {
	b := newBatch(frameBytes)
	if r.log.DropCompacted(b) {
		r.enqueue(&Write{Batch: b})
	}
}

// MissingParts returns what a deferred snapshot waits for: the compacted records
// that belong to it, and the replica that sent it. Ok is false when there is no
// such snapshot.
func (r *Replica) MissingParts() (from uint64, parts logfile.CompactedInfo, ok bool) {
	if r.deferred == nil {
		return 0, logfile.CompactedInfo{}, false
	}
	return r.deferred.message.From, r.deferred.parts, true
}

// deferredSnapshot is a snapshot that has arrived before the compacted parts that
// it relies on.
type deferredSnapshot struct {
	message raftpb.Message
	parts   logfile.CompactedInfo
}

// deferSnapshot keeps a snapshot of a compacted log from raft until its parts are
// installed, and asks the owner to fetch them. It reports whether it did so: raft
// can have every other message at once. Parts that are installed before the
// snapshot do no harm: they hold committed records only, and a log that lacks
// those entries cannot win an election.
func (r *Replica) deferSnapshot(m raftpb.Message) bool {
	var d snapshotData
	if m.Type != raftpb.MsgSnap || m.Snapshot == nil || json.Unmarshal(m.Snapshot.Data, &d) != nil {
		return false
	}
	if d.Compacted == nil || d.Compacted.Generation <= r.log.Compacted().Generation || m.Snapshot.Metadata.Index <= r.applied {
		return false
	}
	r.deferred = &deferredSnapshot{message: m, parts: *d.Compacted}
	r.fx.FetchParts = true
	return true
}

// releaseSnapshot hands the deferred snapshot to raft when its parts are in
// place.
func (r *Replica) releaseSnapshot() {
	h := r.deferred
	if h == nil || h.parts.Generation > r.log.Compacted().Generation {
		return
	}
	r.deferred = nil
	if err := r.rn.Step(h.message); err != nil {
		r.cfg.Logger.Debug("snapshot refused", "error", err)
	}
}

// restoreState makes the state machine of an internal topic what the compacted
// records say, when the replica is opened and when a snapshot has replaced its
// log; the entries behind them are applied as ever. It reads the compacted
// records on the caller's goroutine: internal topics have few.
func (r *Replica) restoreState() error {
	parts := r.log.CompactedReader()
	if r.cfg.RestoreState == nil || parts == nil {
		return nil
	}
	records, err := parts.Records()
	if err != nil {
		return fmt.Errorf("restore state: %w", err)
	}
	r.stateFrom = parts.Next
	r.cfg.RestoreState(records, parts.Next)
	return nil
}

// beyondState leaves out records that the restored state includes: segments
// may still hold some of them.
func (r *Replica) beyondState(records []logfile.Record) []logfile.Record {
	for len(records) > 0 && records[0].Offset < r.stateFrom {
		records = records[1:]
	}
	return records
}
