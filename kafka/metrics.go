package kafka

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// metrics is what the ports count. The values of its labels are the requests that are
// served and Kafka's error codes, so clients cannot add any.
type metrics struct {
	seconds *prometheus.HistogramVec
	errors  *prometheus.CounterVec
	in, out *prometheus.CounterVec
	stalled prometheus.Counter // connections that ended because answers were not taken
	slow    prometheus.Counter // likewise, because the write timeout was over
	open    prometheus.Collector
	limit   prometheus.Collector
	byKey   map[int16]*apiMetrics
}

// apiMetrics are the counters of one kind of request. They are looked up once.
type apiMetrics struct {
	seconds prometheus.Observer
	in, out prometheus.Counter
	errors  *prometheus.CounterVec
}

// latencyBounds are the bounds of the latency buckets in seconds, from a request that
// touches no disk to the longest wait of a fetch.
var latencyBounds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

func newMetrics(s *Server) *metrics {
	const api, code = "api", "code"
	gauge := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read)
	}
	notTaken := func(cause string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{
			Name:        "ottla_kafka_answers_not_taken_total",
			Help:        "Connections of Kafka clients that were ended because they did not take an answer: stalled, while memory for answers was scarce; timeout, as the write timeout was over.",
			ConstLabels: prometheus.Labels{"cause": cause},
		})
	}
	m := &metrics{
		stalled: notTaken("stalled"), slow: notTaken("timeout"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ottla_kafka_request_duration_seconds", Buckets: latencyBounds,
			Help: "Time from the first byte of a request of Kafka's protocol until its answer was sent. Fetches include the time that they wait for records, joins and syncs that of the other members.",
		}, []string{api}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ottla_kafka_errors_total", Help: "Error codes in answers of Kafka's protocol, one for each partition, topic or group that has one.",
		}, []string{api, code}),
		in: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ottla_kafka_request_bytes_total", Help: "Bytes of requests of Kafka's protocol, as sent.",
		}, []string{api}),
		out: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ottla_kafka_response_bytes_total", Help: "Bytes of answers of Kafka's protocol.",
		}, []string{api}),
		open:  gauge("ottla_kafka_connections", "Open connections of Kafka clients.", func() float64 { return float64(s.open.Load()) }),
		limit: gauge("ottla_kafka_connections_limit", "Limit of the open connections of Kafka clients. More are closed.", func() float64 { return float64(s.o.MaxConnections) }),
		byKey: map[int16]*apiMetrics{},
	}
	for key := range handlers {
		labels := prometheus.Labels{api: kmsg.NameForKey(key)}
		m.byKey[key] = &apiMetrics{
			seconds: m.seconds.With(labels), in: m.in.With(labels), out: m.out.With(labels), errors: m.errors.MustCurryWith(labels),
		}
	}
	m.byKey[int16(kmsg.Produce)].errors.WithLabelValues(strconv.Itoa(int(errRequestTimedOut))) // so that alerts see it begin at 0
	return m
}

// Collectors are the metrics of the ports, for a registry.
func (s *Server) Collectors() []prometheus.Collector {
	m := s.metrics
	return []prometheus.Collector{m.seconds, m.errors, m.in, m.out, m.stalled, m.slow, m.open, m.limit}
}

// done counts a request that was answered, also one whose answer its client did not take.
func (m *apiMetrics) done(began time.Time, in, out int) {
	m.seconds.Observe(time.Since(began).Seconds())
	m.in.Add(float64(in))
	m.out.Add(float64(out))
}

// failed counts an error code.
func (m *apiMetrics) failed(code int16) {
	if code != errNone {
		m.errors.WithLabelValues(strconv.Itoa(int(code))).Inc()
	}
}

// countErrors counts the error codes of an answer.
func (m *apiMetrics) countErrors(req kmsg.Request, resp kmsg.Response) {
	switch r := resp.(type) {
	case *kmsg.ProduceResponse:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				m.failed(r.Topics[i].Partitions[j].ErrorCode)
			}
		}
	case *fetchAnswer:
		for i := range r.topics {
			for j := range r.topics[i].partitions {
				m.failed(r.topics[i].partitions[j].code)
			}
		}
	case *kmsg.MetadataResponse:
		for i := range r.Topics {
			m.failed(r.Topics[i].ErrorCode)
		}
	case *kmsg.ListOffsetsResponse:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				m.failed(r.Topics[i].Partitions[j].ErrorCode)
			}
		}
	case *kmsg.OffsetCommitResponse:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				m.failed(r.Topics[i].Partitions[j].ErrorCode)
			}
		}
	default:
		m.countFew(req, resp)
	}
}

// countFew counts the codes of answers that have few; those of changes are the codes that
// the audit has.
func (m *apiMetrics) countFew(req kmsg.Request, resp kmsg.Response) {
	switch r := resp.(type) {
	case *kmsg.ApiVersionsResponse:
		m.failed(r.ErrorCode)
	case *kmsg.SASLHandshakeResponse:
		m.failed(r.ErrorCode)
	case *kmsg.SASLAuthenticateResponse:
		m.failed(r.ErrorCode)
	case *kmsg.InitProducerIDResponse:
		m.failed(r.ErrorCode)
	case *kmsg.FetchResponse:
		m.failed(r.ErrorCode)
	case *kmsg.JoinGroupResponse:
		m.failed(r.ErrorCode)
	case *kmsg.SyncGroupResponse:
		m.failed(r.ErrorCode)
	case *kmsg.HeartbeatResponse:
		m.failed(r.ErrorCode)
	case *kmsg.LeaveGroupResponse:
		m.failed(r.ErrorCode)
	case *kmsg.OffsetFetchResponse:
		m.failed(r.ErrorCode)
		for i := range r.Groups {
			m.failed(r.Groups[i].ErrorCode)
		}
	case *kmsg.FindCoordinatorResponse:
		m.failed(r.ErrorCode)
	case *kmsg.ListGroupsResponse:
		m.failed(r.ErrorCode)
	case *kmsg.DescribeGroupsResponse:
		for i := range r.Groups {
			m.failed(r.Groups[i].ErrorCode)
		}
	case *kmsg.DescribeConfigsResponse:
		for i := range r.Resources {
			m.failed(r.Resources[i].ErrorCode)
		}
	case *kmsg.ElectLeadersResponse:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				m.failed(r.Topics[i].Partitions[j].ErrorCode)
			}
		}
	default:
		for _, change := range changesOf(req, resp) {
			m.failed(change.code)
		}
	}
}
