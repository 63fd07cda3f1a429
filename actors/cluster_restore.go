package actors

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/metarecord"
	"ottla/actors/replica"
	"ottla/protocol"
)

// A replica whose files cannot be trusted is replaced while a majority of the
// group's other replicas runs: a successor with a new id is filled by them. Where
// no such majority runs nobody can decide on a successor, and the files are
// needed: the replica is mended in place, under its id, with entries out of the
// other copies' files.

// remedy is what a damaged replica needs.
type remedy int

const (
	remedyWait    remedy = iota // other replicas have not reported yet whether they run
	remedyReplace               // a majority of the others runs
	remedyMend                  // no majority of the others can run
)

// members is a partition's placement. That of __cluster_metadata is needed before
// its log has been read.
func (c *clusterActor) members(key protocol.PartitionID) *catalog.Partition {
	if p := c.state.Partitions()[key]; p != nil || key != catalog.MetadataPartition() {
		return p
	}
	return &catalog.Partition{Replicas: c.metadataWant()}
}

// restore replaces or mends the damaged replicas of a partition.
func (c *clusterActor) restore(ctx actor.Context, key protocol.PartitionID) {
	p := c.members(key)
	if p == nil {
		return
	}
	for _, r := range p.Wanted() {
		problem, down := c.problems[problemKey(key, r.ReplicaID)]
		if !down || !problem.fault.NeedsPeers() || problem.running {
			continue
		}
		switch c.remedy(key, r) {
		case remedyReplace:
			c.replaceDamaged(ctx, key, r)
		case remedyMend:
			c.mend(ctx, key, r, problem)
		case remedyWait:
		}
	}
}

// restoreAll restores every partition that has a replica down. It is called when
// brokers have started, stopped or failed.
func (c *clusterActor) restoreAll(ctx actor.Context) {
	keys := map[protocol.PartitionID]bool{}
	for k := range c.problems {
		keys[protocol.PartitionID{TopicID: k.TopicID, Partition: k.Partition}] = true
	}
	for key := range keys {
		c.restore(ctx, key)
	}
}

func (c *clusterActor) replaceDamaged(ctx actor.Context, key protocol.PartitionID, r protocol.PlacedReplica) {
	if c.state.Partitions()[key] == nil {
		return // a majority of __cluster_metadata runs, so it will be known soon
	}
	c.enqueue(ctx, &metadataOp{decide: func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		if !c.damaged(key, r.ReplicaID) || c.remedy(key, r) != remedyReplace {
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
func (c *clusterActor) mend(ctx actor.Context, key protocol.PartitionID, r protocol.PlacedReplica, problem replicaProblem) {
	b := c.holder(c.members(key), r)
	if problem.fault == replica.FaultMissing {
		c.log.Error("lost replica is not rebuilt: too few others are sound; if they are gone for good, see '"+datadir.RepairCommand+"'",
			"broker", r.Broker, "topic_id", key.TopicID, "partition", key.Partition, "replica", r.ReplicaID)
	}
	if problem.fault != replica.FaultDamage || b == nil || b.state != brokerRunning || b.pid == nil { // one elsewhere is mended there
		return
	}
	m := &mendReplica{Key: key, Replica: r.ReplicaID}
	for _, o := range c.brokers {
		m.Lenders = append(m.Lenders, o.id)
	}
	slices.Sort(m.Lenders)
	ctx.Send(b.pid, m)
}

func problemKey(key protocol.PartitionID, replica uint64) protocol.ReplicaID {
	return protocol.ReplicaID{TopicID: key.TopicID, Partition: key.Partition, Replica: replica}
}

func (c *clusterActor) damaged(key protocol.PartitionID, replica uint64) bool {
	problem, down := c.problems[problemKey(key, replica)]
	return down && problem.fault.NeedsPeers()
}

// remedy decides what to do about one damaged replica. Replicas that are being
// replaced do not count towards a majority, nor do their successors, which may
// have nothing yet.
func (c *clusterActor) remedy(key protocol.PartitionID, without protocol.PlacedReplica) remedy {
	p := c.members(key)
	if p == nil {
		return remedyWait
	}
	sound, unknown := 0, 0
	group := c.links.Group(key)
	for _, r := range p.Replicas {
		replaced := slices.ContainsFunc(p.Replacing, func(x catalog.PendingReplica) bool { return x.Broker == r.Broker })
		if r.ReplicaID == without.ReplicaID || replaced && !c.state.GoesOn(p, r.Broker) {
			continue
		}
		_, down := c.problems[problemKey(key, r.ReplicaID)]
		b := c.holder(p, r)
		switch {
		case c.damaged(key, r.ReplicaID):
		case group.Reachable(r.ReplicaID):
			sound++
		case !down && b != nil && (b.state == brokerStarting || b.state == brokerRunning):
			unknown++
		}
	}
	majority := len(p.Replicas)/2 + 1
	switch {
	case sound >= majority:
		return remedyReplace
	case sound+unknown >= majority:
		return remedyWait
	}
	return remedyMend
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
		c.problems[problemKey(m.Key, m.Replica)] = replicaProblem{holder: b.id, broker: r.Broker, cause: m.Cause, fault: m.Fault, running: m.Running}
		c.log.Error("replica is down", "broker", r.Broker, "topic_id", m.Key.TopicID, "partition", m.Key.Partition,
			"replica", m.Replica, "fault", string(m.Fault), "error", m.Cause)
	}
	c.restore(ctx, m.Key)
	c.publish()
}

// mendFailed notes why a damaged replica cannot be mended now. Its broker tries
// again from time to time.
func (c *clusterActor) mendFailed(m *mendFailed) {
	key := problemKey(m.Key, m.Replica)
	if problem, down := c.problems[key]; down {
		problem.cause, problem.refused = m.Cause, true
		c.problems[key] = problem
		c.publish()
	}
}

func (c *clusterActor) replicaUp(ctx actor.Context, m *replicaUp) {
	key := problemKey(m.Key, m.Replica)
	_, was := c.problems[key]
	delete(c.problems, key)
	for k := range c.problems {
		if k.TopicID == m.Key.TopicID && k.Partition == m.Key.Partition {
			c.restore(ctx, m.Key)
			break
		}
	}
	if was {
		c.publish()
	}
}

// forgetReplaced forgets the problems of replicas that the metadata does not have any
// more. Their successors may have been settled by a leader at another node.
func (c *clusterActor) forgetReplaced() {
	if !c.links.Spread() {
		return
	}
	maps.DeleteFunc(c.problems, func(key protocol.ReplicaID, _ replicaProblem) bool {
		p := c.members(protocol.PartitionID{TopicID: key.TopicID, Partition: key.Partition})
		return p != nil && len(p.Replicas) > 0 &&
			!slices.ContainsFunc(p.Replicas, func(r protocol.PlacedReplica) bool { return r.ReplicaID == key.Replica }) &&
			!slices.ContainsFunc(p.Replacing, func(r catalog.PendingReplica) bool { return r.NewID == key.Replica })
	})
}

// describeProblems describes the problems of each partition's replicas, as
// readiness shows them.
func (c *clusterActor) describeProblems() map[protocol.PartitionID]string {
	lines := map[protocol.PartitionID][]string{}
	refused := map[protocol.PartitionID]bool{}
	for key, problem := range c.problems {
		at := protocol.PartitionID{TopicID: key.TopicID, Partition: key.Partition}
		lines[at] = append(lines[at], fmt.Sprintf("broker %d: %s: %v", problem.broker, problem.fault, problem.cause))
		refused[at] = refused[at] || problem.refused
	}
	all := map[protocol.PartitionID]string{}
	for at, list := range lines {
		slices.Sort(list)
		all[at] = strings.Join(list, "; ")
		switch p := c.members(at); {
		case !refused[at]:
		case p != nil && len(p.Replicas) == 1:
			all[at] += "; it has no other copy, see 'ottla log repair'"
		default:
			all[at] += "; unless a copy becomes whole again, see '" + datadir.RepairCommand + "'"
		}
	}
	return all
}
