package actors

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/peers"
	"ottla/actors/remedy"
	"ottla/actors/supervise"
	"ottla/link"
	"ottla/protocol"
)

// brokerInCluster is a broker as its cluster knows it. Of one at another node it has only what
// that node says; holds, told and opened are of those in this process.
type brokerInCluster struct {
	id     int    // in c.brokers; other than number while it arrives, or leaves (cluster_moves.go)
	number int    // as clients know it
	epoch  uint64 // of the move by which it arrives
	work   *sync.WaitGroup
	pid    *actor.PID
	node   link.NodeID // where it runs; 0: in this process, and pid is set
	state  brokerState
	ran    bool  // since its last start
	reason error // of the state failed
	wiped  bool  // its directory is new, and the metadata lacks successors for what was lost
	told   map[protocol.PartitionID]toldReplica
	reply  []protocol.Future[*protocol.Error] // who waits for a stop or a start
	holds  map[protocol.PartitionID]uint64    // live replicas in its directory, those that it was told to make included
	opened *brokerOpened                      // only while starting: it waits to be introduced

	gone  bool           // its actor panicked, and what it left behind still works in its directory
	pause remedy.Backoff // before it is started again after that

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
		c.log.Error("BUG: a broker cannot go from this state to that", "broker", b.number, "from", string(b.state), "to", string(to))
	}
	b.state, b.reason = to, reason
	b.ran = to == brokerRunning || b.ran && to != brokerStarting
	// An introduction under way is for the start that it belongs to. A later start has another
	// counter.
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

// clientState maps transient states to those that clients, and other nodes, know. A broker
// that is stopped before it was let in has never been running: another node would count it
// among the majority that may rebuild a broker there, and set that one's directory aside.
func (b *brokerInCluster) clientState() string {
	switch b.state {
	case brokerRunning, brokerFailed, brokerStopped:
		return string(b.state)
	case brokerStopping:
		if b.ran {
			return protocol.BrokerRunning
		}
	}
	return protocol.BrokerStopped
}

// A broker whose actor panics has failed. Its replicas end with it, answer
// whoever waits, and other replicas lead at once. The broker is started again by
// a new actor in the same directory: after a pause, or at once on request.

type (
	// brokerCleared says that no goroutine of a broker that panicked is left in its
	// directory.
	brokerCleared struct{ ID int }
	// restartBroker starts a broker again after a panic, or for which there was no space,
	// unless it has been started or stopped since.
	restartBroker struct {
		ID  int
		PID *actor.PID
	}
)

// spawnBroker gives a broker an actor, without starting it. Each actor has a wait group of its
// own for its goroutines: one that panicked is waited for by its group before the next one
// touches the directory.
func (c *clusterActor) spawnBroker(ctx actor.Context, b *brokerInCluster) {
	m, work := c.handle.manifest, &sync.WaitGroup{}
	broker := &brokerActor{
		env: c.env, opening: make(chan struct{}, openAtOnce), cluster: m, id: b.id, number: b.number, parent: ctx.Self(), work: work,
		dir: c.env.manifests.BrokerDir(m, b.number), log: c.log.With("broker", b.number), links: c.links,
	}
	b.work = work
	b.pid = ctx.Spawn(supervise.Props(broker.log, func() actor.Actor { return broker }))
	c.links.Join(b.id, peers.Mailbox{PID: b.pid})
	if c.handle.work == nil {
		c.handle.work = map[int]*sync.WaitGroup{}
	}
	c.handle.work[b.id] = work
}

// startBroker starts a broker that is stopped or failed.
func (c *clusterActor) startBroker(ctx actor.Context, b *brokerInCluster) {
	c.moveBroker(b, brokerStarting, nil)
	if b.gone {
		return // when it is cleared
	}
	known, err := c.countFloor(b)
	if err != nil {
		c.log.Error("broker cannot start", "broker", b.number, "error", err)
		c.startFailed(ctx, b, err)
		return
	}
	ctx.Send(b.pid, &startBroker{Creating: c.create != nil && b.number == b.id, Known: known, New: c.isNew(b)})
}

// countFloor is the count that a broker's ledger must exceed. An arriving one begins
// beyond all that the broker has reached where it is: there its directory is an older one
// once it has moved.
func (c *clusterActor) countFloor(b *brokerInCluster) (uint64, error) {
	if b.arriving() {
		return max(b.epoch<<20, c.intros.Count(b.id)), nil
	}
	m := c.handle.manifest
	if now, known := c.env.manifests.Find(m.ID); known {
		m = now
	}
	return c.env.manifests.CountFloor(m, b.number, c.intros.Count(b.id))
}

// isNew reports whether a broker has had nothing in its directory, so that it is no loss
// if there is none.
func (c *clusterActor) isNew(b *brokerInCluster) bool {
	if !c.recovered {
		return false
	}
	for _, p := range c.state.Partitions() {
		if replica, _ := c.lost(p, b); replica != 0 {
			return false
		}
	}
	return true
}

// brokerEnded handles the end of a broker's actor by a panic. Its replicas have ended before
// it, as its children. What remains are goroutines in its directory; until they are through it
// is gone, and not started again.
func (c *clusterActor) brokerEnded(ctx actor.Context, who *actor.PID) {
	if c.ended {
		return
	}
	for _, b := range c.brokers {
		if b.pid == nil || !b.pid.Equal(who) || b.gone {
			continue
		}
		c.moveBroker(b, brokerFailed, c.Cause(who))
		c.log.Error("broker failed", "broker", b.number, "error", b.reason)
		// Whether the directory is new is read from its mark at the next start.
		b.gone, b.wiped = true, false
		clear(b.told)
		c.forgetBroker(b.id)
		c.restoreAll(ctx)
		c.answerBroker(b, protocol.Errorf(protocol.CodeInternal, "broker %d failed: %v", b.number, b.reason))
		c.publish()
		c.introducedOrGone(ctx, b.id)
		work, self, system, id := b.work, ctx.Self(), c.env.system, b.id
		// On a goroutine: errands such as a mending, which waits for other brokers, take long.
		go func() {
			work.Wait()
			system.Root.Send(self, &brokerCleared{ID: id})
		}()
		return
	}
}

// brokerCleared gives a broker that panicked a new actor.
func (c *clusterActor) brokerCleared(ctx actor.Context, m *brokerCleared) {
	b := c.brokers[m.ID]
	if b == nil {
		return
	}
	b.gone = false
	if b.dismissed() {
		c.remove(ctx, b)
		return
	}
	if c.ends != nil {
		c.endIfClosed(ctx)
		return
	}
	c.spawnBroker(ctx, b)
	if b.state == brokerStarting { // somebody asked meanwhile
		c.startBroker(ctx, b)
		return
	}
	pause := max(b.pause.Next(c.env.now()), c.env.opt.restartAfter)
	b.pause.Works(c.env.now().Add(pause))
	c.log.Info("broker is started again after a pause", "broker", b.number, "pause", pause)
	c.restartAfter(ctx, b, pause)
}

// restartAfter starts a broker again that has failed, unless somebody does before. At
// most one start is waited for.
func (c *clusterActor) restartAfter(ctx actor.Context, b *brokerInCluster, pause time.Duration) {
	// A timer cannot be told that a broker was started, or has failed, since. So it carries
	// the actor that it is for, and does nothing for another one.
	if b.restarts == b.pid {
		return
	}
	b.restarts = b.pid
	again := &restartBroker{ID: b.id, PID: b.pid}
	self, system := ctx.Self(), c.env.system
	time.AfterFunc(pause, func() { system.Root.Send(self, again) })
}

func (c *clusterActor) restartBroker(ctx actor.Context, m *restartBroker) {
	b := c.brokers[m.ID]
	if b == nil || b.pid == nil {
		return
	}
	if b.restarts == m.PID {
		b.restarts = nil
	}
	if c.ends == nil && b.state == brokerFailed && !b.gone && b.pid.Equal(m.PID) {
		c.startBroker(ctx, b)
	}
}

// stopping answers whoever still waits for this actor. It runs at its end, also after a panic.
// After a panic any of its state may be broken, so one step that panics must not keep the
// others from being taken. Nobody is left waiting: a change that was proposed has an unknown
// outcome, those that only waited had none; a broker may have been stopped or started.
func (c *clusterActor) stopping() {
	c.ended = true
	if c.env.peers != nil {
		c.env.peers.Detach(c.links)
	}
	for _, l := range c.remotes {
		l.Withdraw()
		if r := c.parts[l.At.PartitionID]; r != nil {
			r.Clear(l.Leadership)
		}
	}
	c.stopFollowing()
	ended := protocol.Errorf(protocol.CodeStarting, "the cluster failed and is started again")
	supervise.Attempt(c.log, func() {
		if c.current != nil {
			c.current.finish(protocol.Unknownf("the cluster failed before this was confirmed"))
		}
		for _, op := range c.ops {
			op.finish(ended)
		}
	})
	supervise.Attempt(c.log, func() {
		for _, b := range c.brokers {
			c.answerBroker(b, ended)
		}
	})
	if c.create != nil {
		c.create.reply.Put(protocol.Errorf(protocol.CodeInternal, "the cluster failed while it was being created"))
	}
	for _, f := range c.ends {
		f.Put(errors.New("the cluster's actor failed"))
	}
}
