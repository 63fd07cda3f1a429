package kafka

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"ottla/http/access"
	"ottla/http/budget"
	"ottla/http/fair"
	"ottla/protocol"
)

// Backend is what the Kafka face needs of the broker. All methods may be called from
// any goroutine; those that wait say for how long.
type Backend interface {
	// Node is the number of this process in its fleet, 0 where there is none.
	Node() uint64
	// Nodes lists the nodes of the fleet, none where there is no fleet.
	Nodes() ([]protocol.NodeInfo, *protocol.Error)
	// Clusters lists the clusters with their brokers, Topics the topics of one.
	Clusters() ([]protocol.ClusterInfo, *protocol.Error)
	Topics(cluster string, internal bool) ([]protocol.TopicInfo, *protocol.Error)
	Topic(cluster, name string) (*protocol.TopicInfo, *protocol.Error)
	CreateTopic(ctx context.Context, spec *protocol.TopicSpec) (info *protocol.TopicInfo, created bool, err *protocol.Error)
	AlterTopic(ctx context.Context, spec *protocol.TopicSpec) (*protocol.TopicInfo, *protocol.Error)
	DeleteTopic(ctx context.Context, cluster, name string) *protocol.Error
	DeleteRecords(ctx context.Context, cluster, topic string, trims []protocol.TrimRequest) ([]protocol.TrimmedPartition, *protocol.Error)

	// LookupTopic, Produce, StartFetch and PartitionOffsets are as for HTTP.
	LookupTopic(cluster, topic string, create bool, deadline time.Time) (*protocol.Topic, *protocol.Error)
	Produce(reqs []*protocol.ProduceRequest, deadline time.Time)
	StartFetch(req *protocol.FetchRequest) protocol.PendingFetch
	PartitionOffsets(topic *protocol.Topic, partition int) (earliest, latest protocol.Offset, err *protocol.Error)

	// Groups, Group, DeleteGroup and Offsets are as for HTTP.
	Groups(cluster string) ([]protocol.GroupInfo, *protocol.Error)
	Group(cluster, group string) (*protocol.GroupInfo, *protocol.Error)
	DeleteGroup(cluster, group string) *protocol.Error
	Offsets(req *protocol.OffsetsRequest) ([]protocol.OffsetInfo, *protocol.Error)

	// What members of groups ask; codes are Kafka's. An error says that no coordinator has
	// answered, or that the client may not ask. JoinClassic and SyncClassic wait for other
	// members.
	JoinClassic(cluster, group string, req *protocol.ClassicJoin) (protocol.ClassicJoined, *protocol.Error)
	SyncClassic(cluster, group string, req *protocol.ClassicSync, wait time.Duration) (protocol.ClassicSynced, *protocol.Error)
	HeartbeatClassic(cluster, group string, m protocol.ClassicMember) (int16, *protocol.Error)
	LeaveClassic(cluster, group string, members []protocol.ClassicMember) ([]int16, *protocol.Error)
	CommitClassic(cluster, group string, m protocol.ClassicMember, offsets []protocol.OffsetCommit) (int16, *protocol.Error)
	DescribeClassic(cluster, group string) (protocol.ClassicGroupInfo, *protocol.Error)
	DropOffsets(cluster, group string, partitions []protocol.TopicPartition) (int16, *protocol.Error)
}

// Options are the limits of the Kafka face, and what it shares with the HTTP one.
type Options struct {
	Logger  *slog.Logger
	Audit   *slog.Logger // gets a line for each change; its handler may block; nil: changes are not audited
	Listen  string       // HOST:PORT of the first broker; the others have the ports after it, or ports of their own if it is 0
	Host    string       // by which clients are told to come; empty: the one of Listen
	Cluster string       // whose topics it serves
	// Compression is the codec of records in answers: none, gzip, lz4 or zstd; empty: none.
	Compression string
	Fleet       bool // the process is a node of a fleet, perhaps one that does not know its number yet
	TLS         *tls.Config

	// Access knows who may ask; nil: everybody may do everything. As returns the broker
	// as somebody may use it; must be set with Access.
	Access *access.Registry
	As     func(protocol.Access) Backend

	// Addresses are the quotas of clients that show no token; nil: they have none.
	Addresses *access.Addresses

	Requests *budget.Budget  // bytes of requests in memory
	Answers  *budget.Answers // bytes of records in answers
	Gate     *fair.Gate      // of requests, of HTTP's clients as well; nil: none

	MaxRequestBytes  int // of one request, and of its batches decompressed
	MaxRecordBytes   int // key, value and headers of one record
	MaxBytes         int // of the records in one answer
	MaxRecordHeaders int // headers of one record
	MaxHeaderName    int // bytes of the name of one
	MaxJSONDepth     int // of a value that HTTP shows as JSON; deeper ones are text
	MaxNumberDigits  int // of its numbers, likewise
	MaxConnections   int // open at the same time

	Millis func() int64 // for records without a timestamp, milliseconds since 1970; nil: the system's clock

	RequestTimeout time.Duration // within which a produce or a change is answered
	MaxWait        time.Duration // longest wait of a fetch
	ReadTimeout    time.Duration // for a whole request to arrive
	WriteTimeout   time.Duration // for a whole answer to be taken
	IdleTimeout    time.Duration // between requests of a connection
}
