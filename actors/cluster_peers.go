package actors

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/follow"
	"ottla/actors/peers"
	"ottla/actors/remote"
	"ottla/actors/routing"
	"ottla/actors/wire"
	"ottla/link"
	"ottla/logfile"
	"ottla/protocol"
)

// A cluster whose brokers are at several nodes has an actor at each of them. Each
// applies the metadata, starts the brokers that are at its own node, and may decide
// and propose changes: the metadata's leader takes only what was decided on all that
// it has (routing.ChangeMetadata). So none of them is the one that decides.

// nodeID is the number of this node in its fleet, 0 where there is none.
func (e *environment) nodeID() uint64 {
	if e.peers == nil {
		return 0
	}
	return uint64(e.peers.Self())
}

func errNotHeardOf(node link.NodeID) error { return fmt.Errorf("node %d is not heard of", node) }

// peersMessage handles the messages that concern other nodes; false for any other.
func (c *clusterActor) peersMessage(ctx actor.Context, message any) bool {
	switch m := message.(type) {
	case *peers.Said:
		c.peerSaid(ctx, m)
	case *peers.NodeTurned:
		c.nodeTurned(ctx, m)
	case *brokersPlaced:
		c.brokersPlaced(ctx, m)
	case *metadataConfirmed:
		c.metadataConfirmed(ctx, m)
	case *peers.BrokerChange:
		c.changeBroker(ctx, &changeBroker{ID: m.Broker, Start: m.Start, Reply: m.Reply})
	case *barrierAsked:
		c.barrier(ctx, m)
	case *peers.CountsNoted:
		c.countsNoted(ctx, m)
	case *datadir.Witness:
		c.witnessed(ctx, m)
	case *witnessDue:
		c.seekWitnesses(ctx, m.Broker)
	default:
		return false
	}
	return true
}

// nodeTurned handles the coming and going of a node. A node that is not heard of may run on,
// cut off. That its brokers count as failed here only changes what is tried: nothing is
// decided without a majority.
func (c *clusterActor) nodeTurned(ctx actor.Context, m *peers.NodeTurned) {
	if m.Up {
		for _, b := range c.brokers {
			c.seekWitnesses(ctx, b.id)
		}
		c.driveMoves(ctx)
		return
	}
	changed := false
	for _, b := range c.brokers {
		if b.node == m.Node {
			b.state, b.reason, changed = brokerFailed, errNotHeardOf(b.node), true
		}
	}
	if changed {
		c.restoreAll(ctx)
		c.publish()
	}
}

// peerSaid takes what another node says of its brokers and leaders.
func (c *clusterActor) peerSaid(ctx actor.Context, m *peers.Said) {
	for _, said := range m.Brokers {
		b := c.brokers[said.Broker]
		if b == nil || b.node != m.Node {
			continue
		}
		b.state, b.reason, b.wiped = brokerState(said.State), nil, said.Wiped
		if said.Why != "" {
			b.reason = fmt.Errorf("%s", said.Why)
		}
	}
	for _, said := range m.Leaders {
		c.ledElsewhere(ctx, m.Node, said)
	}
	if len(m.Brokers) > 0 {
		c.restoreAll(ctx)
		c.publish()
		c.driveMoves(ctx)
	}
}

// ledElsewhere publishes or withdraws a leader at another node. What nodes say may come late,
// and in another order than it happened; terms say what is newer. A leader of an older term
// never takes the place of a newer one, and a withdrawal of an older term ends nothing.
func (c *clusterActor) ledElsewhere(ctx actor.Context, node link.NodeID, said peers.LeaderSaid) {
	key := protocol.PartitionID{TopicID: said.TopicID, Partition: said.Partition}
	have := c.remotes[key]
	if !said.Leads {
		if have != nil && have.Node == node && have.Term <= said.Term {
			c.withdrawRemote(key)
		}
		return
	}
	if have != nil && (have.Term > said.Term || have.Term == said.Term && have.Node == node) {
		return
	}
	// The former one is withdrawn before: those who wait for its answers are told, and look
	// the leader up anew.
	c.withdrawRemote(key)
	l := c.env.peers.Leaders().Leader(node, wire.Partition{Cluster: c.handle.manifest.ID, PartitionID: key}, said.Broker, said.Term)
	c.remotes[key] = l
	if r := c.parts[key]; r != nil { // else once the topic is known here
		r.Set(l.Leadership)
	}
	if key == catalog.MetadataPartition() {
		c.confirmMetadata(ctx, l)
	}
}

// withdrawRemote ends a leader at another node. It is taken out of the routes before those
// that wait at it are woken, so that they do not find it again.
func (c *clusterActor) withdrawRemote(key protocol.PartitionID) {
	l := c.remotes[key]
	if l == nil {
		return
	}
	delete(c.remotes, key)
	if r := c.parts[key]; r != nil {
		r.Clear(l.Leadership)
	}
	l.Withdraw()
}

// followMetadata begins to read the metadata from its leader, for as long as no replica of it
// runs here. A replica here sends the same records by itself. Both may run for a moment, since
// each offset is applied once.
func (c *clusterActor) followMetadata(ctx actor.Context) {
	if !c.links.Spread() {
		return
	}
	group, self, root := c.links.Group(catalog.MetadataPartition()), ctx.Self(), c.env.system.Root
	c.following = follow.Start(c.metaRoute, func() bool { return group.Locals() > 0 }, c.appliedTo.Load, func(records []logfile.Record, restore int64) {
		root.Send(self, &metadataApplied{Records: records, Restore: restore})
	})
}

func (c *clusterActor) stopFollowing() {
	if c.following != nil {
		c.following()
	}
}

// metadataConfirmed says up to where the metadata is committed, as a leader
// elsewhere has confirmed.
type metadataConfirmed struct {
	leader *remote.Leader
	end    routing.LogEnd
}

// confirmMetadata asks a leader of the metadata elsewhere what this node must have
// applied before it may say that something does not exist.
func (c *clusterActor) confirmMetadata(ctx actor.Context, l *remote.Leader) {
	self, system := ctx.Self(), c.env.system
	l.Ask(&routing.ConfirmEnd{Reply: protocol.Called(func(end routing.LogEnd) {
		m := &metadataConfirmed{l, end}
		if end.Err == nil {
			system.Root.Send(self, m)
			return
		}
		time.AfterFunc(metadataRetry, func() { system.Root.Send(self, m) })
	})})
}

func (c *clusterActor) metadataConfirmed(ctx actor.Context, m *metadataConfirmed) {
	if c.remotes[catalog.MetadataPartition()] != m.leader {
		return
	}
	if m.end.Err != nil {
		c.confirmMetadata(ctx, m.leader)
		return
	}
	c.caughtUp = m
	c.settleRecords(ctx)
}

// settleRecords goes on with whatever waits for records of the metadata. It is
// called when some have been applied and published.
func (c *clusterActor) settleRecords(ctx actor.Context) {
	if m := c.confirmed; m != nil && c.nextOffset >= m.end {
		c.confirmed = nil
		c.proposed(ctx, m)
	}
	// Everything is applied that was committed when the leader elsewhere was asked: the answer
	// "there is no such topic" is now as good as the leader's.
	if m := c.caughtUp; m != nil && c.nextOffset >= m.end.Next {
		c.caughtUp = nil
		c.metadataServes(ctx, m.leader.Term)
	}
	if !c.recovered && c.metaTerm > 0 && c.state.Settings() != nil {
		c.metadataServes(ctx, c.metaTerm)
	}
	waiting := c.barriers[:0]
	for _, b := range c.barriers {
		switch {
		case c.nextOffset >= b.end:
			b.Reply.Put(nil)
		case c.env.now().After(b.Deadline):
			b.Reply.Put(routing.ErrStarting)
		default:
			waiting = append(waiting, b)
		}
	}
	c.barriers = waiting
}

// barrierAsked asks for an answer once all is applied and published here that was in
// the metadata when it was asked.
type barrierAsked struct {
	Deadline time.Time
	Reply    protocol.Future[*protocol.Error]
	end      int64
}

// barrierEnd brings a barrier its end.
func (c *clusterActor) barrier(ctx actor.Context, m *barrierAsked) {
	if m.end > 0 || !c.links.Spread() {
		c.barriers = append(c.barriers, m)
		c.settleRecords(ctx)
		return
	}
	leader := c.metaRoute.Leader()
	if leader == nil {
		c.barrierLater(ctx.Self(), m)
		return
	}
	self, system := ctx.Self(), c.env.system
	leader.Ask(&routing.ConfirmEnd{Reply: protocol.Called(func(end routing.LogEnd) {
		if end.Err != nil {
			c.barrierLater(self, m)
			return
		}
		m.end = end.Next
		system.Root.Send(self, m)
	})})
}

// barrierLater has the end asked for again where a leader may be found in time.
func (c *clusterActor) barrierLater(self *actor.PID, m *barrierAsked) {
	if c.metaRoute.Hopeless() || c.env.now().Add(metadataRetry).After(m.Deadline) {
		m.Reply.Put(errNoMetadata())
		return
	}
	time.AfterFunc(metadataRetry, func() { c.env.system.Root.Send(self, m) })
}

// changeElsewhere has the broker's own node stop or start it. What that node says of the
// broker is taken over before the answer: whoever has it may ask this node next, and is to see
// the change.
func (c *clusterActor) changeElsewhere(ctx actor.Context, b *brokerInCluster, m *changeBroker) {
	self, system := ctx.Self(), c.env.system
	change := &peers.BrokerChange{Cluster: c.handle.manifest.ID, Broker: m.ID, Start: m.Start}
	c.env.peers.ChangeBroker(b.node, change, time.Now().Add(c.env.opt.RequestTimeout+handOverPatience), func(said peers.BrokerSaid, err error) {
		system.Root.Send(self, &inspectCluster{Do: func(c *clusterActor) {
			if err == nil {
				if said.Broker == b.id {
					c.peerSaid(ctx, &peers.Said{Node: b.node, Brokers: []peers.BrokerSaid{said}})
				}
				m.Reply.Put(nil)
				return
			}
			if e := remote.NotAsked(err); e.Code != protocol.CodeNoLeader {
				m.Reply.Put(e)
				return
			}
			m.Reply.Put(protocol.Errorf(protocol.CodeNodeUnreachable, "broker %d is at node %d, which is not heard of", b.id, b.node))
		}})
	})
}
