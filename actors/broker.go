package actors

import (
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"ottla/actors/clock"
	"ottla/actors/datadir"
	"ottla/actors/mending"
	"ottla/actors/peers"
	"ottla/actors/supervise"
	"ottla/protocol"

	"github.com/asynkron/protoactor-go/actor"
)

// brokerState says where a broker stands. Clients see only running, stopped and
// failed; see clientState.
type brokerState string

// The states. A broker's actor has them too, but is never told that it failed by
// a panic.
const (
	brokerStarting brokerState = "starting" // its directory is being opened, or its peers note its counter
	brokerRunning  brokerState = protocol.BrokerRunning
	brokerStopping brokerState = "stopping" // leaders hand over, replicas close
	brokerStopped  brokerState = protocol.BrokerStopped
	brokerFailed   brokerState = protocol.BrokerFailed // its directory cannot be used, or its actor panicked
)

// brokerActor is one broker. It owns the broker's directory, the ledger in it
// and the clock of its replicas, which are its children.
//
// Its states are those of brokerState: stopped, starting, running, stopping, and failed when
// its directory cannot be used.
//
// While it runs only this actor writes the ledger and renames directories; goroutines in work
// do single errands there and answer by a message. It never waits for them, nor for its
// replicas. What it is told of a replica may be late: messages about faults and mending name
// the id, and count only if the replica has it now.
type brokerActor struct {
	supervise.Children
	env      *environment
	cluster  datadir.ClusterManifest
	parent   *actor.PID
	id       int // in its cluster's actor
	number   int // as clients know it
	dir      string
	log      *slog.Logger
	state    brokerState
	wiped    bool            // the directory is new: what the broker had before is lost
	work     *sync.WaitGroup // goroutines in the directory; they outlive a broker that panics
	ledger   *datadir.Ledger
	raisedAt time.Time // when the ledger's counter was raised last
	before   uint64    // the counter before the last start, 0 of a directory that is new
	replicas map[protocol.PartitionID]*localReplica
	busy     map[string]*busyDirectory // by path
	down     map[protocol.PartitionID]*downReplica
	opening  chan struct{}             // those that open a log send to it
	openings map[string]*atomic.Uint64 // of directories that were lent from, see mending.Copy
	links    *peers.Links
	stopTick func()
	clock    clock.Ticks // its own
	ticks    int         // those that it has taken: fewer than have passed where it falls behind

	// Of the stop under way. Handing and closing are the replicas that have not answered yet;
	// an actor that ends counts as an answer.
	ending    bool // the process ends: leadership is not handed over
	handing   map[protocol.PartitionID]bool
	closing   map[protocol.PartitionID]bool
	stopSince time.Time
}

// localReplica is a replica of this broker as its actor knows it.
type localReplica struct {
	spec partitionSpec
	pid  *actor.PID // nil while its log is being created, and after it failed
	err  error
	// ticks are shared with its actor.
	ticks *clock.Ticks
}

// Private messages of the broker actor.
type (
	brokerTick struct{}
	// startBroker opens the broker's directory; brokerOpened answers. Creating
	// says that the cluster is being made and its manifests are not written yet;
	// Known is the greatest count that a peer has noted of this broker.
	startBroker struct {
		Creating bool
		Known    uint64
		New      bool // that there is no directory yet is no loss
	}
	// stopBroker hands over leadership, closes all replicas; brokerClosed answers.
	stopBroker struct {
		Ending   bool // of the process
		HandOver bool // all the same, because others run elsewhere
	}
	brokerOpened struct {
		Broker  int
		Wiped   bool
		Holding []datadir.Replica
		Opens   uint64         // its counter, on disk
		Before  uint64         // what it was before this start
		Peers   map[int]uint64 // what it knows of the others'
		Err     error
	}
	brokerClosed struct {
		Broker int
		Opens  uint64 // its counter, on disk; 0: it was not open
	}
	// ensureReplicas says which replicas this broker must have. Those that it has
	// already are told what has changed.
	ensureReplicas struct{ Specs []partitionSpec }
	// logsCreated is the result of the goroutine that creates first logs.
	logsCreated struct {
		Specs []partitionSpec
		Errs  []error
	}
	// dropTopic removes all replicas of a deleted topic; topicDropped answers.
	dropTopic    struct{ TopicID string }
	topicDropped struct {
		Broker  int
		TopicID string
		Err     error
	}
	// lossResolved says that every replica lost with a wiped directory has a
	// successor in the metadata.
	lossResolved struct{}
	// handedOver says that a replica does not lead (any more).
	handedOver struct{ Key protocol.PartitionID }
)

// Receive implements actor.Actor.
func (b *brokerActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		b.state = brokerStopped
		if b.number == 0 {
			b.number = b.id
		}
		b.replicas = map[protocol.PartitionID]*localReplica{}
		b.busy = map[string]*busyDirectory{}
		b.down = map[protocol.PartitionID]*downReplica{}
	case *actor.Stopping:
		b.endAllMending()
		b.stopClock()
	case *actor.Stopped, *actor.Restarting:
	case *actor.Terminated:
		b.terminated(ctx, m.Who)
	case *startBroker:
		b.start(ctx, m)
	case *stopBroker:
		b.stop(ctx, m.Ending, m.HandOver)
	case *brokerTick:
		b.tick(ctx)
	case *ensureReplicas:
		b.ensure(ctx, m.Specs)
	case *logsCreated:
		b.logsCreated(ctx, m)
	case *replicaUp:
		b.replicaUp(ctx, m)
	case *replicaDown:
		b.replicaDown(ctx, m)
	case *replicaEnded:
		b.replicaEnded(ctx, m)
	case *mendReplica:
		b.mendReplica(ctx, m)
	case *mendEnded:
		b.mendEnded(ctx, m)
	case *mending.Asked:
		b.framesAsked(ctx, m)
	case *mending.Lent:
		b.framesLent(m)
	case *releaseReplica:
		b.release(ctx, m)
	case *released:
		b.released(m)
	case *renumber:
		b.renumber(ctx, m.ID)
	case *dropTopic:
		b.drop(ctx, m.TopicID)
	case *topicDropped:
		b.dropped(ctx, m)
	case *lossResolved:
		b.lossResolved()
	case *notePeers:
		b.notePeers(ctx, m)
	case *refuseBroker:
		b.refused()
	case *handedOver:
		delete(b.handing, m.Key)
		b.continueStop(ctx)
	case *partitionClosed:
		delete(b.closing, m.Key)
		b.continueStop(ctx)
	default:
		b.log.Error("BUG: broker got an unknown message", "type", typeName(m))
	}
}

// start opens the directory and its ledger. A directory that is missing, belongs
// to another broker or is an older copy counts as lost: a new, empty one takes
// its place, and is marked (see datadir.MarkReplacesLost).
func (b *brokerActor) start(ctx actor.Context, m *startBroker) {
	if b.state != brokerStopped && b.state != brokerFailed {
		return
	}
	b.state = brokerStarting
	wiped, err := b.openDirectory(m)
	if err != nil {
		b.state = brokerFailed
		b.log.Error("broker cannot start", "error", err)
		ctx.Send(b.parent, &brokerOpened{Broker: b.id, Err: err})
		return
	}
	b.wiped, b.raisedAt = wiped, b.env.now()
	// It runs for itself only: replicas are opened once the cluster has had it introduced, and
	// sends ensureReplicas.
	b.state = brokerRunning
	b.startClock(ctx)
	for _, r := range b.ledger.HalfMoved() {
		b.removeMoved(ctx, r, nil)
	}
	ctx.Send(b.parent, &brokerOpened{
		Broker: b.id, Wiped: wiped, Holding: b.ledger.Replicas(), Opens: b.ledger.OpenCount(), Before: b.before, Peers: b.ledger.Peers(),
	})
}

// startClock sends a tick to the broker's own mailbox at raft's pace.
func (b *brokerActor) startClock(ctx actor.Context) {
	self, system := ctx.Self(), ctx.ActorSystem()
	t := time.NewTicker(b.env.opt.TickInterval)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-t.C:
				if b.clock.Send() {
					system.Root.Send(self, &brokerTick{})
				}
			case <-done:
				return
			}
		}
	}()
	b.stopTick = func() { t.Stop(); close(done) }
}

func (b *brokerActor) stopClock() {
	if b.stopTick != nil {
		b.stopTick()
		b.stopTick = nil
	}
}

func (b *brokerActor) tick(ctx actor.Context) {
	b.clock.Take()
	switch b.state {
	case brokerRunning:
		b.tickReplicas(ctx)
		b.raiseTick(ctx)
		b.tryAgain(ctx)
	case brokerStopping:
		b.tickReplicas(ctx)
		b.hurryStop(ctx)
	}
}

// restTicks is how often replicas whose clock stands still get a tick, for retention and
// the like: once a second at the default tick.
const restTicks = 10

// tickReplicas gives a tick to all replicas, and to those that rest in turn: thousands
// of idle ones must not cost what as many busy ones do. After every so many it lets others
// run: whoever comes back from the disk or a socket waits for all goroutines that can run.
func (b *brokerActor) tickReplicas(ctx actor.Context) {
	b.ticks++
	// Who stops, or gives its leaderships away, does so on ticks, so those that rest get them
	// too.
	all := b.state != brokerRunning || b.env.draining.Load()
	m, sent := &partitionTick{At: b.ticks}, 0
	for key, r := range b.replicas {
		if r.pid != nil && (all || !r.ticks.Rests.Load() || (b.ticks+key.Partition)%restTicks == 0) && r.ticks.Send() {
			ctx.Send(r.pid, m)
			if sent++; sent%32 == 0 {
				runtime.Gosched()
			}
		}
	}
}

// openAtOnce is how many logs a broker opens at the same time: each that waits for the
// disk holds a thread, of which a process has 10,000 at most.
const openAtOnce = 64

// spawn starts a replica's actor. The opening is counted before it begins: what a goroutine
// reads out of the files for a broker that mends may be from before recovery cuts their tail.
func (b *brokerActor) spawn(ctx actor.Context, r *localReplica) {
	r.ticks = &clock.Ticks{}
	r.ticks.Send() // as if: none are sent while the log is opened
	r.spec.ticks = r.ticks
	r.spec.opening = b.opening
	spec := r.spec
	b.openingsOf(spec.dir).Add(1)
	log := b.log.With("topic", spec.id.Topic, "partition", spec.id.Partition, "replica", spec.id.ReplicaID)
	r.pid = ctx.Spawn(supervise.Props(log, func() actor.Actor {
		return &partitionActor{env: b.env, spec: spec, log: log}
	}))
}

// terminated handles the end of a replica's actor, whether it was asked for or
// not.
func (b *brokerActor) terminated(ctx actor.Context, who *actor.PID) {
	// One that was told to end is in b.replicas no more; its successor may be.
	for dir, busy := range b.busy {
		if busy.pid != nil && busy.pid.Equal(who) {
			b.free(ctx, dir)
			b.continueStop(ctx)
			return
		}
	}
	for key, r := range b.replicas {
		if r.pid == nil || !r.pid.Equal(who) {
			continue
		}
		r.pid = nil
		if b.handing[key] || b.closing[key] {
			delete(b.handing, key)
			delete(b.closing, key)
			b.continueStop(ctx)
			return
		}
		// This message has overtaken the one that says why, if there is one.
		ctx.Send(ctx.Self(), &replicaEnded{Key: key, Replica: r.spec.id.ReplicaID, Cause: b.Cause(who)})
		return
	}
}

// stop closes the broker. Leaders first hand over to other replicas where there
// are any, unless the process ends and all are in it; then every replica closes with a checkpoint.
func (b *brokerActor) stop(ctx actor.Context, ending, handOver bool) {
	if b.state == brokerStopping { // answered when that is over
		if ending {
			b.ending = true
			clear(b.handing)
			b.continueStop(ctx)
		}
		return
	}
	if b.state != brokerRunning {
		ctx.Send(b.parent, &brokerClosed{Broker: b.id})
		return
	}
	b.state, b.ending, b.stopSince = brokerStopping, ending, b.env.now()
	b.endAllMending()
	b.handing, b.closing = map[protocol.PartitionID]bool{}, map[protocol.PartitionID]bool{}
	if !ending || handOver {
		for key, r := range b.replicas {
			if r.pid != nil {
				b.handing[key] = true
				ctx.Send(r.pid, &handOverLeadership{ReplyTo: ctx.Self()})
			}
		}
	}
	b.continueStop(ctx)
}

// continueStop takes the next step of a stop, if its turn has come: first leaders hand over,
// so that clients wait for milliseconds and not for an election; then all replicas close at
// once, sharing the disk's syncs; then goroutines in the directory end. It is called whenever
// one of these may be over.
func (b *brokerActor) continueStop(ctx actor.Context) {
	if b.state != brokerStopping || len(b.handing) > 0 {
		return
	}
	if len(b.closing) == 0 && !b.allClosed() {
		for key, r := range b.replicas {
			if r.pid != nil {
				b.closing[key] = true
				ctx.Send(r.pid, &closePartition{ReplyTo: ctx.Self()})
			}
		}
		return
	}
	if len(b.closing) > 0 || len(b.busy) > 0 {
		return // nothing that belongs to this run may touch the directory in the next one
	}
	b.stopClock()
	clear(b.replicas)
	clear(b.down)
	b.state = brokerStopped
	// The counter is raised once more, and noted by the others: a copy of the directory that
	// was made while it ran is older than what they know, and is noticed when it is put back.
	ctx.Send(b.parent, &brokerClosed{Broker: b.id, Opens: b.raise()})
}

func (b *brokerActor) allClosed() bool {
	for _, r := range b.replicas {
		if r.pid != nil {
			return false
		}
	}
	return true
}

// How long a stop waits for leaders to be succeeded, and for logs to close.
const (
	handOverPatience = 3 * time.Second
	closePatience    = 10 * time.Second
)

func (b *brokerActor) hurryStop(ctx actor.Context) {
	waited := b.env.now().Sub(b.stopSince)
	if len(b.handing) > 0 && waited > handOverPatience {
		b.log.Warn("some replicas could not hand over leadership", "replicas", len(b.handing))
		clear(b.handing)
		b.continueStop(ctx)
	}
	if len(b.closing) > 0 && waited > closePatience {
		b.log.Error("some replicas did not close in time", "replicas", len(b.closing))
		for key := range b.closing {
			if r := b.replicas[key]; r != nil && r.pid != nil {
				ctx.Stop(r.pid)
			}
		}
	}
}
