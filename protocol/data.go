package protocol

import (
	"sync/atomic"
	"time"
)

// Counter hands out consecutive numbers, for round-robin placement.
type Counter struct{ n atomic.Uint64 }

// Next returns 0, 1, 2, ... and is safe for concurrent use.
func (c *Counter) Next() uint64 { return c.n.Add(1) - 1 }

// ProduceRequest is the part of a produce request for one partition. From the call
// on it belongs to the backend, including Lines.
type ProduceRequest struct {
	Topic     *Topic
	Partition int
	Lines     Lines
	NoAck     bool      // acks=none: it is answered once it is queued
	Deadline  time.Time // when its sender stops waiting, zero: never; set by the backend
	Waits     func()    // called by Produce, perhaps several times, when the request waits for a leader; may be nil

	// Idempotence; ProducerID is empty without it.
	ProducerID string
	Epoch      int64
	Sequence   int64
	BodyHash   uint64 // with an Idempotency-Key: distinguishes another body from a retry
	Again      bool   // a partition knows the request already: it is placed as it was then

	Result  ProduceResult         // filled by the backend before Produce returns
	Settled bool                  // set by the backend when nobody reads Lines any more, so that its buffers may be used again
	Reply   Future[ProduceResult] // the backend's reply slot
}

// ProduceResult answers a ProduceRequest.
type ProduceResult struct {
	BaseOffset Offset
	Duplicate  bool
	Timestamp  int64 // of a duplicate's first record, milliseconds since 1970
	Err        *Error
}

// Record is a record that was read. Key, Value and Headers are log tokens (see
// token.go) in a buffer of the reader; Headers is empty if there are none.
type Record struct {
	Topic     string
	Partition int
	Offset    Offset
	Timestamp int64 // milliseconds since 1970
	Key       []byte
	Value     []byte
	Headers   []byte
	DeliverAt int64     // when queues give it at the earliest, milliseconds since 1970; 0: at once
	Delivery  *Delivery // of a queue; else nil
}

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
}

// FetchRequest reads a partition without a group. It starts at Offset or, if
// Timestamp is set, at the first record whose timestamp is not before that.
type FetchRequest struct {
	Topic      *Topic
	Partition  int
	Offset     Offset
	Timestamp  *int64
	MaxRecords int
	MaxBytes   int
	Timeout    time.Duration          // how long to wait for a first record
	Done       <-chan struct{}        // if not nil, closing it ends the wait early
	Left       <-chan struct{}        // the same for a client that leaves; closed before a Nudge
	Watch      func() <-chan struct{} // if not nil, called once when the read begins to wait, and returns Left
	Room       Room                   // if not nil, records are read only as far as it has room
	Sink       RecordSink             // if not nil, it takes the records, and the reply has none
	Impatient  bool                   // a partition without a leader is an error at once, which otherwise is waited for
	Near       bool                   // nothing is asked of another node, nor waited for: where one leads the partition, the error is ErrAway
}

// RecordSink takes the records of an answer one by one, from buffers that are
// reused; a slice of records would need memory of its own.
type RecordSink interface {
	// Expect is called before the first record with an estimate of the bytes that
	// follow: those of the log lines, and 64 more for each record.
	Expect(bytes int)
	// Take takes the next record; it and its tokens are valid until Take
	// returns.
	Take(r *Record)
	// Forget is called if the records taken so far are not in the answer.
	Forget()
}

// Room reserves memory for the records of one answer, out of a budget that all
// answers share. The caller of a read gives back what is reserved at its end.
type Room interface {
	// Take replaces the reservation by one of up to want bytes, at least 1, and
	// returns its size. If that is less than want, records may be read until they
	// take that many bytes, but always one. It may wait for memory, for up to two
	// seconds. Error: overloaded.
	Take(want int) (int, *Error)
	// Keep changes the reservation to the n bytes that were read, 0 if there were
	// none. Error: overloaded, if there is no memory for a single large record.
	Keep(n int) *Error
}

// FetchReply answers a FetchRequest.
type FetchReply struct {
	Records       []Record
	NextOffset    Offset
	HighWatermark Offset
	Earliest      Offset
}

// StartFrom says where a group starts on a partition without a committed offset.
type StartFrom struct {
	Latest    bool
	Timestamp *int64 // milliseconds since 1970; nil: earliest, or latest
}

// PollRequest is one GET /events.
type PollRequest struct {
	Cluster        string     // empty: the cluster that has the topics
	Group          string     // empty: consumer-<id>
	ConsumerID     ConsumerID // 0: assign a new one
	Topics         []string
	MaxRecords     int
	MaxBytes       int
	Timeout        time.Duration
	SessionTimeout time.Duration
	AutoCommit     bool
	AutoCreate     bool // create topics that do not exist
	From           StartFrom
	Ack            string // cursor to commit first
	After          string // cursor to continue from; with AutoCommit the committed offset does not go back
	Resume         bool   // without ConsumerID: use the consumer of After instead of a new one
	RecordCursors  bool   // fill in PollReply.Cursors; a backend need not
	SkipGaps       bool   // go on behind what was removed before it was read, and say so in PollReply.Gaps

	// The next five fields are for streams, which send one poll after the other.
	Continue bool   // accept After in a later generation, for partitions that stayed
	Announce bool   // a rebalance ends the wait
	Number   uint64 // if not 0, PollReply.Number of the first poll: polls since then are newer than this one
	Stay     bool   // the next poll comes at once, with PollReply.Seat where there is one
	Seat     Seat   // of the last reply, whose consumer, group and topics this poll has; nil: there was none

	Gone func() bool     // if not nil, reports whether the client has left; nothing is delivered then
	Left <-chan struct{} // if not nil, closed when it leaves, before a Nudge; else Gone is polled

	Watch func() <-chan struct{} // if not nil, called once when the poll begins to wait for records, and returns Left

	Room Room       // if not nil, records are read only as far as it has room, and before anything is committed
	Sink RecordSink // if not nil, it takes the records, and the reply has none; not with RecordCursors
}

// MaxPollTopics is how many topics a poll may name: it may have them all created.
const MaxPollTopics = 500

// Pending is a read in steps, for callers that cannot spare a goroutine for a read
// that waits. Only one step may run at a time.
type Pending[R any] interface {
	// Advance returns the answer, or that the read waits. In that case call Park,
	// and Advance again when it resumes.
	Advance() (reply R, waits bool, err *Error)
	// Park returns at once. resume is called once when there may be an answer, at
	// the latest when the time of the read is over: on any goroutine, perhaps
	// before Park returns. It must not block.
	Park(resume func())
	// Nudge makes a parked read check Left and Done of its request. It may be called
	// at any time.
	Nudge()
}

// PendingPoll is a poll in steps.
type PendingPoll = Pending[*PollReply]

// PendingFetch is a read of a partition in steps.
type PendingFetch = Pending[*FetchReply]

// PollReply answers a PollRequest.
type PollReply struct {
	Cluster    string
	ConsumerID ConsumerID
	Group      string
	Generation Generation
	Records    []Record
	Cursor     string
	Cursors    []string // with RecordCursors: the position after each record
	TimedOut   bool

	// AfterGeneration is the generation of After, if Resume is set: in another one
	// the assignment may have changed since.
	AfterGeneration Generation
	// Gaps are partitions whose records were removed before they were read. Without
	// SkipGaps nothing is delivered of them; if that goes for all records there are,
	// the poll fails with offset_out_of_range instead.
	Gaps []Gap

	Number     uint64 // of this poll; later polls of any consumer have higher numbers
	Superseded bool   // a newer poll of this consumer took over
	Seat       Seat   // with Stay: for the next poll; nil where that one has to ask
}

// Seat is that of a poll which its group still knows after the answer, so that the next
// poll goes on without asking the group first. Its owner gives it to the next poll or
// leaves it.
type Seat interface {
	// Leave gives the seat up; left says that the client has ended the connection.
	Leave(left bool)
}

// Gap is a position below the start of a partition's log.
type Gap struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Asked     Offset `json:"asked"`    // the position
	Earliest  Offset `json:"earliest"` // the first record that is left
	Latest    Offset `json:"latest"`   // the offset after the last record
}

// ReadingRequest begins a reading of a topic that belongs to no group and goes on
// until its caller ends it.
type ReadingRequest struct {
	Topic     *Topic
	Partition *int            // nil: all, also those that are added later
	Key       []byte          // only records with this key: the content of a JSON string, the text of other JSON, or the bytes; nil: all. Without Partition only its partition is read
	Offset    *Offset         // where Partition starts; nil: From says it
	From      StartFrom       // where all others start that are there at the beginning; those added later start at their earliest record
	After     string          // cursor to read on from instead
	Done      <-chan struct{} // if not nil, closing it ends a wait early
	Gone      func() bool     // if not nil, reports whether the client has left, which ends a wait early
	Uncounted bool            // records count as fetched only by Reading.Copies
}

// Reading reads a topic look by look. It is for one goroutine.
type Reading interface {
	// Next returns the next records, or what is below the start of a log, and waits
	// for either up to timeout. An empty reply is no error. A partition without a
	// leader does not hold up the others, and is read when it has one. Records,
	// keys and values in the reply are valid until the next call. Errors: topic_not_found
	// when the topic was deleted, storage_failed, overloaded.
	Next(look ReadingLook) (*ReadingReply, *Error)
	// Cursor is the position, for ReadingRequest.After.
	Cursor() string
	// Copies returns what counts the records of the last reply as fetched that many
	// more times. It may be called at any time, by several goroutines.
	Copies(*ReadingReply) func(times int)
	// Close ends the reading. There is no Next after it.
	Close()
}

// ReadingLook bounds one look of a Reading.
type ReadingLook struct {
	MaxRecords int
	MaxBytes   int
	Timeout    time.Duration
	Room       Room       // if not nil, records are read only as far as it has room
	UpTo       string     // if not empty, a cursor of the same topic: each partition is read up to its position there, and those without one are not read
	Sink       CursorSink // if not nil, it takes the records, and the reply has their number only
}

// CursorSink takes the records of a look one by one, as a RecordSink does. After an
// error of the look, what it has taken counts for nothing.
type CursorSink interface {
	// Expect is called before the first record with an estimate of the bytes that
	// follow: those of the log lines, 64 more for each record, and the cursors.
	Expect(bytes int)
	// TakeAt takes the next record, and the position after it. Both are valid until
	// TakeAt returns.
	TakeAt(r *Record, cursor []byte)
}

// ReadingReply is what a look has brought. Gaps come before the records.
type ReadingReply struct {
	AtEnd   bool // there was nothing more in any partition
	Gaps    []Gap
	Count   int // of records
	Records []Record
	Cursors []string // the position after each record
}

// CommitRequest is one POST /offset. Without Offsets it commits the consumer's
// position, only of Topic if that is set.
type CommitRequest struct {
	Cluster    string
	Group      string // empty: the one group the consumer is in
	ConsumerID ConsumerID
	Topic      string
	Offsets    []OffsetCommit
	Generation *Generation
	Force      bool
}

// OffsetCommit is the offset of one partition: the next one to read.
type OffsetCommit struct {
	Topic     string
	TopicID   string // that Topic must have; empty: any
	Partition int
	Offset    Offset
	Metadata  string
}

// CommitReply answers a CommitRequest.
type CommitReply struct {
	Group      string           `json:"group"`
	ConsumerID ConsumerID       `json:"consumer_id"`
	Offsets    []CommittedEntry `json:"offsets"`
	Moved      []CommittedEntry `json:"moved,omitempty"` // positions that were not committed: the partitions belong to others now
}

// AllRecords stands, as TrimRequest.Before, for the end of the partition.
const AllRecords Offset = -1

// TrimRequest has the records of a partition removed below an offset.
type TrimRequest struct {
	Partition int
	Before    Offset // the first one that stays, or AllRecords
}

// TrimmedPartition is where a partition begins after a TrimRequest.
type TrimmedPartition struct {
	Partition int    `json:"partition"`
	Earliest  Offset `json:"earliest"`
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
	End       *Offset     `json:"end"` // nil, like Lag, while the partition has no leader
	Lag       *Offset     `json:"lag"`
	Metadata  string      `json:"metadata"`
	Owner     *ConsumerID `json:"owner"`

	BeyondEnd bool `json:"beyond_end,omitempty"` // Committed is: what is written up to there is never read

	CommittedAt time.Time `json:"-"` // zero if Committed is nil
}

// GroupInfo describes a consumer group.
type GroupInfo struct {
	Group        string       `json:"group"`
	Cluster      string       `json:"cluster"`
	Mode         string       `json:"mode"`                    // ModeStream or ModeQueue
	State        string       `json:"state"`                   // "stable", "rebalancing" or "empty"
	Protocol     string       `json:"protocol,omitempty"`      // "kafka": its members speak Kafka's protocol
	ProtocolType string       `json:"protocol_type,omitempty"` // what they say they are, such as "consumer" or "connect"
	Generation   Generation   `json:"generation"`
	Members      []MemberInfo `json:"members"` // whose lease runs
	Lag          Offset       `json:"lag"`     // of the partitions that have a leader
	CreatedAt    time.Time    `json:"created_at"`
	*QueueInfo                // of a queue; else nil

	// LapsedMembers have been silent for longer than their lease, and nobody has taken
	// their place: they may come back and go on.
	LapsedMembers []MemberInfo `json:"lapsed_members,omitempty"`
}

// MemberInfo describes a member of a group.
type MemberInfo struct {
	ConsumerID       ConsumerID       `json:"consumer_id"`         // 0: it speaks Kafka's protocol
	MemberID         string           `json:"member_id,omitempty"` // of one that speaks Kafka's protocol
	Topics           []string         `json:"topics"`
	Assignment       []TopicPartition `json:"assignment"`
	LeaseExpiresAt   time.Time        `json:"lease_expires_at"`
	SessionTimeoutMs int64            `json:"session_timeout_ms"`
}

// HeartbeatRequest renews the lease of a member without a poll.
type HeartbeatRequest struct {
	Cluster        string
	Group          string
	ConsumerID     ConsumerID
	Generation     *Generation   // if not nil, the one that the member knows
	SessionTimeout time.Duration // 0: as it is
}

// HeartbeatReply answers a HeartbeatRequest.
type HeartbeatReply struct {
	Generation Generation       `json:"generation"`
	LeaseMs    int64            `json:"lease_ms"` // from now on
	Assignment []TopicPartition `json:"assignment"`
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
	Create    bool // make the group, where there is none of the name
	Metadata  string
}
