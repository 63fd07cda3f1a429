package bench

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are counted in nanoseconds with three digits.
const (
	lowestLatency  = int64(time.Microsecond)
	highestLatency = int64(2 * time.Minute)
	latencyDigits  = 3
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(lowestLatency, highestLatency, latencyDigits)
}

// counts is what happened in a period.
type counts struct {
	Requests int64 `json:"requests"`
	Records  int64 `json:"records"`
	Bytes    int64 `json:"bytes"` // of answers
	Errors   int64 `json:"errors"`
}

func (c *counts) add(o counts) {
	c.Requests += o.Requests
	c.Records += o.Records
	c.Bytes += o.Bytes
	c.Errors += o.Errors
}

// recorder gathers the results of one kind of request. Any number of
// goroutines may record.
type recorder struct {
	name  string
	slots *schedule // of an open loop, else nil

	mu       sync.Mutex
	interval *hdrhistogram.Histogram // since the last point
	since    counts
	total    *hdrhistogram.Histogram
	all      counts
	firstErr string
	points   []Point
	spare    *hdrhistogram.Histogram
}

// Point is one interval of a measurement.
type Point struct {
	Seconds float64 `json:"t"` // since the measurement began, at the end of the interval
	Rate    float64 `json:"rate"`
	P50     float64 `json:"p50_us"`
	P99     float64 `json:"p99_us"`
	Max     float64 `json:"max_us"`
	Errors  int64   `json:"errors,omitempty"`
}

func newRecorder(name string) *recorder {
	return &recorder{name: name, interval: newHistogram(), total: newHistogram(), spare: newHistogram()}
}

// done records a right answer.
func (r *recorder) done(latency time.Duration, records, bytes int) {
	ns := min(max(int64(latency), lowestLatency), highestLatency)
	r.mu.Lock()
	_ = r.interval.RecordValue(ns) // within its range
	r.since.Requests++
	r.since.Records += int64(records)
	r.since.Bytes += int64(bytes)
	r.mu.Unlock()
}

// count records records that have no latency of their own.
func (r *recorder) count(requests, records, bytes int) {
	r.mu.Lock()
	r.since.Requests += int64(requests)
	r.since.Records += int64(records)
	r.since.Bytes += int64(bytes)
	r.mu.Unlock()
}

// failed records an error or a wrong answer.
func (r *recorder) failed(why string) {
	r.mu.Lock()
	r.since.Errors++
	if r.firstErr == "" {
		r.firstErr = why
	}
	r.mu.Unlock()
}

// empty reports whether nothing has been answered and nothing has failed.
func (r *recorder) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.firstErr == "" && r.since.Requests+r.all.Requests+r.since.Errors+r.all.Errors == 0
}

// begin discards what was recorded: the measurement starts now.
func (r *recorder) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.interval.Reset()
	r.total.Reset()
	r.since, r.all, r.points, r.firstErr = counts{}, counts{}, nil, ""
}

// point ends an interval.
func (r *recorder) point(at, length time.Duration) Point {
	r.mu.Lock()
	h, c := r.interval, r.since
	r.interval, r.spare = r.spare, nil
	r.since = counts{}
	r.mu.Unlock()

	p := Point{
		Seconds: at.Seconds(), Rate: float64(c.Requests) / length.Seconds(), Errors: c.Errors,
		P50: micros(h.ValueAtQuantile(50)), P99: micros(h.ValueAtQuantile(99)), Max: micros(h.Max()),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total.Merge(h)
	r.all.add(c)
	r.points = append(r.points, p)
	h.Reset()
	r.spare = h
	return p
}

func micros(ns int64) float64 { return float64(ns) / 1e3 }

// measurement returns the sum of all intervals.
func (r *recorder) measurement(elapsed time.Duration) Measurement {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, s := r.total, elapsed.Seconds()
	m := Measurement{
		Name: r.name, Seconds: s, counts: r.all, FirstError: r.firstErr, Series: r.points,
		RequestsPerSecond: float64(r.all.Requests) / s, RecordsPerSecond: float64(r.all.Records) / s,
		MegabytesPerSecond: float64(r.all.Bytes) / s / 1e6,
		Latency: Latency{
			P50: micros(h.ValueAtQuantile(50)), P90: micros(h.ValueAtQuantile(90)), P99: micros(h.ValueAtQuantile(99)),
			P999: micros(h.ValueAtQuantile(99.9)), Max: micros(h.Max()), Mean: h.Mean() / 1e3,
		},
	}
	if r.slots != nil {
		m.OpenRate, m.Overdue = r.slots.rate, r.slots.overdue()
	}
	return m
}

// Latency in microseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

// Measurement is the result of one kind of request in one run.
type Measurement struct {
	Name        string `json:"name"`
	Run         int    `json:"run"` // from 1
	Connections int    `json:"connections"`

	// OpenRate is the rate of an open loop; 0: a closed loop. Overdue requests
	// were due during the measurement and had not been sent at its end.
	OpenRate float64 `json:"open_rate,omitempty"`
	Overdue  int64   `json:"overdue,omitempty"`

	Seconds            float64 `json:"seconds"`
	counts                     // and their rates:
	RequestsPerSecond  float64 `json:"requests_per_second"`
	RecordsPerSecond   float64 `json:"records_per_second"`
	MegabytesPerSecond float64 `json:"megabytes_per_second"`
	Latency            Latency `json:"latency_us"`

	FirstError  string  `json:"first_error,omitempty"`
	BrokerCores float64 `json:"broker_cores,omitempty"` // CPU time of the broker's process per second
	BrokerMB    float64 `json:"broker_rss_mb,omitempty"`
	LoadCores   float64 `json:"load_cores,omitempty"` // of the load generator
	Series      []Point `json:"series"`
}
