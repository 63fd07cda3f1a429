package protocol

// Metrics is a snapshot of what the broker counts. Counters only grow while the
// process runs.
type Metrics struct {
	Topics  []TopicMetrics
	Groups  []GroupMetrics
	Brokers []BrokerMetrics
	Disk    DiskMetrics
	Scrub   ScrubMetrics
	CatchUp CatchUpMetrics
	Nodes   []NodeMetrics // the other nodes of the fleet
	Fleet   *FleetInfo    // nil: there is none, or it is not known yet

	ClockWrong bool // the node's clock differs from those of most other nodes

	Replicas      int // of partitions, that this process carries
	ReplicasLimit int // 0: none

	QueueRecordsRemoved uint64 // by retention, before a queue had ended them

	Elections      uint64    // number of times that a partition got a leader
	DamageNotFound uint64    // replicas that were reported damaged and in which repair found no damage
	BatchRecords   Histogram // records per raft entry, without internal topics
	BatchBytes     Histogram // bytes of the same entries
	GroupsStale    bool      // Groups is an older snapshot, because a coordinator does not answer

	// DirectoriesReplaced counts broker directories that were replaced, by reason:
	// "lost" or "outdated".
	DirectoriesReplaced map[string]uint64

	DataDirFree  uint64 // bytes of its filesystem that are free, 0 if unknown
	DataDirTotal uint64
}

// NodeMetrics counts what this process and another node of its fleet say to each
// other.
type NodeMetrics struct {
	Node      uint64
	Name      string
	Up        bool
	RoundTrip float64 // of the last ping, in seconds

	ClockAhead *float64 // by how many seconds its clock is ahead of this one's; nil: that is not known
	Lanes      []LaneMetrics
}

// LaneMetrics counts one lane of the connections with a node, since it is a member.
type LaneMetrics struct {
	Lane                     string
	SentBytes, ReceivedBytes uint64
	Dropped                  uint64 // messages and calls that were not sent
	Connections              uint64 // made so far
	QueuedBytes              int    // that wait to be sent
	Pending                  int    // calls without an answer
}

// CatchUpMetrics says what is done for replicas that are far behind their leaders in this
// process.
type CatchUpMetrics struct {
	Bytes     uint64 // read for them
	Held      int64  // bytes of that in memory
	Followers int    // that are fed
	Waiting   int    // for their turn
	Left      int64  // bytes that those that are fed still lack, about
}

// ScrubMetrics counts the verification of sealed segments.
type ScrubMetrics struct {
	Bytes     uint64 // verified
	Damage    uint64 // replicas in which it found damage
	Replicas  uint64 // replicas that were verified completely
	LastEnded int64  // when the last complete verification ended, milliseconds since 1970; 0: never
}

// TopicMetrics counts one topic. Bytes are those of log lines.
type TopicMetrics struct {
	Cluster  string
	Topic    string
	Internal bool

	ProducedRecords uint64
	ProducedBytes   uint64
	FetchedRecords  uint64
	FetchedBytes    uint64

	Partitions      int
	Leaderless      int
	UnderReplicated int   // have a leader, but not all replicas
	LogBytes        int64 // size of the leaders' copies
}

// GroupMetrics describes one consumer group.
type GroupMetrics struct {
	Cluster string `json:"cluster"`
	Group   string `json:"group"`
	Members int    `json:"members"`
	Lag     int64  `json:"lag"`

	Queue []QueuePartition `json:"-"` // of a queue
}

// BrokerMetrics counts the brokers of one cluster that are in one state.
type BrokerMetrics struct {
	Cluster string
	State   string
	Count   int
}

// DiskMetrics counts disk operations for all logs.
type DiskMetrics struct {
	Rounds          uint64 // writes to any number of logs, followed by one sync
	FileSyncs       uint64 // fdatasync of one file
	FilesystemSyncs uint64 // syncfs
	Files           uint64 // files made durable
	Bytes           uint64 // bytes written
	Stalls          uint64
	Unfit           bool      // it hangs or is full, so that leaders should be at other nodes
	Failures        uint64    // rounds in which something failed
	RoundSeconds    Histogram // duration of write and sync
	SyncSeconds     Histogram // duration of the sync alone
}

// Histogram counts values in buckets.
type Histogram struct {
	Bounds []float64 // upper bounds, ascending
	Counts []uint64  // values in each bucket, not cumulated; one more than Bounds, for larger values
	Sum    float64
}
