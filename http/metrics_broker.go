package http

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"ottla/protocol"
)

// Clients can create topics and groups without end, so only so many get label
// values of their own, first come first served; the rest shares otherLabel,
// which no topic and no group can be called.
const (
	maxLabelled = 200
	otherLabel  = "~other"
)

// brokerCollector turns the backend's reading into Prometheus' metrics.
type brokerCollector struct {
	b Backend

	mu     sync.Mutex
	topics labelled
	groups labelled
}

func newBrokerCollector(b Backend) *brokerCollector {
	return &brokerCollector{b: b, topics: labelled{}, groups: labelled{}}
}

// labelled holds what has label values of its own: cluster and name.
type labelled map[[2]string]bool

// admit gives each of keys its own labels while there is room; what is not
// there any more makes some.
func (l labelled) admit(keys [][2]string) {
	there := map[[2]string]bool{}
	for _, k := range keys {
		there[k] = true
	}
	for k := range l {
		if !there[k] {
			delete(l, k)
		}
	}
	for _, k := range keys {
		if len(l) >= maxLabelled {
			return
		}
		l[k] = true
	}
}

func (l labelled) label(k [2]string) [2]string {
	if l[k] {
		return k
	}
	return [2]string{otherLabel, otherLabel}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("ottla_"+name, help, labels, nil)
}

var (
	descProducedRecords = desc("topic_produced_records_total", "Records that were committed for producers.", "cluster", "topic")
	descProducedBytes   = desc("topic_produced_bytes_total", "Bytes of their log lines.", "cluster", "topic")
	descFetchedRecords  = desc("topic_fetched_records_total", "Records that were read for clients.", "cluster", "topic")
	descFetchedBytes    = desc("topic_fetched_bytes_total", "Bytes of their log lines, roughly.", "cluster", "topic")
	descPartitions      = desc("topic_partitions", "Partitions of a topic.", "cluster", "topic")
	descLeaderless      = desc("topic_leaderless_partitions", "Partitions that nobody leads: they take no records and give none.", "cluster", "topic")
	descUnderReplicated = desc("topic_under_replicated_partitions", "Partitions that have a leader but lack a replica.", "cluster", "topic")
	descLogBytes        = desc("topic_log_bytes", "Bytes of the leaders' logs; each replica has as much.", "cluster", "topic")
	descGroupLag        = desc("group_lag", "Records that a group has not committed yet.", "cluster", "group")
	descGroupMembers    = desc("group_members", "Live members of a group.", "cluster", "group")
	descGroupsStale     = desc("groups_stale", "1 when groups are as of an earlier reading, because a coordinator does not answer.")
	descBrokers         = desc("brokers", "Brokers by state.", "cluster", "state")
	descReplaced        = desc("broker_directories_replaced_total", "Directories of brokers that were lost or older copies; their replicas are rebuilt.", "reason")
	descElections       = desc("elections_total", "Leaders that partitions have got.")
	descDamageNotFound  = desc("damage_not_found_total", "Times that a damaged replica was to be mended and no damage was found: the disk or memory may be failing.")
	descBatchRecords    = desc("batch_records", "Records per log entry (group commit), internal topics aside.")
	descBatchBytes      = desc("batch_bytes", "Bytes per log entry.")
	descRoundSeconds    = desc("disk_round_duration_seconds", "Time of a round: writes of many logs and the sync that covers them.")
	descSyncSeconds     = desc("disk_sync_duration_seconds", "Time of the sync of a round (fdatasync or syncfs).")
	descFileSyncs       = desc("disk_file_syncs_total", "Calls of fdatasync.")
	descFSSyncs         = desc("disk_filesystem_syncs_total", "Calls of syncfs.")
	descSyncedFiles     = desc("disk_synced_files_total", "Files made durable.")
	descWritten         = desc("disk_written_bytes_total", "Bytes written to logs, all replicas.")
	descStalls          = desc("disk_stalls_total", "Rounds that hung for seconds.")
	descFailures        = desc("disk_failed_rounds_total", "Rounds in which a write or a sync failed.")
	descScrubBytes      = desc("scrub_bytes_total", "Bytes of sealed segments that the scrub has verified.")
	descScrubReplicas   = desc("scrub_replicas_total", "Replicas whose sealed segments the scrub has verified from end to end.")
	descScrubDamage     = desc("scrub_damaged_replicas_total", "Replicas in which the scrub has found damage.")
	descScrubEnded      = desc("scrub_last_completed_timestamp_seconds", "When the scrub last completed a replica, in seconds since 1970; 0: not since the start.")
	descFree            = desc("data_dir_free_bytes", "Bytes left on the data directory's filesystem.")
	descTotal           = desc("data_dir_total_bytes", "Size of that filesystem.")
)

// Describe implements prometheus.Collector.
func (b *brokerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descProducedRecords, descProducedBytes, descFetchedRecords, descFetchedBytes, descPartitions, descLeaderless,
		descUnderReplicated, descLogBytes, descGroupLag, descGroupMembers, descGroupsStale, descBrokers, descReplaced, descElections,
		descDamageNotFound,
		descBatchRecords, descBatchBytes, descRoundSeconds, descSyncSeconds, descFileSyncs, descFSSyncs, descSyncedFiles,
		descWritten, descStalls, descFailures, descScrubBytes, descScrubReplicas, descScrubDamage, descScrubEnded, descFree, descTotal,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (b *brokerCollector) Collect(ch chan<- prometheus.Metric) {
	m := b.b.Metrics()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.collectTopics(ch, m.Topics)
	b.collectGroups(ch, m)
	for _, x := range m.Brokers {
		send(ch, descBrokers, prometheus.GaugeValue, float64(x.Count), x.Cluster, x.State)
	}
	for reason, n := range m.DirectoriesReplaced {
		send(ch, descReplaced, prometheus.CounterValue, float64(n), reason)
	}
	send(ch, descElections, prometheus.CounterValue, float64(m.Elections))
	send(ch, descDamageNotFound, prometheus.CounterValue, float64(m.DamageNotFound))
	sendHistogram(ch, descBatchRecords, &m.BatchRecords)
	sendHistogram(ch, descBatchBytes, &m.BatchBytes)
	d := &m.Disk
	sendHistogram(ch, descRoundSeconds, &d.RoundSeconds)
	sendHistogram(ch, descSyncSeconds, &d.SyncSeconds)
	for desc, v := range map[*prometheus.Desc]uint64{
		descFileSyncs: d.FileSyncs, descFSSyncs: d.FilesystemSyncs, descSyncedFiles: d.Files, descWritten: d.Bytes,
		descStalls: d.Stalls, descFailures: d.Failures,
		descScrubBytes: m.Scrub.Bytes, descScrubReplicas: m.Scrub.Replicas, descScrubDamage: m.Scrub.Damage,
	} {
		send(ch, desc, prometheus.CounterValue, float64(v))
	}
	send(ch, descScrubEnded, prometheus.GaugeValue, float64(m.Scrub.LastEnded)/1000)
	if m.DataDirTotal > 0 {
		send(ch, descFree, prometheus.GaugeValue, float64(m.DataDirFree))
		send(ch, descTotal, prometheus.GaugeValue, float64(m.DataDirTotal))
	}
}

func (b *brokerCollector) collectTopics(ch chan<- prometheus.Metric, topics []protocol.TopicMetrics) {
	keys := make([][2]string, len(topics))
	for i := range topics {
		keys[i] = [2]string{topics[i].Cluster, topics[i].Topic}
	}
	b.topics.admit(keys)
	sums := map[[2]string]*protocol.TopicMetrics{}
	for i := range topics {
		t, k := &topics[i], b.topics.label(keys[i])
		sum := sums[k]
		if sum == nil {
			sum = &protocol.TopicMetrics{}
			sums[k] = sum
		}
		sum.ProducedRecords += t.ProducedRecords
		sum.ProducedBytes += t.ProducedBytes
		sum.FetchedRecords += t.FetchedRecords
		sum.FetchedBytes += t.FetchedBytes
		sum.Partitions += t.Partitions
		sum.Leaderless += t.Leaderless
		sum.UnderReplicated += t.UnderReplicated
		sum.LogBytes += t.LogBytes
	}
	for k, t := range sums {
		counter := func(d *prometheus.Desc, v uint64) { send(ch, d, prometheus.CounterValue, float64(v), k[0], k[1]) }
		gauge := func(d *prometheus.Desc, v int64) { send(ch, d, prometheus.GaugeValue, float64(v), k[0], k[1]) }
		counter(descProducedRecords, t.ProducedRecords)
		counter(descProducedBytes, t.ProducedBytes)
		counter(descFetchedRecords, t.FetchedRecords)
		counter(descFetchedBytes, t.FetchedBytes)
		gauge(descPartitions, int64(t.Partitions))
		gauge(descLeaderless, int64(t.Leaderless))
		gauge(descUnderReplicated, int64(t.UnderReplicated))
		gauge(descLogBytes, t.LogBytes)
	}
}

func (b *brokerCollector) collectGroups(ch chan<- prometheus.Metric, m *protocol.Metrics) {
	keys := make([][2]string, len(m.Groups))
	for i := range m.Groups {
		keys[i] = [2]string{m.Groups[i].Cluster, m.Groups[i].Group}
	}
	b.groups.admit(keys)
	sums := map[[2]string]protocol.GroupMetrics{}
	for i, g := range m.Groups {
		k := b.groups.label(keys[i])
		sum := sums[k]
		sum.Lag += g.Lag
		sum.Members += g.Members
		sums[k] = sum
	}
	for k, g := range sums {
		send(ch, descGroupLag, prometheus.GaugeValue, float64(g.Lag), k[0], k[1])
		send(ch, descGroupMembers, prometheus.GaugeValue, float64(g.Members), k[0], k[1])
	}
	stale := 0.0
	if m.GroupsStale {
		stale = 1
	}
	send(ch, descGroupsStale, prometheus.GaugeValue, stale)
}

func send(ch chan<- prometheus.Metric, d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
}

// sendHistogram sends buckets as Prometheus wants them: each with all below.
func sendHistogram(ch chan<- prometheus.Metric, d *prometheus.Desc, h *protocol.Histogram) {
	buckets := make(map[float64]uint64, len(h.Bounds))
	var n uint64
	for i, bound := range h.Bounds {
		n += h.Counts[i]
		buckets[bound] = n
	}
	if len(h.Counts) > len(h.Bounds) {
		n += h.Counts[len(h.Bounds)]
	}
	ch <- prometheus.MustNewConstHistogram(d, n, h.Sum, buckets)
}
