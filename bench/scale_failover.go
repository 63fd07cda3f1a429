package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// The load of failover, and how long it keeps measuring after a stop.
const (
	failoverConnections = 16
	failoverWindow      = 500 * time.Millisecond
	inSyncPatience      = 30 * time.Second
)

// gaps finds the longest time without a right answer.
type gaps struct {
	mu      sync.Mutex
	last    time.Time
	longest time.Duration
}

func (g *gaps) answered(_ *connection, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.longest = max(g.longest, now.Sub(g.last))
	g.last = now
}

// since returns the longest time without an answer since the last call,
// including the time since the last answer.
func (g *gaps) since() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	longest := max(g.longest, time.Since(g.last))
	g.longest = 0
	return longest
}

// failover stops the broker that leads a partition, again and again, while
// events are written to it.
func (s *scaleRun) failover(ctx context.Context) error {
	ses, p, err := s.broker(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	topic, _, err := ses.topicOf(ctx, 1)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ses.connections = failoverConnections
	rec, g := newRecorder("failover"), &gaps{last: time.Now()}
	load := ses.loadOf(rec, ses.singles(topic, `"committed":true`))
	load.answered = g.answered
	ended := make(chan error, 1)
	go func() { ended <- load.run(ctx) }()
	var without []float64
	for i := range s.so.Stops {
		s.note("stop %d of %d", i+1, s.so.Stops)
		gap, err := s.stopLeader(ctx, ses, topic, g)
		if err != nil {
			return err
		}
		without = append(without, float64(gap)/1e6)
	}
	cancel(errEnded)
	if err := <-ended; err != nil {
		return fmt.Errorf("load: %w", err)
	}
	c := rec.since
	slices.Sort(without)
	s.figure(fmt.Sprintf("longest time without an ack, p50 of %d stops", len(without)), "ms", nil, quantile(without, 0.5))
	s.figure("the same, p99", "ms", nil, quantile(without, 0.99))
	s.figure("the same, max", "ms", nil, without[len(without)-1])
	s.figure("requests that failed, for each stop", "", nil, float64(c.Errors)/float64(len(without)))
	return nil
}

// stopLeader stops the leader's broker, measures, and starts it again.
func (s *scaleRun) stopLeader(ctx context.Context, ses *session, topic string, g *gaps) (time.Duration, error) {
	leader, err := s.allInSync(ctx, ses, topic)
	if err != nil {
		return 0, err
	}
	g.since()
	if err := ses.client.StopBroker(ctx, ses.cluster, leader); err != nil {
		return 0, err
	}
	if !waitUntil(ctx, time.Now().Add(failoverWindow)) {
		return 0, context.Cause(ctx)
	}
	gap := g.since()
	return gap, ses.client.StartBroker(ctx, ses.cluster, leader)
}

// allInSync waits until all replicas are in sync, and returns the leader.
func (s *scaleRun) allInSync(ctx context.Context, ses *session, topic string) (leader int, err error) {
	deadline := time.Now().Add(inSyncPatience)
	for {
		info, err := ses.client.Topic(ctx, ses.cluster, topic)
		if err != nil {
			return 0, err
		}
		if p := info.Partitions[0]; p.LeaderBrokerID != nil && len(p.InSync) == len(p.Replicas) {
			return *p.LeaderBrokerID, nil
		}
		if time.Now().After(deadline) {
			return 0, errors.New("the replicas do not get in sync")
		}
		if !waitUntil(ctx, time.Now().Add(10*time.Millisecond)) {
			return 0, context.Cause(ctx)
		}
	}
}

// quantile of sorted values: the smallest that a share q of them does not
// exceed.
func quantile(sorted []float64, q float64) float64 {
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[max(0, i)]
}
