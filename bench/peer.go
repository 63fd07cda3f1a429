package bench

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Peer is another system that is measured in the same way as a broker.
type Peer struct {
	Name        string // of the measurement
	Connections int
	Pids        []int // of its processes
}

// Counter counts what a client of a peer sees. Any number of goroutines may use
// it.
type Counter struct{ rec *recorder }

// Done counts one request with its latency and number of records.
func (c Counter) Done(latency time.Duration, records int) { c.rec.done(latency, records, 0) }

// Count counts records without a latency of their own.
func (c Counter) Count(records int) { c.rec.count(records, records, 0) }

// Failed counts a request that failed.
func (c Counter) Failed(err error) { c.rec.failed(err.Error()) }

// MeasurePeer measures what job does until its context ends.
func MeasurePeer(ctx context.Context, o Options, p Peer, job func(context.Context, Counter) error) (Measurement, error) {
	s, rec := o.peerSession(p), newRecorder(p.Name)
	defer s.progress.line("")
	list, err := s.measure(ctx, []*recorder{rec}, jobs{func(ctx context.Context) error { return job(ctx, Counter{rec}) }})
	if err != nil {
		return Measurement{}, err
	}
	return list[0], nil
}

// PeerCall is one request to a peer's HTTP server.
type PeerCall struct {
	Path      string
	MediaType string // of Body
	Body      []byte // nil: the request is a GET
	Records   int    // that it writes or reads
	Want      string // every right answer has it near the end of its body; one without a body has status 204
}

// MeasurePeerHTTP sends requests to a peer's HTTP server; each connection sends all of
// them in turn, and begins with another one.
func MeasurePeerHTTP(ctx context.Context, o Options, p Peer, addr string, list []PeerCall) (Measurement, error) {
	s, rec := o.peerSession(p), newRecorder(p.Name)
	defer s.progress.line("")
	s.targets, rec.slots = []string{addr}, s.schedule()
	calls := make([]call, len(list))
	for i, c := range list {
		calls[i] = call{records: c.Records, want: []byte(c.Want)}
		if c.Body == nil {
			calls[i].wire = s.get(c.Path)
		} else {
			calls[i].wire = s.post(c.Path, c.MediaType, c.Body)
		}
	}
	measured, err := s.measure(ctx, []*recorder{rec}, jobs{s.loadOf(rec, calls).run})
	if err != nil {
		return Measurement{}, err
	}
	return measured[0], nil
}

// PeerStream is a stream of server-sent events of a peer, which gives each event to each
// of its subscribers.
type PeerStream struct {
	Addr string // host:port
	Path string // what subscribers ask for
	// Publish sends one event, whose value is n, and returns when it is acknowledged.
	Publish func(ctx context.Context, n int) error
	// Events calls yield with the value of each event of a line of the stream.
	Events func(line []byte, yield func(n int64))
}

// MeasurePeerFanout sends single events at a rate, [Options.Rate] or that of the workload
// `fanout`, to a stream on each connection: until the ack, and until the delivery.
func MeasurePeerFanout(ctx context.Context, o Options, p Peer, stream PeerStream) ([]Measurement, error) {
	s := o.peerSession(p)
	defer s.progress.line("")
	s.targets = []string{stream.Addr}
	f := newFanout(s, p.Name, fanoutRate)
	f.publish, f.events = stream.Publish, stream.Events
	return f.run(ctx, func(int) string { return stream.Path })
}

// MeasureKafka runs workloads of Kafka's protocol against a peer that speaks it, whose
// first node is at addr. There is one partition.
func MeasureKafka(ctx context.Context, o Options, p Peer, addr string, workloads ...string) ([]Measurement, error) {
	var all []Measurement
	for _, name := range workloads {
		s := o.peerSession(p)
		s.workload, s.kafka = find(name), addr
		if s.workload == nil || !strings.HasPrefix(name, kafkaPrefix) || s.Partitions != 1 {
			return nil, fmt.Errorf("%q is no workload of Kafka's protocol with one partition", name)
		}
		if s.workload.fixed > 0 {
			s.connections = s.workload.fixed
		}
		list, err := s.workload.run(ctx, s)
		s.progress.line("")
		if err != nil {
			return all, fmt.Errorf("%s: %w", name, err)
		}
		for i := range list {
			list[i].Name = p.Name + " " + list[i].Name
		}
		all = append(all, list...)
	}
	return all, nil
}

func (o Options) peerSession(p Peer) *session {
	return &session{Options: &o, connections: p.Connections, pids: p.Pids, progress: &progress{out: o.Progress}}
}
