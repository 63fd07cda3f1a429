package actors

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/logfile"
	"ottla/protocol"
)

// routes is the immutable routing snapshot of one cluster. The Cluster actor
// publishes a new one when topics change; who leads a partition changes more
// often and is a cell of its own in it.
type routes struct {
	cluster string
	topics  map[string]*protocol.Topic // by name; Route is a *topicRoute
	changed chan struct{}              // closed when a later snapshot has other topics or partitions
}

// succeed makes r the successor of another snapshot; announce, unless it is nil,
// tells who looks at that one, once r is published.
func (r *routes) succeed(before *routes) (announce func()) {
	r.changed = make(chan struct{})
	if before == nil {
		return nil
	}
	same := len(r.topics) == len(before.topics)
	for name, t := range r.topics {
		had := before.topics[name]
		same = same && had != nil && had.ID == t.ID && had.Partitions == t.Partitions &&
			had.Route.(*topicRoute).partitions[0] == t.Route.(*topicRoute).partitions[0] // else of an actor that failed
	}
	if same {
		r.changed = before.changed
		return nil
	}
	return func() { close(before.changed) }
}

// topicRoute is the Route of a protocol.Topic.
type topicRoute struct {
	cluster    *clusterHandle
	partitions []*partitionRoute
}

// partitionRoute is the cell that says who leads a partition.
type partitionRoute struct {
	key      protocol.PartitionID
	group    *groupLinks
	replicas int // as placed
	leader   atomic.Pointer[leaderRef]
	stats    partitionStats
	led      atomic.Bool // has had a leader since this process began

	lostAt  atomic.Int64 // when the last leader left, milliseconds since 1970; 0: there was none yet
	mu      sync.Mutex
	changed chan struct{} // closed and replaced whenever leader changes
}

// leaderRef is a replica that leads and serves, with its newest view.
type leaderRef struct {
	broker int
	term   uint64
	pid    *actor.PID
	view   atomic.Pointer[logfile.View]
	tail   atomic.Pointer[sharedTail] // what the last who were woken have read
}

func newPartitionRoute(key protocol.PartitionID, group *groupLinks, replicas int) *partitionRoute {
	return &partitionRoute{key: key, group: group, replicas: replicas, changed: make(chan struct{})}
}

// Set publishes a leader, unless one of a later term is known already.
func (p *partitionRoute) set(ref *leaderRef) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cur := p.leader.Load(); cur != nil && cur.term > ref.term {
		return
	}
	p.leader.Store(ref)
	p.led.Store(true)
	close(p.changed)
	p.changed = make(chan struct{})
}

// Clear withdraws a leader that stepped down or stopped.
func (p *partitionRoute) clear(ref *leaderRef) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leader.Load() != ref {
		return
	}
	p.lostAt.Store(time.Now().UnixMilli())
	p.leader.Store(nil)
	close(p.changed)
	p.changed = make(chan struct{})
}

// current returns who leads and what is closed when that changes.
func (p *partitionRoute) current() (*leaderRef, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leader.Load(), p.changed
}

// electing reports whether the last leader left just now: a hand-over takes
// some milliseconds, in which requests wait rather than fail.
func (p *partitionRoute) electing() bool {
	return time.Now().UnixMilli()-p.lostAt.Load() < electionGrace.Milliseconds()
}

// lost reports whether a partition has been without a leader for longer than
// an election takes, or too few replicas run for one.
func (p *partitionRoute) lost() bool {
	if p.leader.Load() != nil || !p.led.Load() || p.electing() {
		return false
	}
	return hopeless(p) || time.Now().UnixMilli()-p.lostAt.Load() > failoverPatience.Milliseconds()
}

// electionGrace is how long a partition may be between two leaders before it
// counts as leaderless.
const electionGrace = time.Second

// await returns the leader, waiting for one other than not until the deadline;
// then it returns whoever leads, nil if nobody does.
func (p *partitionRoute) await(not *leaderRef, deadline time.Time) *leaderRef {
	for {
		p.mu.Lock()
		ref, changed := p.leader.Load(), p.changed
		p.mu.Unlock()
		if ref != nil && ref != not {
			return ref
		}
		wait := time.Until(deadline)
		if wait <= 0 {
			return ref
		}
		t := time.NewTimer(wait)
		select {
		case <-changed:
		case <-t.C:
		}
		t.Stop()
	}
}
