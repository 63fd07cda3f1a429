package actors

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
	"ottla/actors/coordinator"
	"ottla/actors/datadir"
	"ottla/actors/fleet"
	"ottla/actors/group"
	"ottla/actors/metarecord"
	"ottla/actors/peers"
	"ottla/actors/remedy"
	"ottla/actors/remote"
	"ottla/actors/routing"
	"ottla/actors/supervise"
	"ottla/logfile"
	"ottla/protocol"
)

// clusterActor is one cluster. It owns the state machine of the cluster's
// __cluster_metadata, whose log it follows and proposes to, and its brokers,
// which are its children.
//
// It starts by opening its brokers' directories, recovers until a leader of the metadata has
// applied an entry of its own term (recovered), and then serves.
//
// Everything that is decided here is decided on c.state, which follows the committed records
// and nothing else, so that the clusters' actors at all nodes have the same one. What only
// this node knows (brokers, problems, routes) is beside it, and is lost with the actor:
// brokers report it anew. Nothing here waits: what takes longer than a look into memory is
// asked of somebody by a message, and goes on when the answer comes, by when everything may
// have changed.
type clusterActor struct {
	supervise.Children // of brokers
	env                *environment
	log                *slog.Logger
	handle             *clusterHandle
	create             *createSpec // set while the cluster is being created

	state       *catalog.State
	seal        *group.Seal                             // of cursors, nil until there is a key
	appliedTo   atomic.Int64                            // nextOffset, for everybody
	nextOffset  int64                                   // of __cluster_metadata, applied so far
	remotes     map[protocol.PartitionID]*remote.Leader // leaders at other nodes, also of topics that are not known here yet
	caughtUp    *metadataConfirmed                      // a leader of the metadata elsewhere, and up to where its records must be applied here; nil: none is waited for
	barriers    []*barrierAsked                         // which wait for records
	witnessing  map[int]*datadir.Witnesses              // brokers that other nodes have to note, by id
	notings     *datadir.Notings                        // what brokers here note, but for introductions
	intros      *datadir.Introductions
	introTimer  uint64         // number of the running time-out of an introduction, 0 if none runs
	introTimers uint64         // how many there have been
	farewells   map[int]uint64 // last counters of the brokers, when the process ends
	leaving     int            // how many of them still have to note the others' counters
	recovered   bool
	metaRoute   *routing.Partition
	metaTerm    uint64 // term of the newest metadata leader all of whose records are applied here
	links       *peers.Links
	placed      *fleet.Layout
	brokers     map[int]*brokerInCluster // those that arrive and leave included
	dismissed   int                      // the number of the last that left, counted downwards
	driving     bool                     // a decision on moves is under way
	parts       map[protocol.PartitionID]*routing.Partition
	counters    map[string]*protocol.Counter
	problems    remedy.Problems
	dropping    map[string]map[int]bool // by deleted topic: the brokers that still have files of it, and whether they were asked
	ops         []*metadataOp
	current     *metadataOp
	confirmed   *metadataProposed // of current: committed, and not applied here yet; nil otherwise
	opSeq       uint64
	retrying    bool                     // a retryMetadata is on its way
	ends        []protocol.Future[error] // who waits for the end; nil: it does not end
	ended       bool                     // the actor is stopping
	following   func()                   // ends the reading of the metadata from its leader elsewhere; nil: there is none
}

// createSpec is what a new cluster begins with.
type createSpec struct {
	settings catalog.ClusterSettings
	fleet    *catalog.Founding // of a fleet's own metadata; nil: it is a cluster
	reply    protocol.Future[*protocol.Error]
}

// toldReplica is what a broker was last told of a replica. The pointers are
// into the immutable values of catalog.State.
type toldReplica struct {
	replica   uint64
	topic     *catalog.Topic
	partition *catalog.Partition
}

// Private messages of the cluster actor.
type (
	// metadataApplied brings committed records of __cluster_metadata. Every replica
	// sends them; each offset is applied once.
	metadataApplied struct {
		Records []logfile.Record
		// Restore, if not 0, says that Records are all that compaction has left of the
		// records below that offset.
		Restore int64
	}
	// partitionLed says that a replica has begun to lead and to serve.
	partitionLed struct {
		Key    protocol.PartitionID
		Broker int
		Term   uint64
	}
	// membersSettled says that a partition's raft group has the members that
	// __cluster_metadata wants.
	membersSettled struct {
		Key    protocol.PartitionID
		Voters []uint64
	}
	// changeBroker stops or starts a broker.
	changeBroker struct {
		ID    int
		Start bool
		Reply protocol.Future[*protocol.Error]
	}
	// inspectCluster runs a function on the cluster's goroutine.
	inspectCluster struct{ Do func(*clusterActor) }
	// endCluster closes all brokers, at the end of the process or of the cluster.
	endCluster struct{ Reply protocol.Future[error] }
)

// Receive implements actor.Actor.
func (c *clusterActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		c.started(ctx)
	case *actor.Stopping:
		c.stopping()
	case *actor.Stopped, *actor.Restarting:
	case *actor.Terminated:
		c.brokerEnded(ctx, m.Who)
	case *brokerCleared:
		c.brokerCleared(ctx, m)
	case *restartBroker:
		c.restartBroker(ctx, m)
	case *brokerOpened:
		c.brokerOpened(ctx, m)
	case *peersNoted:
		c.peersNoted(ctx, m)
	case *introductionDue:
		c.introductionDue(ctx, m)
	case *farewellDue:
		c.farewellDue(ctx)
	case *brokerRaised:
		c.raised(ctx, m.Broker, m.Opens)
	case *brokerClosed:
		c.brokerClosed(ctx, m)
	case *metadataApplied:
		if m.Restore > 0 {
			c.restored(ctx, m)
			return
		}
		c.applied(ctx, m.Records)
	case *partitionLed:
		c.partitionLed(ctx, m)
	case *membersSettled:
		c.membersSettled(ctx, m)
	case *replicaUp:
		c.replicaUp(ctx, m)
	case *replicaDown:
		c.replicaDown(ctx, m)
	case *mendFailed:
		c.mendFailed(m)
	case *topicDropped:
		c.topicDropped(ctx, m)
	case *metadataOp:
		c.enqueue(ctx, m)
	case *metadataProposed:
		c.proposed(ctx, m)
	case *retryMetadata:
		c.retrying = false
		c.runNext(ctx)
	case *changeBroker:
		c.changeBroker(ctx, m)
	case *diskChanged:
		c.publish()
	case *inspectCluster:
		m.Do(c)
	case *endCluster:
		c.end(ctx, m)
	default:
		if !c.peersMessage(ctx, m) {
			c.log.Error("BUG: cluster got an unknown message", "type", typeName(m))
		}
	}
}

func (c *clusterActor) started(ctx actor.Context) {
	c.state = catalog.New()
	c.links = peers.NewLinks(c.handle.manifest.ID, c.env.peers)
	c.intros = datadir.NewIntroductions()
	c.metaRoute = routing.NewPartition(catalog.MetadataPartition(), c.links.Group(catalog.MetadataPartition()), len(c.handle.manifest.Voters))
	c.brokers = map[int]*brokerInCluster{}
	c.parts = map[protocol.PartitionID]*routing.Partition{catalog.MetadataPartition(): c.metaRoute}
	c.counters = map[string]*protocol.Counter{}
	c.problems = remedy.Problems{}
	c.dropping = map[string]map[int]bool{}
	c.remotes = map[protocol.PartitionID]*remote.Leader{}
	c.witnessing = map[int]*datadir.Witnesses{}
	c.notings = datadir.NewNotings(farewellNumber - 1)
	c.placed = c.handle.placed.Load()
	known := c.knownCounts()
	var all []*brokerInCluster
	for id := 1; id <= c.placed.Brokers; id++ {
		all = append(all, &brokerInCluster{id: id, number: id, node: c.placed.Nodes[id]})
	}
	for key, a := range c.placed.Moves {
		all = append(all, &brokerInCluster{id: key, number: a.Number, node: a.Node, epoch: a.Epoch})
	}
	for _, b := range all {
		b.state, b.told = brokerStarting, map[protocol.PartitionID]toldReplica{}
		c.brokers[b.id] = b
		// It counts as failed until its node says otherwise: a broker that is only believed to
		// run would keep damaged replicas waiting for what it may have.
		if !b.here() {
			b.state, b.reason = brokerFailed, errNotHeardOf(b.node)
			c.links.Join(b.id, peers.Mailbox{Node: b.node})
			c.intros.Note(b.id, known[b.id]) // others may ask before a ledger is open
			continue
		}
		c.spawnBroker(ctx, b)
		// All are started at once, and introduced together when all have opened (introduce).
		// One that arrives begins beyond every count of the directory that it takes the place
		// of, see countFloor.
		ctx.Send(b.pid, &startBroker{Creating: c.create != nil, Known: max(known[b.id], b.epoch<<20)})
	}
	if c.env.peers != nil {
		c.env.peers.Attach(c.links, ctx.Self())
	}
	c.followMetadata(ctx)
}

// restored takes over compacted records. They are the whole state up to an offset,
// so they replace the present state if it is not as far. Applying them on top of
// it would not do: what is not among them may have been deleted.
func (c *clusterActor) restored(ctx actor.Context, m *metadataApplied) {
	if m.Restore <= c.nextOffset {
		return
	}
	c.state = catalog.New()
	for i := range m.Records {
		c.apply(&m.Records[i])
	}
	c.nextOffset = m.Restore
	c.appliedTo.Store(c.nextOffset)
	if c.recovered {
		c.publish()
		c.reconcile(ctx)
	}
	c.settleRecords(ctx)
}

// apply applies one record and reports whether the state has changed.
func (c *clusterActor) apply(r *logfile.Record) bool {
	rec, err := metarecord.Parse(r.Key, r.Value, r.Action)
	if err == nil {
		err = c.state.Apply(rec)
	}
	if err != nil {
		c.log.Error("metadata record cannot be applied", "offset", r.Offset, "error", err)
		if c.links.Spread() { // others may understand it: two nodes must not differ silently
			c.env.fail(fmt.Errorf("cluster %q: its metadata has a record that this program does not understand, and another node has written it:"+
				" start a newer version here; nothing was lost: %w", c.handle.manifest.Name, err))
		}
	}
	return err == nil
}

// applied follows __cluster_metadata. Every replica sends what it applies; each
// offset is applied once.
func (c *clusterActor) applied(ctx actor.Context, records []logfile.Record) {
	changed := false
	for i := range records {
		r := &records[i]
		// Of several replicas in this process each sends all records, in order. Whoever is
		// first with one is followed, the others' are passed over; between them there is never
		// a gap.
		if r.Offset != c.nextOffset {
			if r.Offset > c.nextOffset {
				c.log.Error("BUG: metadata has a gap", "want", c.nextOffset, "got", r.Offset)
			}
			continue
		}
		c.nextOffset++
		changed = c.apply(r) || changed
	}
	c.appliedTo.Store(c.nextOffset)
	defer c.settleRecords(ctx) // once what the records say is published
	if changed && c.recovered {
		c.forgetReplaced()
		// What is replaced is forgotten first, or readiness would show it for as long as
		// nothing else changes.
		c.publish() // before reconcile removes anything that can still be found
		c.reconcile(ctx)
		c.sealCursors(ctx)
		c.driveMoves(ctx)
	}
}

// partitionLed handles a new leader of a partition. When the metadata has its
// first one, everything that was committed before has been applied.
func (c *clusterActor) partitionLed(ctx actor.Context, m *partitionLed) {
	if m.Key != catalog.MetadataPartition() {
		if t := c.state.Topics()[m.Key.TopicID]; t != nil && t.Name == protocol.OffsetsTopic && len(c.state.Deleted()) > 0 {
			// A new coordinator may have missed what its predecessor was told of deleted
			// topics. It is told all that are not removed yet; to forget a topic twice does no
			// harm.
			gone := &coordinator.TopicsGone{TopicIDs: slices.Collect(maps.Keys(c.state.Deleted()))}
			if ref := c.route(m.Key).Leader(); ref != nil {
				ref.Ask(gone)
			}
		}
		return
	}
	c.metadataServes(ctx, m.Term)
}

// metadataServes goes on when the metadata has a leader all of whose records are
// applied here.
func (c *clusterActor) metadataServes(ctx actor.Context, term uint64) {
	c.metadataLed(ctx, term)
	// Without settings the cluster's first records are not applied here yet. It goes on when
	// they are (settleRecords).
	if !c.recovered && (c.state.Settings() != nil || c.create != nil) {
		c.recovered = true
		if c.create != nil {
			c.bootstrap(ctx)
		} else {
			c.registerBrokers(ctx)
		}
		c.recoveredNow(ctx)
	}
	c.sealCursors(ctx)
	c.runNext(ctx)
	c.driveMoves(ctx)
}

// recoveredNow goes on where brokers had to wait. Those with a loss wait on (reconcile).
func (c *clusterActor) recoveredNow(ctx actor.Context) {
	for _, b := range c.brokers {
		if b.state == brokerRunning {
			c.resolveLoss(ctx, b)
		}
	}
	c.reconcile(ctx)
	c.restoreAll(ctx)
	c.publish()
	if c.state.Settings() != nil {
		c.log.Info("cluster is recovered", "topics", len(c.state.Topics()))
	}
}

// changeBroker stops or starts a broker. That needs no majority.
func (c *clusterActor) changeBroker(ctx actor.Context, m *changeBroker) {
	b := c.brokers[m.ID]
	switch {
	case b == nil || b.id != b.number:
		m.Reply.Put(protocol.Errorf(protocol.CodeBrokerNotFound, "cluster %q has no broker %d", c.handle.manifest.Name, m.ID))
	case !b.here():
		c.changeElsewhere(ctx, b, m)
		return
	case m.Start && b.state == brokerRunning, !m.Start && b.state == brokerStopped:
		m.Reply.Put(nil)
	case m.Start && (b.state == brokerStopped || b.state == brokerFailed):
		b.reply = append(b.reply, m.Reply)
		c.startBroker(ctx, b)
	case !m.Start && b.state == brokerFailed:
		c.moveBroker(b, brokerStopped, nil) // and is not started again
		c.publish()                         // whoever has the answer may look at once
		m.Reply.Put(nil)
	case !m.Start && b.state == brokerRunning:
		c.moveBroker(b, brokerStopping, nil)
		b.reply = append(b.reply, m.Reply)
		ctx.Send(b.pid, &stopBroker{})
	default:
		m.Reply.Put(protocol.Errorf(protocol.CodeOverloaded, "broker %d is %s", b.id, b.state))
	}
	c.publish()
}

func (c *clusterActor) answerBroker(b *brokerInCluster, err *protocol.Error) {
	for _, f := range b.reply {
		f.Put(err)
	}
	b.reply = nil
}

// brokerClosed handles the end of a stop. The others are told its last counter: a copy of the
// directory that was made while it ran is older than that, and is noticed when it is put back.
func (c *clusterActor) brokerClosed(ctx actor.Context, m *brokerClosed) {
	b := c.brokers[m.Broker]
	if b == nil || !b.here() {
		return
	}
	c.moveBroker(b, brokerStopped, nil)
	if b.dismissed() && c.ends == nil {
		c.forgetBroker(b.id)
		c.remove(ctx, b)
		return
	}
	c.raised(ctx, b.id, m.Opens)
	if c.ends != nil && m.Opens > 0 && !b.dismissed() {
		c.farewells[b.id] = m.Opens
	}
	clear(b.told)
	c.forgetBroker(b.id)
	c.restoreAll(ctx)
	c.publish()
	c.answerBroker(b, nil)
	c.introducedOrGone(ctx, b.id)
	c.endIfClosed(ctx)
}

// forgetBroker forgets what is known of a stopped broker's replicas. After its
// next start it reports them anew, and is asked again to remove deleted topics.
func (c *clusterActor) forgetBroker(id int) {
	c.problems.ForgetHolder(id)
	for _, left := range c.dropping {
		if _, ok := left[id]; ok {
			left[id] = false
		}
	}
}

// end closes all brokers. The actor stops once they are closed. An operation that is proposed
// is left to its answer: what became of it is not known here. Those that wait have had no
// effect, and are told so.
func (c *clusterActor) end(ctx actor.Context, m *endCluster) {
	if c.ends = append(c.ends, m.Reply); len(c.ends) > 1 {
		return // it does already
	}
	c.farewells = map[int]uint64{}
	stopped := protocol.Errorf(protocol.CodeShuttingDown, "the cluster is stopping")
	for _, op := range c.ops {
		op.finish(stopped)
	}
	c.ops = nil
	for _, b := range c.brokers {
		switch {
		case !b.here():
		case b.gone:
			c.moveBroker(b, brokerFailed, b.reason)
		case b.state != brokerStopped && b.state != brokerFailed:
			c.moveBroker(b, brokerStopping, nil)
			ctx.Send(b.pid, &stopBroker{Ending: true, HandOver: c.links.Spread()})
		}
	}
	c.endIfClosed(ctx)
}

// endIfClosed ends the actor when nothing of the cluster is at work any more. It also waits
// for brokers that panicked, until their goroutines have left the directories: after the
// answer the files may be removed, or the data directory be another process'.
func (c *clusterActor) endIfClosed(ctx actor.Context) {
	if c.ends == nil {
		return
	}
	for _, b := range c.brokers {
		if b.here() && (b.gone || b.state != brokerStopped && b.state != brokerFailed) {
			return
		}
	}
	if c.farewell(ctx) {
		return
	}
	for _, f := range c.ends {
		f.Put(nil)
	}
	c.ends = nil
	ctx.Stop(ctx.Self())
}

func (c *clusterActor) String() string { return fmt.Sprintf("cluster(%s)", c.handle.manifest.Name) }
