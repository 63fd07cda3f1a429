package catalog

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Bootstrap is what the first records of a cluster need besides its
// settings.
type Bootstrap struct {
	MetadataTopicID   string
	MetadataReplicas  []protocol.PlacedReplica // its first voters, see MetadataVoters
	OffsetsTopicID    string
	OffsetsPartitions int    // 0-1024; 0: see OffsetsPartitionsFor
	Node              uint64 // of the process, 0: there is no fleet
	Host              string // where the process listens, for all brokers but those in Places
	Port              int
	Places            map[int]Broker // where brokers are that are elsewhere, by id: Node, Host and Port
	Fleet             *Founding      // of a fleet; it has no offsets topic
}

// MetadataVoters are the first replicas of __cluster_metadata: one on each of
// up to five brokers, but an odd number of more than two, because a fourth
// vote only makes a majority harder to get.
func MetadataVoters(numBrokers int) []protocol.PlacedReplica {
	n := min(numBrokers, 5)
	if n == 4 {
		n = 3
	}
	voters := make([]protocol.PlacedReplica, n)
	for i := range voters {
		voters[i] = protocol.PlacedReplica{Broker: i + 1, ReplicaID: uint64(i + 1)}
	}
	return voters
}

// OffsetsPartitionsFor is how many partitions __consumer_offsets has in a new cluster
// where nothing else is configured. In one process all groups commit in one, so that they
// share rounds of replication and syncs; with brokers at several nodes there are
// coordinators at three of them.
func OffsetsPartitionsFor(spread bool) int {
	if spread {
		return 3
	}
	return 1
}

// spread reports whether the cluster's brokers are at more than one node.
func (b *Bootstrap) spread(brokers int) bool {
	nodes := map[uint64]bool{}
	for id := 1; id <= brokers; id++ {
		at, elsewhere := b.Places[id]
		if !elsewhere {
			at.Node = b.Node
		}
		nodes[at.Node] = true
	}
	return len(nodes) > 1
}

// DecideCreateCluster returns the first records of a cluster: its settings,
// its brokers and the internal topics. It returns none if the state has a
// cluster already. The settings come from Resolve.
func (s *State) DecideCreateCluster(c ClusterSettings, b Bootstrap) []metarecord.Record {
	if s.settings != nil {
		return nil
	}
	recs := []metarecord.Record{settingsRecord(c)}
	brokers := make([]int, c.NumBrokers)
	for i := range brokers {
		brokers[i] = i + 1
		at := Broker{Node: b.Node, Host: b.Host, Port: b.Port}
		if place, elsewhere := b.Places[i+1]; elsewhere {
			at = place
		}
		at.ID, at.CreatedAt = i+1, c.CreatedAt
		recs = append(recs, brokerRecord(at))
	}
	meta := InternalTopic(b.MetadataTopicID, protocol.MetadataTopic, 1, len(b.MetadataReplicas), c.CreatedAt)
	recs = append(recs, topicRecord(actionCreateTopic, meta), partitionRecord(actionPlacePartition, meta.ID, 0, Partition{
		Replicas: b.MetadataReplicas, NextReplicaID: nextReplicaID(b.MetadataReplicas),
	}))
	if b.Fleet != nil {
		return recs
	}
	partitions := cmp.Or(b.OffsetsPartitions, OffsetsPartitionsFor(b.spread(c.NumBrokers)))
	offsets := InternalTopic(b.OffsetsTopicID, protocol.OffsetsTopic, partitions, min(3, c.NumBrokers), c.CreatedAt)
	return append(recs, newTopicRecords(offsets, placeReplicas(brokers, 0, 0, offsets.Partitions, offsets.ReplicationFactor))...)
}

// DecideRegisterBrokers returns records for those of some brokers whose address is
// not host:port at node, that of the process in which they are. There are some after
// it has changed.
func (s *State) DecideRegisterBrokers(ids []int, node uint64, host string, port int) []metarecord.Record {
	var recs []metarecord.Record
	for _, id := range ids {
		if s.brokers[id] == nil {
			continue
		}
		b := *s.brokers[id]
		b.Host, b.Port, b.Node = host, port, node
		if node == 0 {
			b.To = 0
		}
		if b != *s.brokers[id] {
			recs = append(recs, brokerRecord(b))
		}
	}
	if node == 0 {
		recs = append(recs, s.bringHome(ids)...)
	}
	return recs
}

// DecideAllocateConsumerIDs reserves n consumer ids that nobody has, none below
// floor: first, first+1, ... They are the caller's once the record is committed. A
// caller that fails leaves a gap, which does no harm.
func (s *State) DecideAllocateConsumerIDs(n int, floor protocol.ConsumerID) (first protocol.ConsumerID, recs []metarecord.Record) {
	first = max(s.consumerID, floor)
	v := consumerIDsValue{V: metarecord.Format, Next: first + protocol.ConsumerID(n)}
	return first, []metarecord.Record{{Action: actionConsumerIDs, Key: metarecord.Key(keyConsumerIDs), Value: metarecord.JSON(v)}}
}

// Conflict compares the fields that spec sends with the cluster: nil when
// they agree, else cluster_exists naming those that do not.
func (c *ClusterSettings) Conflict(spec *protocol.ClusterSpec) *protocol.Error {
	var d differences
	compare(&d, "num_brokers", spec.NumBrokers, c.NumBrokers)
	compare(&d, "partitions", spec.Partitions, c.Partitions)
	compare(&d, "retention_policies", spec.RetentionHours, c.RetentionHours)
	compare(&d, "replication_factor", spec.ReplicationFactor, c.ReplicationFactor)
	compare(&d, "fsync", spec.Fsync, c.Fsync)
	if sent := spec.LogDirectory; sent != nil && path.Clean(*sent) != path.Clean(c.LogDirectory) {
		compare(&d, "log_directory", sent, c.LogDirectory)
	}
	if len(d.fields) == 0 {
		return nil
	}
	return protocol.Errorf(protocol.CodeClusterExists, "cluster %q already exists with other settings: %s",
		c.Name, strings.Join(d.texts, ", ")).With("fields", d.fields)
}

// differences are fields that were sent and are not what something has, and what to say
// of each.
type differences struct{ fields, texts []string }

// compare adds a field if it was sent and is not what the present settings have.
func compare[T comparable](d *differences, field string, sent *T, have T) {
	if sent != nil && *sent != have {
		d.fields = append(d.fields, field)
		d.texts = append(d.texts, fmt.Sprintf("%s is %.200s, not %.200s", field, fmt.Sprint(have), fmt.Sprint(*sent)))
	}
}

func invalidName(what, name string) *protocol.Error {
	return protocol.Errorf(protocol.CodeInvalidName,
		"%s name %q must be 1 to %d of A-Z a-z 0-9 . _ - and neither \".\" nor \"..\"",
		what, name, protocol.MaxNameLength)
}

func rangeRule(lo, hi int64) string { return fmt.Sprintf("%d to %d", lo, hi) }

func brokerRecord(b Broker) metarecord.Record {
	return metarecord.Record{Action: actionRegisterBroker, Key: metarecord.Key(keyBroker, b.ID), Value: metarecord.JSON(brokerValue{metarecord.Format, b})}
}

// DecideFoundFleet returns the first records of a fleet: its settings as a cluster,
// its own metadata, and its founders.
func (s *State) DecideFoundFleet(c ClusterSettings, b Bootstrap) []metarecord.Record {
	recs := s.DecideCreateCluster(c, b)
	if recs == nil {
		return nil
	}
	for _, n := range b.Fleet.Nodes {
		recs = append(recs, nodeRecord(n))
	}
	return recs
}

// SealKeyBytes is the length of the key that seals cursors.
const SealKeyBytes = 32

const keySeal = "seal" // ["seal"]

// sealValue is the key with which a cluster seals what it gives to clients and takes back.
type sealValue struct {
	V   int    `json:"v"`
	Key []byte `json:"key"`
}

// SealKey is the key with which the cluster seals cursors; nil: it has none yet. It is
// never changed.
func (s *State) SealKey() []byte { return s.sealKey }

// SaltKey is of what the cluster makes the salts of tokens; nil: it has no key yet. All
// nodes have the same, and it never changes, so that nobody can tell by its salt a name
// that is a token's from one that is not.
func (s *State) SaltKey() []byte { return s.saltKey }

// DecideSealKey gives the cluster a key, if it has none.
func (s *State) DecideSealKey(key []byte) []metarecord.Record {
	if s.settings == nil || s.sealKey != nil {
		return nil
	}
	return []metarecord.Record{{Action: actionSealCursors, Key: metarecord.Key(keySeal), Value: metarecord.JSON(sealValue{metarecord.Format, key})}}
}

func (s *State) applySeal(value []byte) error {
	var v sealValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	if len(v.Key) != SealKeyBytes {
		return fmt.Errorf("the key that seals cursors has %d bytes", len(v.Key))
	}
	s.sealKey, s.saltKey = v.Key, saltKeyOf(v.Key)
	return nil
}
