package forced

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/metarecord"
	"ottla/actors/replica"
	"ottla/logfile"
	"ottla/protocol"
)

// byHand is the data directory of a cluster of three brokers, c, made without
// running one: topic "kept" has one partition with a replica on each broker, as
// have the internal topics.
type byHand struct {
	t        *testing.T
	dir      string
	manifest datadir.ClusterManifest
	state    *catalog.State
	records  []metarecord.Record // of the metadata
}

const keptID = "k1"

func newByHand(t *testing.T) *byHand {
	h := &byHand{t: t, dir: t.TempDir(), state: catalog.New()}
	voters := catalog.MetadataVoters(3)
	h.manifest = datadir.ClusterManifest{
		ID: "id-c", Name: "c", LogDirectory: "c", NumBrokers: 3, Fsync: "always", CreatedAt: time.UnixMilli(1).UTC(),
	}
	for _, v := range voters {
		h.manifest.Voters = append(h.manifest.Voters, datadir.MetadataVoter{Broker: v.Broker, ReplicaID: v.ReplicaID})
	}
	settings, perr := catalog.Resolve(&protocol.ClusterSpec{Name: "c"}, h.manifest.ID, 1)
	require.Nil(t, perr)
	h.decide(h.state.DecideCreateCluster(settings, catalog.Bootstrap{
		MetadataTopicID: protocol.MetadataTopic, MetadataReplicas: voters, OffsetsTopicID: protocol.OffsetsTopic, OffsetsPartitions: 1,
	}))
	one := 1
	_, recs, perr := h.state.DecideCreateTopic(&protocol.TopicSpec{Name: "kept", Partitions: &one}, keptID, 1, catalog.TopicLimits{})
	require.Nil(t, perr)
	h.decide(recs)

	m, _, err := datadir.Load(h.dir, HasMetadataQuorum)
	require.NoError(t, err)
	require.NoError(t, m.Begin(h.manifest))
	h.manifest.Phase = datadir.Created
	for broker := 1; broker <= 3; broker++ {
		require.NoError(t, datadir.CreateLedger(h.broker(broker), h.manifest.ID, broker))
		for key, p := range h.state.Partitions() {
			h.addReplica(broker, key, p)
		}
	}
	require.NoError(t, m.Commit(h.manifest.ID))
	for broker := 1; broker <= 3; broker++ {
		h.write(broker, protocol.MetadataTopic, 2, h.records...)
		h.produce(broker, 2, 2)
	}
	return h
}

// decide applies records to the state and keeps them for the metadata's log.
func (h *byHand) decide(recs []metarecord.Record) {
	for _, rec := range recs {
		require.NoError(h.t, h.state.Apply(rec))
	}
	h.records = append(h.records, recs...)
}

func (h *byHand) broker(n int) string {
	return filepath.Join(h.dir, "c", datadir.BrokerDirName(n))
}

func (h *byHand) log(broker int, topic string) string {
	return filepath.Join(h.broker(broker), topic+"-0")
}

func (h *byHand) addReplica(broker int, key protocol.PartitionID, p *catalog.Partition) {
	topic := h.state.Topics()[key.TopicID].Name
	id, founder := p.On(broker)
	require.True(h.t, founder)
	var founders []uint64
	for _, r := range p.Replicas {
		founders = append(founders, r.ReplicaID)
	}
	identity := logfile.Identity{
		ClusterID: h.manifest.ID, TopicID: key.TopicID, Topic: topic, Partition: key.Partition, Broker: broker, ReplicaID: id,
	}
	require.NoError(h.t, replica.Create(logfile.OSFS{}, h.log(broker, topic), identity, founders, 0, bootOptions()))
	l := h.ledger(broker)
	require.NoError(h.t, l.Add(datadir.Replica{TopicID: key.TopicID, Topic: topic, Partition: key.Partition, ReplicaID: id}))
	require.NoError(h.t, l.Raise(0))
}

func bootOptions() logfile.Options { return logfile.Options{BootID: logfile.BootID()} }

func (h *byHand) ledger(broker int) *datadir.Ledger {
	h.t.Helper()
	l, err := datadir.ReadLedger(h.broker(broker), h.manifest.ID, broker)
	require.NoError(h.t, err)
	return l
}

// write appends records to a copy, each in an entry of its own.
func (h *byHand) write(broker int, topic string, term uint64, recs ...metarecord.Record) {
	h.t.Helper()
	log, _, err := logfile.Open(logfile.OSFS{}, h.log(broker, topic), bootOptions())
	require.NoError(h.t, err)
	batch := &logfile.Batch{}
	for _, rec := range recs {
		var lines protocol.Lines
		metarecord.AppendLines(&lines, topic, 0, 1, []metarecord.Record{rec})
		body := lines.AppendNumbered(nil, protocol.Offset(log.NextOffset()))
		require.NoError(h.t, log.Append(batch, []logfile.Frame{{
			Index: log.LastIndex() + 1, Term: term, Kind: logfile.KindRecords,
			BaseOffset: log.NextOffset(), Count: 1, AppendTime: 1, Body: body, BodySum: logfile.Checksum(body),
		}}))
	}
	require.NoError(h.t, batch.Execute())
	require.NoError(h.t, log.Close())
}

// produce appends n records to a broker's copy of topic "kept".
func (h *byHand) produce(broker int, term uint64, n int) {
	h.t.Helper()
	for i := range n {
		h.write(broker, "kept", term, metarecord.Record{Action: protocol.ActionProduce, Key: []byte(`"k"`), Value: fmt.Append(nil, i)})
	}
}

// lose removes brokers' directories.
func (h *byHand) lose(brokers ...int) {
	for _, n := range brokers {
		require.NoError(h.t, os.RemoveAll(h.broker(n)))
	}
}

// remove removes the copies of a topic on some brokers.
func (h *byHand) remove(topic string, brokers ...int) {
	for _, n := range brokers {
		require.NoError(h.t, os.RemoveAll(h.log(n, topic)))
	}
}

// damage changes a byte in the head of the copies of a topic on some brokers.
func (h *byHand) damage(topic string, brokers ...int) {
	for _, n := range brokers {
		path := filepath.Join(h.log(n, topic), "00000000000000000000.log")
		data, err := os.ReadFile(path)
		require.NoError(h.t, err)
		data[10] ^= 1
		require.NoError(h.t, os.WriteFile(path, data, 0o600))
	}
}

// restoreOlder makes brokers' directories older copies: broker 3, which need not
// be there afterwards, or else broker 2, has seen a greater count of each.
func (h *byHand) restoreOlder(brokers ...int) {
	for _, n := range brokers {
		witness := 3
		if n == 3 {
			witness = 2
		}
		require.NoError(h.t, h.ledger(witness).NotePeers(map[int]uint64{n: h.ledger(n).OpenCount() + 5}))
	}
}

// copyOf is the same data directory once more.
func (h *byHand) copyOf() *byHand {
	other := *h
	other.dir = filepath.Join(h.t.TempDir(), "data")
	require.NoError(h.t, os.CopyFS(other.dir, os.DirFS(h.dir)))
	return &other
}

// plan makes the plan, which must be possible.
func (h *byHand) plan() *Plan {
	h.t.Helper()
	p, err := NewPlan(h.dir, true)
	require.NoError(h.t, err)
	return p
}
