package protocol

// Metrics is one reading of what the broker counts. Counters only grow while
// the process lives.
type Metrics struct {
	Topics  []TopicMetrics
	Groups  []GroupMetrics
	Brokers []BrokerMetrics
	Disk    DiskMetrics
	Scrub   ScrubMetrics

	Elections      uint64    // leaders that partitions have got
	DamageNotFound uint64    // damaged replicas in which mending found no damage
	BatchRecords   Histogram // records per raft entry of topics, internal ones aside
	BatchBytes     Histogram // bytes of the same entries
	GroupsStale    bool      // Groups is an older reading: a coordinator does not answer

	// DirectoriesReplaced counts directories of brokers that could not be used
	// and were put aside, by reason: "lost" or "outdated".
	DirectoriesReplaced map[string]uint64

	DataDirFree  uint64 // bytes of its filesystem that are free, 0 if unknown
	DataDirTotal uint64
}

// ScrubMetrics is about the verification of sealed segments.
type ScrubMetrics struct {
	Bytes     uint64 // verified
	Damage    uint64 // replicas in which it found some
	Replicas  uint64 // verified from end to end
	LastEnded int64  // when the last of these ended, milliseconds since 1970; 0: none has
}

// TopicMetrics is about one topic. Bytes are those of log lines.
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
	UnderReplicated int   // have a leader, but lack a replica
	LogBytes        int64 // of the leaders' copies
}

// GroupMetrics is about one consumer group.
type GroupMetrics struct {
	Cluster string
	Group   string
	Members int
	Lag     int64
}

// BrokerMetrics counts the brokers of one cluster that are in one state.
type BrokerMetrics struct {
	Cluster string
	State   string
	Count   int
}

// DiskMetrics is what the disk has done for all logs.
type DiskMetrics struct {
	Rounds          uint64 // writes of many logs followed by one sync
	FileSyncs       uint64 // fdatasync of one file
	FilesystemSyncs uint64 // syncfs
	Files           uint64 // made durable
	Bytes           uint64 // written
	Stalls          uint64
	Failures        uint64    // rounds in which something failed
	RoundSeconds    Histogram // write and sync
	SyncSeconds     Histogram // sync alone
}

// Histogram counts values in buckets.
type Histogram struct {
	Bounds []float64 // upper bounds, ascending
	Counts []uint64  // values in each bucket alone; one more than Bounds, for what exceeds them all
	Sum    float64
}
