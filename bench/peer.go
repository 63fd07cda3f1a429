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

// MeasurePeerHTTP sends POST requests with the given bodies in turn to a peer's
// HTTP server. Every right answer contains want.
func MeasurePeerHTTP(ctx context.Context, o Options, p Peer, addr, path string, bodies [][]byte, want string) (Measurement, error) {
	s, rec := o.peerSession(p), newRecorder(p.Name)
	defer s.progress.line("")
	s.targets, rec.slots = []string{addr}, s.schedule()
	calls := make([]call, len(bodies))
	for i, body := range bodies {
		calls[i] = call{wire: s.post(path, "application/json", body), records: 1, want: []byte(want)}
	}
	list, err := s.measure(ctx, []*recorder{rec}, jobs{s.loadOf(rec, calls).run})
	if err != nil {
		return Measurement{}, err
	}
	return list[0], nil
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
