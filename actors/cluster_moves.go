package actors

import (
	"fmt"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
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
type brokersPlaced struct{ layout *fleet.Layout }

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
	c.placed = m.layout
	for id := 1; id <= c.placed.Brokers; id++ {
		c.placeBroker(ctx, id, c.placed.Nodes[id])
	}
	for id := c.placed.Brokers + 1; id <= was.Brokers; id++ {
		c.dismiss(ctx, id)
	}
	for key := range was.Moves {
		if _, still := c.placed.Moves[key]; !still {
			c.dismiss(ctx, key)
		}
	}
	for key, a := range c.placed.Moves {
		if c.brokers[key] == nil {
			c.addBroker(ctx, &brokerInCluster{id: key, number: a.Number, node: a.Node, epoch: a.Epoch})
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

// addBroker enters a broker. One at another node is not heard of yet, so its node is asked to
// say all it knows once more: what it said before was about a broker that was not known here.
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

// renumber gives a broker of this node another number. The directory stays where it is and the
// actor goes on: its replicas serve through the change. What is known of the old number is
// forgotten, and the count is told under the new one.
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
		// It keeps an entry under a number of its own until it is closed: its answers must
		// find it, and a broker of the same number may come back to this node meanwhile.
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

// remove forgets a dismissed broker that is closed, and removes its directory. If the broker
// has come back to this node, the directory is the one that it uses again, and stays.
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

// dismissed reports whether a broker is on its way out.
func (b *brokerInCluster) dismissed() bool { return b.id < 0 }

// arriving reports whether this is the directory of a broker at the node to which it moves.
func (b *brokerInCluster) arriving() bool { return b.id > maxBrokerNumber }

// maxBrokerNumber is the greatest number of a broker that is where it belongs.
const maxBrokerNumber = 15

// holder is the broker, or the arriving one, that has a replica that a partition has or is to
// have. While a broker moves it has replicas at two nodes, under one number: which entry is
// meant follows from the node that the metadata names for the replica.
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

// releaseMoved has a broker remove replicas that the metadata does not have any more, or has
// elsewhere. A replica goes only when no record names it any more: as long as it may still
// count for a majority its files are needed.
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
	// At other nodes it is not decided: their proposals would be refused as too early, over
	// and over. If two nodes believe that they have the leader, the partition still takes one
	// decision only.
	l := c.metaRoute.Leader()
	if !c.recovered || c.driving || c.ends != nil || l == nil || l.Away || c.state.Settings() == nil || c.create != nil {
		return
	}
	if c.handle.fleet == nil && !c.placed.Due(c.state) {
		return
	}
	// One decision at a time. The next one follows its records, or whatever may have made room
	// for it: brokers that run, nodes that are heard, members that are settled.
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

// decideMoves takes the next step of the fleet's own affairs, if this is its metadata, or
// of the brokers' moves.
func (c *clusterActor) decideMoves(s *catalog.State, places map[int]catalog.Broker) []metarecord.Record {
	if c.handle.fleet != nil {
		if recs := c.handle.fleet.Tend(s); len(recs) > 0 {
			return recs
		}
	}
	return c.placed.Decide(s, fleet.Ground{
		Running: func(id int) bool { return c.brokers[id].state == brokerRunning },
		Awaited: c.awaited, Gone: c.gone, Places: places,
		Task: taskID("resize", c.handle.Name), Now: c.env.clock.Agreed(),
	})
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

func taskID(kind, of string) string { return fmt.Sprintf("%s-%s-%s", kind, of, protocol.NewID()[:8]) }

// newPlaces is where clients reach brokers that are about to be made.
func (c *clusterActor) newPlaces() map[int]catalog.Broker {
	places := c.places()
	if places == nil {
		places = map[int]catalog.Broker{}
	}
	for id := 1; id <= c.placed.Brokers; id++ {
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
	if r != nil && r.Phase == catalog.ResizeRemoving && c.placed.Brokers > r.Brokers {
		if c.placed.Shared {
			c.env.fleet.Shrunk(c.handle.manifest.ID, r.Brokers)
		} else {
			c.env.system.Root.Send(c.env.node.Load(), &resizeCluster{Name: c.handle.Name, Brokers: r.Brokers})
		}
	}
	for _, a := range c.placed.Moves {
		if b := c.state.BrokerAt(a.Number); b != nil && b.To == 0 && (b.Node == c.placed.Aims[a.Number] || b.Node == c.at(a.Node)) {
			c.env.fleet.Arrived(c.handle.manifest.ID, a.Number, a.Epoch, b.Node)
		}
	}
}
