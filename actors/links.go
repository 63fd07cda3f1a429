package actors

import (
	"sync"
	"sync/atomic"

	"ottla/protocol"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3/raftpb"
)

// links says how the replicas of a cluster reach each other. In one process that
// is a mailbox. A link between processes can take its place here, because every
// message that goes this way can be serialized.
type links struct {
	mu      sync.Mutex
	groups  map[protocol.PartitionID]*groupLinks
	brokers map[int]*actor.PID // their mailboxes
	// cut, when set by a test, reports which messages are lost.
	cut atomic.Pointer[func(raftpb.Message) bool]
}

func newLinks() *links {
	return &links{groups: map[protocol.PartitionID]*groupLinks{}, brokers: map[int]*actor.PID{}}
}

// join adds a broker's mailbox.
func (l *links) join(broker int, pid *actor.PID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.brokers[broker] = pid
}

// tellBroker sends a message to a broker; the message is lost if it does not run.
func (l *links) tellBroker(to actor.SenderContext, broker int, message any) {
	l.mu.Lock()
	pid := l.brokers[broker]
	l.mu.Unlock()
	if pid != nil {
		to.Send(pid, message)
	}
}

// group returns the links of one partition, shared by all its replicas.
func (l *links) group(key protocol.PartitionID) *groupLinks {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[key]
	if g == nil {
		g = &groupLinks{links: l}
		g.pids.Store(&map[uint64]*actor.PID{})
		l.groups[key] = g
	}
	return g
}

func (l *links) forget(key protocol.PartitionID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.groups, key)
}

// groupLinks maps the running replicas of one partition to their mailboxes.
type groupLinks struct {
	links *links
	mu    sync.Mutex
	pids  atomic.Pointer[map[uint64]*actor.PID] // replaced, never changed
}

// register adds a running replica, or removes it if pid is nil, and returns the
// mailboxes of the others, which must be told.
func (g *groupLinks) register(replica uint64, pid *actor.PID) []*actor.PID {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := map[uint64]*actor.PID{}
	var others []*actor.PID
	for id, p := range *g.pids.Load() {
		if id != replica {
			next[id] = p
			others = append(others, p)
		}
	}
	if pid != nil {
		next[replica] = pid
	}
	g.pids.Store(&next)
	return others
}

// reachable reports whether a replica is running.
func (g *groupLinks) reachable(replica uint64) bool {
	_, ok := (*g.pids.Load())[replica]
	return ok
}

// others returns the mailboxes of the running replicas but one.
func (g *groupLinks) others(replica uint64) []*actor.PID {
	var pids []*actor.PID
	for id, pid := range *g.pids.Load() {
		if id != replica {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Running implements routing.Replicas: the number of running replicas.
func (g *groupLinks) Running() int { return len(*g.pids.Load()) }

// send delivers a raft message. It is lost if the replica does not run; raft
// expects no more of a network.
func (g *groupLinks) send(ctx actor.SenderContext, m raftpb.Message) {
	pid := (*g.pids.Load())[m.To]
	if pid == nil {
		return
	}
	if cut := g.links.cut.Load(); cut != nil && (*cut)(m) {
		return
	}
	ctx.Send(pid, &peerMessage{m})
}

// tell delivers another message to a replica. It is lost if the replica does not
// run.
func (g *groupLinks) tell(ctx actor.SenderContext, replica uint64, message any) {
	if pid := (*g.pids.Load())[replica]; pid != nil {
		ctx.Send(pid, message)
	}
}

// peerMessage is a raft message between two replicas of a partition.
type peerMessage struct{ raftpb.Message }
