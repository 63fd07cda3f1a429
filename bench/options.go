package bench

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Options say what is measured and how.
type Options struct {
	Workloads   []string      `json:"workloads"`
	Server      string        `json:"server,omitempty"`       // a running broker; empty: one is started for the purpose
	Token       string        `json:"-"`                      // to show to Server; empty: none
	KafkaServer string        `json:"kafka_server,omitempty"` // HOST:PORT of Server for Kafka clients
	Cluster     string        `json:"cluster,omitempty"`
	Connections []int         `json:"connections"` // each workload runs once with each
	Rate        float64       `json:"rate"`        // requests per second of an open loop; 0: closed loop
	Duration    time.Duration `json:"duration_ns"`
	Warmup      time.Duration `json:"warmup_ns"`
	Runs        int           `json:"runs"`
	Payload     int           `json:"payload_bytes"` // body of a single produce
	BatchSize   int           `json:"batch_records"` // of produce-batch and fetch
	RecordBytes int           `json:"record_bytes"`  // value of a record of a batch
	Keyed       bool          `json:"keyed"`
	Compression string        `json:"compression"` // of produce-async: none, gzip or zstd

	// Of the topics, and of the broker that is started.
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas"`
	Fsync      string `json:"fsync"`
	Nodes      int    `json:"nodes"` // processes of the broker that is started, a fleet if there are several

	Binary  string   `json:"-"` // file that is started as broker and as echo server
	Version string   `json:"version"`
	DataDir string   `json:"-"` // directory below which the broker's data directory is made; empty: the system's
	Env     []string `json:"-"` // of the broker, besides the process's own

	// Progress is a terminal that shows one line of progress; nil: none.
	Progress io.Writer `json:"-"`
}

// DefaultOptions are those of `ottla bench`.
func DefaultOptions() Options {
	return Options{
		Connections: []int{64}, Duration: 10 * time.Second, Warmup: 2 * time.Second, Runs: 1,
		Payload: 130, BatchSize: 500, RecordBytes: 100, Keyed: true, Compression: "none",
		Partitions: 1, Replicas: 3, Fsync: "always", Nodes: 1,
	}
}

// Upper bounds of options: what a broker accepts or a load generator can reach.
const (
	maxConnections = 50_000
	maxRuns        = 1000
	maxBody        = 16 << 20
	maxBatch       = 10_000
	maxPartitions  = 1024
	maxReplicas    = 9
	maxNodes       = 9
	maxRate        = 1e7
)

// Validate returns an error that names the first invalid option.
func (o *Options) Validate() error {
	for _, name := range o.Workloads {
		if find(name) == nil {
			return fmt.Errorf("unknown workload %q: there are %s", name, strings.Join(Names(), ", "))
		}
	}
	if len(o.Workloads) == 0 || len(o.Connections) == 0 {
		return errors.New("at least one workload and one number of connections are needed")
	}
	for _, n := range o.Connections {
		if n < 1 || n > maxConnections {
			return fmt.Errorf("connections must be 1 to %d", maxConnections)
		}
	}
	for _, option := range []struct {
		name        string
		value, most int
	}{
		{"runs", o.Runs, maxRuns},
		{"payload", o.Payload, maxBody},
		{"batch", o.BatchSize, maxBatch},
		{"record bytes", o.RecordBytes, maxBody},
		{"partitions", o.Partitions, maxPartitions},
		{"replicas", o.Replicas, maxReplicas},
		{"nodes", o.Nodes, maxNodes},
	} {
		if option.value < 1 || option.value > option.most {
			return fmt.Errorf("%s must be 1 to %d", option.name, option.most)
		}
	}
	if slices.Contains(o.Workloads, "produce-batch") && o.BatchSize*o.RecordBytes > maxBody {
		return fmt.Errorf("batch times record bytes must be at most %d", maxBody)
	}
	switch {
	case o.Nodes > 1 && (o.Server != "" || o.wantsKafka()):
		return errors.New("several nodes are started for workloads over HTTP only, and not beside a server that runs already")
	case o.Server != "" && o.KafkaServer == "" && o.wantsKafka():
		return errors.New("a server that runs already has a port for Kafka clients, which has to be said")
	case !(o.Rate >= 0 && o.Rate <= maxRate): // neither is NaN
		return fmt.Errorf("rate must be 0 to %d", int(maxRate))
	case o.Warmup < 0:
		return errors.New("warm-up must not be negative")
	case o.Duration < 100*time.Millisecond:
		return errors.New("a duration below 100ms says nothing")
	case o.Fsync != "always" && o.Fsync != "interval":
		return errors.New("fsync must be always or interval")
	case o.Compression != "none" && o.Compression != "gzip" && o.Compression != "zstd":
		return errors.New("compression must be none, gzip or zstd")
	}
	return nil
}
