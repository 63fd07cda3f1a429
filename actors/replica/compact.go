package replica

import (
	"encoding/json"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
)

// Compaction keeps, of the records below an offset, the newest per key. The
// leader decides up to where, and below which offset tombstones may go, and
// says so in a control entry. Every replica then does it by itself, aside and
// at leisure: what remains is a function of the committed records and of that
// entry, so all are left with the same. See logfile/README.md for the files,
// compact_job.go for the work and compact_fetch.go for replicas that have
// nothing to compact because they were away for too long.

// Compaction is what the last control entry of its kind asked for. A tombstone
// is dropped when it has been among compacted records for the topic's
// delete_retention_ms. One mark is enough to know: tombstones below Mark have
// been since MarkedAt; once that is long enough ago, DropBelow takes over Mark
// and the mark moves on.
type Compaction struct {
	Generation uint64 `json:"generation,omitempty"` // index of the entry
	To         uint64 `json:"to"`                   // up to this entry
	Next       int64  `json:"next"`                 // the offset after it
	Start      int64  `json:"start"`                // log start
	DropBelow  int64  `json:"drop_below"`
	Mark       int64  `json:"mark"`
	MarkedAt   int64  `json:"marked_at"` // milliseconds since 1970
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

// encode is what a checkpoint and a snapshot say; nil before the first.
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

// PlanCompaction decides on a leader whether a compaction is due: when what was
// written since the last one is at least as much as that left, so that a record
// is rewritten a bounded number of times; or when tombstones have become old
// enough. One is under way at a time.
func (r *Replica) PlanCompaction(now, deleteRetentionMs int64) (Compaction, bool) {
	done := r.log.Compacted()
	if r.leading == nil || !r.leading.serving || r.compaction.Generation > done.Generation {
		return Compaction{}, false
	}
	to, next, dirty, clean := r.log.CompactionDue(r.applied)
	c := r.compaction
	c.Generation, c.To, c.Next, c.Start = 0, to, next, r.log.LogStart()
	ripe := c.Mark > c.DropBelow && now-c.MarkedAt >= deleteRetentionMs
	if ripe {
		c.DropBelow = c.Mark
	}
	if c.Mark <= c.DropBelow {
		c.Mark, c.MarkedAt = next, now
	}
	due := dirty > 0 && dirty >= clean || ripe && done.Tombstones > 0
	return c, due && next > c.Start
}

// compactionAsked applies a control entry that asks for a compaction. The
// shell does it, later.
func (r *Replica) compactionAsked(index uint64, c Compaction) {
	if index <= r.compaction.Generation {
		return // a snapshot, or the checkpoint this replica began with, knew of it
	}
	c.Generation = index
	r.compaction = c
	r.log.SetCompaction(c.encode())
}

// PendingCompaction returns the compaction that was asked for and is not done
// here yet.
func (r *Replica) PendingCompaction() (logfile.Compaction, bool) {
	c := r.compaction
	return logfile.Compaction{
		Generation: c.Generation, To: c.To, Next: c.Next, Start: c.Start, DropBelow: c.DropBelow,
	}, c.Generation > r.log.Compacted().Generation && c.Next > r.log.LogStart() && r.applied >= c.To && r.installing < c.Generation
}

// InstallParts gives finished parts their names, through the disk and in its
// order, and then lets them take the place of what they replace. What is
// replaced is removed by a later tick, when readers have a newer view.
func (r *Replica) InstallParts(set *logfile.CompactedSet) error {
	if set.Generation <= max(r.installing, r.log.Compacted().Generation) {
		return set.Discard()
	}
	r.installing = set.Generation
	b := &logfile.Batch{}
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

// DropCompacted removes what compaction has replaced.
func (r *Replica) DropCompacted() {
	b := &logfile.Batch{}
	if r.log.DropCompacted(b) {
		r.enqueue(&Write{Batch: b})
	}
}

// MissingParts returns what the snapshot that is held waits for: the compacted
// records that belong to it, and the replica that sent it. Ok is false when none
// is held.
func (r *Replica) MissingParts() (from uint64, parts logfile.CompactedInfo, ok bool) {
	if r.held == nil {
		return 0, logfile.CompactedInfo{}, false
	}
	return r.held.message.From, r.held.parts, true
}

// heldSnapshot is a snapshot that has come, but not yet the parts that belong
// to it.
type heldSnapshot struct {
	message raftpb.Message
	parts   logfile.CompactedInfo
}

// holdSnapshot keeps a snapshot of a compacted log back until its parts are
// here; the shell fetches them. It reports false for one that raft can have.
func (r *Replica) holdSnapshot(m raftpb.Message) bool {
	var d snapshotData
	if m.Type != raftpb.MsgSnap || m.Snapshot == nil || json.Unmarshal(m.Snapshot.Data, &d) != nil {
		return false
	}
	if d.Compacted == nil || d.Compacted.Generation <= r.log.Compacted().Generation || m.Snapshot.Metadata.Index <= r.applied {
		return false
	}
	r.held = &heldSnapshot{message: m, parts: *d.Compacted}
	r.fx.FetchParts = true
	return true
}

// releaseSnapshot hands the snapshot on when its parts are in place.
func (r *Replica) releaseSnapshot() {
	h := r.held
	if h == nil || h.parts.Generation > r.log.Compacted().Generation {
		return
	}
	r.held = nil
	if err := r.rn.Step(h.message); err != nil {
		r.cfg.Logger.Debug("snapshot refused", "error", err)
	}
}

// RestoreState makes the state machine of an internal topic what the compacted
// records say; entries behind them follow. It reads them, which is little:
// when the replica is opened, and when a snapshot has replaced its log.
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
