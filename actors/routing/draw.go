package routing

import (
	"ottla/actors/catalog"
	"ottla/protocol"
)

// Draw makes the routing table of a cluster, and the picture of it for lists, from the state
// of its metadata. What the state does not say, of brokers that run and of replicas that do
// not, is left to the caller. Counters are those of the topics, by id; of a new topic one is
// added, so that a topic keeps its own from table to table: else each change of any topic
// would have round robin begin anew at partition 0.
func Draw(s *catalog.State, c *Cluster, counters map[string]*protocol.Counter, route func(protocol.PartitionID) *Partition) (*Table, *View) {
	table := &Table{Cluster: s.Settings().Name, Topics: map[string]*protocol.Topic{}}
	view := &View{
		Info: s.ClusterInfo(), Partitions: map[protocol.PartitionID]*Partition{}, NextConsumerID: s.NextConsumerID(),
		Tokens: s.Tokens(), SaltKey: s.SaltKey(), Sources: s.Sources(), Subscriptions: s.Subscriptions(),
		Replicas: s.Replicas(), Owned: s.Owned(), Filling: s.Filling(), Resize: s.Resizing(),
	}
	if s.Moving() {
		view.Moves = s.Progress()
	}
	for _, t := range s.TopicList() {
		view.Topics = append(view.Topics, s.TopicInfo(t))
		counter := counters[t.ID]
		if counter == nil {
			counter = &protocol.Counter{}
			counters[t.ID] = counter
		}
		tr := &Topic{Cluster: c, Partitions: make([]*Partition, t.Partitions)}
		for p := range tr.Partitions {
			key := protocol.PartitionID{TopicID: t.ID, Partition: p}
			tr.Partitions[p] = route(key)
			view.Partitions[key] = tr.Partitions[p]
		}
		table.Topics[t.Name] = &protocol.Topic{
			Cluster: table.Cluster, Name: t.Name, ID: t.ID, Partitions: t.Partitions,
			MaxRecordBytes: t.MaxRecordBytes, Internal: t.Internal(), Compacted: t.CleanupPolicy == catalog.CleanupCompact, RoundRobin: counter, Route: tr,
			Earlier: t.Placements(), Restoring: t.Restoring,
		}
	}
	return table, view
}

// CopiesOf counts the replicas of each broker, for those who wait for them to be rebuilt.
// Placed counts also what was lost with a directory: whether one was lost is not in the
// metadata (BrokerCopies.Lost).
func CopiesOf(s *catalog.State) map[int]BrokerCopies {
	all := map[int]BrokerCopies{}
	for _, p := range s.Partitions() {
		for _, r := range p.Replicas {
			n := all[r.Broker]
			n.Placed++
			all[r.Broker] = n
		}
		for _, r := range p.Replacing {
			n := all[r.Broker]
			n.Replaced++
			all[r.Broker] = n
		}
	}
	return all
}
