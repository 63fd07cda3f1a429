package protocol

// The states of a server as a whole: see Overview.Status.
const (
	StatusOK       = "ok"       // nothing is wrong
	StatusDegraded = "degraded" // everything works, but less of it may fail than should
	StatusFailing  = "failing"  // something does not work
)

// Overview is the state of a server at a glance. It is not changed once others can
// see it.
type Overview struct {
	Status   string            `json:"status"`   // StatusOK, StatusDegraded or StatusFailing
	Health   string            `json:"health"`   // the same in one sentence
	Problems []Problem         `json:"problems"` // the worst first
	Counts   OverviewCounts    `json:"counts"`
	Totals   Traffic           `json:"totals"` // since the process began
	Rates    []Rate            `json:"rates"`  // of the last hour by minute, the oldest first; the last one is of the minute under way
	Clusters []ClusterOverview `json:"clusters"`
	Lagging  []GroupMetrics    `json:"lagging"` // groups that have something to read, the farthest behind first; at most ten
}

// The severities of a Problem.
const (
	SeverityError   = "error"   // something does not work
	SeverityWarning = "warning" // it works, but less of it may fail than should
)

// Problem is one thing that is wrong.
type Problem struct {
	Severity   string            `json:"severity"` // SeverityError or SeverityWarning
	Code       string            `json:"code"`     // what kind of thing it is; see the contract for all of them
	Message    string            `json:"message"`
	Cluster    string            `json:"cluster,omitempty"`
	Broker     int               `json:"broker,omitempty"`
	Node       uint64            `json:"node,omitempty"`
	Count      int               `json:"count,omitempty"`      // of the partitions that it is about
	Partitions []PartitionStatus `json:"partitions,omitempty"` // the first of them; at most ten
}

// OverviewCounts counts what there is. Topics and partitions are without internal
// ones, leaderless and under-replicated partitions with them.
type OverviewCounts struct {
	Nodes           int   `json:"nodes"` // of the fleet; 0 where the process is alone
	NodesReachable  int   `json:"nodes_reachable"`
	Clusters        int   `json:"clusters"`
	Brokers         int   `json:"brokers"`
	BrokersRunning  int   `json:"brokers_running"`
	Topics          int   `json:"topics"`
	Partitions      int   `json:"partitions"`
	Leaderless      int   `json:"leaderless"`
	UnderReplicated int   `json:"under_replicated"`
	Groups          int   `json:"groups"`
	Members         int   `json:"members"`
	Lag             int64 `json:"lag"`
	LogBytes        int64 `json:"log_bytes"` // of the leaders' copies
	DiskFree        int64 `json:"disk_free"` // bytes of the data directory's filesystem; 0 if unknown, as DiskTotal
	DiskTotal       int64 `json:"disk_total"`
	Connections     int64 `json:"connections"`
	Parked          int64 `json:"parked"` // reads that wait, and streams
}

// Traffic counts, at the node that is asked, records and bytes of log lines that clients wrote and read, without
// those of internal topics.
type Traffic struct {
	ProducedRecords uint64 `json:"produced_records"`
	ProducedBytes   uint64 `json:"produced_bytes"`
	FetchedRecords  uint64 `json:"fetched_records"`
	FetchedBytes    uint64 `json:"fetched_bytes"`
}

// Rate is the mean of Traffic per second over a minute.
type Rate struct {
	Timestamp       int64   `json:"timestamp"` // when the minute began, milliseconds since 1970
	ProducedRecords float64 `json:"produced_records_per_s"`
	ProducedBytes   float64 `json:"produced_bytes_per_s"`
	FetchedRecords  float64 `json:"fetched_records_per_s"`
	FetchedBytes    float64 `json:"fetched_bytes_per_s"`
}

// ClusterOverview is a cluster with what its brokers carry.
type ClusterOverview struct {
	Name       string           `json:"name"`
	Topics     int              `json:"topics"` // without internal ones, as Partitions
	Partitions int              `json:"partitions"`
	Brokers    []BrokerOverview `json:"brokers"`
}

// BrokerOverview counts what a broker carries, internal partitions included.
type BrokerOverview struct {
	ID       int    `json:"id"`
	State    string `json:"state"` // BrokerRunning, BrokerStopped or BrokerFailed
	Error    string `json:"error,omitempty"`
	Leaders  int    `json:"leaders"`
	Replicas int    `json:"replicas"`
}
