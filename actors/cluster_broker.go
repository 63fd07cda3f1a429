package actors

import (
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/datadir"
	"ottla/actors/peers"
	"ottla/actors/supervise"
	"ottla/link"
	"ottla/protocol"
)

// brokerInCluster is a broker as its cluster knows it.
type brokerInCluster struct {
	id     int
	pid    *actor.PID
	node   link.NodeID // where it runs; 0: in this process, and pid is set
	state  brokerState
	reason error // of the state failed
	wiped  bool  // its directory is new, and the metadata lacks successors for what was lost
	told   map[protocol.PartitionID]toldReplica
	reply  []protocol.Future[*protocol.Error] // who waits for a stop or a start
	holds  []datadir.Replica
	opened *brokerOpened // only while starting: it waits to be introduced

	gone  bool              // its actor panicked, and what it left behind still works in its directory
	pause supervise.Backoff // before it is started again after that

	restarts *actor.PID // of the actor that is about to be started again
}

// brokerMoves are the states that may follow each other. A broker fails from
// any state, because its actor may panic in any.
var brokerMoves = map[brokerState][]brokerState{
	brokerStarting: {brokerRunning, brokerStopping, brokerStopped, brokerFailed},
	brokerRunning:  {brokerStopping, brokerFailed},
	brokerStopping: {brokerStopped, brokerFailed},
	brokerStopped:  {brokerStarting, brokerStopped, brokerFailed},
	brokerFailed:   {brokerStarting, brokerStopping, brokerStopped, brokerFailed},
}

// moveBroker is the one place where a broker's state changes. Reason is why it
// failed.
func (c *clusterActor) moveBroker(b *brokerInCluster, to brokerState, reason error) {
	if !slices.Contains(brokerMoves[b.state], to) {
		c.log.Error("BUG: a broker cannot go from this state to that", "broker", b.id, "from", string(b.state), "to", string(to))
	}
	b.state, b.reason = to, reason
	if to != brokerStarting {
		b.opened = nil
	}
	c.sayBroker(b)
}

// sayBroker tells other nodes how a broker of this process is.
func (c *clusterActor) sayBroker(b *brokerInCluster) {
	state, why := c.clientView(b)
	c.links.SayBroker(peers.BrokerSaid{Broker: b.id, State: state, Why: why, Wiped: b.wiped})
}

// here reports whether the broker runs in this process.
func (b *brokerInCluster) here() bool { return b.node == 0 }

// clientView is a broker's state as clients see it, and why it failed.
func (c *clusterActor) clientView(b *brokerInCluster) (state, why string) {
	state = b.clientState()
	switch hangs := c.env.stall.Load(); {
	case state == protocol.BrokerFailed && b.reason != nil:
		why = b.reason.Error()
	case b.here() && state == protocol.BrokerRunning && hangs != nil:
		state, why = protocol.BrokerFailed, *hangs
	}
	return state, why
}

// clientState maps transient states to those that clients know.
func (b *brokerInCluster) clientState() string {
	switch b.state {
	case brokerRunning, brokerFailed, brokerStopped:
		return string(b.state)
	case brokerStarting:
		return protocol.BrokerStopped
	}
	return protocol.BrokerRunning
}
