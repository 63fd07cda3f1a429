package actors

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"ottla/actors/wire"
	"ottla/link"
	"ottla/protocol"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3/raftpb"
)

// links says how the replicas of a cluster reach each other: by a mailbox of this
// process, or by way of the node that they run at.
//
// Who runs here is known. Who runs elsewhere is what their node has said, for as
// long as it is heard of: an opinion. So it may be used for what costs time when it
// is wrong (whom to send to, whether to wait, who campaigns first), and for nothing
// that a majority has to decide.
type links struct {
	cluster string // id
	peers   *peers // nil: there are no other nodes

	mu      sync.Mutex
	groups  map[protocol.PartitionID]*groupLinks
	brokers map[int]mailbox
	said    map[int]brokerSaid // of this process
	spread  atomic.Bool        // the cluster has brokers at other nodes
	// cut, when set by a test, reports which messages are lost.
	cut atomic.Pointer[func(raftpb.Message) bool]
}

// mailbox is where something runs: here, or at another node.
type mailbox struct {
	pid  *actor.PID
	node link.NodeID // where pid is nil
}

func newLinks(cluster string, p *peers) *links {
	return &links{cluster: cluster, peers: p, groups: map[protocol.PartitionID]*groupLinks{}, brokers: map[int]mailbox{}, said: map[int]brokerSaid{}}
}

// join adds a broker.
func (l *links) join(broker int, at mailbox) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.brokers[broker] = at
	if at.node != 0 {
		l.spread.Store(true)
	}
}

// tellBroker sends a message to a broker; the message is lost if it does not run.
func (l *links) tellBroker(to actor.SenderContext, broker int, message any) {
	l.mu.Lock()
	at := l.brokers[broker]
	l.mu.Unlock()
	switch {
	case at.pid != nil:
		to.Send(at.pid, message)
	case at.node != 0:
		l.peers.tellBroker(at.node, l.cluster, broker, message)
	}
}

// broker returns the mailbox of a broker of this process, nil if there is none.
func (l *links) broker(id int) *actor.PID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.brokers[id].pid
}

// sayBroker tells the other nodes the state of a broker of this process.
func (l *links) sayBroker(b brokerSaid) {
	l.mu.Lock()
	l.said[b.Broker] = b
	l.mu.Unlock()
	if l.peers != nil {
		l.peers.announce(&announcement{Cluster: l.cluster, Brokers: []brokerSaid{b}})
	}
}

// brokerSays is what was said last of a broker of this process.
func (l *links) brokerSays(broker int) brokerSaid {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said[broker]
}

func (l *links) brokersSaid() []brokerSaid {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.said))
}

// group returns the links of one partition, shared by all its replicas.
func (l *links) group(key protocol.PartitionID) *groupLinks {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[key]
	if g == nil {
		g = &groupLinks{links: l, key: key}
		g.running.Store(&map[uint64]mailbox{})
		l.groups[key] = g
	}
	return g
}

// find returns the links of a partition, nil if nobody has used them yet.
func (l *links) find(key protocol.PartitionID) *groupLinks {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.groups[key]
}

func (l *links) forget(key protocol.PartitionID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.groups, key)
}

// all are the links of all partitions.
func (l *links) all() map[protocol.PartitionID]*groupLinks {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.groups)
}

// groupLinks maps the running replicas of one partition to where they run.
type groupLinks struct {
	links   *links
	key     protocol.PartitionID
	mu      sync.Mutex
	running atomic.Pointer[map[uint64]mailbox] // replaced, never changed
	locals  atomic.Int32                       // of running: here
	leader  atomic.Pointer[localLeader]        // of this process; nil: no replica here leads
}

// register adds a running replica, or removes it where at is the zero mailbox, and
// returns the mailboxes of the others here, which must be told.
func (g *groupLinks) register(replica uint64, at mailbox) []*actor.PID {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := map[uint64]mailbox{}
	var others []*actor.PID
	for id, m := range *g.running.Load() {
		if id == replica {
			continue
		}
		next[id] = m
		if m.pid != nil {
			others = append(others, m.pid)
		}
	}
	locals := len(others)
	if at != (mailbox{}) {
		next[replica] = at
		if at.pid != nil {
			locals++
		}
	}
	g.locals.Store(int32(locals))
	g.running.Store(&next)
	return others
}

// announce tells the other nodes that a replica of this process runs, or does not
// any more.
func (g *groupLinks) announce(replica uint64, runs bool) {
	if p := g.links.peers; p != nil {
		p.announce(&announcement{Cluster: g.links.cluster, Replicas: []replicaSaid{{g.key.TopicID, g.key.Partition, replica, runs}}})
	}
}

// lead makes a replica of this process the one that serves; nil ends that.
func (g *groupLinks) lead(l *localLeader) {
	was := g.leader.Swap(l)
	p := g.links.peers
	if p == nil {
		return
	}
	said := leaderSaid{TopicID: g.key.TopicID, Partition: g.key.Partition}
	switch {
	case l != nil:
		said.Broker, said.Term, said.Leads = l.Broker, l.Term, true
	case was != nil:
		said.Broker, said.Term = was.Broker, was.Term
	default:
		return
	}
	p.announce(&announcement{Cluster: g.links.cluster, Leaders: []leaderSaid{said}})
}

// reachable reports whether a replica is running.
func (g *groupLinks) reachable(replica uint64) bool {
	_, ok := (*g.running.Load())[replica]
	return ok
}

// mayLead reports whether a replica is running, and its node is not being drained.
func (g *groupLinks) mayLead(replica uint64) bool {
	at, runs := (*g.running.Load())[replica]
	switch p := g.links.peers; {
	case !runs:
		return false
	case p == nil:
		return true
	case at.pid != nil:
		return !p.env.draining.Load()
	default:
		return !p.isDrained(at.node)
	}
}

// Running implements routing.Replicas: the number of running replicas.
func (g *groupLinks) Running() int { return len(*g.running.Load()) }

// send delivers a raft message. It is lost if the replica does not run, as raft
// expects of a network; false says that it is known to be lost on the way.
func (g *groupLinks) send(ctx actor.SenderContext, m raftpb.Message) bool {
	at := (*g.running.Load())[m.To]
	if at == (mailbox{}) {
		return true
	}
	if cut := g.links.cut.Load(); cut != nil && (*cut)(m) {
		return true
	}
	if at.pid != nil {
		ctx.Send(at.pid, &peerMessage{m})
		return true
	}
	return g.links.peers.sendRaft(at.node, g, &m)
}

// tell delivers another message to a replica. It is lost if the replica does not
// run.
func (g *groupLinks) tell(ctx actor.SenderContext, replica uint64, message any) {
	g.tellAt(ctx, replica, (*g.running.Load())[replica], message)
}

// tellOthers delivers a message to all running replicas but one.
func (g *groupLinks) tellOthers(ctx actor.SenderContext, replica uint64, message any) {
	for id, at := range *g.running.Load() {
		if id != replica {
			g.tellAt(ctx, id, at, message)
		}
	}
}

func (g *groupLinks) tellAt(ctx actor.SenderContext, replica uint64, at mailbox, message any) {
	switch {
	case at.pid != nil:
		ctx.Send(at.pid, message)
	case at.node != 0:
		g.links.peers.tellReplica(at.node, g, replica, message)
	}
}

// local returns the mailbox of a replica of this process, nil if it does not run.
func (g *groupLinks) local(replica uint64) *actor.PID { return (*g.running.Load())[replica].pid }

// touches reports whether a majority of so many replicas is in touch: those of this
// process, and those of nodes that have vouched a moment ago that they do not give
// this one up. A leader that is not may have a successor that it knows nothing of.
func (g *groupLinks) touches(placed int) bool {
	if !g.links.spread.Load() {
		return true
	}
	in := 0
	for _, at := range *g.running.Load() {
		if at.pid != nil || g.links.peers.vouched(at.node) {
			in++
		}
	}
	return in >= placed/2+1
}

// address is how a message to a replica begins.
func (g *groupLinks) address(replica uint64) []byte {
	b := make([]byte, 0, 96)
	b = wire.AppendPartition(b, wire.Partition{Cluster: g.links.cluster, PartitionID: g.key})
	return binary.AppendUvarint(b, replica)
}

// peerMessage is a raft message between two replicas of a partition.
type peerMessage struct{ raftpb.Message }
