package actors

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
	Brokers  []brokerSaid  `json:"b,omitempty"`
	Replicas []replicaSaid `json:"r,omitempty"`
	Leaders  []leaderSaid  `json:"l,omitempty"`
}

// brokerSaid is the state of a broker.
type brokerSaid struct {
	Broker int         `json:"b"`
	State  brokerState `json:"s"`
	Why    string      `json:"w,omitempty"`
	Wiped  bool        `json:"n,omitempty"` // it has lost its replicas, and they are not decided on yet
}

// replicaSaid says that a replica runs, or does not any more.
type replicaSaid struct {
	TopicID   string `json:"t"`
	Partition int    `json:"p"`
	Replica   uint64 `json:"r"`
	Runs      bool   `json:"u,omitempty"`
}

// leaderSaid says that a replica leads and serves, or does not any more.
type leaderSaid struct {
	TopicID   string `json:"t"`
	Partition int    `json:"p"`
	Broker    int    `json:"b"`
	Term      uint64 `json:"e"`
	Leads     bool   `json:"u,omitempty"`
}

// clusterSaid is what a node has said of one cluster.
type clusterSaid struct {
	brokers  map[int]brokerSaid
	replicas map[protocol.ReplicaID]bool
	leaders  map[protocol.PartitionID]leaderSaid
}

// with is what is said once a has been said as well.
func (s *clusterSaid) with(a *announcement) *clusterSaid {
	next := &clusterSaid{brokers: map[int]brokerSaid{}, replicas: map[protocol.ReplicaID]bool{}, leaders: map[protocol.PartitionID]leaderSaid{}}
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

// nodeTurned tells a cluster that a node is up, or down.
type nodeTurned struct {
	Node link.NodeID
	Up   bool
}

// peerSaid tells a cluster which brokers and leaders a node has now, and which of
// its leaders have gone.
type peerSaid struct {
	Node    link.NodeID
	Brokers []brokerSaid
	Leaders []leaderSaid
}

// announced takes what a node says.
func (p *peers) announced(from link.NodeID, a *announcement) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.node(from)
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

// take makes what a node says of a cluster known to it.
func (p *peers) take(from link.NodeID, c *peerCluster, was, now *clusterSaid) {
	woken := map[*groupLinks][]*actor.PID{}
	turn := func(key protocol.ReplicaID, at mailbox) {
		id := protocol.PartitionID{TopicID: key.TopicID, Partition: key.Partition}
		if at == (mailbox{}) && c.links.find(id) == nil {
			return // of a topic that was deleted
		}
		g := c.links.group(id)
		if g.local(key.Replica) == nil { // else it says so wrongly
			woken[g] = g.register(key.Replica, at)
		}
	}
	for key := range was.replicas {
		if !now.replicas[key] {
			turn(key, mailbox{})
		}
	}
	for key := range now.replicas {
		if !was.replicas[key] {
			turn(key, mailbox{node: from})
		}
	}
	m := &peerSaid{Node: from}
	for id, b := range now.brokers {
		if was.brokers[id] != b {
			m.Brokers = append(m.Brokers, b)
		}
	}
	for key, l := range was.leaders {
		if now.leaders[key] != l {
			l.Leads = false
			m.Leaders = append(m.Leaders, l)
		}
	}
	for key, l := range now.leaders {
		if was.leaders[key] != l {
			m.Leaders = append(m.Leaders, l)
		}
	}
	root := p.env.system.Root
	if len(m.Brokers)+len(m.Leaders) > 0 {
		root.Send(c.pid, m)
	}
	for _, pids := range woken {
		for _, pid := range pids {
			root.Send(pid, &peersChanged{})
		}
	}
}

// retell has a cluster told again what a node has said.
func (p *peers) retell(node link.NodeID, l *links) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, c := p.nodes[node], p.clusters[l.cluster]
	if n != nil && n.up && c != nil && c.links == l && n.said[l.cluster] != nil {
		p.take(node, c, &clusterSaid{}, n.said[l.cluster])
	}
}

// announce tells all nodes of a change. Whoever is not connected is told all when
// it is.
func (p *peers) announce(a *announcement) {
	body := wire.Encode(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range p.members {
		p.link.Send(id, link.Control, wire.Announce, body)
	}
}

// sendAll tells a node all that runs here of a cluster. It is called with mu held,
// so that no change is told before.
func (p *peers) sendAll(to link.NodeID, c *peerCluster) {
	a := &announcement{Cluster: c.links.cluster, All: true, Brokers: c.links.brokersSaid()}
	for key, g := range c.links.all() {
		for replica, at := range *g.running.Load() {
			if at.pid != nil {
				a.Replicas = append(a.Replicas, replicaSaid{key.TopicID, key.Partition, replica, true})
			}
		}
		if l := g.leader.Load(); l != nil {
			a.Leaders = append(a.Leaders, leaderSaid{key.TopicID, key.Partition, l.Broker, l.Term, true})
		}
	}
	p.link.Send(to, link.Control, wire.Announce, wire.Encode(a))
}
