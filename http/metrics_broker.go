package http

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"ottla/protocol"
)

// Clients can create any number of topics and groups. So only maxLabelled of each
// get label values of their own, first come first served. The others share
// otherLabel, which is no valid name of a topic or a group.
const (
	maxLabelled = 200
	otherLabel  = "~other"
)

// brokerCollector makes Prometheus metrics of what the backend counts.
type brokerCollector struct {
	b Backend

	mu     sync.Mutex
	topics labelled
	groups labelled
}

func newBrokerCollector(b Backend) *brokerCollector {
	return &brokerCollector{b: b, topics: labelled{}, groups: labelled{}}
}

// labelled is the set of what has label values of its own, by cluster and name.
type labelled map[[2]string]bool

// admit adds keys while there is room, after it has removed what is not among
// keys any more.
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

// newDesc describes a metric.
func newDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("ottla_"+name, help, labels, nil)
}

var (
	descProducedRecords = newDesc("topic_produced_records_total", "Records of producers that were committed.", "cluster", "topic")
	descProducedBytes   = newDesc("topic_produced_bytes_total", "Bytes of the log lines of committed records.", "cluster", "topic")
	descFetchedRecords  = newDesc("topic_fetched_records_total", "Records that were read for clients.", "cluster", "topic")
	descFetchedBytes    = newDesc("topic_fetched_bytes_total", "Approximate bytes of the log lines of records that were read for clients.", "cluster", "topic")
	descPartitions      = newDesc("topic_partitions", "Partitions of the topic.", "cluster", "topic")
	descLeaderless      = newDesc("topic_leaderless_partitions", "Partitions without a leader: they can be neither written nor read.", "cluster", "topic")
	descUnderReplicated = newDesc("topic_under_replicated_partitions", "Partitions that have a leader, but lack a replica.", "cluster", "topic")
	descLogBytes        = newDesc("topic_log_bytes", "Bytes of the logs of the partitions' leaders. Every replica takes as much.", "cluster", "topic")
	descGroupLag        = newDesc("group_lag", "Records that the group has not committed yet.", "cluster", "group")
	descGroupMembers    = newDesc("group_members", "Live members of the group.", "cluster", "group")
	descQueueEnd        = newDesc("queue_end", "The offset after the last record of the partition.", "cluster", "group", "topic", "partition")
	descQueuePosition   = newDesc("queue_position", "All records of the partition below this offset are ended in the queue.", "cluster", "group", "topic", "partition")
	descQueueReady      = newDesc("queue_ready", "Records of the queue that wait for a worker.", "cluster", "group", "topic", "partition")
	descQueueInFlight   = newDesc("queue_in_flight", "Records of the queue that are with a worker, before their deadline.", "cluster", "group", "topic", "partition")
	descQueueDelayed    = newDesc("queue_delayed", "Records of the queue that wait for their time.", "cluster", "group", "topic", "partition")
	descQueueDead       = newDesc("queue_dead_total", "Records of the queue that have gone to the dead letters.", "cluster", "group", "topic", "partition")
	descQueueOldest     = newDesc("queue_oldest_ready_seconds", "How long the first record of the queue that waits for a worker has been ready, 0 without one.", "cluster", "group", "topic", "partition")
	descQueueRemoved    = newDesc("queue_records_removed_total", "Records that retention has removed before a queue had ended them.")
	descGroupsStale     = newDesc("groups_stale", "1 if the metrics of groups are out of date because a coordinator does not answer, else 0.")
	descBrokers         = newDesc("brokers", "Brokers in each state.", "cluster", "state")
	descReplicas        = newDesc("replicas", "Replicas of partitions that this process carries, those of internal topics included.")
	descReplicasLimit   = newDesc("replicas_limit", "Limit of the replicas of partitions. What would go beyond it is refused. 0 if there is none.")
	descReplaced        = newDesc("broker_directories_replaced_total", "Broker directories that were lost or restored from an older copy; their replicas were rebuilt.", "reason")
	descElections       = newDesc("elections_total", "Leaders that partitions have elected.")
	descDamageNotFound  = newDesc("damage_not_found_total", "Replicas that were reported as damaged but in which no damage was found. The disk or the memory may be failing.")
	descBatchRecords    = newDesc("batch_records", "Records per log entry (group commit), without internal topics.")
	descBatchBytes      = newDesc("batch_bytes", "Bytes per log entry.")
	descRoundSeconds    = newDesc("disk_round_duration_seconds", "Time of a disk round: the writes to many logs, and the sync that makes them durable.")
	descSyncSeconds     = newDesc("disk_sync_duration_seconds", "Time of the sync of a disk round (fdatasync or syncfs).")
	descFileSyncs       = newDesc("disk_file_syncs_total", "Calls of fdatasync.")
	descFSSyncs         = newDesc("disk_filesystem_syncs_total", "Calls of syncfs.")
	descSyncedFiles     = newDesc("disk_synced_files_total", "Files that syncs have made durable.")
	descWritten         = newDesc("disk_written_bytes_total", "Bytes written to the logs of all replicas.")
	descStalls          = newDesc("disk_stalls_total", "Disk rounds that took longer than 10 seconds.")
	descFailures        = newDesc("disk_failed_rounds_total", "Disk rounds in which a write or a sync failed.")
	descUnfit           = newDesc("disk_unfit", "1 while leadership is given to other nodes because the disk hangs or is full, else 0.")
	descScrubBytes      = newDesc("scrub_bytes_total", "Bytes of sealed segments that the scrub has verified.")
	descScrubReplicas   = newDesc("scrub_replicas_total", "Replicas whose sealed segments the scrub has verified from end to end.")
	descScrubDamage     = newDesc("scrub_damaged_replicas_total", "Replicas in which the scrub has found damage.")
	descScrubEnded      = newDesc("scrub_last_completed_timestamp_seconds", "When the scrub last completed a replica, in seconds since 1970. 0 if it has not since the start.")
	descCatchUpBytes    = newDesc("catch_up_bytes_total", "Bytes of logs that were read for replicas that are far behind their leaders in this process.")
	descCatchUpHeld     = newDesc("catch_up_memory_bytes", "Bytes of logs in memory for replicas that are far behind.")
	descCatchUpFed      = newDesc("catch_up_replicas", "Replicas that are far behind their leaders in this process, and get what they lack.")
	descCatchUpWaiting  = newDesc("catch_up_waiting_replicas", "Replicas that are far behind, and wait until others have what they lack.")
	descCatchUpLeft     = newDesc("catch_up_lag_bytes", "Bytes that the replicas counted by catch_up_replicas still lack, about.")
	descFleetLevel      = newDesc("fleet_level", "Level of the fleet: what programs that go up to it can read is all that is written. 0 where the process is alone.")
	descFleetOffered    = newDesc("fleet_level_offered", "Level that the programs of all nodes go up to. 0 where the process is alone.")
	descNodeUp          = newDesc("node_up", "1 if this node and the other one hear each other, else 0.", "node")
	descClockWrong      = newDesc("clock_wrong", "1 while leadership is given to other nodes because this node's clock differs from those of most, else 0.")
	descNodeClock       = newDesc("node_clock_ahead_seconds", "By how much the clock of the other node is ahead of this one's.", "node")
	descNodeRoundTrip   = newDesc("node_round_trip_seconds", "Time of the last ping of the other node, there and back.", "node")
	descLinkSent        = newDesc("link_sent_bytes_total", "Bytes sent to the other node.", "node", "lane")
	descLinkReceived    = newDesc("link_received_bytes_total", "Bytes received from the other node.", "node", "lane")
	descLinkDropped     = newDesc("link_dropped_total", "Messages and calls for the other node that were dropped: it is not connected, or does not keep up.", "node", "lane")
	descLinkConnections = newDesc("link_connections_total", "Connections that this node has made to the other one.", "node", "lane")
	descLinkQueued      = newDesc("link_queued_bytes", "Bytes that wait to be sent to the other node.", "node", "lane")
	descLinkPending     = newDesc("link_pending_calls", "Calls that the other node has not answered.", "node", "lane")
	descFree            = newDesc("data_dir_free_bytes", "Free bytes of the filesystem of the data directory.")
	descTotal           = newDesc("data_dir_total_bytes", "Size of the filesystem of the data directory in bytes.")
)

// Describe implements prometheus.Collector.
func (b *brokerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descProducedRecords, descProducedBytes, descFetchedRecords, descFetchedBytes, descPartitions, descLeaderless,
		descUnderReplicated, descLogBytes, descGroupLag, descGroupMembers, descQueueEnd, descQueuePosition, descQueueReady, descQueueInFlight, descQueueDelayed, descQueueDead, descQueueOldest, descQueueRemoved, descGroupsStale, descBrokers, descReplaced, descElections,
		descReplicas, descReplicasLimit,
		descDamageNotFound,
		descBatchRecords, descBatchBytes, descRoundSeconds, descSyncSeconds, descFileSyncs, descFSSyncs, descSyncedFiles,
		descWritten, descUnfit, descStalls, descFailures, descScrubBytes, descScrubReplicas, descScrubDamage, descScrubEnded, descFree, descTotal,
		descCatchUpBytes, descCatchUpHeld, descCatchUpFed, descCatchUpWaiting, descCatchUpLeft,
		descFleetLevel, descFleetOffered, descNodeUp, descClockWrong, descNodeClock, descNodeRoundTrip, descLinkSent, descLinkReceived, descLinkDropped, descLinkConnections, descLinkQueued, descLinkPending,
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
	collectNodes(ch, m.Nodes)
	var fleet protocol.FleetInfo
	if m.Fleet != nil {
		fleet = *m.Fleet
	}
	send(ch, descFleetLevel, prometheus.GaugeValue, float64(fleet.Level))
	send(ch, descFleetOffered, prometheus.GaugeValue, float64(fleet.Offered))
	for _, x := range m.Brokers {
		send(ch, descBrokers, prometheus.GaugeValue, float64(x.Count), x.Cluster, x.State)
	}
	for reason, n := range m.DirectoriesReplaced {
		send(ch, descReplaced, prometheus.CounterValue, float64(n), reason)
	}
	send(ch, descReplicas, prometheus.GaugeValue, float64(m.Replicas))
	send(ch, descReplicasLimit, prometheus.GaugeValue, float64(m.ReplicasLimit))
	send(ch, descQueueRemoved, prometheus.CounterValue, float64(m.QueueRecordsRemoved))
	send(ch, descElections, prometheus.CounterValue, float64(m.Elections))
	send(ch, descDamageNotFound, prometheus.CounterValue, float64(m.DamageNotFound))
	sendHistogram(ch, descBatchRecords, &m.BatchRecords)
	sendHistogram(ch, descBatchBytes, &m.BatchBytes)
	d := &m.Disk
	sendHistogram(ch, descRoundSeconds, &d.RoundSeconds)
	sendHistogram(ch, descSyncSeconds, &d.SyncSeconds)
	for counter, v := range map[*prometheus.Desc]uint64{
		descFileSyncs: d.FileSyncs, descFSSyncs: d.FilesystemSyncs, descSyncedFiles: d.Files, descWritten: d.Bytes,
		descStalls: d.Stalls, descFailures: d.Failures,
		descScrubBytes: m.Scrub.Bytes, descScrubReplicas: m.Scrub.Replicas, descScrubDamage: m.Scrub.Damage,
		descCatchUpBytes: m.CatchUp.Bytes,
	} {
		send(ch, counter, prometheus.CounterValue, float64(v))
	}
	for gauge, v := range map[*prometheus.Desc]int64{
		descCatchUpHeld: m.CatchUp.Held, descCatchUpFed: int64(m.CatchUp.Followers), descCatchUpWaiting: int64(m.CatchUp.Waiting), descCatchUpLeft: m.CatchUp.Left,
	} {
		send(ch, gauge, prometheus.GaugeValue, float64(v))
	}
	unfit := 0.0
	if d.Unfit {
		unfit = 1
	}
	send(ch, descUnfit, prometheus.GaugeValue, unfit)
	wrong := 0.0
	if m.ClockWrong {
		wrong = 1
	}
	send(ch, descClockWrong, prometheus.GaugeValue, wrong)
	send(ch, descScrubEnded, prometheus.GaugeValue, float64(m.Scrub.LastEnded)/1000)
	if m.DataDirTotal > 0 {
		send(ch, descFree, prometheus.GaugeValue, float64(m.DataDirFree))
		send(ch, descTotal, prometheus.GaugeValue, float64(m.DataDirTotal))
	}
}

func collectNodes(ch chan<- prometheus.Metric, nodes []protocol.NodeMetrics) {
	for _, n := range nodes {
		up := 0.0
		if n.Up {
			up = 1
		}
		send(ch, descNodeUp, prometheus.GaugeValue, up, n.Name)
		send(ch, descNodeRoundTrip, prometheus.GaugeValue, n.RoundTrip, n.Name)
		if n.ClockAhead != nil {
			send(ch, descNodeClock, prometheus.GaugeValue, *n.ClockAhead, n.Name)
		}
		for i := range n.Lanes {
			l := &n.Lanes[i]
			for counter, v := range map[*prometheus.Desc]uint64{
				descLinkSent: l.SentBytes, descLinkReceived: l.ReceivedBytes, descLinkDropped: l.Dropped, descLinkConnections: l.Connections,
			} {
				send(ch, counter, prometheus.CounterValue, float64(v), n.Name, l.Lane)
			}
			send(ch, descLinkQueued, prometheus.GaugeValue, float64(l.QueuedBytes), n.Name, l.Lane)
			send(ch, descLinkPending, prometheus.GaugeValue, float64(l.Pending), n.Name, l.Lane)
		}
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
	sums, queued := map[[2]string]protocol.GroupMetrics{}, 0
	for i, g := range m.Groups {
		k := b.groups.label(keys[i])
		sum := sums[k]
		sum.Lag += g.Lag
		sum.Members += g.Members
		sums[k] = sum
		if k == keys[i] && queued+len(g.Queue) <= maxQueued {
			queued += len(g.Queue)
			sendQueue(ch, k, g.Queue)
		}
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

// maxQueued is how many partitions of queues have metrics; those of further queues have
// none.
const maxQueued = 5000

// sendQueue sends the figures of a queue, as GET /groups/{group} has them.
func sendQueue(ch chan<- prometheus.Metric, k [2]string, partitions []protocol.QueuePartition) {
	for i := range partitions {
		p := &partitions[i]
		labels := []string{k[0], k[1], p.Topic, strconv.Itoa(p.Partition)}
		oldest := int64(0)
		if p.OldestReadyMs != nil {
			oldest = *p.OldestReadyMs
		}
		send(ch, descQueueEnd, prometheus.GaugeValue, float64(p.End), labels...)
		send(ch, descQueuePosition, prometheus.GaugeValue, float64(p.Position), labels...)
		send(ch, descQueueReady, prometheus.GaugeValue, float64(p.Ready), labels...)
		send(ch, descQueueInFlight, prometheus.GaugeValue, float64(p.InFlight), labels...)
		send(ch, descQueueDelayed, prometheus.GaugeValue, float64(p.Delayed), labels...)
		send(ch, descQueueDead, prometheus.CounterValue, float64(p.Dead), labels...)
		send(ch, descQueueOldest, prometheus.GaugeValue, float64(oldest)/1000, labels...)
	}
}

func send(ch chan<- prometheus.Metric, d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
}

// sendHistogram sends cumulative buckets, as Prometheus has them.
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
