package http

import (
	"bytes"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// metrics is what the front end counts. The values of its labels come from the
// table of routes and from HTTP's statuses, so clients cannot add any.
type metrics struct {
	registry *prometheus.Registry
	seconds  *prometheus.HistogramVec
	in, out  *prometheus.CounterVec
	streamed prometheus.Counter
}

// latencyBounds are the bounds of the latency buckets in seconds, from a request
// that touches no disk to the longest poll.
var latencyBounds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

func newMetrics(s *Server) *metrics {
	labels := []string{"method", "route"}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ottla_http_request_duration_seconds", Help: "Time from the headers of a request to its answer. Polls include the time that they wait for records.",
			Buckets: latencyBounds,
		}, append(labels, "status")),
		in: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ottla_http_request_body_bytes_total", Help: "Bytes of request bodies, as sent (compressed ones before decompression).",
		}, labels),
		out: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ottla_http_response_body_bytes_total", Help: "Bytes of response bodies, as sent, without streams.",
		}, labels),
		streamed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ottla_http_stream_bytes_total", Help: "Bytes sent in streams (server-sent events and NDJSON).",
		}),
	}
	gauge := func(name, help string, read func() int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(read()) })
	}
	m.registry.MustRegister(
		m.seconds, m.in, m.out, m.streamed,
		gauge("ottla_http_inflight_bytes", "Bytes of request bodies in memory.", s.intake.bytes.Used),
		gauge("ottla_http_inflight_bytes_limit", "Limit of the bytes of request bodies in memory. Requests beyond it get 429.", s.intake.bytes.Limit),
		gauge("ottla_http_response_bytes", "Bytes of answers in memory that clients have not read yet.", s.answers.Used),
		gauge("ottla_http_response_bytes_limit", "Limit of the bytes of answers in memory. Near it, reads wait for a moment or get smaller answers; beyond it they get 503.", s.answers.Limit),
		gauge("ottla_http_client_response_bytes_limit", "Limit of the bytes of answers in memory of one client: a token, or an address.", s.answers.PerClient),
		notTaken(s, "stalled", func(stalled, _ uint64) uint64 { return stalled }),
		notTaken(s, "timeout", func(_, slow uint64) uint64 { return slow }),
		gauge("ottla_http_parked_polls", "Reads that wait for records, and open streams.", s.parked.Used),
		gauge("ottla_http_parked_polls_limit", "Limit of the reads that wait for records and of open streams. Reads beyond it that would wait get 503.", s.parked.Limit),
		gauge("ottla_http_connections", "Open client connections.", s.openConnections),
		gauge("ottla_http_connections_limit", "Limit of the open client connections. More are answered with 503 and closed.", func() int64 { return int64(s.o.MaxConnections) }),
		buildInfo(s.o.Version),
		newBrokerCollector(s.b),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.registerDeliveries(s.o.Deliveries)
	return m
}

// notTaken counts connections that were ended because of their clients.
func notTaken(s *Server, cause string, which func(stalled, slow uint64) uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name:        "ottla_http_answers_not_taken_total",
		Help:        "Connections that were ended because their clients did not take an answer: stalled, while memory for answers was scarce; timeout, as the write timeout was over.",
		ConstLabels: prometheus.Labels{"cause": cause},
	}, func() float64 { return float64(which(s.conns.NotTaken())) })
}

// registerDeliveries adds what subscriptions have sent.
func (m *metrics) registerDeliveries(counts func() protocol.DeliveryCounts) {
	if counts == nil {
		return
	}
	counter := func(name, help string, of func(protocol.DeliveryCounts) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(of(counts())) })
	}
	m.registry.MustRegister(
		counter("ottla_webhook_deliveries_total", "Deliveries of subscriptions that their receivers have taken.",
			func(c protocol.DeliveryCounts) uint64 { return c.Delivered }),
		counter("ottla_webhook_failed_deliveries_total", "Attempts to deliver that were not taken, and are made again.",
			func(c protocol.DeliveryCounts) uint64 { return c.Failed }),
		counter("ottla_webhook_dead_records_total", "Records that could not be delivered and went to a topic of dead letters.",
			func(c protocol.DeliveryCounts) uint64 { return c.Dead }),
	)
}

func buildInfo(version string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "ottla_build_info", Help: "Always 1. The labels say which version runs.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH},
	})
	g.Set(1)
	return g
}

func (s *Server) openConnections() int64 {
	open, _ := s.conns.Connections()
	return int64(open)
}

// routeMetrics are the counters of one route. They are looked up once, so that a
// request costs a few atomic additions.
type routeMetrics struct {
	seconds prometheus.ObserverVec
	status  [600]atomic.Pointer[prometheus.Observer] // each is set when its status occurs first
	in, out prometheus.Counter
}

// forRoute returns the counters of a route. Requests that match no route share
// those of path "".
func (m *metrics) forRoute(method, path string) *routeMetrics {
	labels := prometheus.Labels{"method": method, "route": path}
	return &routeMetrics{seconds: m.seconds.MustCurryWith(labels), in: m.in.With(labels), out: m.out.With(labels)}
}

// done counts a request that was answered.
func (r *routeMetrics) done(c *call, began time.Time) {
	resp := &c.ctx.Response
	r.observer(resp.StatusCode()).Observe(time.Since(began).Seconds())
	if c.bytesIn > 0 {
		r.in.Add(float64(c.bytesIn))
	}
	if !c.streams {
		r.out.Add(float64(len(resp.Body())))
	}
}

func (r *routeMetrics) observer(status int) prometheus.Observer {
	if status < 0 || status >= len(r.status) {
		status = 0
	}
	slot := &r.status[status]
	if o := slot.Load(); o != nil {
		return *o
	}
	o := r.seconds.WithLabelValues(strconv.Itoa(status))
	slot.Store(&o)
	return o
}

// getMetrics answers in the text format of Prometheus.
func getMetrics(c *call) *protocol.Error {
	if err := c.bindQuery(); err != nil {
		return err
	}
	families, err := c.srv.metrics.registry.Gather()
	if err != nil {
		return protocol.Errorf(protocol.CodeInternal, "cannot gather metrics: %v", err)
	}
	var body bytes.Buffer
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	enc := expfmt.NewEncoder(&body, format)
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return protocol.Errorf(protocol.CodeInternal, "cannot render metrics: %v", err)
		}
	}
	c.send(fasthttp.StatusOK, append(c.out(), body.Bytes()...))
	c.ctx.Response.Header.SetContentType(string(format))
	return nil
}
