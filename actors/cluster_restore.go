package actors

import (
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/metarecord"
	"ottla/actors/remedy"
	"ottla/actors/replica"
	"ottla/protocol"
)

// What is done about replicas that do not run is decided by package remedy; here the
// cluster has it done.

// members is a partition's placement. That of __cluster_metadata is needed before
// its log has been read.
func (c *clusterActor) members(key protocol.PartitionID) *catalog.Partition {
	// A damaged replica of the metadata may be needed for its log to be read at all, so this
	// cannot wait for that.
	if p := c.state.Partitions()[key]; p != nil || key != catalog.MetadataPartition() {
		return p
	}
	return &catalog.Partition{Replicas: c.metadataWant()}
}

// restore replaces or mends the damaged replicas of a partition. It may be called at any time
// and as often as one likes: a replacement that is decided on finds nothing to do, and a
// mending under way is not begun again.
func (c *clusterActor) restore(ctx actor.Context, key protocol.PartitionID) {
	p := c.members(key)
	if p == nil {
		return
	}
	for _, r := range p.Wanted() {
		problem, down := c.problems[remedy.Of(key, r.ReplicaID)]
		if !down || !problem.Fault.NeedsPeers() || problem.Running {
			continue
		}
		switch c.remedy(key, r) {
		case remedy.Replace:
			c.replaceDamaged(ctx, key, r)
		case remedy.Mend:
			c.mend(ctx, key, r, problem)
		case remedy.Wait:
		}
	}
}

// restoreAll restores every partition that has a replica down. It is called when
// brokers have started, stopped or failed.
func (c *clusterActor) restoreAll(ctx actor.Context) {
	for key := range c.problems.Partitions() {
		c.restore(ctx, key)
	}
}

func (c *clusterActor) replaceDamaged(ctx actor.Context, key protocol.PartitionID, r protocol.PlacedReplica) {
	if c.state.Partitions()[key] == nil {
		return // a majority of __cluster_metadata runs, so it will be known soon
	}
	c.enqueue(ctx, &metadataOp{decide: func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		// Decided when its turn comes, on what is known then. A replacement on old knowledge
		// could give up the copy that a majority needs.
		if !c.problems.Damaged(key, r.ReplicaID) || c.remedy(key, r) != remedy.Replace {
			return nil, nil // others failed meanwhile, or it was mended
		}
		node := uint64(0)
		if b := c.holder(s.Partitions()[key], r); b != nil && b.arriving() {
			node = c.nodeOf(b)
		}
		_, recs, err := s.DecideReplaceReplica(key.TopicID, key.Partition, r.Broker, r.ReplicaID, node)
		return recs, err
	}})
}

// mend asks the broker of a damaged replica to mend it. It is called again when
// circumstances have changed, and the broker then tries at once.
func (c *clusterActor) mend(ctx actor.Context, key protocol.PartitionID, r protocol.PlacedReplica, problem remedy.Problem) {
	b := c.holder(c.members(key), r)
	if problem.Fault == replica.FaultMissing {
		c.log.Error("lost replica is not rebuilt: too few others are sound; if they are gone for good, see '"+datadir.RepairCommand+"'",
			"broker", r.Broker, "topic_id", key.TopicID, "partition", key.Partition, "replica", r.ReplicaID)
	}
	if problem.Fault != replica.FaultDamage || b == nil || b.state != brokerRunning || b.pid == nil { // one elsewhere is mended there
		return
	}
	m := &mendReplica{Key: key, Replica: r.ReplicaID}
	for _, o := range c.brokers {
		m.Lenders = append(m.Lenders, o.id)
	}
	slices.Sort(m.Lenders)
	ctx.Send(b.pid, m)
}

// remedy decides what to do about one damaged replica, on what is known of the others now:
// the answer may be another one when the decision's turn comes.
func (c *clusterActor) remedy(key protocol.PartitionID, without protocol.PlacedReplica) remedy.Remedy {
	p := c.members(key)
	if p == nil {
		return remedy.Wait
	}
	return c.problems.Remedy(key, without.ReplicaID, remedy.Others{
		Partition: p,
		GoesOn:    func(broker int) bool { return c.state.GoesOn(p, broker) },
		Reachable: c.links.Group(key).Reachable,
		Awaited: func(r protocol.PlacedReplica) bool {
			b := c.holder(p, r)
			return b != nil && (b.state == brokerStarting || b.state == brokerRunning)
		},
	})
}

// replicaDown handles a replica that cannot go on.
func (c *clusterActor) replicaDown(ctx actor.Context, m *replicaDown) {
	p := c.members(m.Key)
	if p == nil {
		return
	}
	for _, r := range p.Wanted() {
		if r.ReplicaID != m.Replica {
			continue
		}
		b := c.holder(p, r)
		if b == nil {
			continue
		}
		c.problems[remedy.Of(m.Key, m.Replica)] = remedy.Problem{Holder: b.id, Broker: r.Broker, Cause: m.Cause, Fault: m.Fault, Running: m.Running}
		c.log.Error("replica is down", "broker", r.Broker, "topic_id", m.Key.TopicID, "partition", m.Key.Partition,
			"replica", m.Replica, "fault", string(m.Fault), "error", m.Cause)
	}
	c.restore(ctx, m.Key)
	c.publish()
}

// mendFailed notes why a damaged replica cannot be mended now. Its broker tries
// again from time to time.
func (c *clusterActor) mendFailed(m *mendFailed) {
	if c.problems.Refuse(remedy.Of(m.Key, m.Replica), m.Cause) {
		c.publish()
	}
}

// replicaUp handles a replica that runs. It may be the one for whose report the remedy of
// another was waiting, or that makes up a majority again.
func (c *clusterActor) replicaUp(ctx actor.Context, m *replicaUp) {
	key := remedy.Of(m.Key, m.Replica)
	_, was := c.problems[key]
	delete(c.problems, key)
	if c.problems.In(m.Key) {
		c.restore(ctx, m.Key)
	}
	if was {
		c.publish()
	}
}

// forgetReplaced forgets the problems of replicas that the metadata does not have any
// more. Their successors may have been settled by a leader at another node.
func (c *clusterActor) forgetReplaced() {
	if c.links.Spread() {
		c.problems.ForgetReplaced(c.members)
	}
}
