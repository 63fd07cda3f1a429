package protocol

import "time"

// ClusterSpec describes a cluster to create. Nil means "not sent": the default
// applies, and a repeated request is not compared in that field.
type ClusterSpec struct {
	Name              string
	NumBrokers        *int     // 1-9, default 3
	LogDirectory      *string  // relative path below the data directory, default the name
	Partitions        *int     // default partitions of its topics, 1-1024, default 3
	RetentionHours    *float64 // hours records are kept, -1 for ever, default 168
	ReplicationFactor *int     // 1-num_brokers, default min(3, num_brokers)
	Fsync             *string  // "always" (default) or "interval"
}

// ClusterInfo describes a cluster.
type ClusterInfo struct {
	ID                string       `json:"id"`
	Name              string       `json:"name"`
	NumBrokers        int          `json:"num_brokers"`
	LogDirectory      string       `json:"log_directory"`
	Partitions        int          `json:"partitions"`
	RetentionHours    float64      `json:"retention_policies"`
	ReplicationFactor int          `json:"replication_factor"`
	Fsync             string       `json:"fsync"`
	CreatedAt         time.Time    `json:"created_at"`
	Brokers           []BrokerInfo `json:"brokers"`
	Error             string       `json:"error,omitempty"` // why it is not started; fields that only its log knows are 0 then
}

// ClusterDetail is a cluster with its topics.
type ClusterDetail struct {
	ClusterInfo
	Topics []TopicInfo `json:"topics"`
}

// The states of a broker that clients see.
const (
	BrokerRunning = "running"
	BrokerStopped = "stopped"
	BrokerFailed  = "failed"
)

// BrokerInfo describes one broker; State is BrokerRunning, BrokerStopped or
// BrokerFailed.
type BrokerInfo struct {
	ID        int       `json:"id"`
	Node      uint64    `json:"node,omitempty"` // the node of the fleet that it runs at; 0: there is no fleet
	Host      string    `json:"host"`
	Port      int       `json:"port"`
	State     string    `json:"state"`
	Error     string    `json:"error,omitempty"` // why it failed
	Directory string    `json:"directory"`
	CreatedAt time.Time `json:"created_at"`
	Cluster   string    `json:"-"`
}

// MaxTopicRecordBytes is the largest max_record_bytes of a topic, independent of
// the server's configuration.
const MaxTopicRecordBytes = 16 << 20

// TopicSpec describes a topic to create, or new settings of an existing one. Nil
// means "not sent".
type TopicSpec struct {
	Name              string
	Cluster           string // empty: the default cluster when creating
	Partitions        *int
	ReplicationFactor *int
	RetentionMs       *int64 // -1: for ever
	RetentionBytes    *int64 // per partition; -1: unlimited
	SegmentBytes      *int64
	CleanupPolicy     *string // "delete" or "compact"
	DeleteRetentionMs *int64
	MaxRecordBytes    *int

	// Assignment are the brokers of each partition's copies, the preferred leader first: of
	// all partitions of a new topic, or of those that are added; nil: the cluster chooses.
	Assignment *[][]int

	// Restoring creates a topic that is filled from a backup: until it is set to "", only
	// the producer of that id may write, and nobody reads. StartOffsets are where its
	// partitions begin; nil: at 0.
	Restoring    *string
	StartOffsets *[]int64

	// Reset are settings of an existing topic that become the default of its cluster
	// again, unless they are set.
	Reset TopicReset
}

// TopicReset are settings of a topic, a bit each.
type TopicReset uint8

// The settings that can be reset.
const (
	ResetRetentionMs TopicReset = 1 << iota
	ResetRetentionBytes
	ResetSegmentBytes
	ResetCleanupPolicy
	ResetDeleteRetentionMs
	ResetMaxRecordBytes
)

// TopicInfo describes a topic.
type TopicInfo struct {
	ID                string          `json:"id"`
	Name              string          `json:"name"`
	Cluster           string          `json:"cluster"`
	Partitions        []PartitionInfo `json:"partitions"`
	ReplicationFactor int             `json:"replication_factor"`
	RetentionMs       int64           `json:"retention_ms"`
	RetentionBytes    int64           `json:"retention_bytes"`
	SegmentBytes      int64           `json:"segment_bytes"`
	CleanupPolicy     string          `json:"cleanup_policy"`
	DeleteRetentionMs int64           `json:"delete_retention_ms"`
	MaxRecordBytes    int             `json:"max_record_bytes"`
	CreatedAt         time.Time       `json:"created_at"`
	Restoring         string          `json:"restoring,omitempty"` // see TopicSpec
}

// PartitionInfo describes a partition. LeaderBrokerID is nil while there is
// no leader; Replicas and InSync are broker ids.
type PartitionInfo struct {
	Number         int   `json:"partition_number"`
	LeaderBrokerID *int  `json:"leader_broker_id"`
	Replicas       []int `json:"replicas"`
	InSync         []int `json:"in_sync"`
	// Earliest, Latest and LogBytes, the size of its copy, come from the leader; nil
	// while none answers.
	Earliest *Offset `json:"earliest"`
	Latest   *Offset `json:"latest"`
	LogBytes *int64  `json:"log_bytes"`
}

// ProducerInfo is a producer that a cluster remembers. Name is its Producer-Id, or
// the name derived from an Idempotency-Key.
type ProducerInfo struct {
	Cluster string
	Name    string
}

// Topic is what the front end needs to know of a topic on the hot path. It is
// immutable and part of the routing snapshot.
type Topic struct {
	Cluster        string
	Name           string
	ID             string
	Partitions     int
	MaxRecordBytes int
	Internal       bool
	Compacted      bool        // its cleanup_policy is compact
	Earlier        []Placement // numbers of partitions that it has had lately, oldest first; none: it has those that it began with
	Restoring      string      // see TopicSpec
	RoundRobin     *Counter    // shared by all snapshots of this topic
	Route          any         // for the backend; opaque to callers
}

// Readiness is the answer to /readyz.
type Readiness struct {
	Ready      bool              `json:"ready"`
	Starting   bool              `json:"starting"`
	Joining    string            `json:"joining,omitempty"` // why the node does not belong to its fleet yet
	Leaderless []PartitionStatus `json:"leaderless"`
	Degraded   []PartitionStatus `json:"degraded"` // have a leader, but replicas are missing or quarantined
}

// NodeInfo describes a node of a fleet.
type NodeInfo struct {
	ID        uint64       `json:"id"`
	Name      string       `json:"name"`
	UUID      string       `json:"uuid"`
	HTTP      string       `json:"http"`
	Kafka     string       `json:"kafka,omitempty"` // HOST:PORT for Kafka clients; empty: none are served
	Link      string       `json:"link"`
	Rack      string       `json:"rack"`
	Version   string       `json:"version"`
	Newest    int          `json:"newest_level,omitempty"` // up to which level its program goes; 0: it is not heard of
	State     string       `json:"state"`
	Brokers   []NodeBroker `json:"brokers"`
	Leaders   int          `json:"leaders"`  // partitions that a replica of it leads
	Replicas  int          `json:"replicas"` // that are placed on it
	CreatedAt time.Time    `json:"created_at"`
}

// FleetInfo describes a fleet as a whole. What is written is of its level or below, so
// programs that go up to the level can be started, and older ones cannot.
type FleetInfo struct {
	ID         string         `json:"id"`
	Nodes      int            `json:"nodes"`                 // that are not gone
	Versions   map[string]int `json:"versions"`              // of the program, with the number of nodes
	Level      int            `json:"level"`                 // in force
	Offered    int            `json:"offered"`               // that all nodes go up to
	Newest     int            `json:"newest"`                // that the node goes up to that is asked
	Held       bool           `json:"held"`                  // a node keeps the level from being raised by itself
	WaitingFor string         `json:"waiting_for,omitempty"` // why Offered is not Newest
}

// NodeBroker is a broker that runs at a node.
type NodeBroker struct {
	Cluster string `json:"cluster"`
	ID      int    `json:"id"`
}

// States of a node, as the node that is asked sees them.
const (
	NodeActive      = "active"
	NodeUnreachable = "unreachable"
	NodeDraining    = "draining" // leadership leaves it
	NodeLeaving     = "leaving"  // its brokers are moved to other nodes
	NodeGone        = "gone"     // another one has taken its place
)

// TaskInfo describes something that a fleet is doing, or has done.
type TaskInfo struct {
	ID         string    `json:"id"`
	Kind       string    `json:"kind"`  // "replace", "decommission", "rebalance" or "resize"
	State      string    `json:"state"` // "running", "done" or "cancelled"
	Node       uint64    `json:"node,omitempty"`
	With       uint64    `json:"with,omitempty"`
	Cluster    string    `json:"cluster,omitempty"` // of a resize, as is Brokers
	Brokers    int       `json:"brokers,omitempty"`
	Moved      int       `json:"moved"`                 // replicas
	Left       int       `json:"left"`                  // replicas that are not moved yet
	WaitingFor string    `json:"waiting_for,omitempty"` // why it does not get on
	CatchUp    *CatchUp  `json:"catch_up,omitempty"`    // nil: no replica is filled at the moment
	StartedAt  time.Time `json:"started_at"`
}

// CatchUp is how far replicas are that are being filled.
type CatchUp struct {
	BytesLeft      int64 `json:"bytes_left"`             // about
	BytesPerSecond int64 `json:"bytes_per_second"`       // lately, of all of them together; 0 is not known yet
	SecondsLeft    int64 `json:"seconds_left,omitempty"` // at that rate
}

// States of a task.
const (
	TaskRunning   = "running"
	TaskDone      = "done"
	TaskCancelled = "cancelled" // what had been done by then stays
)

// PartitionStatus says what is wrong with one partition.
type PartitionStatus struct {
	Cluster   string `json:"cluster"`
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Reason    string `json:"reason"`
}
