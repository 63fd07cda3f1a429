package front

import (
	"sync"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/routing"
	"ottla/protocol"
)

// Options configure a Front; none has a default.
type Options struct {
	RequestTimeout   time.Duration // of whatever has no time-out of its own
	SessionTimeout   time.Duration // of consumers that name none
	AutoCreateTopics bool
	Limits           catalog.TopicLimits // defaults and bounds of topics
	Now              func() time.Time
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
	// CountInto fills in what the process counts besides its partitions.
	CountInto(m *protocol.Metrics)
	// Stopped is closed when the process begins to end.
	Stopped() <-chan struct{}
}

// Front answers what clients ask, on their own goroutines: it resolves what is
// meant from the routing tables, asks leaders, and reads logs by itself.
type Front struct {
	opt       Options
	directory *routing.Directory
	host      Host
	stopped   <-chan struct{}
	parked    parkedReads

	polls protocol.Counter // numbers them

	allocating   sync.Mutex // held while a cluster takes consumer ids
	groupMetrics groupReader
	rates        rates
	overviews    overviews
}

// New makes the Front of a host whose clusters are in directory.
func New(o Options, directory *routing.Directory, host Host) *Front {
	fr := &Front{opt: o, directory: directory, host: host, stopped: host.Stopped()}
	directory.OnTopics(fr.parked.nudge)
	return fr
}
