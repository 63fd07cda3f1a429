package http

import (
	"context"
	"time"

	"ottla/protocol"
)

// Backend is what the front end needs of the broker. All methods may be called
// from any goroutine; those that wait say for how long.
type Backend interface {
	// Readiness returns which partitions lack a leader.
	Readiness() protocol.Readiness
	// Nodes lists the nodes of the fleet, none where there is no fleet. Errors: the node
	// does not belong to its fleet yet.
	Nodes() ([]protocol.NodeInfo, *protocol.Error)
	// DrainNode has leadership leave a node, or lets it come back. ReplaceNode has the
	// brokers of a lost node begin anew at another one. Errors: node_not_found;
	// not_allowed.
	DrainNode(ctx context.Context, id uint64, drain bool) *protocol.Error
	ReplaceNode(ctx context.Context, lost, with uint64) (*protocol.TaskInfo, *protocol.Error)
	// DecommissionNode has all brokers of a node moved to others, KeepNode takes that back.
	// Rebalance has brokers moved until all nodes have about as many. Errors: node_not_found;
	// not_allowed where that cannot be.
	DecommissionNode(ctx context.Context, id uint64) (*protocol.TaskInfo, *protocol.Error)
	KeepNode(ctx context.Context, id uint64) *protocol.Error
	Rebalance(ctx context.Context) (*protocol.TaskInfo, *protocol.Error)
	// ResizeCluster gives a cluster more brokers, or fewer, and returns the task of it, nil
	// where it has as many. Errors: cluster_not_found; not_allowed.
	ResizeCluster(ctx context.Context, name string, brokers int) (*protocol.TaskInfo, *protocol.Error)
	// Fleet describes the fleet as a whole, Finalize raises its level to what all nodes
	// offer. Errors: starting; node_not_found where there is no fleet; not_allowed where
	// not all nodes offer more.
	Fleet() (*protocol.FleetInfo, *protocol.Error)
	Finalize(ctx context.Context) (*protocol.FleetInfo, *protocol.Error)
	// Tasks lists what the fleet is doing or has done, the newest first.
	Tasks() []protocol.TaskInfo
	// Renew waits until this process knows all nodes and tasks of the fleet that existed
	// when it was called; nothing is called unknown before. Errors: there is nobody to ask.
	Renew() *protocol.Error
	// Node is the number of this process in its fleet, 0 where there is none.
	Node() uint64
	// LeaderAddress is HOST:PORT of the node that leads a partition, "" where there is no
	// fleet, or nobody leads.
	LeaderAddress(t *protocol.Topic, partition int) string
	// Overview returns the state of everything at a glance, which nobody may change. It
	// may wait for a moment.
	Overview() *protocol.Overview
	// Metrics returns what the broker counts. It may wait for a moment.
	Metrics() *protocol.Metrics

	// LookupTopic resolves a topic from the routing snapshot: in the named
	// cluster, or, when cluster is empty, in the one that has it. With create,
	// an unknown topic is created if automatic creation is on; waits for that
	// until the deadline. Errors: topic_not_found, cluster_not_found,
	// ambiguous_topic, starting.
	LookupTopic(cluster, topic string, create bool, deadline time.Time) (*protocol.Topic, *protocol.Error)
	// RestoringTopic resolves a topic that a producer fills from a backup, which
	// LookupTopic refuses. Errors: those of LookupTopic.
	RestoringTopic(cluster, topic, producer string) (*protocol.Topic, *protocol.Error)

	// Placed says by which number of partitions a request with an id is to be placed:
	// again means that partitions know it as it was placed by that one. It is asked
	// where Topic.MayBeRetry. Errors: those of Produce; nothing was done.
	Placed(topic *protocol.Topic, q *protocol.PlaceQuestion, deadline time.Time) (by protocol.Placement, again bool, err *protocol.Error)
	// Produce sends every request to its partition's leader, following it when
	// it moves, and returns when all have their Result or the deadline passed
	// (then with outcome_unknown, or an error of outcome none if nothing was
	// sent).
	Produce(reqs []*protocol.ProduceRequest, deadline time.Time)

	// StartFetch begins a read of a partition that waits up to req.Timeout for
	// a first record. Errors: offset_out_of_range with details earliest and
	// latest.
	StartFetch(req *protocol.FetchRequest) protocol.PendingFetch
	// OpenReading begins a reading of a topic that goes on and on, without a group.
	// Errors: invalid_cursor, foreign_cursor, partition_not_found.
	OpenReading(req *protocol.ReadingRequest) (protocol.Reading, *protocol.Error)
	// PartitionOffsets returns the earliest and the latest (next) offset.
	PartitionOffsets(topic *protocol.Topic, partition int) (earliest, latest protocol.Offset, err *protocol.Error)

	// Poll is one GET /events of a group member. It waits up to req.Timeout; done,
	// if it is not nil, ends the wait early when it is closed.
	Poll(req *protocol.PollRequest, done <-chan struct{}) (*protocol.PollReply, *protocol.Error)
	// StartPoll is Poll step by step.
	StartPoll(req *protocol.PollRequest, done <-chan struct{}) protocol.PendingPoll
	// Commit is POST /offset, Offsets is GET /offset.
	Commit(req *protocol.CommitRequest) (*protocol.CommitReply, *protocol.Error)
	Offsets(req *protocol.OffsetsRequest) ([]protocol.OffsetInfo, *protocol.Error)

	// Groups lists groups of one cluster, or of all when cluster is empty.
	Groups(cluster string) ([]protocol.GroupInfo, *protocol.Error)
	Group(cluster, group string) (*protocol.GroupInfo, *protocol.Error)
	DeleteGroup(cluster, group string) *protocol.Error
	// PutQueue makes a group a queue, or finds it there with the same settings; with
	// patch it changes one. Errors: topic_not_found, ambiguous_topic, group_exists,
	// group_not_empty, not_allowed; with patch group_not_found.
	PutQueue(ctx context.Context, spec *protocol.QueueSpec, patch bool) (info *protocol.GroupInfo, created bool, err *protocol.Error)
	// SayDeliveries does what a worker says of deliveries, and returns what came of each
	// receipt, nil where it is done. Errors: invalid_receipt, stale_receipt,
	// group_not_found.
	SayDeliveries(ctx context.Context, req *protocol.DeliveryRequest) []*protocol.Error
	// Heartbeat renews a member's lease. Errors: unknown_member, group_not_found,
	// stale_generation.
	Heartbeat(req *protocol.HeartbeatRequest) (*protocol.HeartbeatReply, *protocol.Error)
	LeaveGroup(cluster, group string, id protocol.ConsumerID) *protocol.Error
	// StreamEnded says that the client of a stream of polls has left, after the poll with
	// that number. There is no answer.
	StreamEnded(cluster, group string, id protocol.ConsumerID, number uint64)
	Seek(req *protocol.SeekRequest) ([]protocol.CommittedEntry, *protocol.Error)

	// CreateCluster reports whether the cluster is new: creating the same cluster
	// again succeeds, and creates nothing.
	CreateCluster(ctx context.Context, spec *protocol.ClusterSpec) (info *protocol.ClusterInfo, created bool, err *protocol.Error)
	Clusters() ([]protocol.ClusterInfo, *protocol.Error)
	Cluster(name string) (*protocol.ClusterDetail, *protocol.Error)
	DeleteCluster(ctx context.Context, name string) *protocol.Error
	StopBroker(ctx context.Context, cluster string, id int) (*protocol.BrokerInfo, *protocol.Error)
	StartBroker(ctx context.Context, cluster string, id int) (*protocol.BrokerInfo, *protocol.Error)

	// Tokens are all tokens by name, which may not be changed. Errors: starting,
	// not_enough_replicas.
	Tokens() ([]*protocol.TokenEntry, *protocol.Error)
	// OnTokens sets the function that is called, on any goroutine, whenever Tokens may
	// return others, before the change that made them is answered.
	OnTokens(f func())
	// TokensElsewhere reports whether other nodes make tokens, too; RenewTokens waits until
	// all are known here that existed when it was called. Errors: there is nobody to ask.
	TokensElsewhere() bool
	RenewTokens() *protocol.Error
	// TokenSalt is the salt with which the keys for SCRAM are made of whatever goes by that
	// name, a token or not; nil: none may be made yet.
	TokenSalt(name string) []byte
	// CreateToken keeps a token. Errors: token_exists, too_many_tokens.
	CreateToken(ctx context.Context, spec *protocol.TokenSpec, secret protocol.TokenSecret) (*protocol.TokenInfo, *protocol.Error)
	AlterToken(ctx context.Context, spec *protocol.TokenSpec) (*protocol.TokenInfo, *protocol.Error)
	DeleteToken(ctx context.Context, name string) *protocol.Error
	// RotateToken keeps another secret of a token; the one before is valid for overlapMs
	// longer. Errors: token_not_found, not_finalized.
	RotateToken(ctx context.Context, name string, secret protocol.TokenSecret, overlapMs int64) (*protocol.TokenInfo, *protocol.Error)
	// Nudge has reads that wait look whether their principal has ended.
	Nudge()

	// Sources are the sources of webhooks, by name, which may not be changed. Errors:
	// starting, not_enough_replicas; of Source and DeleteSource source_not_found.
	Sources() ([]*protocol.Source, *protocol.Error)
	Source(name string) (*protocol.Source, *protocol.Error)
	// PutSource creates a source or replaces its settings. Errors: too_many_sources,
	// cluster_not_found, ambiguous_topic.
	PutSource(ctx context.Context, spec *protocol.SourceSpec) (src *protocol.Source, created bool, err *protocol.Error)
	DeleteSource(ctx context.Context, name string) *protocol.Error

	// Subscriptions send records of topics to URLs. They are listed by name, and may not
	// be changed. Errors: starting, not_enough_replicas; of all that name one
	// subscription_not_found.
	Subscriptions() ([]*protocol.Subscription, *protocol.Error)
	Subscription(name string) (*protocol.Subscription, *protocol.Error)
	// SubscriptionState says how the deliveries of a subscription go.
	SubscriptionState(sub *protocol.Subscription) protocol.SubscriptionState
	// PutSubscription creates a subscription or replaces its settings. Errors:
	// too_many_subscriptions, topic_not_found, cluster_not_found, ambiguous_topic.
	PutSubscription(ctx context.Context, spec *protocol.SubscriptionSpec) (sub *protocol.Subscription, created bool, err *protocol.Error)
	// AlterSubscription has change change settings of a subscription; it may be called
	// more than once. Errors: those of change.
	AlterSubscription(ctx context.Context, name string, change func(*protocol.SubscriptionSpec) *protocol.Error) (*protocol.Subscription, *protocol.Error)
	DeleteSubscription(ctx context.Context, name string) *protocol.Error

	CreateTopic(ctx context.Context, spec *protocol.TopicSpec) (info *protocol.TopicInfo, created bool, err *protocol.Error)
	// Topics lists topics, internal ones only if internal is true.
	Topics(cluster string, internal bool) ([]protocol.TopicInfo, *protocol.Error)
	// Producers lists the producers remembered by one cluster, or by all when
	// cluster is empty, by cluster and name.
	Producers(cluster string) ([]protocol.ProducerInfo, *protocol.Error)
	Topic(cluster, name string) (*protocol.TopicInfo, *protocol.Error)
	AlterTopic(ctx context.Context, spec *protocol.TopicSpec) (*protocol.TopicInfo, *protocol.Error)
	DeleteTopic(ctx context.Context, cluster, name string) *protocol.Error
	// DeleteRecords removes records below an offset of partitions, each named once.
	// Errors: not_allowed, when an offset is beyond the end of its partition or the topic
	// is compacted; nothing happened then.
	DeleteRecords(ctx context.Context, cluster, topic string, trims []protocol.TrimRequest) ([]protocol.TrimmedPartition, *protocol.Error)
}
