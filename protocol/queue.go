package protocol

// Modes of a group.
const (
	ModeStream = "stream" // partitions are shared out among the members
	ModeQueue  = "queue"  // records are
)

// Defaults and bounds of queues. Times are in milliseconds.
const (
	DefaultAckWaitMs     = 30_000
	DefaultMaxDeliveries = 5
	DefaultMaxInFlight   = 10_000

	MaxAckWaitMs   = 24 * 60 * 60 * 1000
	MaxDeliveries  = 10_000
	MaxBackoffs    = 32
	MaxDelayMs     = 30 * 24 * 60 * 60 * 1000 // of a delivery, and of a nack
	MaxInFlight    = 100_000
	MaxQueueTopics = 100
	MaxReason      = 1024 // characters
)

// QueueSpec describes a queue to create, or new settings of one. Nil means "not sent".
type QueueSpec struct {
	Group           string
	Cluster         string
	Topics          []string
	AckWaitMs       *int64
	MaxDeliveries   *int
	BackoffMs       []int64
	DeadLetterTopic *string
	Order           *Order
	MaxInFlight     *int
}

// QueueInfo is what GroupInfo says of a queue beyond other groups.
type QueueInfo struct {
	Topics          []string         `json:"topics"`
	AckWaitMs       int64            `json:"ack_wait_ms"`
	MaxDeliveries   int              `json:"max_deliveries"`
	BackoffMs       []int64          `json:"backoff_ms"`
	DeadLetterTopic *string          `json:"dead_letter_topic"` // nil: each topic has its own
	Order           Order            `json:"order"`
	MaxInFlight     int              `json:"max_in_flight"`
	Partitions      []QueuePartition `json:"partitions"`
}

// QueuePartition is where a queue is on one partition.
type QueuePartition struct {
	Topic         string `json:"topic"`
	Partition     int    `json:"partition"`
	End           Offset `json:"end"`
	Position      Offset `json:"position"`  // all records below it are ended
	Ready         int64  `json:"ready"`     // wait for a worker; also those whose deliver_at the queue has not read yet
	InFlight      int    `json:"in_flight"` // with a worker, before their deadline
	Delayed       int    `json:"delayed"`   // wait for their time
	Dead          int64  `json:"dead"`      // have gone to the dead letters
	Removed       int64  `json:"removed"`   // were removed by retention before they were ended
	OldestReadyMs *int64 `json:"oldest_ready_ms"`
}

// Delivery is what a record of a queue has with it.
type Delivery struct {
	Receipt  string `json:"receipt"`
	Count    int    `json:"count"`
	Deadline int64  `json:"deadline"` // milliseconds since 1970
}

// The verbs of a DeliveryRequest.
const (
	VerbAck    = "ack"
	VerbNack   = "nack"
	VerbExtend = "extend"
)

// DeliveryRequest is what a worker says of deliveries. Times are in milliseconds.
type DeliveryRequest struct {
	Verb      string
	Receipts  []string
	DelayMs   *int64 // of a nack; nil: by the queue's settings
	Reason    string // of a nack
	Dead      bool   // of a nack
	AckWaitMs int64  // of an extension
}
