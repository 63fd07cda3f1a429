package replica

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
	"ottla/mutate"
	"ottla/protocol"
)

// Raft's tuning; sizes are in bytes. One entry is a group-committed batch, so a
// few messages in flight are many records.
const (
	raftMaxSizePerMsg       = 1 << 20
	raftMaxInflightMsgs     = 64
	raftMaxInflightBytes    = 32 << 20
	raftMaxUncommittedBytes = 128 << 20
	raftMaxApplyBytes       = 16 << 20
)

// firstLogIndex and firstLogTerm are those of an imaginary entry that the
// founding members of a group agree on; their logs begin behind it. A member
// that joins later lacks that entry, so raft sends it a snapshot, and with it the
// membership of the founders, which no log entry holds (docs/adr/0004).
const (
	firstLogIndex = 1
	firstLogTerm  = 1
)

// Config is what a replica needs besides its log. ApplyState, RestoreState and
// Proposed may be nil.
type Config struct {
	Internal       bool // __cluster_metadata or __consumer_offsets: a state machine in memory follows the log
	LazySync       bool // fsync: interval; votes, memberships and internal topics are synced all the same
	soleVoter      bool // forced: whatever the log says, the replica is the only member
	cachedBytes    int  // instead of maxCachedBytes, for tests
	ElectionTicks  int  // an election begins after one to two times as many calls of Tick without a leader
	HeartbeatTicks int  // calls of Tick between a leader's heartbeats
	MaxBatchBytes  int  // what one entry may gather; a larger proposal has an entry of its own
	Now            func() time.Time
	Millis         func() int64  // for append times, in milliseconds since 1970; nil: Now
	Keys           *KeyBudget    // of all replicas of the process; nil: none
	ClockJump      time.Duration // how far the append time of the last entry may be ahead of that; 0: 10 minutes
	Logger         *slog.Logger
	// ApplyState hands the committed records of an internal topic to its state
	// machine, in order, on every replica. The records' memory is shared: what is
	// kept must be copied.
	ApplyState func(records []logfile.Record)
	// RestoreState replaces that state machine's state by what compacted records
	// say, which is everything up to offset next.
	RestoreState func(records []logfile.Record, next int64)
	// Proposed is called for each entry with records that this replica has
	// proposed as the leader of a topic that is not internal.
	Proposed func(records, bytes int)
	// Level is that of the fleet, which what is written may not be above; nil:
	// level.Newest.
	Level func() int
}

// Replica is one broker's copy of a partition: raft's state machine, the log
// file that is its log, and, while it leads, the producers waiting for it.
// It does no I/O and knows no actor. Its owner calls it from one goroutine and,
// after each call, carries out what Take returns.
type Replica struct {
	cfg     Config
	id      logfile.Identity
	rn      *raft.RawNode
	log     *logfile.Log
	storage *storage

	applied   uint64 // index of the last entry that was applied; it is committed, and durable here
	hw        int64  // high watermark: the offset after the last committed record
	confIndex uint64 // index of the entry that made the membership storage.conf; a snapshot may bring one ahead of applied
	confBytes []byte // storage.conf, marshalled, for checkpoints

	producers  *producerTable // a function of the entries up to applied
	appends    appendClock
	aheadSince int64 // when CorrectTime found a time that is far ahead, 0: it has not

	compaction Compaction        // asked for last, as of applied
	installing uint64            // generation of compacted parts on their way through the disk, 0: none
	stateFrom  int64             // the restored state has all records below this offset
	deferred   *deferredSnapshot // a snapshot that waits for its compacted parts, nil: none

	ticks                int
	syncFloor, nextFloor uint64 // applied one to two election timeouts ago, see InSync

	leaderID uint64   // who leads, 0 when unknown
	leading  *leading // nil unless this replica leads

	writeSeq uint64   // Seq of the last write that was handed out
	writes   []*Write // handed out or waiting behind one that is; in order
	failed   error    // why the replica has stopped for good, nil while it runs

	fx Effects // asked for since the last Take
}

// New starts raft on an opened log, of which rec is what the recovery found. Raft
// begins with the commit index that the last checkpoint and the log itself vouch
// for; what else was committed it learns from the leader. Errors: a checkpoint or
// compacted records that cannot be read.
func New(cfg Config, log *logfile.Log, rec *logfile.Recovered) (*Replica, error) {
	if cfg.Millis == nil {
		cfg.Millis = func() int64 { return cfg.Now().UnixMilli() }
	}
	if cfg.ClockJump == 0 {
		cfg.ClockJump = defaultClockJump
	}
	r := &Replica{cfg: cfg, id: log.Identity(), log: log, appends: appendClock{cfg.Millis, cfg.ClockJump.Milliseconds()}}
	r.storage = &storage{log: log, snapshot: r.makeSnapshot, keep: cmp.Or(cfg.cachedBytes, maxCachedBytes)}
	if err := r.storage.conf.Unmarshal(rec.Checkpoint.ConfState); err != nil {
		return nil, fmt.Errorf("membership in checkpoint: %w", err)
	}
	r.confBytes = rec.Checkpoint.ConfState
	table, err := decodeProducerTable(rec.Checkpoint.Producers)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if mutate.On(mutate.ForgetProducers) {
		table = newProducerTable()
	}
	r.remember(table)
	if r.compaction, err = decodeCompaction(rec.Checkpoint.Compaction); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if err := r.restoreState(); err != nil {
		return nil, err
	}
	log.ProducersFrom(r.encodeProducers)
	applied := min(max(rec.Checkpoint.Applied, log.FirstIndex()-1), log.LastIndex())
	r.confIndex = rec.Checkpoint.Applied // may be ahead of the log, after a snapshot
	if cfg.Internal {
		r.storage.hard.Commit = applied
		r.producers.asOf = max(r.producers.asOf, applied) // the table has them
		applied = log.FirstIndex() - 1                    // replay everything
	}
	if cfg.soleVoter {
		if err := r.becomeSoleVoter(); err != nil {
			return nil, err
		}
	}
	r.applied = applied
	r.storage.hard.Term, r.storage.hard.Vote = rec.HardTerm, rec.Vote
	r.storage.hard.Commit = max(r.storage.hard.Commit, applied, committedByChanges(rec))
	if r.hw, err = r.offsetAfter(applied); err != nil {
		return nil, err
	}
	r.rn, err = raft.NewRawNode(r.raftConfig())
	if err != nil {
		return nil, fmt.Errorf("start raft: %w", err)
	}
	r.drain()
	return r, nil
}

// raftConfig is how raft is used here: writes are answered later, and a leader that hears
// of no majority steps down.
func (r *Replica) raftConfig() *raft.Config {
	return &raft.Config{
		ID:                        r.id.ReplicaID,
		ElectionTick:              r.cfg.ElectionTicks,
		HeartbeatTick:             r.cfg.HeartbeatTicks,
		Storage:                   r.storage,
		Applied:                   r.applied,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             raftMaxSizePerMsg,
		MaxCommittedSizePerReady:  raftMaxApplyBytes,
		MaxUncommittedEntriesSize: raftMaxUncommittedBytes,
		MaxInflightMsgs:           raftMaxInflightMsgs,
		MaxInflightBytes:          raftMaxInflightBytes,
		CheckQuorum:               true,
		PreVote:                   true,
		Logger:                    raftLogger{r.cfg.Logger},
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
	}
}

// remember has the replica go on with a table of producers.
func (r *Replica) remember(t *producerTable) {
	r.producers = t
	t.countIn(r.cfg.Keys)
	t.level = r.cfg.Level
}

// committedByChanges is up to where a recovered log proves by its own entries
// that they were committed: a leader proposes a change of membership only when
// it has applied the one before, so any log that holds the later one vouches
// for the earlier one. Raft relies on a replica knowing that much: by
// memberships two steps apart, two leaders could each find a majority.
func committedByChanges(rec *logfile.Recovered) uint64 {
	if n := len(rec.ConfChanges); n > 1 {
		return rec.ConfChanges[n-2]
	}
	return 0
}

// offsetAfter is the offset that follows the entry at index.
func (r *Replica) offsetAfter(index uint64) (int64, error) {
	switch {
	case index >= r.log.LastIndex():
		return r.log.NextOffset(), nil
	case index+1 == r.log.FirstIndex():
		return r.log.BaseOffset(), nil
	}
	return r.log.OffsetOf(index + 1)
}

// Take returns what has been asked for since the last Take, and forgets it.
func (r *Replica) Take() Effects {
	fx := r.fx
	r.fx = Effects{}
	return fx
}

// Step hands a peer's message to raft. One to another replica id, as a successor
// in the same place gets it, is dropped.
func (r *Replica) Step(m raftpb.Message) {
	if r.failed != nil || m.To != r.id.ReplicaID || r.deferSnapshot(m) {
		return
	}
	if r.yieldsTo(&m) {
		last := r.LastPosition()
		m.LogTerm, m.Index = last.Term, last.Index
	}
	if err := r.rn.Step(m); err != nil && !errors.Is(err, raft.ErrProposalDropped) && !errors.Is(err, raft.ErrStepPeerNotFound) {
		r.cfg.Logger.Debug("raft message refused", "type", m.Type.String(), "error", err)
	}
	r.drain()
}

// Tick is raft's clock; Config says what depends on its rate. When no write is
// under way it also stages a sync mark: it tells a recovery that all before it
// was synced, so that damage there is not taken for a torn tail.
func (r *Replica) Tick() {
	if r.failed != nil {
		return
	}
	r.rn.Tick()
	r.drain()
	if r.ticks++; r.ticks%r.cfg.ElectionTicks == 0 {
		r.syncFloor, r.nextFloor = r.nextFloor, r.applied
	}
	if r.leading != nil {
		r.leading.handOverTick(r.cfg.ElectionTicks)
		r.retryReads()
		r.retrySnapshots()
		r.feedTick()
	}
	if len(r.writes) > 0 {
		return
	}
	if b := newBatch(frameBytes); r.log.StageSyncMark(b) {
		r.enqueue(&Write{Batch: b})
	} else {
		unused(b)
	}
	if r.applied == r.log.LastIndex() {
		r.storage.reset()
	}
}

// Campaign starts an election at once, unless the replica leads. With forget, it
// first forgets the leader, which is known to be gone.
func (r *Replica) Campaign(forget bool) {
	if r.failed != nil || r.leading != nil {
		return
	}
	if forget {
		r.ForgetLeader()
	}
	if err := r.rn.Campaign(); err != nil {
		r.cfg.Logger.Debug("campaign refused", "error", err)
	}
	r.drain()
}

// ForgetLeader makes a follower willing to vote at once, although it heard of
// its leader a moment ago.
func (r *Replica) ForgetLeader() {
	if r.failed != nil || r.leading != nil {
		return
	}
	if err := r.rn.ForgetLeader(); err != nil {
		r.cfg.Logger.Debug("forget leader refused", "error", err)
	}
	r.drain()
}

// LastPosition is the last entry of the log, whether or not it is on disk yet;
// zero if the log is empty.
func (r *Replica) LastPosition() Position {
	last := r.log.LastIndex()
	term, err := r.storage.Term(last)
	if err != nil {
		return Position{} // an empty log without memory of what came before
	}
	return Position{Term: term, Index: last}
}

// Campaigning reports whether this replica is a candidate in an election.
func (r *Replica) Campaigning() bool {
	s := r.rn.BasicStatus().RaftState
	return s == raft.StatePreCandidate || s == raft.StateCandidate
}

// VotePending reports whether a vote may be on its way to the disk: to campaign
// now would begin a new term and make the vote worthless.
func (r *Replica) VotePending() bool {
	return slices.ContainsFunc(r.writes, func(w *Write) bool { return w.mustSync })
}

// drain carries out everything raft has ready, and looks after the followers that
// are fed.
func (r *Replica) drain() {
	r.drainRaft()
	for r.feedFollowers() {
		r.drainRaft()
	}
}

// drainRaft ends because each pass empties raft's outbox and only steps local
// responses.
func (r *Replica) drainRaft() {
	for r.failed == nil && r.rn.HasReady() {
		r.storage.own = true
		rd := r.rn.Ready()
		r.storage.own = false
		if rd.SoftState != nil {
			r.roleChanged(rd.SoftState)
		}
		for i := range rd.ReadStates {
			r.readConfirmed(rd.ReadStates[i])
		}
		for i := range rd.Messages {
			switch m := rd.Messages[i]; m.To {
			case raft.LocalAppendThread:
				r.storageAppend(m)
			case raft.LocalApplyThread:
				r.storageApply(m)
			default:
				if r.storage.feeds.isFed(&m) {
					r.fx.Old = append(r.fx.Old, m)
					continue
				}
				r.fx.Messages = append(r.fx.Messages, m)
			}
		}
	}
}

// Fail stops the replica for good: nothing is acknowledged, voted or written
// any more. Its owner reports it and has it rebuilt from its peers. The first
// error is kept, see Err.
func (r *Replica) Fail(err error) {
	if r.failed != nil {
		return
	}
	r.failed = err
	if r.leading != nil {
		r.leading.stepDown(0, protocol.Unknownf("the leader's storage failed"))
		r.leading = nil
	}
	r.endFeeds()
	r.leaderID = 0
	r.fx.RoleChanged = true
}

// Close answers everything that waits: what was proposed is unknown, what was
// only gathered did not happen. The log stays open.
func (r *Replica) Close() {
	r.endFeeds()
	r.producers.ended()
	if r.leading != nil {
		others := r.leading.stepDown(r.storage.hard.Commit, protocol.Unknownf("the broker stopped before the record was committed"))
		r.leading = nil
		for i := range others {
			others[i].Answer() // nobody reads here any more
		}
	}
	r.leaderID = 0
}

// endFeeds ends what a leader has begun for its followers.
func (r *Replica) endFeeds() {
	r.storage.feeds.stop()
	r.storage.feeds = nil
}
