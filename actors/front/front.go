package front

import (
	"log/slog"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/level"
	"ottla/actors/routing"
	"ottla/protocol"
)

// Options configure a Front; none has a default but Millis.
type Options struct {
	RequestTimeout   time.Duration // of whatever has no time-out of its own
	SessionTimeout   time.Duration // of consumers that name none
	AutoCreateTopics bool
	Limits           catalog.TopicLimits // defaults and bounds of topics
	MaxTokens        int
	MaxSources       int
	MaxSubscriptions int

	AutoCreatesPerMinute int
	OffsetsPartitions    int // of __consumer_offsets of a new cluster, 0: see catalog.OffsetsPartitionsFor
	Now                  func() time.Time
	Millis               func() int64 // for what other nodes go by as well, milliseconds since 1970; nil: as Now
	Logger               *slog.Logger
}

// Host is the process that a Front serves.
type Host interface {
	fleetHost
	adminHost
	statusHost
	// Stopped is closed when the process begins to end.
	Stopped() <-chan struct{}
}

// fleetHost is what has to be known of the fleet to find what is meant.
type fleetHost interface {
	// Settle waits until this process knows all clusters of the fleet, and all of c
	// unless that is nil, that existed when it was called; false at once where there is
	// no fleet. Errors: there is nobody to ask.
	Settle(c *routing.Cluster, deadline time.Time) (waited bool, err *protocol.Error)
	// Node is the number of this process in its fleet, 0 where there is none.
	Node() uint64
	// IDs is whose metadata consumer ids are taken from, nil where each cluster gives out
	// its own.
	IDs() routing.Control
	// Level is what this process may write: that of its fleet, or the newest.
	Level() int
	// Needs refuses what the fleet's level is too low for. Errors: not_finalized.
	Needs(what level.Feature, deadline time.Time) *protocol.Error
}

// adminHost changes clusters and the fleet.
type adminHost interface {
	// CreateCluster makes a cluster, or finds it there, and answers when its
	// brokers run. Errors: conflicts with what exists; storage_failed;
	// outcome_unknown at the deadline.
	CreateCluster(spec *protocol.ClusterSpec, deadline time.Time) (c *routing.Cluster, created bool, err *protocol.Error)
	// DeleteCluster ends a cluster and removes its files.
	DeleteCluster(name string, deadline time.Time) *protocol.Error
	// ResizeCluster gives a cluster more brokers, or fewer. The task is nil where it has as
	// many. Errors: not_allowed where topics need more brokers.
	ResizeCluster(c *routing.Cluster, brokers int, deadline time.Time) (*protocol.TaskInfo, *protocol.Error)
	// ReplaceNode has the brokers of a lost node begin anew at another one. Errors:
	// node_not_found; not_allowed.
	ReplaceNode(lost, with uint64, deadline time.Time) (protocol.TaskInfo, *protocol.Error)
	// DecommissionNode has all brokers of a node moved to others, KeepNode takes that back.
	// Rebalance has brokers moved until all nodes have about as many. Errors: node_not_found;
	// not_allowed where that cannot be.
	DecommissionNode(id uint64, deadline time.Time) (protocol.TaskInfo, *protocol.Error)
	KeepNode(id uint64, deadline time.Time) *protocol.Error
	Rebalance(deadline time.Time) (protocol.TaskInfo, *protocol.Error)
	// DrainNode has leadership leave a node, or lets it come back. Errors: node_not_found;
	// not_allowed.
	DrainNode(id uint64, drain bool, deadline time.Time) *protocol.Error
	// Finalize raises the fleet's level. Errors: those of Fleet; not_allowed where not all
	// nodes go on.
	Finalize(deadline time.Time) (protocol.FleetInfo, *protocol.Error)
	// Tasks lists what the fleet is doing or has done, the newest first.
	Tasks() []protocol.TaskInfo
}

// statusHost says how the process and its fleet are.
type statusHost interface {
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
	// Nodes lists the nodes of the fleet, none where there is no fleet.
	Nodes() []protocol.NodeInfo
	// Fleet describes the fleet as a whole. Errors: joining; node_not_found where there is
	// no fleet.
	Fleet() (protocol.FleetInfo, *protocol.Error)
}

// Front answers what clients ask, on their own goroutines: it resolves what is
// meant from the routing tables, asks leaders, and reads logs by itself.
//
// It does so for somebody, see For; what that one may not do is refused where the
// names are resolved, before anything happens.
//
// It is made of services, one for each part of http.Backend. All have the resolver, which
// knows who asks, and below it the locator, which does not. What else a service needs is a
// field of it, and so is another service that it asks.
type Front struct {
	*shared
	resolver
	recordService
	pollService
	groupService
	queueService
	topicService
	registryService
	fleetService
}

// shared is what the Fronts of a process have in common. All of it is safe for concurrent
// use; a Front itself is a handful of pointers, made anew for each principal.
type shared struct {
	statusService
	opt         Options
	host        Host
	parked      parkedReads
	places      placeBook
	ids         consumerIDs
	autoCreated protocol.Bucket // of topics that are created automatically
	own         *Front          // which New made: it answers for the process itself
}

// New makes the Front of a host whose clusters are in directory.
func New(o Options, directory *routing.Directory, host Host) *Front {
	if o.Millis == nil {
		o.Millis = func() int64 { return o.Now().UnixMilli() }
	}
	sh := &shared{opt: o, host: host}
	lc := &locator{opt: &sh.opt, directory: directory, stopped: host.Stopped()}
	sh.ids = consumerIDs{locator: lc, host: host}
	sh.statusService = statusService{locator: lc, fleet: host, host: host}
	fr := sh.front(protocol.Access{})
	sh.groupMetrics.groups, sh.own = &fr.groupService, fr
	// Reads that wait for a topic hear of its end, or of more partitions, by this.
	directory.OnTopics(sh.parked.nudge)
	return fr
}

// For is the Front that answers for somebody. The one that New makes answers for
// anybody.
func (sh *shared) For(a protocol.Access) *Front { return sh.front(a) }

// front makes a Front. Its services point into it, so it must not be copied.
func (sh *shared) front(a protocol.Access) *Front {
	fr := &Front{shared: sh, resolver: resolver{locator: sh.locator, access: a, fleet: sh.host, autoCreated: &sh.autoCreated}}
	rv := &fr.resolver
	fr.recordService = recordService{resolver: rv, parked: &sh.parked}
	fr.pollService = pollService{resolver: rv, parked: &sh.parked, places: &sh.places, ids: &sh.ids}
	fr.groupService = groupService{resolver: rv, places: &sh.places}
	fr.queueService = queueService{resolver: rv, groups: &fr.groupService, records: &fr.recordService}
	fr.topicService = topicService{resolver: rv}
	fr.registryService = registryService{resolver: rv, sh: sh}
	fr.fleetService = fleetService{resolver: rv, host: sh.host, status: sh.host, topics: &fr.topicService, registry: &fr.registryService}
	return fr
}

// Nudge has reads that wait look whether their client has lost what it was let in
// with.
func (sh *shared) Nudge() { sh.parked.nudge() }
