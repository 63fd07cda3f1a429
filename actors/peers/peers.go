package peers

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"ottla/actors/clock"
	"ottla/actors/remote"
	"ottla/actors/routing"
	"ottla/actors/wire"
	"ottla/link"
	"ottla/protocol"

	"github.com/asynkron/protoactor-go/actor"
)

// Peers are the other nodes of the fleet: what is sent to them, what they ask of this one,
// and what they say runs there.
//
// Mu is never held while something is waited for: actors are sent messages, links queue what
// they are given.
type Peers struct {
	root     *actor.RootContext
	log      *slog.Logger
	draining func() bool // whether leadership is to leave this node
	unfit    func() bool // whether that is because of its disk or its clock
	works    func() bool // whether its disk takes writes
	clock    *clock.Clock
	cameUp   chan struct{} // tells that a node's clock is to be asked

	clockSaid chan struct{} // tells that one has answered, while nobody knows whether this node's is right

	wrongClock atomic.Pointer[string] // why this node's clock is not to be trusted
	clockKnown atomic.Bool            // whether it is, as far as anybody can tell
	link       *link.Links
	leaders    *remote.Leaders // what is asked of leaders, there and here

	mu       sync.Mutex
	self     link.NodeID             // 0 until it is known
	clusters map[string]*peerCluster // those of this process, by id
	nodes    map[link.NodeID]*peerNode
	members  []link.NodeID // the other nodes
	drained  atomic.Pointer[map[link.NodeID]bool]

	asked func(kind uint16, from link.NodeID, body []byte, reply func([]byte, error)) // what concerns the fleet
}

// peerCluster is a cluster of this process as other nodes reach it.
type peerCluster struct {
	links *Links
	pid   *actor.PID
}

// peerNode is what is known of another node.
type peerNode struct {
	up   bool
	is   link.Identity           // as it has said itself last
	said map[string]*clusterSaid // by cluster id

	unfit, broken bool // it has said so itself: leaders should be elsewhere, its disk takes no writes
}

// New makes the peers of a node. Draining reports whether leadership is to leave this
// node, unfit whether it is to do so because the node's disk hangs or is full, or its clock is
// wrong, works whether the disk takes writes. Open is to be called before anything is sent.
func New(system *actor.ActorSystem, log *slog.Logger, c *clock.Clock, draining, unfit, works func() bool) *Peers {
	p := &Peers{root: system.Root, log: log, draining: draining, unfit: unfit, works: works, clock: c, cameUp: make(chan struct{}, 1), clockSaid: make(chan struct{}, 1), clusters: map[string]*peerCluster{}, nodes: map[link.NodeID]*peerNode{}}
	p.drained.Store(&map[link.NodeID]bool{})
	return p
}

// Open opens the link to other nodes. Asked answers what concerns the fleet, of nodes
// that are no members too (from is 0). Errors: those of link.Open.
func (p *Peers) Open(c link.Config, asked func(kind uint16, from link.NodeID, body []byte, reply func([]byte, error))) (err error) {
	p.asked, c.Handler = asked, p
	if p.link, err = link.Open(c); err != nil {
		return err
	}
	p.leaders = remote.New(p.link, p.leader, p.log) // nobody is a member yet, who could ask for one
	return nil
}

// Close ends the connections to other nodes.
func (p *Peers) Close() {
	if p.link != nil {
		p.link.Close()
	}
}

// Link is the link to other nodes.
func (p *Peers) Link() *link.Links { return p.link }

// Leaders are those at other nodes.
func (p *Peers) Leaders() *remote.Leaders { return p.leaders }

// Self is the number of this node, 0 until it is known.
func (p *Peers) Self() link.NodeID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.self
}

// SetSelf says which node this is.
func (p *Peers) SetSelf(id link.NodeID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.self = id
}

// SetMembers names the other nodes, the uuids of nodes that are gone for good, and the
// nodes that leadership is to leave.
func (p *Peers) SetMembers(members []link.Peer, retired []string, drained map[link.NodeID]bool) {
	p.drained.Store(&drained)
	ids := make([]link.NodeID, len(members))
	for i := range members {
		ids[i] = members[i].ID
	}
	p.mu.Lock()
	p.members = ids
	p.mu.Unlock()
	all := make([]uint64, len(ids))
	for i, id := range ids {
		all[i] = uint64(id)
	}
	p.clock.Keep(all)
	p.link.SetPeers(members, retired)
}

// isDrained reports whether leadership is to leave a node, as the fleet's metadata says or
// the node itself.
func (p *Peers) isDrained(id link.NodeID) bool {
	if (*p.drained.Load())[id] {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.nodes[id]
	return n != nil && n.unfit
}

// isBroken reports whether leadership is to leave a node before others that it is to leave,
// too: the fleet's metadata says so, or its disk takes no writes.
func (p *Peers) isBroken(id link.NodeID) bool {
	if (*p.drained.Load())[id] {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.nodes[id]
	return n != nil && n.broken
}

// CallPatience is how long another node may take to answer what takes no time.
const CallPatience = 3 * time.Second

// Attach makes a cluster of this process known to other nodes, and tells it what
// they have said. It replaces an earlier actor of the cluster.
func (p *Peers) Attach(l *Links, pid *actor.PID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &peerCluster{links: l, pid: pid}
	p.clusters[l.cluster] = c
	// What was said before is for the new actor all news. What others have said, and what this
	// node says to them, are both taken with mu held, so that nothing which is said meanwhile
	// is missed, or overtaken by what is older.
	for id, n := range p.nodes {
		if said := n.said[l.cluster]; said != nil && n.up {
			p.take(id, c, &clusterSaid{}, said)
		}
	}
	for id, n := range p.nodes {
		if n.up {
			p.sendAll(id, c)
		}
	}
}

// Detach forgets a cluster.
func (p *Peers) Detach(l *Links) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.clusters[l.cluster]; c != nil && c.links == l {
		delete(p.clusters, l.cluster)
	}
}

func (p *Peers) cluster(id string) *peerCluster {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clusters[id]
}

// now is the time by the links' clock; peers may be nil.
func (p *Peers) now() time.Duration {
	if p == nil {
		return 0
	}
	return p.link.Now()
}

// Alive reports whether a node is heard of.
func (p *Peers) Alive(id link.NodeID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.nodes[id]
	return n != nil && n.up
}

// Identity is what a node has said of itself; false where it is not heard of.
func (p *Peers) Identity(id link.NodeID) (link.Identity, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.nodes[id]
	if n == nil || !n.up {
		return link.Identity{}, false
	}
	return n.is, true
}

func (p *Peers) node(id link.NodeID) *peerNode {
	n := p.nodes[id]
	if n == nil {
		n = &peerNode{said: map[string]*clusterSaid{}}
		p.nodes[id] = n
	}
	return n
}

// Up implements link.Handler.
func (p *Peers) Up(peer link.Identity) {
	p.log.Info("node is up", "node", uint64(peer.Node), "name", peer.Name)
	defer notify(p.cameUp)
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.node(peer.Node)
	n.up, n.is = true, peer
	for id, said := range n.said {
		if c := p.clusters[id]; c != nil {
			p.take(peer.Node, c, &clusterSaid{}, said)
		}
	}
	for _, c := range p.clusters {
		p.root.Send(c.pid, &NodeTurned{Node: peer.Node, Up: true})
	}
}

// Down implements link.Handler. What ran there does not, as far as this node can
// tell, and nothing that was parked from there is waited for.
func (p *Peers) Down(id link.NodeID) {
	p.log.Warn("node is down", "node", uint64(id))
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.node(id)
	n.up = false
	for cluster, said := range n.said {
		if c := p.clusters[cluster]; c != nil {
			p.take(id, c, said, &clusterSaid{})
		}
	}
	for _, c := range p.clusters {
		p.root.Send(c.pid, &NodeTurned{Node: id})
	}
	p.leaders.Down(id)
}

// Connected implements link.Handler: whatever was said before may be lost.
func (p *Peers) Connected(id link.NodeID, lane link.Lane) {
	if lane != link.Control {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.clusters {
		p.sendAll(id, c)
	}
}

// Message implements link.Handler.
func (p *Peers) Message(from link.NodeID, _ link.Lane, kind uint16, body []byte) {
	if err := p.message(from, kind, body); err != nil {
		p.log.Error("a message of another node cannot be understood", "node", uint64(from), "kind", kind, "error", err)
	}
}

func (p *Peers) message(from link.NodeID, kind uint16, body []byte) error {
	switch kind {
	case wire.Raft:
		return p.raft(body)
	case wire.Announce:
		var a announcement
		if err := wire.Decode(body, &a); err != nil {
			return err
		}
		p.announced(from, &a)
	case wire.Replica:
		return p.toReplica(body)
	case wire.Broker:
		return p.toBroker(body)
	case wire.Park, wire.Unpark, wire.Wake, wire.PollSignal:
		return p.leaders.Message(from, kind, body)
	case wire.RaisedCount:
		var m CountsNoted
		if err := wire.Decode(body, &m); err != nil {
			return err
		}
		if c := p.cluster(m.Cluster); c != nil {
			p.root.Send(c.pid, &m)
		}
	}
	return nil // a kind that is not known is of a later version
}

// Call implements link.Handler.
func (p *Peers) Call(from link.NodeID, _ link.Lane, kind uint16, body []byte, left time.Duration, reply func([]byte, error)) {
	if err := p.call(from, kind, body, left, reply); err != nil {
		reply(nil, protocol.Errorf(protocol.CodeInternal, "node %d: %v", p.Self(), err))
	}
}

func (p *Peers) call(from link.NodeID, kind uint16, body []byte, left time.Duration, reply func([]byte, error)) error {
	// A node may connect before it is a member; then only the questions by which one becomes
	// a member are answered.
	if member := kind != wire.Hello && kind != wire.Join; member && from == 0 {
		return errors.New("the node is no member of the fleet")
	}
	switch kind {
	case wire.Produce, wire.Ask, wire.View, wire.Read, wire.SeekTime:
		return p.leaders.Call(from, kind, body, left, reply)
	case wire.ChangeBroker, wire.NoteCounts:
		return p.toCluster(kind, body, reply)
	case wire.Clock:
		reply(clockSays(p.clock), nil)
	default:
		if p.asked == nil {
			return fmt.Errorf("call of kind %d is not known to this version", kind)
		}
		p.asked(kind, from, body, reply)
	}
	return nil
}

// leader is the replica of this process that serves a partition; false if none does.
func (p *Peers) leader(at wire.Partition) (routing.Leader, bool) {
	c := p.cluster(at.Cluster)
	if c == nil {
		return nil, false
	}
	g := c.links.Find(at.PartitionID)
	if g == nil {
		return nil, false
	}
	l := g.leader.Load()
	if l == nil {
		return nil, false
	}
	return l, true
}

// Metrics counts what this node and the others say to each other.
func (p *Peers) Metrics() []protocol.NodeMetrics {
	var all []protocol.NodeMetrics
	offsets := p.clock.Offsets()
	for _, s := range p.link.Stats() {
		n := protocol.NodeMetrics{Node: uint64(s.Peer.ID), Name: s.Peer.Name, Up: s.Up, RoundTrip: s.RoundTrip.Seconds()}
		if ahead, known := offsets[n.Node]; known {
			seconds := ahead.Seconds()
			n.ClockAhead = &seconds
		}
		for lane, x := range s.Lanes {
			n.Lanes = append(n.Lanes, protocol.LaneMetrics{
				Lane: link.Lane(lane).String(), SentBytes: x.SentBytes, ReceivedBytes: x.RecvBytes, Dropped: x.Dropped,
				Connections: x.Connections, QueuedBytes: x.Queued, Pending: x.Pending,
			})
		}
		all = append(all, n)
	}
	return all
}
