package http

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// scrape reads /metrics as a Prometheus server does.
func (h *harness) scrape() map[string]*dto.MetricFamily {
	h.t.Helper()
	a := h.do("GET", "/metrics", "")
	require.Equal(h.t, 200, a.status, a.body)
	assert.True(h.t, strings.HasPrefix(a.header.Get("Content-Type"), "text/plain; version=0.0.4"), a.header.Get("Content-Type"))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(a.body))
	require.NoError(h.t, err)
	return families
}

// with finds the metric with these labels, name=value.
func with(f *dto.MetricFamily, labels ...string) *dto.Metric {
next:
	for _, m := range f.GetMetric() {
		for _, want := range labels {
			found := false
			for _, l := range m.GetLabel() {
				found = found || l.GetName()+"="+l.GetValue() == want
			}
			if !found {
				continue next
			}
		}
		return m
	}
	return nil
}

func TestMetricsCountRequests(t *testing.T) {
	h := start(t, Options{Version: "v1"})
	body := `{"topic":"liked","value":1}`
	for range 3 {
		wantOK(t, h.do("POST", "/events", body), 200)
	}
	h.do("POST", "/events", "{")
	h.do("GET", "/no/such/route/1", "")
	h.do("GET", "/topic/a%2Fb", "")
	got := h.scrape()

	seconds := got["ottla_http_request_duration_seconds"]
	ok := with(seconds, "method=POST", "route=/events", "status=200")
	require.NotNil(t, ok)
	assert.EqualValues(t, 3, ok.GetHistogram().GetSampleCount())
	assert.Positive(t, ok.GetHistogram().GetSampleSum())
	assert.EqualValues(t, 1, with(seconds, "route=/events", "status=400").GetHistogram().GetSampleCount())
	assert.EqualValues(t, 1, with(seconds, "route=", "status=404").GetHistogram().GetSampleCount(), "unknown paths share one label")
	in := with(got["ottla_http_request_body_bytes_total"], "method=POST", "route=/events")
	assert.EqualValues(t, 3*len(body)+1, in.GetCounter().GetValue())
	assert.Positive(t, with(got["ottla_http_response_body_bytes_total"], "method=POST", "route=/events").GetCounter().GetValue())
	assert.NotNil(t, with(got["ottla_build_info"], "version=v1"))
	assert.NotNil(t, got["go_goroutines"])
	for _, f := range got {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				assert.NotContains(t, l.GetValue(), "such", "what clients send is no label")
			}
		}
	}
}

func TestMetricsOfTheBroker(t *testing.T) {
	h := start(t, Options{})
	oldest := int64(27_000)
	h.b.metrics = protocol.Metrics{
		Topics: []protocol.TopicMetrics{{
			Cluster: "default", Topic: "liked", ProducedRecords: 7, ProducedBytes: 70, FetchedRecords: 5, FetchedBytes: 50,
			Partitions: 3, Leaderless: 1, UnderReplicated: 2, LogBytes: 99,
		}},
		Groups: []protocol.GroupMetrics{{
			Cluster: "default", Group: "mailer", Members: 2, Lag: 4,
			Queue: []protocol.QueuePartition{{Topic: "liked", Partition: 1, End: 30, Position: 21, Ready: 22, InFlight: 23, Delayed: 24, Dead: 25, OldestReadyMs: &oldest}},
		}},
		QueueRecordsRemoved: 26,
		Brokers:             []protocol.BrokerMetrics{{Cluster: "default", State: "running", Count: 3}},
		Elections:           12,
		DamageNotFound:      3,
		BatchRecords:        protocol.Histogram{Bounds: []float64{1, 2}, Counts: []uint64{3, 4, 5}, Sum: 100},
		Disk:                protocol.DiskMetrics{Failures: 1},
		DataDirFree:         10, DataDirTotal: 20,

		DirectoriesReplaced: map[string]uint64{"outdated": 6},
	}
	got := h.scrape()
	for name, want := range map[string]float64{
		"topic_produced_records_total": 7, "topic_produced_bytes_total": 70, "topic_fetched_records_total": 5,
		"topic_fetched_bytes_total": 50, "topic_partitions": 3, "topic_leaderless_partitions": 1,
		"topic_under_replicated_partitions": 2, "topic_log_bytes": 99, "group_lag": 4, "group_members": 2,
		"groups_stale": 0, "brokers": 3, "elections_total": 12, "damage_not_found_total": 3, "disk_failed_rounds_total": 1,
		"data_dir_free_bytes": 10, "data_dir_total_bytes": 20,
		"broker_directories_replaced_total": 6,
		"queue_end":                         30, "queue_position": 21, "queue_ready": 22, "queue_in_flight": 23, "queue_delayed": 24,
		"queue_dead_total": 25, "queue_records_removed_total": 26, "queue_oldest_ready_seconds": 27,
	} {
		f := got["ottla_"+name]
		if assert.NotNil(t, f, name) {
			m := f.GetMetric()[0]
			assert.InDelta(t, want, m.GetCounter().GetValue()+m.GetGauge().GetValue(), 0, name)
		}
	}
	batch := got["ottla_batch_records"].GetMetric()[0].GetHistogram()
	assert.EqualValues(t, 12, batch.GetSampleCount())
	assert.EqualValues(t, 3, batch.GetBucket()[0].GetCumulativeCount())
	assert.EqualValues(t, 7, batch.GetBucket()[1].GetCumulativeCount())
}

// However many topics and groups clients create, there are few label values, the
// sums are right, and a topic keeps its labels for as long as it exists.
func TestMetricsBoundLabels(t *testing.T) {
	h := start(t, Options{})
	add := func(name string) {
		h.b.metrics.Topics = append([]protocol.TopicMetrics{{Cluster: "c", Topic: name, ProducedRecords: 1}}, h.b.metrics.Topics...)
		h.b.metrics.Groups = append([]protocol.GroupMetrics{{Cluster: "c", Group: name, Lag: 1}}, h.b.metrics.Groups...)
	}
	for i := range maxLabelled {
		add(fmt.Sprintf("t%d", i))
	}
	h.scrape()
	for i := range 50 {
		add(fmt.Sprintf("late%d", i))
	}
	got := h.scrape()
	for _, name := range []string{"ottla_topic_produced_records_total", "ottla_group_lag"} {
		f, label := got[name], "topic="
		if name == "ottla_group_lag" {
			label = "group="
		}
		assert.Len(t, f.GetMetric(), maxLabelled+1)
		assert.NotNil(t, with(f, label+"t0"))
		assert.Nil(t, with(f, label+"late0"))
		rest := with(f, label+otherLabel)
		assert.InDelta(t, 50, rest.GetCounter().GetValue()+rest.GetGauge().GetValue(), 0)
	}
	for i := range h.b.metrics.Groups {
		h.b.metrics.Groups[i].Queue = make([]protocol.QueuePartition, 100)
		for p := range h.b.metrics.Groups[i].Queue {
			h.b.metrics.Groups[i].Queue[p] = protocol.QueuePartition{Topic: "t", Partition: p}
		}
	}
	assert.Len(t, h.scrape()["ottla_queue_end"].GetMetric(), maxQueued)
	h.b.metrics.Topics = h.b.metrics.Topics[:1]
	assert.NotNil(t, with(h.scrape()["ottla_topic_partitions"], "topic=late49"), "who goes makes room")
}

func TestMetricsAreWellFormed(t *testing.T) {
	h := start(t, Options{})
	h.do("GET", "/healthz", "")
	problems, err := promlint.New(strings.NewReader(h.do("GET", "/metrics", "").body)).Lint()
	require.NoError(t, err)
	assert.Empty(t, problems)
	wantError(t, h.do("GET", "/metrics?x=1", ""), 400, "unknown_parameter")
}

// Counting must not slow requests down, so it must not allocate.
func TestCountingARequestAllocatesNothing(t *testing.T) {
	h := start(t, Options{})
	r := h.s.metrics.forRoute("GET", "/healthz")
	r.observer(200)
	assert.Zero(t, testing.AllocsPerRun(100, func() { r.observer(200).Observe(0.001) }))
}
