package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Actions of records in __cluster_metadata.
const (
	actionCreateCluster   = "CREATE_CLUSTER"
	actionRegisterBroker  = "REGISTER_BROKER"
	actionCreateTopic     = "CREATE_TOPIC"
	actionAlterTopic      = "ALTER_TOPIC"
	actionDeleteTopic     = "DELETE_TOPIC"
	actionForgetTopic     = "FORGET_TOPIC"
	actionPlacePartition  = "PLACE_PARTITION"
	actionReplaceReplica  = "REPLACE_REPLICA"
	actionReplicaReplaced = "REPLICA_REPLACED"
	actionRemoveBroker    = "REMOVE_BROKER"
	actionResizeCluster   = "RESIZE_CLUSTER"
	actionConsumerIDs     = "CONSUMER_IDS"
	actionSealCursors     = "SEAL_CURSORS"
	actionCreateToken     = "CREATE_TOKEN"
	actionAlterToken      = "ALTER_TOKEN"
	actionDeleteToken     = "DELETE_TOKEN"
	actionCreateSource    = "CREATE_SOURCE"
	actionAlterSource     = "ALTER_SOURCE"
	actionDeleteSource    = "DELETE_SOURCE"

	actionCreateSubscription = "CREATE_SUBSCRIPTION"
	actionAlterSubscription  = "ALTER_SUBSCRIPTION"
	actionDeleteSubscription = "DELETE_SUBSCRIPTION"
)

// firstConsumerID is the first consumer id that is assigned. Ids that people
// choose by hand are small, so assigned ones keep out of their way.
const firstConsumerID protocol.ConsumerID = 1_000_001

// ClusterSettings are a cluster's resolved settings, as the API has them.
type ClusterSettings struct {
	ID                string  `json:"id"`
	Name              string  `json:"name"`
	NumBrokers        int     `json:"num_brokers"`        // 1 to 9
	LogDirectory      string  `json:"log_directory"`      // relative to the data directory
	Partitions        int     `json:"partitions"`         // of a topic that does not say
	RetentionHours    float64 `json:"retention_hours"`    // likewise; -1: no limit
	ReplicationFactor int     `json:"replication_factor"` // likewise
	Fsync             string  `json:"fsync"`              // "always" or FsyncInterval
	CreatedAt         int64   `json:"created_at"`         // milliseconds since 1970
}

// Broker is a broker as the cluster knows it.
type Broker struct {
	ID        int    `json:"id"`
	Node      uint64 `json:"node,omitempty"` // of the fleet, 0: there is none
	To        uint64 `json:"to,omitempty"`   // the node to which its replicas are moved, one after the other; 0: none
	Host      string `json:"host"`
	Port      int    `json:"port"`
	CreatedAt int64  `json:"created_at"`
}

// TopicSettings are a topic's resolved settings, as the API has them.
type TopicSettings struct {
	ReplicationFactor int    `json:"replication_factor"`
	RetentionMs       int64  `json:"retention_ms"`    // -1: no limit
	RetentionBytes    int64  `json:"retention_bytes"` // of a partition; -1: no limit
	SegmentBytes      int64  `json:"segment_bytes"`
	CleanupPolicy     string `json:"cleanup_policy"` // "delete" or CleanupCompact
	DeleteRetentionMs int64  `json:"delete_retention_ms"`
	MaxRecordBytes    int    `json:"max_record_bytes"`
}

// LongestSegment is how long records stay in a partition's active segment at most.
const LongestSegment = 7 * 24 * time.Hour

// RollAfterMs is how old the oldest record of an active segment may become, in milliseconds:
// while it is in there, retention and compaction pass over it.
func (s *TopicSettings) RollAfterMs() int64 {
	after := LongestSegment.Milliseconds()
	if s.RetentionMs >= 0 && s.CleanupPolicy != CleanupCompact {
		after = min(after, s.RetentionMs)
	}
	return after
}

// Topic is a topic. Values in a State are immutable: Apply
// replaces them, so a pointer taken from it may be kept and shared.
type Topic struct {
	ID         string `json:"-"`
	Name       string `json:"name"`
	Partitions int    `json:"partitions"`
	TopicSettings
	CreatedAt int64  `json:"created_at"`      // milliseconds since 1970
	Owner     string `json:"owner,omitempty"` // the token that has created it

	// Earlier are the numbers of partitions that it has had lately, oldest first, and at
	// least the last one: requests with an id are looked for where they were placed.
	Earlier []EarlierPartitions `json:"earlier,omitempty"`

	// Restoring is the id of the producer that fills the topic from a backup; empty: it is
	// complete. Restored is what it was then. Starts are the offsets at which its partitions
	// began; nil: at 0.
	Restoring string  `json:"restoring,omitempty"`
	Restored  string  `json:"restored,omitempty"`
	Starts    []int64 `json:"starts,omitempty"`
}

// Start is the offset at which a partition began.
func (t *Topic) Start(partition int) int64 {
	if partition < len(t.Starts) {
		return t.Starts[partition]
	}
	return 0
}

// EarlierPartitions is a number of partitions that a topic has had.
type EarlierPartitions struct {
	Partitions int   `json:"partitions"`
	Until      int64 `json:"until"`           // milliseconds since 1970
	First      bool  `json:"first,omitempty"` // the topic began with them
}

// PendingReplica is a replacement under way: replica NewID catches up and then takes
// the place of replica OldID, which is on Broker.
//
// Where OldID is lost or damaged NewID takes its place at once, in the same directory.
// Where it is moved it goes on until NewID votes in its stead: NewID is on another broker,
// or in the directory that the same broker has at the node to which it moves.
type PendingReplica struct {
	Broker int    `json:"broker"`
	OldID  uint64 `json:"old_id"`         // 0: NewID is one more replica, on Broker
	NewID  uint64 `json:"new_id"`         // 0: OldID is given up, and nothing takes its place
	To     int    `json:"to,omitempty"`   // the broker of NewID; 0: the same
	Node   uint64 `json:"node,omitempty"` // the node of NewID; 0: where its broker is
	Lost   bool   `json:"lost,omitempty"` // OldID was lost while it was moved
	// Back says that the move was called off. NewID may vote by now, and have acknowledged
	// what too few others have, so it goes only when the group is without it.
	Back bool `json:"back,omitempty"`
}

// Partition is the placement of a partition. Immutable like Topic.
type Partition struct {
	Replicas      []protocol.PlacedReplica `json:"replicas"`            // in order of preference, the preferred leader first
	Replacing     []PendingReplica         `json:"replacing,omitempty"` // at most one per broker
	Moved         map[int]uint64           `json:"moved,omitempty"`     // by broker: the node of its replica, where that came there by a move
	NextReplicaID uint64                   `json:"next_replica_id"`     // greater than every id the partition has had
}

// State is the state machine of __cluster_metadata. The Decide methods
// never change it: they return a reply and the records that, once committed,
// Apply turns into the new state. A decision counts only if its records are the
// next ones after those that the state has. It is not safe for concurrent use;
// time and ids are arguments.
type State struct {
	settings   *ClusterSettings // nil until CREATE_CLUSTER was applied
	brokers    map[int]*Broker
	topics     map[string]*Topic // by id
	names      map[string]string // name to id, of topics
	partitions map[protocol.PartitionID]*Partition
	deleted    map[string]DeletedTopic // by id, until every broker removed its copies
	consumerID protocol.ConsumerID     // the next to be given out
	sealKey    []byte                  // nil: there is none yet
	saltKey    []byte                  // likewise; follows from sealKey
	resize     *Resize                 // nil: the number of brokers was never changed

	registryState // of the default cluster
	fleetState    // of a fleet's hidden cluster
}

// registryState is what the default cluster keeps for all: tokens, sources of webhooks and
// subscriptions. It knows nothing of brokers and topics.
type registryState struct {
	tokens        []*protocol.TokenEntry   // by name; replaced, never changed
	sources       []*protocol.Source       // likewise
	subscriptions []*protocol.Subscription // likewise
}

// fleetState is what a fleet keeps of itself: its nodes, which of them run the brokers of
// which cluster, and what is moved. It knows nothing of topics.
type fleetState struct {
	nodes     map[uint64]*FleetNode
	placed    map[string]*PlacedCluster // by id
	hadPlaced bool
	tasks     map[string]*FleetTask // by id
	level     int                   // 0: it was never raised
}

// DeletedTopic is what is kept of a deleted topic: the committed permission
// to remove the directories that carry its id.
type DeletedTopic struct {
	Name       string `json:"name"`
	Partitions int    `json:"partitions"`
	DeletedAt  int64  `json:"deleted_at"`        // milliseconds since 1970
	Removed    []int  `json:"removed,omitempty"` // brokers that have removed their copies
}

// New returns the state before the first record.
func New() *State {
	return &State{
		brokers:    map[int]*Broker{},
		topics:     map[string]*Topic{},
		names:      map[string]string{},
		partitions: map[protocol.PartitionID]*Partition{},
		deleted:    map[string]DeletedTopic{},
		consumerID: firstConsumerID,
		fleetState: fleetState{nodes: map[uint64]*FleetNode{}, placed: map[string]*PlacedCluster{}, tasks: map[string]*FleetTask{}},
	}
}

// MetadataPartition names the partition of __cluster_metadata.
func MetadataPartition() protocol.PartitionID {
	return protocol.PartitionID{TopicID: protocol.MetadataTopic}
}

// Settings are the cluster's; nil until CREATE_CLUSTER was applied.
func (s *State) Settings() *ClusterSettings { return s.settings }

// Topics are all topics by id, internal ones included. The map may not be changed,
// nor may those of Partitions and Deleted.
func (s *State) Topics() map[string]*Topic { return s.topics }

// Partitions are the placements of all partitions.
func (s *State) Partitions() map[protocol.PartitionID]*Partition { return s.partitions }

// Deleted is what is kept of deleted topics, by id, until every broker has removed
// its copies.
func (s *State) Deleted() map[string]DeletedTopic { return s.deleted }

// NextConsumerID is the first consumer id that was not given out.
func (s *State) NextConsumerID() protocol.ConsumerID { return s.consumerID }

// TopicByName finds a topic; nil if there is none.
func (s *State) TopicByName(name string) *Topic {
	return s.topics[s.names[name]]
}

// TopicList returns all topics by name, internal ones included.
func (s *State) TopicList() []*Topic {
	list := make([]*Topic, 0, len(s.topics))
	for _, t := range s.topics {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// partition finds the placement of a partition; nil if there is none.
func (s *State) partition(topicID string, partition int) *Partition {
	return s.partitions[protocol.PartitionID{TopicID: topicID, Partition: partition}]
}

// brokerIDs returns the ids of all brokers, ascending.
func (s *State) brokerIDs() []int {
	ids := make([]int, 0, len(s.brokers))
	for id := range s.brokers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Internal reports whether the topic is one of Ottla's own.
func (t *Topic) Internal() bool { return protocol.IsInternalTopic(t.Name) }

// brokersOf returns the brokers of the replicas in order of preference.
func (p *Partition) brokersOf() []int {
	ids := make([]int, len(p.Replicas))
	for i, r := range p.Replicas {
		ids[i] = r.Broker
	}
	return ids
}

// ClusterInfo describes the cluster as far as its metadata goes: the state of
// a broker is left empty, its directory is relative to the data directory.
func (s *State) ClusterInfo() protocol.ClusterInfo {
	c := s.settings
	info := protocol.ClusterInfo{
		ID: c.ID, Name: c.Name, NumBrokers: c.NumBrokers, LogDirectory: c.LogDirectory,
		Partitions: c.Partitions, RetentionHours: c.RetentionHours,
		ReplicationFactor: c.ReplicationFactor, Fsync: c.Fsync,
		CreatedAt: time.UnixMilli(c.CreatedAt).UTC(),
	}
	for _, id := range s.brokerIDs() {
		b := s.brokers[id]
		info.Brokers = append(info.Brokers, protocol.BrokerInfo{
			ID: b.ID, Node: b.Node, Host: b.Host, Port: b.Port, Cluster: c.Name,
			Directory: path.Join(c.LogDirectory, "broker-"+strconv.Itoa(b.ID)),
			CreatedAt: time.UnixMilli(b.CreatedAt).UTC(),
		})
	}
	return info
}

// TopicInfo describes a topic as far as the metadata goes: leaders, in-sync
// replicas and offsets are left empty.
func (s *State) TopicInfo(t *Topic) protocol.TopicInfo {
	info := protocol.TopicInfo{
		ID: t.ID, Name: t.Name, Cluster: s.settings.Name,
		ReplicationFactor: t.ReplicationFactor, RetentionMs: t.RetentionMs,
		RetentionBytes: t.RetentionBytes, SegmentBytes: t.SegmentBytes,
		CleanupPolicy: t.CleanupPolicy, DeleteRetentionMs: t.DeleteRetentionMs,
		MaxRecordBytes: t.MaxRecordBytes, CreatedAt: time.UnixMilli(t.CreatedAt).UTC(), Restoring: t.Restoring,
		Partitions: make([]protocol.PartitionInfo, t.Partitions),
	}
	for i := range info.Partitions {
		info.Partitions[i] = protocol.PartitionInfo{Number: i, Replicas: []int{}, InSync: []int{}}
		if p := s.partition(t.ID, i); p != nil {
			info.Partitions[i].Replicas = p.brokersOf()
		}
	}
	return info
}

// Dump writes the whole state as text, one thing a line: two states have equal
// dumps exactly if they are equal.
func (s *State) Dump() string {
	var b strings.Builder
	if s.settings != nil {
		fmt.Fprintf(&b, "cluster %s\n", metarecord.JSON(s.settings))
	}
	for _, id := range s.brokerIDs() {
		fmt.Fprintf(&b, "broker %s\n", metarecord.JSON(s.brokers[id]))
	}
	for _, id := range slices.Sorted(maps.Keys(s.topics)) {
		fmt.Fprintf(&b, "topic %s %s\n", id, metarecord.JSON(s.topics[id]))
	}
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		fmt.Fprintf(&b, "name %s %s\n", name, s.names[name])
	}
	for _, key := range slices.SortedFunc(maps.Keys(s.partitions), protocol.ComparePartitionIDs) {
		fmt.Fprintf(&b, "partition %s %d %s\n", key.TopicID, key.Partition, metarecord.JSON(s.partitions[key]))
	}
	for _, id := range slices.Sorted(maps.Keys(s.deleted)) {
		fmt.Fprintf(&b, "deleted %s %s\n", id, metarecord.JSON(s.deleted[id]))
	}
	s.registryState.dump(&b)
	s.fleetState.dump(&b)
	if s.resize != nil {
		fmt.Fprintf(&b, "resize %s\n", metarecord.JSON(s.resize))
	}
	if s.sealKey != nil {
		fmt.Fprintf(&b, "seal %x\n", s.sealKey)
	}
	fmt.Fprintf(&b, "next consumer id %d\n", s.consumerID)
	return b.String()
}

func (s *registryState) dump(b *strings.Builder) {
	for _, t := range s.tokens {
		fmt.Fprintf(b, "token %s %s\n", t.Name, metarecord.JSON(tokenValueOf(t)))
	}
	for _, src := range s.sources {
		fmt.Fprintf(b, "source %s\n", sourceRecord("", src).Value)
	}
	for _, sub := range s.subscriptions {
		fmt.Fprintf(b, "subscription %s\n", subscriptionRecord("", sub).Value)
	}
}

func (s *fleetState) dump(b *strings.Builder) {
	for _, id := range slices.Sorted(maps.Keys(s.nodes)) {
		fmt.Fprintf(b, "node %s\n", metarecord.JSON(s.nodes[id]))
	}
	for _, id := range slices.Sorted(maps.Keys(s.placed)) {
		fmt.Fprintf(b, "placed %s\n", metarecord.JSON(s.placed[id]))
	}
	for _, id := range slices.Sorted(maps.Keys(s.tasks)) {
		fmt.Fprintf(b, "task %s\n", metarecord.JSON(s.tasks[id]))
	}
	if s.level > 0 {
		fmt.Fprintf(b, "level %d\n", s.level)
	}
	if s.hadPlaced {
		b.WriteString("had clusters\n")
	}
}
