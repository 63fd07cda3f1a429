package logfile

import "time"

// This file holds the types that the owner of a replica (one goroutine at a
// time) and readers (any goroutine) share.

// Identity says which replica a file belongs to. It stands in every file, since
// a path can be wrong.
type Identity struct {
	ClusterID string
	TopicID   string
	Topic     string
	Partition int
	Broker    int
	ReplicaID uint64
}

// Kind says what an entry holds.
type Kind byte

// The kinds of entries.
const (
	KindRecords    Kind = 'r' // record lines, optionally preceded by "#p" lines
	KindEmpty      Kind = 'e' // a new leader's empty entry
	KindConfChange Kind = 'c' // a membership change: opaque bytes in a "#e" line
	KindControl    Kind = 'x' // a replicated control entry (log start): opaque bytes in a "#e" line
	// KindCompacted is a run of records that compaction kept. It stands in a part,
	// never in a segment: offsets ascend and may have gaps, Index counts the frames
	// of the part from 1, Term is 0.
	KindCompacted Kind = 'k'
)

// Frame is one raft log entry as it stands in a segment.
type Frame struct {
	Index      uint64
	Term       uint64
	Kind       Kind
	BaseOffset int64 // offset of the first record, or the next offset when Count is 0
	Count      int   // records
	AppendTime int64 // milliseconds since 1970; it goes back only where a clock was ahead, or is behind
	Body       []byte
	BodySum    uint32 // CRC32C of Body alone, computed once by the leader
}

// TermStart is the first index of a term.
type TermStart struct{ Index, Term uint64 }

// Checkpoint is the state of a log at one entry. It begins each segment and may
// be repeated within one.
type Checkpoint struct {
	Index      uint64 // the entry before the segment's first, 0 at the beginning
	Term       uint64 // term of that entry
	HardTerm   uint64 // raft's current term and vote
	Vote       uint64
	Applied    uint64 // ConfState and Producers are as of this index
	ConfState  []byte // opaque: marshalled raftpb.ConfState
	NextOffset int64
	LogStart   int64
	Producers  []byte // opaque: producer table
	Compaction []byte // opaque: the last compaction that was requested, as of Applied
	Terms      []TermStart
}

// Options tune a log. The zero value means the defaults.
type Options struct {
	SegmentBytes  int64         // a segment that has reached this size is rolled; default 128 MiB
	IndexInterval int           // bytes between index entries; default 4096
	BootID        string        // boot id of the running kernel; see Recovery in README.md
	ClockJump     time.Duration // an append time that is further ahead of now is that of a wrong clock; default 10 minutes
	LargeBody     int           // bytes from which a body is not copied into a batch; default LargeBody, tests have less
	// Cache bounds the open handles of segments. Logs may share one; nil gives the
	// log a cache of its own with 4 handles of sealed ones.
	Cache *HandleCache
	// Together makes a file of this log and the names in its directory durable by one sync
	// for many logs that are opened at the same time, and reports whether it did so: if
	// not, or if it is nil, Open syncs each by itself.
	Together func(*File) bool
	// Recent keeps the ends of logs in memory, for their views. Nil keeps nothing.
	Recent *Recent
}

// Recovered is what Open found.
type Recovered struct {
	Identity    Identity
	Checkpoint  Checkpoint // the newest one
	HardTerm    uint64     // the greatest of "#h", "#c" and the frames' terms
	Vote        uint64     // in HardTerm, 0 if none
	SyncedIndex uint64     // the log itself proved that entries up to here were synced; after Open all of it is
	LastIndex   uint64
	NextOffset  int64
	LogStart    int64
	ConfChanges []uint64 // indexes of the membership entries after Checkpoint.Applied, ascending
	SameBoot    bool     // the end of the log was written since the machine started
	Clean       bool     // the log ends with a sync mark that covers its last entry
	CutBytes    int64    // length of an unsynced tail that was cut, 0 if none
	BrokenCopy  string   // where the cut bytes are kept, "" if none
}

// Record is one record of a log. Key, Value and Headers are tokens as they
// stand in the line; Headers is empty when the line has none.
type Record struct {
	Offset    int64
	Timestamp int64 // milliseconds since 1970
	Key       []byte
	Value     []byte
	Headers   []byte
	Action    []byte
}

// Line is a record with the fields that all records of a log have in common.
type Line struct {
	Record
	Topic     []byte
	Partition int
}
