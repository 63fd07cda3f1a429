package routing

import (
	"ottla/actors/catalog"
	"ottla/actors/group"
	"ottla/protocol"
)

// Table is the immutable routing snapshot of one cluster. The cluster's actor
// publishes a new one when topics change.
type Table struct {
	Cluster string
	Topics  map[string]*protocol.Topic // by name; Route is a *Topic

	changed chan struct{} // closed when a later snapshot has other topics or partitions
}

// Topic is the Route of a protocol.Topic.
type Topic struct {
	Cluster    *Cluster
	Partitions []*Partition
}

// Of returns the route of a topic from a Table.
func Of(t *protocol.Topic) *Topic { return t.Route.(*Topic) }

// Changed is closed when a later table has other topics or partitions.
func (t *Table) Changed() <-chan struct{} { return t.changed }

// succeed makes t the successor of another table. When their topics differ it
// returns a function that closes Changed of the former one, to be called once t is
// published; nil when both have the same topics.
func (t *Table) succeed(before *Table) (announce func()) {
	t.changed = make(chan struct{})
	if before == nil {
		return nil
	}
	same := len(t.Topics) == len(before.Topics)
	for name, now := range t.Topics {
		had := before.Topics[name]
		same = same && had != nil && had.ID == now.ID && had.Partitions == now.Partitions &&
			Of(had).Partitions[0] == Of(now).Partitions[0] // else of an actor that failed
	}
	if same {
		t.changed = before.changed
		return nil
	}
	return func() { close(before.changed) }
}

// View is an immutable picture of a cluster for lists and descriptions.
type View struct {
	Info       protocol.ClusterInfo
	Topics     []protocol.TopicInfo // by name, internal ones included; no offsets
	Partitions map[protocol.PartitionID]*Partition
	Problems   map[protocol.PartitionID]string // replicas that are down or being replaced

	Rebuilt map[int]BrokerCopies     // by broker: its replicas, and those of them that are being rebuilt
	Moves   map[int]catalog.Progress // by broker: its replicas, and those of them that are to be elsewhere
	Filling []protocol.PartitionID   // of these, a replica is to be another one
	Resize  *catalog.Resize          // the latest change of the number of brokers, nil if there was none
	Copies  int                      // at how many nodes copies of records are, at most

	NextConsumerID protocol.ConsumerID // ids from this one on are free

	Replicas map[uint64]int   // that each node carries, as catalog.State.Replicas
	Owned    map[string]int64 // partitions, by the token that has created their topic

	Tokens  []*protocol.TokenEntry // by name; the same slice until one changes
	SaltKey []byte                 // of which salts of tokens are made; nil: there is none yet
	Sources []*protocol.Source     // likewise

	Subscriptions []*protocol.Subscription // likewise

	Seal *group.Seal // of cursors; nil: the cluster has none yet
}

// BrokerCopies counts the replicas that are placed on a broker.
type BrokerCopies struct {
	Placed   int
	Replaced int  // with a successor that is not a voter yet
	Lost     bool // all are, and their successors are not decided on
}
