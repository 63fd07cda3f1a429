package peers

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"ottla/actors/routing"
	"ottla/actors/wire"
	"ottla/link"
	"ottla/protocol"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3/raftpb"
)

// Links says how the replicas of a cluster reach each other: by a mailbox of this
// process, or by way of the node that they run at.
//
// Who runs here is known. Who runs elsewhere is what their node has said, for as
// long as it is heard of: an opinion. So it may be used for what costs time when it
// is wrong (whom to send to, whether to wait, who campaigns first), and for nothing
// that a majority has to decide.
type Links struct {
	cluster string // id
	peers   *Peers // nil: there are no other nodes

	mu      sync.Mutex
	groups  map[protocol.PartitionID]*Group
	brokers map[int]Mailbox
	said    map[int]BrokerSaid // of this process
	spread  atomic.Bool        // see Spread
	// cut reports which messages are lost; nil: none.
	cut atomic.Pointer[func(raftpb.Message) bool]
}

// Mailbox is where something runs: here, or at another node.
type Mailbox struct {
	PID  *actor.PID
	Node link.NodeID // where PID is nil
}

// NewLinks returns the links of a cluster of which nothing runs. P is nil where the
// node is alone.
func NewLinks(cluster string, p *Peers) *Links {
	return &Links{cluster: cluster, peers: p, groups: map[protocol.PartitionID]*Group{}, brokers: map[int]Mailbox{}, said: map[int]BrokerSaid{}}
}

// Join adds a broker.
func (l *Links) Join(broker int, at Mailbox) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.brokers[broker] = at
	if at.Node != 0 {
		l.spread.Store(true)
	}
}

// Spread reports whether the cluster has, or has had, brokers at other nodes.
func (l *Links) Spread() bool { return l.spread.Load() }

// Cut has the raft messages lost, between replicas of this process too, for which lost
// says so. It is for tests.
func (l *Links) Cut(lost func(raftpb.Message) bool) { l.cut.Store(&lost) }

// TellBroker sends a message to a broker; the message is lost if it does not run.
func (l *Links) TellBroker(to actor.SenderContext, broker int, message any) {
	l.mu.Lock()
	at := l.brokers[broker]
	l.mu.Unlock()
	switch {
	case at.PID != nil:
		to.Send(at.PID, message)
	case at.Node != 0:
		l.peers.tellBroker(at.Node, l.cluster, broker, message)
	}
}

// Broker returns the mailbox of a broker of this process, nil if there is none.
func (l *Links) Broker(id int) *actor.PID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.brokers[id].PID
}

// SayBroker tells the other nodes the state of a broker of this process.
func (l *Links) SayBroker(b BrokerSaid) {
	l.mu.Lock()
	l.said[b.Broker] = b
	l.mu.Unlock()
	if l.peers != nil {
		l.peers.announce(&announcement{Cluster: l.cluster, Brokers: []BrokerSaid{b}})
	}
}

// BrokerSays is what was said last of a broker of this process.
func (l *Links) BrokerSays(broker int) BrokerSaid {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said[broker]
}

func (l *Links) brokersSaid() []BrokerSaid {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.said))
}

// Group returns the links of one partition, shared by all its replicas.
func (l *Links) Group(key protocol.PartitionID) *Group {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[key]
	if g == nil {
		g = &Group{links: l, key: key}
		g.running.Store(&map[uint64]Mailbox{})
		l.groups[key] = g
	}
	return g
}

// Find returns the links of a partition, nil if nobody has used them yet.
func (l *Links) Find(key protocol.PartitionID) *Group {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.groups[key]
}

// Forget forgets a partition that was deleted.
func (l *Links) Forget(key protocol.PartitionID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.groups, key)
}

// all are the links of all partitions.
func (l *Links) all() map[protocol.PartitionID]*Group {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.groups)
}

// Group maps the running replicas of one partition to where they run.
//
// Of replicas elsewhere that is an opinion. What rests on it, and what it costs where it is
// wrong:
//
//   - Liveness, so time: who campaigns and who seeks a leader (election.View.Reaches, which
//     is simulated with nodes that are lied to), when raft's clock stands still
//     (Quiescent), who is given leadership (MayLead), whether a request waits for a leader
//     (Running), what is held to a pace (partition_feed.go), and what is shown of a
//     partition. Raft decides by majorities whatever is believed here.
//   - A damaged replica is replaced only if a majority is believed to run, else mended
//     where it is. Replacing is a change of the membership, which needs that majority.
//   - Safety: a leader shows records only while a majority has vouched for it (touches),
//     and has acknowledged its term since (tenure). That rests on what peers have promised
//     (link, the fence), not on who is heard of, and errs towards refusing.
type Group struct {
	links   *Links
	key     protocol.PartitionID
	mu      sync.Mutex
	running atomic.Pointer[map[uint64]Mailbox] // replaced, never changed
	locals  atomic.Int32                       // of running: here
	leader  atomic.Pointer[routing.Leadership] // of this process; nil: no replica here leads
	urgent  atomic.Bool                        // see Urgent
	tenure  tenure
}

// Urgent has the group's entries go where votes go: those of internal topics, for which
// everybody waits.
func (g *Group) Urgent() { g.urgent.Store(true) }

// Register adds a running replica, or removes it where at is the zero Mailbox, and
// returns the mailboxes of the others here, which must be told.
func (g *Group) Register(replica uint64, at Mailbox) []*actor.PID {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := map[uint64]Mailbox{}
	var others []*actor.PID
	was := *g.running.Load()
	// It may have voted for another leader while it was away.
	if before := was[replica]; before != at && (before.Node != 0 || at.Node != 0) {
		g.tenure.restarted(replica, g.links.peers.now())
	}
	for id, m := range was {
		if id == replica {
			continue
		}
		next[id] = m
		if m.PID != nil {
			others = append(others, m.PID)
		}
	}
	locals := len(others)
	if at != (Mailbox{}) {
		next[replica] = at
		if at.PID != nil {
			locals++
		}
	}
	// A new map takes the place of the old one: readers, of which there is one for each
	// message sent, take no lock.
	g.locals.Store(int32(locals))
	g.running.Store(&next)
	return others
}

// Announce tells the other nodes that a replica of this process runs, or does not
// any more.
func (g *Group) Announce(replica uint64, runs bool) {
	if p := g.links.peers; p != nil {
		p.announce(&announcement{Cluster: g.links.cluster, Replicas: []ReplicaSaid{{g.key.TopicID, g.key.Partition, replica, runs}}})
	}
}

// Lead makes a replica of this process the one that serves; nil ends that.
func (g *Group) Lead(l *routing.Leadership) {
	was := g.leader.Swap(l)
	p := g.links.peers
	if p == nil {
		return
	}
	// A leadership that ends is told with its term, so that it cannot end a later one.
	said := LeaderSaid{TopicID: g.key.TopicID, Partition: g.key.Partition}
	switch {
	case l != nil:
		said.Broker, said.Term, said.Leads = l.Broker, l.Term, true
	case was != nil:
		said.Broker, said.Term = was.Broker, was.Term
	default:
		return
	}
	p.announce(&announcement{Cluster: g.links.cluster, Leaders: []LeaderSaid{said}})
}

// Reachable reports whether a replica is running.
func (g *Group) Reachable(replica uint64) bool {
	_, ok := (*g.running.Load())[replica]
	return ok
}

// MayLead reports whether a replica is running, and its node is not being drained, and has
// not said that it is not fit.
func (g *Group) MayLead(replica uint64) bool {
	at, runs := (*g.running.Load())[replica]
	switch p := g.links.peers; {
	case !runs:
		return false
	case p == nil:
		return true
	case at.PID != nil:
		return !p.draining() && !p.unfit()
	default:
		return !p.isDrained(at.Node)
	}
}

// MayReplace reports whether a replica should lead rather than one at a node whose disk takes
// no writes: it is running, and its node's disk does, though it may not be trusted yet.
func (g *Group) MayReplace(replica uint64) bool {
	at, runs := (*g.running.Load())[replica]
	switch p := g.links.peers; {
	case !runs || p == nil:
		return false
	case at.PID != nil:
		return p.works()
	default:
		return !p.isBroken(at.Node)
	}
}

// Locals is how many replicas of the partition run in this process.
func (g *Group) Locals() int { return int(g.locals.Load()) }

// Mailboxes are those of the replicas that run in this process, by replica.
func (g *Group) Mailboxes() map[uint64]*actor.PID {
	pids := map[uint64]*actor.PID{}
	for id, at := range *g.running.Load() {
		if at.PID != nil {
			pids[id] = at.PID
		}
	}
	return pids
}

// Links are those of the group's cluster.
func (g *Group) Links() *Links { return g.links }

// Running implements routing.Replicas: the number of running replicas.
func (g *Group) Running() int { return len(*g.running.Load()) }

// Send delivers a raft message. It is lost if the replica does not run, as raft
// expects of a network; false says that it is known to be lost on the way. One that is
// old, with what a replica lacks that is far behind, lets all others pass.
func (g *Group) Send(ctx actor.SenderContext, m raftpb.Message, old bool) bool {
	at := (*g.running.Load())[m.To]
	if at == (Mailbox{}) {
		return true
	}
	if cut := g.links.cut.Load(); cut != nil && (*cut)(m) {
		return true
	}
	if at.PID != nil {
		ctx.Send(at.PID, &Raft{Message: m})
		return true
	}
	g.tenure.sends(&m, g.links.peers.link.Now)
	return g.links.peers.sendRaft(at.Node, g, &m, old)
}

// NodeOf is the node that a replica runs at, 0 for this one and where it does not run.
func (g *Group) NodeOf(replica uint64) uint64 { return uint64((*g.running.Load())[replica].Node) }

// Tell delivers another message to a replica. It is lost if the replica does not
// run.
func (g *Group) Tell(ctx actor.SenderContext, replica uint64, message any) {
	g.tellAt(ctx, replica, (*g.running.Load())[replica], message)
}

// TellOthers delivers a message to all running replicas but one.
func (g *Group) TellOthers(ctx actor.SenderContext, replica uint64, message any) {
	for id, at := range *g.running.Load() {
		if id != replica {
			g.tellAt(ctx, id, at, message)
		}
	}
}

func (g *Group) tellAt(ctx actor.SenderContext, replica uint64, at Mailbox, message any) {
	switch {
	case at.PID != nil:
		ctx.Send(at.PID, message)
	case at.Node != 0:
		g.links.peers.tellReplica(at.Node, g, replica, message)
	}
}

// local returns the mailbox of a replica of this process, nil if it does not run.
func (g *Group) local(replica uint64) *actor.PID { return (*g.running.Load())[replica].PID }

// touches reports whether a majority of the voters is in touch with the leader of a term in
// this process.
func (g *Group) touches(term uint64, v *voters) Touch {
	if !g.links.spread.Load() {
		return InTouch
	}
	return g.tenure.touch(term, v, *g.running.Load(), g.links.peers.link.Vouched)
}

// address is how a message to a replica begins.
func (g *Group) address(replica uint64) []byte {
	b := make([]byte, 0, 96)
	b = wire.AppendPartition(b, wire.Partition{Cluster: g.links.cluster, PartitionID: g.key})
	return binary.AppendUvarint(b, replica)
}

// Raft is a raft message between two replicas of a partition.
type Raft struct {
	raftpb.Message
	far bool // it comes from another node
}

// Damaged is what intact finds wrong with what came from another node.
func (r *Raft) Damaged(intact func(*raftpb.Message) error) error {
	if !r.far || r.Type != raftpb.MsgApp {
		return nil
	}
	return intact(&r.Message)
}
