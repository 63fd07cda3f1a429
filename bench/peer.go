package bench

import (
	"context"
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
	s.target, rec.slots = addr, s.schedule()
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

func (o Options) peerSession(p Peer) *session {
	return &session{Options: &o, connections: p.Connections, pids: p.Pids, progress: &progress{out: o.Progress}}
}
