package replica

import (
	"encoding/json"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/actors/level"
	"ottla/logfile"
	"ottla/protocol"
)

// control is the body of a control entry: replicated facts about the log
// itself that are no records.
type control struct {
	LogStart *int64      `json:"log_start,omitempty"` // records below this offset are gone
	Compact  *Compaction `json:"compact,omitempty"`   // do this
	Placed   int         `json:"placed,omitempty"`    // see placed.go
	Time     bool        `json:"time,omitempty"`      // nothing but the entry's append time, see appendtime.go
}

// storageApply applies committed entries, all of which are durable here, and
// answers raft at once.
func (r *Replica) storageApply(m raftpb.Message) {
	for i := range m.Entries {
		e := &m.Entries[i]
		if err := r.apply(e); err != nil {
			r.Fail(&stateError{e.Index, err})
			return
		}
		r.applied = e.Index
		r.entryCommitted(e.Index, e.Term)
	}
	r.log.Committed(r.applied)
	r.storage.trim(r.applied)
	r.log.SetApplied(max(r.applied, r.confIndex), r.confBytes, nil)
	for i := range m.Responses {
		if err := r.rn.Step(m.Responses[i]); err != nil {
			r.cfg.Logger.Debug("local raft response refused", "error", err)
		}
	}
	r.leaderAdvanced()
}

func (r *Replica) apply(e *raftpb.Entry) error {
	if e.Type != raftpb.EntryNormal {
		return r.applyConfChange(e)
	}
	if len(e.Data) == 0 {
		return nil
	}
	h, body, err := parseEntryHeader(e.Data)
	if err != nil {
		return err
	}
	if h.kind == logfile.KindControl {
		return r.applyControl(e.Index, h.appendTime, body)
	}
	if e.Index > r.producers.asOf {
		if err := r.producers.applyEntry(body, h.appendTime); err != nil {
			return err
		}
	}
	if next := h.baseOffset + int64(h.count); next > r.hw {
		r.hw = next
		r.fx.HighWatermarkMoved = true
	}
	if r.cfg.ApplyState == nil {
		return nil
	}
	records, err := logfile.ParseRecords(logfile.Frame{
		Index: e.Index, Term: e.Term, Kind: h.kind, BaseOffset: h.baseOffset, Count: h.count,
		AppendTime: h.appendTime, Body: body, BodySum: h.bodySum,
	})
	if err != nil {
		return err
	}
	r.cfg.ApplyState(r.beyondState(records))
	return nil
}

func (r *Replica) applyControl(index uint64, appendTime int64, body []byte) error {
	data, err := logfile.OpaqueData(body)
	if err != nil {
		return err
	}
	var c control
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("control entry: %w", err)
	}
	fresh := index > r.producers.asOf
	if c.Time && fresh {
		r.producers.clockSays(appendTime)
	}
	if c.LogStart != nil && *c.LogStart > r.log.LogStart() {
		b := newBatch(frameBytes)
		r.log.SetLogStart(b, *c.LogStart)
		r.enqueue(&Write{Batch: b})
		r.fx.HighWatermarkMoved = true // the view's start moved
	}
	if c.Placed > 0 && fresh {
		r.producers.putPlaced(c.Placed, appendTime)
	}
	if c.Compact != nil {
		r.compactionAsked(index, *c.Compact)
	}
	return nil
}

// applyConfChange changes the membership and writes it down at once, in a
// checkpoint: a restart begins from there, not from the entry. The checkpoint is
// in line before anything that raft writes with the new membership.
func (r *Replica) applyConfChange(e *raftpb.Entry) error {
	if e.Index <= r.confIndex {
		return nil // a snapshot brought a membership that already includes it
	}
	cc, err := confChangeOf(e)
	if err != nil {
		return err
	}
	cs := r.rn.ApplyConfChange(cc)
	r.setConf(*cs, e.Index)
	return nil
}

func (r *Replica) setConf(cs raftpb.ConfState, index uint64) {
	r.storage.conf, r.confIndex = cs, index
	conf, err := cs.Marshal()
	if err != nil {
		panic(fmt.Sprintf("BUG: membership cannot be marshalled: %v", err))
	}
	r.confBytes = conf
	r.log.SetApplied(max(index, r.applied), conf, nil)
	b := newBatch(frameBytes)
	r.log.StageCheckpoint(b)
	r.enqueue(&Write{Batch: b, mustSync: true})
	r.fx.MembersChanged = true
}

// snapshotData is the content of a snapshot: everything a new copy needs besides
// the retained entries, which follow by ordinary appends.
type snapshotData struct {
	NextOffset int64  `json:"next_offset"` // of the first retained record
	LogStart   int64  `json:"log_start"`
	ConfIndex  uint64 `json:"conf_index"`
	Producers  []byte `json:"producers,omitempty"` // the table as of now, which says so: retained entries that it has are not applied to it again

	Compaction []byte                 `json:"compaction,omitempty"` // asked for last, as of now too
	Compacted  *logfile.CompactedInfo `json:"compacted,omitempty"`  // parts that must be installed before the snapshot is
}

// makeSnapshot describes the beginning of the retained log. The membership is
// the current one; the receiver skips the changes that led to it.
func (r *Replica) makeSnapshot() (raftpb.Snapshot, error) {
	index := r.log.FirstIndex() - 1
	term, ok := r.log.Term(index)
	if !ok {
		return raftpb.Snapshot{}, raft.ErrSnapshotTemporarilyUnavailable
	}
	d := snapshotData{
		NextOffset: r.log.BaseOffset(), LogStart: r.log.LogStart(), ConfIndex: r.confIndex,
		Producers: r.encodeProducersAfter(index), Compaction: r.compaction.encode(),
	}
	if parts := r.log.Compacted(); parts.Generation > 0 {
		d.Compacted = &parts
	}
	data, err := json.Marshal(d)
	if err != nil {
		return raftpb.Snapshot{}, err
	}
	return raftpb.Snapshot{Data: data, Metadata: raftpb.SnapshotMetadata{
		Index: index, Term: term, ConfState: r.storage.conf,
	}}, nil
}

// stageSnapshot replaces the log by an empty one that begins after the
// snapshot.
func (r *Replica) stageSnapshot(b *logfile.Batch, m raftpb.Message) error {
	var d snapshotData
	if err := json.Unmarshal(m.Snapshot.Data, &d); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	conf, err := m.Snapshot.Metadata.ConfState.Marshal()
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	r.log.Reset(b, logfile.Checkpoint{
		Index: m.Snapshot.Metadata.Index, Term: m.Snapshot.Metadata.Term,
		HardTerm: r.storage.hard.Term, Vote: r.storage.hard.Vote,
		Applied: max(m.Snapshot.Metadata.Index, d.ConfIndex), ConfState: conf,
		NextOffset: d.NextOffset, LogStart: d.LogStart, Producers: d.Producers, Compaction: d.Compaction,
	})
	if r.compaction, err = decodeCompaction(d.Compaction); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	table, err := decodeProducerTable(d.Producers)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	r.producers.ended()
	r.remember(table)
	r.storage.reset()
	return nil
}

// snapshotInstalled is called once the new log is durable.
func (r *Replica) snapshotInstalled(s *raftpb.Snapshot) {
	var d snapshotData
	if err := json.Unmarshal(s.Data, &d); err != nil {
		return // staged from the same bytes, which were readable then
	}
	r.storage.conf = s.Metadata.ConfState
	if conf, err := s.Metadata.ConfState.Marshal(); err == nil {
		r.confBytes = conf
	}
	r.confIndex = max(s.Metadata.Index, d.ConfIndex)
	r.applied = s.Metadata.Index
	r.hw = d.NextOffset
	r.fx.HighWatermarkMoved, r.fx.MembersChanged = true, true
	if err := r.restoreState(); err != nil {
		r.Fail(err)
	}
}

// roleChanged follows raft's soft state.
func (r *Replica) roleChanged(s *raft.SoftState) {
	r.leaderID = s.Lead
	leads := s.RaftState == raft.StateLeader
	switch {
	case leads && r.leading == nil:
		r.leading = newLeading(r.rn.BasicStatus().Term, r.cfg.MaxBatchBytes)
		r.storage.feeds = &feeds{}
		r.fx.RoleChanged = true
	case !leads && r.leading != nil:
		others := r.leading.stepDown(r.storage.hard.Commit, protocol.Unknownf("the leader changed before the record was committed"))
		r.fx.Committed = append(r.fx.Committed, others...) // behind the owner's end of leading
		r.leading = nil
		r.endFeeds()
		r.fx.RoleChanged = true
	}
}

// entryCommitted gives the pending entry of this index and term to the owner, in
// Effects.Committed, to be answered.
func (r *Replica) entryCommitted(index, term uint64) {
	l := r.leading
	if l == nil {
		return
	}
	if l.startServing(term) {
		r.fx.RoleChanged = true
		if len(l.reads.waiting) > 0 {
			r.confirmReads()
		}
	}
	if len(l.pending) > 0 {
		r.fx.Committed = l.committed(r.fx.Committed, index, term, r.cfg.Now())
	}
}

// encodeProducers writes the table of producers for a checkpoint, behind which entries up
// to the one that is applied are not applied again.
func (r *Replica) encodeProducers() []byte { return r.encodeProducersAfter(r.applied) }

// encodeProducersAfter writes the table for whoever applies the entries after that one.
func (r *Replica) encodeProducersAfter(index uint64) []byte {
	at := level.Newest
	if r.cfg.Level != nil {
		at = r.cfg.Level()
	}
	if asOf := max(r.applied, r.producers.asOf); asOf > index {
		return r.producers.encodeAs(at, asOf)
	}
	return r.producers.encode(at)
}
