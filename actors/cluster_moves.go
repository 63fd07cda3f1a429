package actors

import (
	"fmt"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/fleet"
	"ottla/actors/metarecord"
	"ottla/actors/peers"
	"ottla/link"
	"ottla/protocol"
)

// A broker that moves to another node has a directory at either until all its replicas
// are at the new one: at every node the cluster knows the arriving one as a broker of its
// own, under a number that is none of the others' (catalog.MoveKey). What is to be moved
// next is decided by the metadata's state (catalog.State.DecideMoves), at the node of the
// metadata's leader, so that not all nodes propose the same.

// brokersPlaced says which brokers there are and where: the fleet's metadata, or this
// node's manifest, has changed.
type brokersPlaced struct{ placement }

// placement is where a cluster's brokers are. Immutable.
type placement struct {
	brokers int
	shared  bool                // with a fleet, whose metadata says all of this
	nodes   map[int]link.NodeID // of those that are at other nodes
	aims    map[int]uint64      // the node at which each is to be; nil where that is not known yet
	moves   map[int]arrival     // by the number of the arriving one
}

// placementOf is the placement of a fleet's cluster as its metadata has it.
func placementOf(p *catalog.PlacedCluster, self uint64) *placement {
	l := &placement{brokers: len(p.Nodes), shared: true, nodes: fleet.Elsewhere(p.Nodes, self), aims: map[int]uint64{}, moves: map[int]arrival{}}
	for i := range p.Nodes {
		l.aims[i+1] = p.Aim(i + 1)
	}
	for b, m := range p.Moves {
		l.moves[catalog.MoveKey(b, m.Epoch)] = arrivalAt(b, m.Epoch, m.Node, self)
	}
	return l
}

// placementBefore is it as far as this node knew when it was stopped.
func placementBefore(m datadir.ClusterManifest, self uint64) *placement {
	l := &placement{brokers: m.NumBrokers}
	if len(m.Nodes) > 0 {
		l.shared, l.nodes, l.moves = true, fleet.Elsewhere(m.Nodes, self), map[int]arrival{}
	}
	for b, epoch := range m.Arriving {
		l.moves[catalog.MoveKey(b, epoch)] = arrivalAt(b, epoch, self, self)
	}
	return l
}

func arrivalAt(number int, epoch, node, self uint64) arrival {
	if node == self {
		node = 0
	}
	return arrival{number: number, epoch: epoch, node: link.NodeID(node)}
}

// arrival is a broker on its way.
type arrival struct {
	number int
	epoch  uint64
	node   link.NodeID // to where, 0: here
}

// releaseReplica has a broker remove a replica that is elsewhere now; released answers
// when its files are gone.
type (
	releaseReplica struct {
		Key     protocol.PartitionID
		Replica uint64
	}
	released struct {
		keys []protocol.ReplicaID
		err  error
	}
	// renumber gives a broker another number in its cluster. It tells its counter under
	// the new one.
	renumber struct{ ID int }
)

// brokersPlaced makes the brokers what the placement says.
func (c *clusterActor) brokersPlaced(ctx actor.Context, m *brokersPlaced) {
	if c.ends != nil {
		return
	}
	was := c.placed
	c.placed = &m.placement
	for id := 1; id <= m.brokers; id++ {
		c.placeBroker(ctx, id, m.nodes[id])
	}
	for id := m.brokers + 1; id <= was.brokers; id++ {
		c.dismiss(ctx, id)
	}
	for key := range was.moves {
		if _, still := m.moves[key]; !still {
			c.dismiss(ctx, key)
		}
	}
	for key, a := range m.moves {
		if c.brokers[key] == nil {
			c.addBroker(ctx, &brokerInCluster{id: key, number: a.number, node: a.node, epoch: a.epoch})
		}
	}
	if c.following == nil {
		c.followMetadata(ctx)
	}
	c.publish()
	if c.recovered {
		c.registerBrokers(ctx)
		c.reconcile(ctx)
	}
	c.driveMoves(ctx)
}

// placeBroker makes a broker one of this node or of another. One that is here from now on
// has arrived, or begins anew: it was at a node that is lost.
func (c *clusterActor) placeBroker(ctx actor.Context, id int, node link.NodeID) {
	b := c.brokers[id]
	switch {
	case b == nil:
		c.addBroker(ctx, &brokerInCluster{id: id, number: id, node: node})
	case b.node == node:
	case node != 0 && b.here():
		c.dismiss(ctx, id)
		c.addBroker(ctx, &brokerInCluster{id: id, number: id, node: node})
	case node != 0:
		b.node, b.state, b.reason = node, brokerFailed, errNotHeardOf(node)
		c.links.Join(b.id, peers.Mailbox{Node: node})
		c.env.peers.Retell(node, c.links)
	default:
		for key, arriving := range c.brokers {
			if arriving.number == id && key != id && arriving.here() && key > 0 {
				c.log.Info("broker has arrived at this node", "broker", id)
				c.renumber(ctx, arriving, id)
				return
			}
		}
		c.log.Info("broker begins anew at this node", "broker", id)
		b.node, b.state, b.reason = 0, brokerStopped, nil
		c.spawnBroker(ctx, b)
		c.startBroker(ctx, b)
	}
}

func (c *clusterActor) addBroker(ctx actor.Context, b *brokerInCluster) {
	b.told = map[protocol.PartitionID]toldReplica{}
	c.brokers[b.id] = b
	if !b.here() {
		b.state, b.reason = brokerFailed, errNotHeardOf(b.node)
		c.links.Join(b.id, peers.Mailbox{Node: b.node})
		c.env.peers.Retell(b.node, c.links)
		return
	}
	b.state = brokerStopped
	c.spawnBroker(ctx, b)
	c.startBroker(ctx, b)
}

// renumber gives a broker of this node another number.
func (c *clusterActor) renumber(ctx actor.Context, b *brokerInCluster, id int) {
	delete(c.brokers, b.id)
	c.intros.Gone(b.id)
	delete(c.witnessing, b.id)
	b.id, b.epoch = id, 0
	c.brokers[id] = b
	if work := c.handle.work[b.id]; work == nil {
		c.handle.work[id] = b.work
	}
	c.handle.work[id] = b.work
	c.links.Join(id, peers.Mailbox{PID: b.pid})
	ctx.Send(b.pid, &renumber{ID: id})
	if b.state == brokerStarting && !b.gone { // what it is introduced by has another number
		ctx.Send(b.pid, &refuseBroker{})
		c.moveBroker(b, brokerFailed, nil)
		c.startBroker(ctx, b)
	}
	c.sayBroker(b)
}

// dismiss ends a broker that is not here, or not in the cluster, any more: its replicas
// are elsewhere. Its directory is removed.
func (c *clusterActor) dismiss(ctx actor.Context, id int) {
	b := c.brokers[id]
	switch {
	case b == nil:
	case !b.here():
		delete(c.brokers, id)
	default:
		c.log.Info("broker leaves this node", "broker", b.number)
		for topic, left := range c.dropping {
			if _, waits := left[id]; waits {
				c.topicDropped(ctx, &topicDropped{Broker: id, TopicID: topic})
			}
		}
		c.dismissed--
		c.answerBroker(b, protocol.Errorf(protocol.CodeBrokerNotFound, "broker %d is not at this node any more", b.number))
		delete(c.brokers, id)
		c.intros.Gone(id)
		delete(c.witnessing, id)
		b.id = c.dismissed
		c.brokers[b.id] = b
		c.handle.work[b.id] = b.work
		ctx.Send(b.pid, &renumber{ID: b.id})
		switch {
		case b.gone: // removed once it is cleared
		case b.state == brokerStopped || b.state == brokerFailed:
			c.remove(ctx, b)
		default:
			c.moveBroker(b, brokerStopping, nil)
			ctx.Send(b.pid, &stopBroker{})
		}
	}
}

// remove forgets a dismissed broker that is closed, and removes its directory.
func (c *clusterActor) remove(ctx actor.Context, b *brokerInCluster) {
	delete(c.brokers, b.id)
	ctx.Stop(b.pid)
	m, number, log := c.handle.manifest, b.number, c.log
	for _, other := range c.brokers {
		if other.number == number && other.here() {
			return // it is here again
		}
	}
	b.work.Go(func() {
		if err := c.env.manifests.RemoveBroker(m, number); err != nil {
			log.Error("remove the directory of a broker that has left", "broker", number, "error", err)
		}
	})
}

// dismissedBroker reports whether a broker is on its way out.
func (b *brokerInCluster) dismissed() bool { return b.id < 0 }

// arriving reports whether this is the directory of a broker at the node to which it moves.
func (b *brokerInCluster) arriving() bool { return b.id > maxBrokerNumber }

// maxBrokerNumber is the greatest number of a broker that is where it belongs.
const maxBrokerNumber = 15

// holder is the broker, or the arriving one, that has a replica that a partition has or is
// to have.
func (c *clusterActor) holder(p *catalog.Partition, r protocol.PlacedReplica) *brokerInCluster {
	node := c.state.MovedTo(p, r.Broker)
	for _, x := range p.Replacing {
		if x.NewID == r.ReplicaID {
			node = x.Node
		}
	}
	if node != 0 {
		for _, b := range c.brokers {
			if b.number == r.Broker && b.arriving() && c.nodeOf(b) == node {
				return b
			}
		}
	}
	return c.brokers[r.Broker]
}

// nodeOf is the number of a broker's node.
func (c *clusterActor) nodeOf(b *brokerInCluster) uint64 { return c.at(b.node) }

// at is the number of a node, of which this one is 0.
func (c *clusterActor) at(node link.NodeID) uint64 {
	if node == 0 {
		return c.env.nodeID()
	}
	return uint64(node)
}

// releaseMoved has a broker remove replicas that the metadata does not have any more, or
// has elsewhere.
func (c *clusterActor) releaseMoved(ctx actor.Context, b *brokerInCluster) {
	for key, held := range b.holds {
		p := c.state.Partitions()[key]
		if p == nil {
			delete(b.holds, key) // of a topic that was deleted
			continue
		}
		replica, _ := c.state.Held(p, b.number, c.env.nodeID())
		if replica == 0 && !slices.ContainsFunc(p.Replicas, func(r protocol.PlacedReplica) bool { return r.ReplicaID == held }) {
			delete(b.holds, key) // it is told once
			delete(b.told, key)
			ctx.Send(b.pid, &releaseReplica{Key: key, Replica: held})
		}
	}
}

// driveMoves decides on what is to be done next about moves, where this is the node of the
// metadata's leader.
func (c *clusterActor) driveMoves(ctx actor.Context) {
	l := c.metaRoute.Leader()
	if !c.recovered || c.driving || c.ends != nil || l == nil || l.Away || c.state.Settings() == nil || c.create != nil {
		return
	}
	if !c.movesDue() {
		return
	}
	c.driving = true
	places, decided := c.newPlaces(), false
	c.enqueue(ctx, &metadataOp{
		decide: func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
			recs := c.decideMoves(s, places)
			decided = len(recs) > 0
			return recs, nil
		},
		done: func(*protocol.Error) { c.driving = false },
		after: func(ctx actor.Context) {
			c.reportMoves()
			if decided {
				c.driveMoves(ctx)
			}
		},
	})
}

// movesDue reports whether there may be something to decide, or to tell the fleet.
func (c *clusterActor) movesDue() bool {
	r := c.state.Resizing()
	return c.handle.fleet != nil || c.state.Moving() || len(c.placed.moves) > 0 || c.placed.brokers > c.state.BrokerCount() || r != nil && r.Phase == catalog.ResizeRemoving || c.misplaced()
}

// misplaced reports whether a broker is not where the fleet wants it.
func (c *clusterActor) misplaced() bool {
	for id, aim := range c.placed.aims {
		if b := c.state.BrokerAt(id); b != nil && b.Node != aim {
			return true
		}
	}
	return false
}

func (c *clusterActor) decideMoves(s *catalog.State, places map[int]catalog.Broker) []metarecord.Record {
	if c.handle.fleet != nil {
		if recs := c.handle.fleet.Tend(s); len(recs) > 0 {
			return recs
		}
	}
	r := s.Resizing()
	switch settled := r == nil || r.Phase == catalog.ResizeDone; {
	case settled && c.placed.brokers > s.BrokerCount():
		for id := s.BrokerCount() + 1; id <= c.placed.brokers; id++ {
			if c.brokers[id].state != brokerRunning {
				return nil // nothing is moved to what has no directory yet
			}
		}
		return s.DecideGrow(c.placed.brokers, places, taskID("resize", c.handle.Name), c.env.clock.Agreed())
	case !settled && r.Phase == catalog.ResizeRemoving && c.placed.brokers <= r.Brokers:
		return s.DecideRemoved()
	}
	for id := 1; id <= c.placed.brokers; id++ {
		b := s.BrokerAt(id)
		if aim := c.placed.aims[id]; aim != 0 && b != nil && !c.gone(b.Node) && (aim == b.Node || c.awaited(id, aim)) {
			if recs := s.DecideMoveBroker(id, aim); len(recs) > 0 {
				return recs
			}
		}
	}
	return s.DecideMoves()
}

// awaited reports whether a broker has a directory at the node to which it is to move.
func (c *clusterActor) awaited(number int, node uint64) bool {
	for _, b := range c.brokers {
		if b.number == number && b.arriving() && c.nodeOf(b) == node && b.state == brokerRunning {
			return true
		}
	}
	return false
}

func taskID(kind, of string) string {
	return fmt.Sprintf("%s-%s-%s", kind, of, protocol.NewID()[:8])
}

// newPlaces is where clients reach brokers that are about to be made.
func (c *clusterActor) newPlaces() map[int]catalog.Broker {
	places := c.places()
	if places == nil {
		places = map[int]catalog.Broker{}
	}
	for id := 1; id <= c.placed.brokers; id++ {
		if _, elsewhere := places[id]; !elsewhere {
			places[id] = catalog.Broker{Node: c.env.nodeID(), Host: c.env.opt.Host, Port: c.env.opt.Port}
		}
	}
	return places
}

// gone reports whether a node is gone for good, as far as this one knows.
func (c *clusterActor) gone(node uint64) bool {
	return c.env.fleet != nil && c.env.fleet.Gone(node)
}

// belongs reports whether the metadata has a broker at this node: one that the fleet says
// is here may be elsewhere by now.
func (c *clusterActor) belongs(b *brokerInCluster) bool {
	have := c.state.BrokerAt(b.number)
	return have == nil || c.env.fleet == nil || have.Node == 0 || have.Node == c.env.nodeID() || c.gone(have.Node)
}

// reportMoves tells the fleet, or this node, what the metadata says is over.
func (c *clusterActor) reportMoves() {
	r := c.state.Resizing()
	if r != nil && r.Phase == catalog.ResizeRemoving && c.placed.brokers > r.Brokers {
		if c.placed.shared {
			c.env.fleet.Shrunk(c.handle.manifest.ID, r.Brokers)
		} else {
			c.env.system.Root.Send(c.env.node.Load(), &resizeCluster{Name: c.handle.Name, Brokers: r.Brokers})
		}
	}
	for _, a := range c.placed.moves {
		if b := c.state.BrokerAt(a.number); b != nil && b.To == 0 && (b.Node == c.placed.aims[a.number] || b.Node == c.at(a.node)) {
			c.env.fleet.Arrived(c.handle.manifest.ID, a.number, a.epoch, b.Node)
		}
	}
}
