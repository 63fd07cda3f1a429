package front

import (
	"log/slog"
	"sync"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/level"
	"ottla/actors/routing"
	"ottla/protocol"
)

// Options configure a Front; none has a default.
type Options struct {
	RequestTimeout   time.Duration // of whatever has no time-out of its own
	SessionTimeout   time.Duration // of consumers that name none
	AutoCreateTopics bool
	Limits           catalog.TopicLimits // defaults and bounds of topics
	MaxTokens        int
	MaxSources       int
	MaxSubscriptions int

	AutoCreatesPerMinute int
	OffsetsPartitions    int // of __consumer_offsets of a new cluster
	Now                  func() time.Time
	Logger               *slog.Logger
}

// Host is the process that a Front serves.
type Host interface {
	// CreateCluster makes a cluster, or finds it there, and answers when its
	// brokers run. Errors: conflicts with what exists; storage_failed;
	// outcome_unknown at the deadline.
	CreateCluster(spec *protocol.ClusterSpec, deadline time.Time) (c *routing.Cluster, created bool, err *protocol.Error)
	// DeleteCluster ends a cluster and removes its files.
	DeleteCluster(name string, deadline time.Time) *protocol.Error
	// DiskProblem is why nothing can be written at the moment, "" if it can.
	DiskProblem() string
	// SpaceProblem is what is wrong with the disk: why new records are refused for lack of
	// space, or that it is slow; "" if all is well.
	SpaceProblem() string
	// CountInto fills in what the process counts besides its partitions.
	CountInto(m *protocol.Metrics)
	// Joining is why the process does not belong to its fleet yet, "" if it does or is
	// alone.
	Joining() string
	// Settle waits until this process knows all clusters of the fleet, and all of c
	// unless that is nil, that existed when it was called; false at once where there is
	// no fleet. Errors: there is nobody to ask.
	Settle(c *routing.Cluster, deadline time.Time) (waited bool, err *protocol.Error)
	// Node is the number of this process in its fleet, 0 where there is none.
	Node() uint64
	// IDs is whose metadata consumer ids are taken from, nil where each cluster gives out
	// its own.
	IDs() routing.Control
	// Nodes lists the nodes of the fleet, none where there is no fleet.
	Nodes() []protocol.NodeInfo
	// Fleet describes the fleet as a whole, Finalize raises its level. Errors: joining;
	// node_not_found where there is no fleet; not_allowed where not all nodes go on.
	Fleet() (protocol.FleetInfo, *protocol.Error)
	Finalize(deadline time.Time) (protocol.FleetInfo, *protocol.Error)
	// Level is what this process may write: that of its fleet, or the newest.
	Level() int
	// Needs refuses what the fleet's level is too low for. Errors: not_finalized.
	Needs(what level.Feature, deadline time.Time) *protocol.Error
	// Tasks lists what the fleet is doing or has done, the newest first.
	Tasks() []protocol.TaskInfo
	// ReplaceNode has the brokers of a lost node begin anew at another one. Errors:
	// node_not_found; not_allowed.
	ReplaceNode(lost, with uint64, deadline time.Time) (protocol.TaskInfo, *protocol.Error)
	// DecommissionNode has all brokers of a node moved to others, KeepNode takes that back.
	// Rebalance has brokers moved until all nodes have about as many. Errors: node_not_found;
	// not_allowed where that cannot be.
	DecommissionNode(id uint64, deadline time.Time) (protocol.TaskInfo, *protocol.Error)
	KeepNode(id uint64, deadline time.Time) *protocol.Error
	Rebalance(deadline time.Time) (protocol.TaskInfo, *protocol.Error)
	// ResizeCluster gives a cluster more brokers, or fewer. The task is nil where it has as
	// many. Errors: not_allowed where topics need more brokers.
	ResizeCluster(c *routing.Cluster, brokers int, deadline time.Time) (*protocol.TaskInfo, *protocol.Error)
	// DrainNode has leadership leave a node, or lets it come back. Errors: node_not_found;
	// not_allowed.
	DrainNode(id uint64, drain bool, deadline time.Time) *protocol.Error
	// Stopped is closed when the process begins to end.
	Stopped() <-chan struct{}
}

// Front answers what clients ask, on their own goroutines: it resolves what is
// meant from the routing tables, asks leaders, and reads logs by itself.
//
// It does so for somebody, see For; what that one may not do is refused where the
// names are resolved, before anything happens.
type Front struct {
	*shared
	access protocol.Access
}

// shared is what the Fronts of a process have in common.
type shared struct {
	opt       Options
	directory *routing.Directory
	host      Host
	stopped   <-chan struct{}
	parked    parkedReads
	places    placeBook

	allocating   sync.Mutex // held while a cluster takes consumer ids
	groupMetrics groupReader
	autoCreated  protocol.Bucket // of topics that are created automatically
	rates        rates
	overviews    overviews
}

// New makes the Front of a host whose clusters are in directory.
func New(o Options, directory *routing.Directory, host Host) *Front {
	fr := &Front{shared: &shared{opt: o, directory: directory, host: host, stopped: host.Stopped()}}
	directory.OnTopics(fr.parked.nudge)
	return fr
}

// For is the Front that answers for somebody. The one that New makes answers for
// anybody.
func (fr *Front) For(a protocol.Access) *Front { return &Front{fr.shared, a} }

// revoked reports whether the client has lost, while it waited, what it was let in
// with. Nothing is delivered to it then.
func (fr *Front) revoked() bool { return fr.access.Who.Over(time.Now()) }

// Nudge has reads that wait look whether their client has lost what it was let in
// with.
func (fr *Front) Nudge() { fr.parked.nudge() }
