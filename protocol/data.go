package protocol

import (
	"sync/atomic"
	"time"
)

// Counter hands out consecutive numbers, for round-robin placement.
type Counter struct{ n atomic.Uint64 }

// Next returns 0, 1, 2, ... and is safe for concurrent use.
func (c *Counter) Next() uint64 { return c.n.Add(1) - 1 }

// ProduceRequest is one partition's share of a produce request. The backend
// owns it, Lines included, from the call on.
type ProduceRequest struct {
	Topic     *Topic
	Partition int
	Lines     Lines
	NoAck     bool      // acks=none: answered when it is queued
	Deadline  time.Time // when its sender gives up waiting; zero: never. Set by the backend

	// Idempotence; ProducerID is empty without it.
	ProducerID string
	Epoch      int64
	Sequence   int64
	BodyHash   uint64 // with an Idempotency-Key: tells another body from a retry

	Result ProduceResult         // filled by the backend before Produce returns
	Reply  Future[ProduceResult] // the backend's reply slot
}

// ProduceResult answers a ProduceRequest.
type ProduceResult struct {
	BaseOffset Offset
	Duplicate  bool
	Timestamp  int64 // of a duplicate's first record, milliseconds since 1970
	Err        *Error
}

// Record is a record as it comes back. Key, Value and Headers are log tokens
// (see token.go) in a buffer that the reader owns; Headers is empty without.
type Record struct {
	Topic     string
	Partition int
	Offset    Offset
	Timestamp int64 // milliseconds since 1970
	Key       []byte
	Value     []byte
	Headers   []byte
}

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
}

// FetchRequest reads a partition without a group. It starts at Offset, or,
// when Timestamp is set, at the first record whose timestamp is not before.
type FetchRequest struct {
	Topic      *Topic
	Partition  int
	Offset     Offset
	Timestamp  *int64
	MaxRecords int
	MaxBytes   int
	Timeout    time.Duration          // how long to wait for a first record
	Done       <-chan struct{}        // when not nil, its closing ends the wait early
	Left       <-chan struct{}        // the same, closed when the client leaves, before a Nudge
	Watch      func() <-chan struct{} // when not nil, called once when the read begins to wait, for Left
	Room       Room                   // when not nil, records are read only as far as it has room
	Sink       RecordSink             // when not nil, it takes the records, and the reply has none
}

// RecordSink takes the records of an answer one by one, out of buffers that
// are used again: a slice of records would need memory that lasts.
type RecordSink interface {
	// Expect says before the first record about how many bytes are coming,
	// counted as in log lines and 64 more for each record.
	Expect(bytes int)
	// Take takes the next record; it and its tokens are valid until Take
	// returns.
	Take(r *Record)
	// Forget is called when what was taken so far is not in the answer.
	Forget()
}

// Room is the memory that the records of one answer are read into; all answers
// share it. What is held when the read ends is its caller's to give back.
type Room interface {
	// Take reserves up to want bytes, at least 1, instead of what was held, and
	// returns how many: when it is less, records may be read until they have so
	// many, at least one in any case. It may wait for others to give back, two
	// seconds at most. Error: overloaded.
	Take(want int) (int, *Error)
	// Keep makes what is held the n bytes that were read; 0 when there was
	// nothing. Error: overloaded, a single large record may have no room.
	Keep(n int) *Error
}

// FetchReply answers a FetchRequest.
type FetchReply struct {
	Records       []Record
	NextOffset    Offset
	HighWatermark Offset
	Earliest      Offset
}

// StartFrom says where a group starts on a partition without an offset.
type StartFrom struct {
	Latest    bool
	Timestamp *int64 // milliseconds since 1970; nil: earliest, or latest
}

// PollRequest is one GET /events.
type PollRequest struct {
	Cluster        string     // empty: found by the topics
	Group          string     // empty: consumer-<id>
	ConsumerID     ConsumerID // 0: assign a fresh one
	Topics         []string
	MaxRecords     int
	MaxBytes       int
	Timeout        time.Duration
	SessionTimeout time.Duration
	AutoCommit     bool
	From           StartFrom
	Ack            string // cursor to commit first
	After          string // cursor to read on from; with AutoCommit nothing steps back
	Resume         bool   // without ConsumerID: be the consumer of After, not a fresh one
	RecordCursors  bool   // fill in PollReply.Cursors; a backend may decline

	// The next three are for streams, which are one poll after the other.
	Continue bool   // After counts in a later generation, too, for partitions that stayed
	Announce bool   // a rebalance ends the wait
	Number   uint64 // when not 0, PollReply.Number of the first one: who has polled since is newer than this poll

	Gone func() bool     // when not nil, whether the client has left; nothing is delivered then
	Left <-chan struct{} // when not nil, closed when it leaves, before a Nudge; else Gone is asked from time to time

	Watch func() <-chan struct{} // when not nil, called once when the poll begins to wait for records, for Left

	Room Room       // when not nil, records are read only as far as it has room, and before anything is committed
	Sink RecordSink // when not nil, it takes the records, and the reply has none; excludes RecordCursors
}

// Pending is a read step by step, for callers that have no goroutine to spare
// for one that waits. One step at a time.
type Pending[R any] interface {
	// Advance returns the answer, or that the read waits: it is to be parked,
	// and then to be advanced again.
	Advance() (reply R, waits bool, err *Error)
	// Park returns at once. When there may be something to answer, at the
	// latest when the read's time is up, resume is called: once, on whatever
	// goroutine, perhaps before Park returns. It must not block.
	Park(resume func())
	// Nudge has a parked read look at its request's Left and Done, at any time.
	Nudge()
}

// PendingPoll is a poll step by step.
type PendingPoll = Pending[*PollReply]

// PendingFetch is a read of a partition step by step.
type PendingFetch = Pending[*FetchReply]

// PollReply answers a PollRequest.
type PollReply struct {
	ConsumerID ConsumerID
	Group      string
	Generation Generation
	Records    []Record
	Cursor     string
	Cursors    []string // with RecordCursors: the position after each record
	TimedOut   bool
	Number     uint64 // of the poll; later ones of any consumer have higher ones
	Superseded bool   // a newer poll of this consumer took over
}

// CommitRequest is one POST /offset. Without Offsets the consumer's position
// is committed, of Topic if that is set.
type CommitRequest struct {
	Cluster    string
	Group      string // empty: the one group the consumer is in
	ConsumerID ConsumerID
	Topic      string
	Offsets    []OffsetCommit
	Generation *Generation
	Force      bool
}

// OffsetCommit is one partition's offset: the next one to read.
type OffsetCommit struct {
	Topic     string
	Partition int
	Offset    Offset
	Metadata  string
}

// CommitReply answers a CommitRequest.
type CommitReply struct {
	Group      string           `json:"group"`
	ConsumerID ConsumerID       `json:"consumer_id"`
	Offsets    []CommittedEntry `json:"offsets"`
}

// CommittedEntry is one committed offset.
type CommittedEntry struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Offset    Offset `json:"offset"`
}

// OffsetsRequest is one GET /offset; Topic is optional.
type OffsetsRequest struct {
	Cluster string
	Group   string
	Topic   string
}

// OffsetInfo is one row of GET /offset.
type OffsetInfo struct {
	Topic     string      `json:"topic"`
	Partition int         `json:"partition"`
	Committed *Offset     `json:"committed"`
	Position  *Offset     `json:"position"`
	End       *Offset     `json:"end"` // nil while the partition has no leader, as is Lag
	Lag       *Offset     `json:"lag"`
	Metadata  string      `json:"metadata"`
	Owner     *ConsumerID `json:"owner"`

	CommittedAt time.Time `json:"-"` // zero without Committed
}

// GroupInfo describes a consumer group.
type GroupInfo struct {
	Group      string       `json:"group"`
	Cluster    string       `json:"cluster"`
	State      string       `json:"state"` // "stable", "rebalancing" or "empty"
	Generation Generation   `json:"generation"`
	Members    []MemberInfo `json:"members"`
	Lag        Offset       `json:"lag"` // over the partitions that have a leader
	CreatedAt  time.Time    `json:"created_at"`
}

// MemberInfo describes a group's member.
type MemberInfo struct {
	ConsumerID       ConsumerID       `json:"consumer_id"`
	Topics           []string         `json:"topics"`
	Assignment       []TopicPartition `json:"assignment"`
	LeaseExpiresAt   time.Time        `json:"lease_expires_at"`
	SessionTimeoutMs int64            `json:"session_timeout_ms"`
}

// SeekRequest moves a group's committed offsets.
type SeekRequest struct {
	Cluster   string
	Group     string
	Topic     string
	Partition *int // nil: all partitions of the topic
	Offset    *Offset
	Timestamp *int64
	Latest    bool // with Offset and Timestamp nil: latest, else earliest
}
