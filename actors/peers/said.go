package peers

import (
	"maps"

	"ottla/actors/wire"
	"ottla/link"
	"ottla/protocol"

	"github.com/asynkron/protoactor-go/actor"
)

// Each node tells the others which of its brokers and replicas run and which lead:
// all of them when a connection begins, and what changes from then on, in order.

// announcement is what runs at a node, of one cluster.
type announcement struct {
	Cluster  string        `json:"c"`
	All      bool          `json:"a,omitempty"` // there is nothing else
	Brokers  []BrokerSaid  `json:"b,omitempty"`
	Replicas []ReplicaSaid `json:"r,omitempty"`
	Leaders  []LeaderSaid  `json:"l,omitempty"`
	Unfit    bool          `json:"u,omitempty"` // of the node: leaders should be elsewhere
	Broken   bool          `json:"x,omitempty"` // likewise: its disk takes no writes
}

// BrokerSaid is the state of a broker.
type BrokerSaid struct {
	Broker int    `json:"b"`
	State  string `json:"s"`
	Why    string `json:"w,omitempty"`
	Wiped  bool   `json:"n,omitempty"` // it has lost its replicas, and they are not decided on yet
}

// ReplicaSaid says that a replica runs, or does not any more.
type ReplicaSaid struct {
	TopicID   string `json:"t"`
	Partition int    `json:"p"`
	Replica   uint64 `json:"r"`
	Runs      bool   `json:"u,omitempty"`
}

// LeaderSaid says that a replica leads and serves, or does not any more.
type LeaderSaid struct {
	TopicID   string `json:"t"`
	Partition int    `json:"p"`
	Broker    int    `json:"b"`
	Term      uint64 `json:"e"`
	Leads     bool   `json:"u,omitempty"`
}

// clusterSaid is what a node has said of one cluster.
type clusterSaid struct {
	brokers  map[int]BrokerSaid
	replicas map[protocol.ReplicaID]bool
	leaders  map[protocol.PartitionID]LeaderSaid
}

// with is what is said once a has been said as well.
func (s *clusterSaid) with(a *announcement) *clusterSaid {
	next := &clusterSaid{brokers: map[int]BrokerSaid{}, replicas: map[protocol.ReplicaID]bool{}, leaders: map[protocol.PartitionID]LeaderSaid{}}
	if s != nil && !a.All {
		maps.Copy(next.brokers, s.brokers)
		maps.Copy(next.replicas, s.replicas)
		maps.Copy(next.leaders, s.leaders)
	}
	next.add(a)
	return next
}

func (s *clusterSaid) add(a *announcement) {
	for _, b := range a.Brokers {
		s.brokers[b.Broker] = b
	}
	for _, r := range a.Replicas {
		key := protocol.ReplicaID{TopicID: r.TopicID, Partition: r.Partition, Replica: r.Replica}
		if r.Runs {
			s.replicas[key] = true
		} else {
			delete(s.replicas, key)
		}
	}
	for _, l := range a.Leaders {
		key := protocol.PartitionID{TopicID: l.TopicID, Partition: l.Partition}
		if l.Leads {
			s.leaders[key] = l
		} else if s.leaders[key].Term <= l.Term {
			delete(s.leaders, key)
		}
	}
}

// NodeTurned tells a cluster that a node is up, or down.
type NodeTurned struct {
	Node link.NodeID
	Up   bool
}

// Changed tells a replica that another one of its partition was started or ended.
type Changed struct{}

// Said tells a cluster which brokers and leaders a node has now, and which of
// its leaders have gone.
type Said struct {
	Node    link.NodeID
	Brokers []BrokerSaid
	Leaders []LeaderSaid
}

// announced takes what a node says. It is kept also of clusters that do not run here yet,
// and while the node counts as down.
func (p *Peers) announced(from link.NodeID, a *announcement) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.node(from)
	if n.unfit, n.broken = a.Unfit, a.Broken; a.Cluster == "" {
		return // that was all
	}
	was := n.said[a.Cluster]
	now := was.with(a)
	n.said[a.Cluster] = now
	if was == nil {
		was = &clusterSaid{}
	}
	if c := p.clusters[a.Cluster]; c != nil && n.up {
		p.take(from, c, was, now)
	}
}

// changes are what has changed since was: the replicas that run from now on or do not
// any more, the brokers, and the leaders; one that has gone has Leads false.
func (s *clusterSaid) changes(was *clusterSaid) (replicas map[protocol.ReplicaID]bool, brokers []BrokerSaid, leaders []LeaderSaid) {
	replicas = map[protocol.ReplicaID]bool{}
	for key := range was.replicas {
		if !s.replicas[key] {
			replicas[key] = false
		}
	}
	for key := range s.replicas {
		if !was.replicas[key] {
			replicas[key] = true
		}
	}
	for id, b := range s.brokers {
		if was.brokers[id] != b {
			brokers = append(brokers, b)
		}
	}
	for key, l := range was.leaders {
		if s.leaders[key] != l {
			l.Leads = false
			leaders = append(leaders, l)
		}
	}
	for key, l := range s.leaders {
		if was.leaders[key] != l {
			leaders = append(leaders, l)
		}
	}
	return replicas, brokers, leaders
}

// take makes what a node says of a cluster known to it. It is called with mu held: what
// nodes say reaches the actors in the order in which they say it.
func (p *Peers) take(from link.NodeID, c *peerCluster, was, now *clusterSaid) {
	replicas, brokers, leaders := now.changes(was)
	woken := map[*Group][]*actor.PID{}
	for key, runs := range replicas {
		id := protocol.PartitionID{TopicID: key.TopicID, Partition: key.Partition}
		if !runs && c.links.Find(id) == nil {
			continue // of a topic that was deleted
		}
		at := Mailbox{}
		if runs {
			at.Node = from
		}
		g := c.links.Group(id)
		if g.local(key.Replica) == nil { // else it says so wrongly
			woken[g] = g.Register(key.Replica, at)
		}
	}
	if len(brokers)+len(leaders) > 0 {
		p.root.Send(c.pid, &Said{Node: from, Brokers: brokers, Leaders: leaders})
	}
	for _, pids := range woken {
		for _, pid := range pids {
			p.root.Send(pid, &Changed{})
		}
	}
}

// Retell has a cluster told again what a node has said.
func (p *Peers) Retell(node link.NodeID, l *Links) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, c := p.nodes[node], p.clusters[l.cluster]
	if n != nil && n.up && c != nil && c.links == l && n.said[l.cluster] != nil {
		p.take(node, c, &clusterSaid{}, n.said[l.cluster])
	}
}

// announce tells all nodes of a change. Whoever is not connected is told all when
// it is.
func (p *Peers) announce(a *announcement) {
	a.Unfit, a.Broken = p.unfit(), !p.works()
	body := wire.Encode(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range p.members {
		p.link.Send(id, link.Control, wire.Announce, body)
	}
}

// sendAll tells a node all that runs here of a cluster. It is called with mu held,
// so that no change is told before.
func (p *Peers) sendAll(to link.NodeID, c *peerCluster) {
	a := &announcement{Unfit: p.unfit(), Broken: !p.works(), Cluster: c.links.cluster, All: true, Brokers: c.links.brokersSaid()}
	for key, g := range c.links.all() {
		for replica := range g.Mailboxes() {
			a.Replicas = append(a.Replicas, ReplicaSaid{key.TopicID, key.Partition, replica, true})
		}
		if l := g.leader.Load(); l != nil {
			a.Leaders = append(a.Leaders, LeaderSaid{key.TopicID, key.Partition, l.Broker, l.Term, true})
		}
	}
	p.link.Send(to, link.Control, wire.Announce, wire.Encode(a))
}

// SayFitness tells the other nodes whether this one is fit for leaders. Each announcement says
// so again.
func (p *Peers) SayFitness() { p.announce(&announcement{}) }
