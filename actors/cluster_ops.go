package actors

import (
	"crypto/rand"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
	"ottla/actors/level"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// metadataOp is a change of __cluster_metadata. It is decided on the applied state, proposed,
// and done when its records are applied. One operation is under way at a time, so that each is
// decided on a state that has all earlier ones.
//
// Decide is called again when its records were decided too early, or had no effect: it may only
// set variables that each call sets anew. What follows from a success belongs into done, after.
type metadataOp struct {
	decide   func(*catalog.State) ([]metarecord.Record, *protocol.Error)
	done     func(*protocol.Error) // may be nil; called on the cluster's goroutine
	after    func(actor.Context)   // may be nil; after a success
	deadline time.Time             // zero: retried for ever
	seq      uint64
}

func (op *metadataOp) finish(err *protocol.Error) {
	if op.done != nil {
		op.done(err)
	}
}

// metadataProposed is the metadata leader's answer to the operation with that
// number.
type metadataProposed struct {
	seq    uint64
	result protocol.ProduceResult
	end    int64 // after a success: the offset after its last record
}

// retryMetadata has the oldest waiting operation tried again.
type retryMetadata struct{}

// metadataRetry is the pause before an operation that found no leader is
// tried again; a new leader ends it early.
const metadataRetry = 100 * time.Millisecond

func (c *clusterActor) enqueue(ctx actor.Context, op *metadataOp) {
	if c.ends != nil {
		op.finish(protocol.Errorf(protocol.CodeShuttingDown, "the cluster is stopping"))
		return
	}
	c.ops = append(c.ops, op)
	c.runNext(ctx)
}

// runNext decides and proposes the oldest waiting operation.
func (c *clusterActor) runNext(ctx actor.Context) {
	for c.current == nil && len(c.ops) > 0 && c.recovered {
		op := c.ops[0]
		if op.overdue(c.env.now()) {
			c.ops = c.ops[1:]
			op.finish(errNoMetadata())
			continue
		}
		// A leader sends its records before its partitionLed. Until the latter is
		// here, records that the leader has applied may still be in the mailbox.
		leader := c.metaRoute.Leader()
		if leader == nil || leader.Term != c.metaTerm {
			c.expireOps()
			c.retryLater(ctx)
			return
		}
		c.ops = c.ops[1:]
		recs, err := op.decide(c.state)
		// There is nothing to write: refused, or it is so already. What it was decided on is
		// committed, and outdated at most where the leader is elsewhere: the front settles then,
		// and has it decided again.
		if err != nil || len(recs) == 0 {
			op.finish(err)
			if err == nil && op.after != nil {
				op.after(ctx)
			}
			continue
		}
		c.proposeOp(ctx, op, leader, recs)
	}
}

// proposeOp proposes records with the offset that they were decided at. The leader refuses
// them if others have come between, so no lock is needed, whichever node decides.
func (c *clusterActor) proposeOp(ctx actor.Context, op *metadataOp, leader *routing.Leadership, recs []metarecord.Record) {
	c.opSeq++
	op.seq, c.current = c.opSeq, op
	lines := &protocol.Lines{}
	metarecord.AppendLines(lines, protocol.MetadataTopic, 0, c.env.clock.Agreed(), recs)
	self, system, seq := ctx.Self(), c.env.system, op.seq
	leader.Ask(&routing.ChangeMetadata{Lines: lines, At: c.nextOffset, Reply: protocol.Called(func(res protocol.ProduceResult) {
		system.Root.Send(self, &metadataProposed{seq: seq, result: res, end: int64(res.BaseOffset) + int64(lines.Len())})
	})})
}

// proposed ends the operation under way once its records have been applied here. A
// leader in this process sends them before this answer, one elsewhere need not. One
// with a deadline whose outcome is unknown is not decided again; those behind it wait
// for the next leader, which has applied it if it was committed. One that was decided
// too early is decided again on the records that have come meanwhile.
func (c *clusterActor) proposed(ctx actor.Context, m *metadataProposed) {
	op := c.current
	if op == nil || op.seq != m.seq {
		return
	}
	if m.result.Err == nil && c.nextOffset < m.end {
		c.confirmed = m // applied goes on
		return
	}
	c.current, c.confirmed = nil, nil
	switch err := m.result.Err; {
	case err == nil:
		op.finish(nil)
		if op.after != nil {
			op.after(ctx)
		}
	// It keeps its place in front. One without a deadline is tried again even where its
	// outcome is unknown: such operations find nothing to do if they have been done.
	case err.Outcome == protocol.OutcomeNone || op.deadline.IsZero():
		c.ops = append([]*metadataOp{op}, c.ops...)
		c.retryLater(ctx)
		return
	default:
		op.finish(err)
	}
	c.runNext(ctx)
}

// metadataLed handles a new leader of the metadata. An operation that was proposed
// to its predecessor and has no answer by now may never get one, because the
// predecessor's mailbox may have ended with its actor.
func (c *clusterActor) metadataLed(ctx actor.Context, term uint64) {
	if term <= c.metaTerm {
		return
	}
	c.metaTerm = term
	// One that is confirmed is committed, and only its records are awaited: they come, whoever
	// leads.
	if c.current != nil && c.confirmed == nil {
		c.proposed(ctx, &metadataProposed{seq: c.current.seq, result: protocol.ProduceResult{
			Err: protocol.Unknownf("the leader of the cluster's metadata changed"),
		}})
	}
}

func errNoMetadata() *protocol.Error {
	return protocol.Errorf(protocol.CodeNotEnoughReplicas, "the cluster's metadata has no leader")
}

func (op *metadataOp) overdue(now time.Time) bool {
	return !op.deadline.IsZero() && now.After(op.deadline)
}

// expireOps ends operations wherever they are in the queue: those that are
// overdue and, if no leader is to be expected, all that have a deadline.
func (c *clusterActor) expireOps() {
	now, lost := c.env.now(), c.metaRoute.Lost()
	c.ops = slices.DeleteFunc(c.ops, func(op *metadataOp) bool {
		if op.overdue(now) || lost && !op.deadline.IsZero() {
			op.finish(errNoMetadata())
			return true
		}
		return false
	})
}

func (c *clusterActor) retryLater(ctx actor.Context) {
	if c.retrying {
		return // one timer is enough, however many wait
	}
	c.retrying = true
	self, system := ctx.Self(), c.env.system
	time.AfterFunc(metadataRetry, func() { system.Root.Send(self, &retryMetadata{}) })
}

// sealCursors gives the cluster the key that seals its cursors, if it has none.
func (c *clusterActor) sealCursors(ctx actor.Context) {
	if c.create != nil || c.state.Settings() == nil || c.state.SealKey() != nil || c.env.fleet.Level() < level.Seals.Level {
		return
	}
	key := make([]byte, catalog.SealKeyBytes)
	_, _ = rand.Read(key) // never fails
	c.enqueue(ctx, &metadataOp{decide: func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		return s.DecideSealKey(key), nil
	}})
}

// bootstrap proposes a new cluster's first records, and then commits its
// manifest.
func (c *clusterActor) bootstrap(ctx actor.Context) {
	boot := catalog.Bootstrap{
		MetadataTopicID: protocol.MetadataTopic, OffsetsTopicID: protocol.NewID(),
		OffsetsPartitions: c.env.opt.OffsetsPartitions, Fleet: c.create.fleet, Node: c.env.nodeID(), Places: c.places(), Host: c.env.opt.Host, Port: c.env.opt.Port,
	}
	for _, v := range c.handle.manifest.Voters {
		boot.MetadataReplicas = append(boot.MetadataReplicas, protocol.PlacedReplica(v))
	}
	create := c.create
	c.enqueue(ctx, &metadataOp{
		decide: func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
			if create.fleet != nil {
				return s.DecideFoundFleet(create.settings, boot), nil
			}
			return s.DecideCreateCluster(create.settings, boot), nil
		},
		after: c.sealCursors,
		done: func(err *protocol.Error) {
			if err == nil {
				// The manifest is committed after the records. A crash in between leaves a
				// cluster that is being created, which the next start removes, or at several
				// nodes completes; the other way round there would be a cluster without
				// settings.
				if cerr := c.env.manifests.Commit(c.handle.manifest.ID); cerr != nil {
					err = protocol.Errorf(protocol.CodeStorageFailed, "write manifest: %v", cerr)
				}
			}
			c.create = nil
			create.reply.Put(err)
			if c.links.Spread() {
				c.registerBrokers(ctx) // those who were not first have their own addresses
			}
		},
	})
}

// places is where clients reach the brokers that are at other nodes, as far as that
// is known.
func (c *clusterActor) places() map[int]catalog.Broker {
	if c.env.fleet == nil {
		return nil
	}
	return c.env.fleet.Places(c.placed.Nodes)
}

// registerBrokers puts into the metadata where clients reach the brokers of this
// process.
func (c *clusterActor) registerBrokers(ctx actor.Context) {
	var here []int
	for _, b := range c.brokers {
		if b.here() && b.id == b.number && c.belongs(b) {
			here = append(here, b.id)
		}
	}
	slices.Sort(here)
	c.enqueue(ctx, &metadataOp{decide: func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		return s.DecideRegisterBrokers(here, c.env.nodeID(), c.env.opt.Host, c.env.opt.Port), nil
	}})
}

// openMetadata has a broker open its replica of __cluster_metadata, if it has one:
// as a founder in a new cluster, else under the id that its ledger has.
func (c *clusterActor) openMetadata(ctx actor.Context, b *brokerInCluster) {
	if c.recovered && c.state.Topics()[protocol.MetadataTopic] != nil {
		return // reconcile does
	}
	want := c.metadataWant()
	spec := partitionSpec{
		id: logfile.Identity{
			ClusterID: c.handle.manifest.ID, TopicID: protocol.MetadataTopic,
			Topic: protocol.MetadataTopic, Broker: b.number,
		},
		want: want, settings: catalog.InternalTopic(protocol.MetadataTopic, protocol.MetadataTopic, 1, len(c.handle.manifest.Voters), 0).TopicSettings,
		route: c.metaRoute, group: c.links.Group(catalog.MetadataPartition()),
	}
	spec.id.ReplicaID = b.holds[catalog.MetadataPartition()]
	if c.create != nil {
		for _, w := range c.handle.manifest.Voters {
			spec.founders = append(spec.founders, w.ReplicaID)
			if w.Broker == b.number && !b.arriving() {
				spec.id.ReplicaID = w.ReplicaID
			}
		}
	}
	if spec.id.ReplicaID != 0 {
		ctx.Send(b.pid, &ensureReplicas{Specs: []partitionSpec{spec}})
	}
}

// metadataWant is the membership of __cluster_metadata as far as it is known before its log
// has been read: what the ledgers say, else the founders. Where brokers run elsewhere nobody
// here knows: it is empty. An empty one is no membership to reach: the replica leaves the
// group as it is.
func (c *clusterActor) metadataWant() []protocol.PlacedReplica {
	var want []protocol.PlacedReplica
	if c.links.Spread() {
		return nil
	}
	for _, v := range c.handle.manifest.Voters {
		w, b := protocol.PlacedReplica(v), c.brokers[v.Broker]
		if b == nil {
			continue // it has left
		}
		if live := b.holds[catalog.MetadataPartition()]; live != 0 {
			w.ReplicaID = live
		}
		want = append(want, w)
	}
	return want
}
