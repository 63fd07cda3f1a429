package actors

import (
	"maps"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
	"ottla/actors/coordinator"
	"ottla/actors/group"
	"ottla/actors/metarecord"
	"ottla/actors/remedy"
	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// reconcile tells every running broker what __cluster_metadata wants it to have, as far as it
// has not been told yet, and has deleted topics removed.
//
// It is called whenever the state or a broker has changed, and compares: brokers that were
// told the same are told nothing. A broker that starts again has been told nothing (told is
// cleared). One whose directory is new gets no replicas before its loss is resolved: it would
// create those it had under their old ids, empty, and they would vote a second time.
func (c *clusterActor) reconcile(ctx actor.Context) {
	if c.state.Settings() == nil {
		return
	}
	c.removeDeleted(ctx) // first, because a new topic of the same name uses the same paths
	for _, b := range c.brokers {
		if b.state != brokerRunning || b.wiped || !b.here() || b.dismissed() {
			continue
		}
		c.releaseMoved(ctx, b)
		var specs []partitionSpec
		for key, p := range c.state.Partitions() {
			t := c.state.Topics()[key.TopicID]
			replica, founder := c.state.Held(p, b.number, c.env.nodeID())
			if t == nil || replica == 0 {
				continue
			}
			now := toldReplica{replica: replica, topic: t, partition: p}
			// The values of the state are never changed in place, so pointers say whether
			// anything about the replica has changed.
			if b.told[key] == now {
				continue
			}
			b.told[key] = now
			specs = append(specs, c.spec(key, t, p, b.number, replica, founder))
			b.holds[key] = replica
		}
		// In the same order at all brokers, because logs are made a few at a time
		// (createAtOnce): a partition has no leader before a majority of its logs is there.
		slices.SortFunc(specs, func(x, y partitionSpec) int { return protocol.ComparePartitionIDs(x.key(), y.key()) })
		if len(specs) > 0 {
			ctx.Send(b.pid, &ensureReplicas{Specs: specs})
		}
	}
}

// spec is what a broker is told of a replica. Only founders get the first voters: a replica
// that comes later learns the membership from the group, and must not found one of its own.
func (c *clusterActor) spec(key protocol.PartitionID, t *catalog.Topic, p *catalog.Partition, broker int, replica uint64, founder bool) partitionSpec {
	s := partitionSpec{
		id: logfile.Identity{
			ClusterID: c.handle.manifest.ID, TopicID: t.ID, Topic: t.Name,
			Partition: key.Partition, Broker: broker, ReplicaID: replica,
		},
		want: p.Wanted(), replacing: len(p.Replacing) > 0, start: t.Start(key.Partition), restoring: t.Restoring != "", settings: t.TopicSettings,
		lazySync: c.state.Settings().Fsync == catalog.FsyncInterval,
		route:    c.route(key), group: c.links.Group(key),
	}
	if founder {
		for id := range p.Replicas {
			s.founders = append(s.founders, uint64(id+1))
		}
	}
	return s
}

// route is where clients find a partition's leader. It is made once and shared by all tables:
// a leader that is set in it is seen through old tables too. Leaders elsewhere may have been
// heard of before the partition was.
func (c *clusterActor) route(key protocol.PartitionID) *routing.Partition {
	r := c.parts[key]
	if r == nil {
		replicas := 0
		if p := c.state.Partitions()[key]; p != nil {
			replicas = len(p.Replicas)
		}
		r = routing.NewPartition(key, c.links.Group(key), replicas)
		c.parts[key] = r
		if l := c.remotes[key]; l != nil {
			r.Set(l.Leadership)
		}
	}
	return r
}

// resolveLoss replaces every replica of a broker whose directory was lost, under
// new ids: the lost ones may have voted and acknowledged entries that nobody can
// read any more.
func (c *clusterActor) resolveLoss(ctx actor.Context, b *brokerInCluster) {
	if !b.wiped || !b.here() || c.state.Settings() == nil || !b.arriving() && !c.belongs(b) {
		return // one that is elsewhere does it there
	}
	lost := 0
	for key, p := range c.state.Partitions() {
		replica, node := c.lost(p, b)
		// What the new directory has was made in it since the loss.
		if replica == 0 || b.holds[key] == replica {
			continue
		}
		lost++
		c.problems[remedy.Of(key, replica)] = remedy.Lost(p, b.id, b.number, func(id int) bool { return c.brokers[id] != nil && !c.brokers[id].wiped })
		c.replaceReplica(ctx, key, b.number, replica, node)
	}
	if lost > 0 {
		c.log.Warn("broker lost its directory; its replicas are rebuilt under new ids", "broker", b.number, "replicas", lost)
	}
	c.enqueue(ctx, &metadataOp{
		// It has nothing to decide. It stands in line behind the replacements, so when its
		// turn comes they are applied, and the mark may go.
		decide: func(*catalog.State) ([]metarecord.Record, *protocol.Error) { return nil, nil },
		done: func(err *protocol.Error) {
			if err == nil {
				b.wiped = false
				c.sayBroker(b)
				c.env.system.Root.Send(b.pid, &lossResolved{})
			}
		},
		after: c.reconcile,
	})
}

// lost is the replica of a partition that a broker whose directory was lost had in it, 0
// if none, and the node of its successor: 0 where the broker is.
func (c *clusterActor) lost(p *catalog.Partition, b *brokerInCluster) (replica, node uint64) {
	if b.arriving() {
		node = c.env.nodeID()
	}
	if replica, _ = c.state.Held(p, b.number, c.env.nodeID()); replica != 0 || b.arriving() {
		return replica, node
	}
	for _, r := range p.Replicas { // at a node that is lost
		if r.Broker == b.number && c.gone(c.state.Locate(p, b.number)) {
			return r.ReplicaID, 0
		}
	}
	return 0, 0
}

// replaceReplica gives a replica a successor, for as long as it takes: the operation has no
// deadline.
func (c *clusterActor) replaceReplica(ctx actor.Context, key protocol.PartitionID, broker int, old, node uint64) {
	c.enqueue(ctx, &metadataOp{decide: func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		_, recs, err := s.DecideReplaceReplica(key.TopicID, key.Partition, broker, old, node)
		return recs, err
	}})
}

// membersSettled completes a replacement: the new replica is a voter, and the old
// one is no member any more.
func (c *clusterActor) membersSettled(ctx actor.Context, m *membersSettled) {
	p := c.state.Partitions()[m.Key]
	if p == nil {
		return
	}
	c.problems.ForgetLeft(m.Key, p, m.Voters)
	for _, r := range p.Replacing {
		if !r.Done(m.Voters) {
			continue
		}
		c.enqueue(ctx, &metadataOp{
			decide: func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
				return s.DecideReplicaReplaced(m.Key.TopicID, m.Key.Partition, r.Broker, r.NewID)
			},
			after: func(ctx actor.Context) { c.restore(ctx, m.Key) },
		})
	}
}

// removeDeleted has every broker remove deleted topics, also those that were
// deleted while it was stopped. When all have, the topic is forgotten.
func (c *clusterActor) removeDeleted(ctx actor.Context) {
	// A topic may have been forgotten since: nobody would ever finish dropping it.
	maps.DeleteFunc(c.dropping, func(id string, _ map[int]bool) bool {
		_, deleted := c.state.Deleted()[id]
		return !deleted
	})
	for id, t := range c.state.Deleted() {
		// Seen for the first time by this actor. Groups and routes forget the topic before any
		// file goes.
		if c.dropping[id] == nil {
			c.tellCoordinators(id)
			delete(c.counters, id)
			c.problems.ForgetTopic(id)
			c.dropping[id] = map[int]bool{}
			for _, b := range c.brokers {
				if b.here() && !slices.Contains(t.Removed, b.id) {
					c.dropping[id][b.id] = false // not asked
				}
			}
			for p := range t.Partitions {
				key := protocol.PartitionID{TopicID: id, Partition: p}
				c.withdrawRemote(key)
				delete(c.parts, key)
				c.links.Forget(key)
			}
		}
		for n, asked := range c.dropping[id] {
			if b := c.brokers[n]; !asked && b != nil && b.state == brokerRunning {
				c.dropping[id][n] = true
				ctx.Send(b.pid, &dropTopic{TopicID: id})
			}
		}
	}
}

// tellCoordinators has all groups forget a deleted topic.
func (c *clusterActor) tellCoordinators(deleted string) {
	offsets := c.state.TopicByName(protocol.OffsetsTopic)
	if offsets == nil {
		return
	}
	for p := range offsets.Partitions {
		if ref := c.route(protocol.PartitionID{TopicID: offsets.ID, Partition: p}).Leader(); ref != nil { // one elsewhere is told by its node
			ref.Ask(&coordinator.TopicsGone{TopicIDs: []string{deleted}})
		}
	}
}

// topicDropped notes that a broker has removed a topic's files. When all of this node have,
// the metadata is told; the topic is forgotten once every node has done so.
func (c *clusterActor) topicDropped(ctx actor.Context, m *topicDropped) {
	left := c.dropping[m.TopicID]
	if left == nil {
		return
	}
	if m.Err != nil {
		left[m.Broker] = false // asked again when anything changes
		return
	}
	delete(left, m.Broker)
	if len(left) > 0 {
		return
	}
	var here []int
	for _, b := range c.brokers {
		if b.here() && b.id == b.number {
			here = append(here, b.id)
		}
	}
	slices.Sort(here)
	c.enqueue(ctx, &metadataOp{decide: func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		return s.DecideTopicRemoved(m.TopicID, here), nil
	}})
}

// rebuilt counts the replicas of each broker, for those who wait for them to be rebuilt.
func (c *clusterActor) rebuilt() map[int]routing.BrokerCopies {
	all := routing.CopiesOf(c.state)
	for id, b := range c.brokers {
		if id == b.number {
			n := all[id]
			n.Lost = b.wiped || b.state != brokerRunning
			all[id] = n
		}
	}
	return all
}

// publish makes the routing snapshot and the view for lists anew. It is called after every
// change that clients may see, before they are answered. What was published is never changed:
// readers hold on to it for as long as they like.
func (c *clusterActor) publish() {
	if !c.recovered || c.state.Settings() == nil {
		c.handle.SetProblem(c.problems.Describe(c.members)[catalog.MetadataPartition()])
		return
	}
	table, view := routing.Draw(c.state, c.handle.Cluster, c.counters, c.route)
	view.Problems = c.problems.Describe(c.members)
	if key := c.state.SealKey(); key != nil && c.seal == nil {
		c.seal = group.NewSeal(view.Info.ID, key)
	}
	view.Seal = c.seal
	before := c.handle.View()
	for i := range view.Info.Brokers {
		if b := c.brokers[view.Info.Brokers[i].ID]; b != nil {
			view.Info.Brokers[i].State, view.Info.Brokers[i].Error = c.clientView(b)
		}
	}
	if c.links.Spread() {
		view.Rebuilt = c.rebuilt()
	}
	if c.env.fleet != nil {
		view.Copies = c.state.MostCopies()
	}
	if c.handle.fleet != nil {
		c.handle.fleet.Publish(c.state)
	}
	if c.handle.Publish(table, view) {
		c.env.directory.TopicsChanged()
	}
	if c.handle.manifest.Name == protocol.DefaultCluster && (before == nil || !slices.Equal(before.Tokens, view.Tokens)) {
		c.env.directory.TokensChanged()
	}
}
