package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ottla/client"
)

// mixedMembers is how many consumers share the group of mixed.
const mixedMembers = 2

// runMixed sends single events, consumes them with a group at least once, and
// reads a second topic from its beginning, all at the same time. The latency of
// consume is the time from the record's timestamp, which has a precision of a
// millisecond, to its delivery.
func runMixed(ctx context.Context, s *session) ([]Measurement, error) {
	topic, remove, err := s.createTopic(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	old, removeOld, err := s.createTopic(ctx)
	if err != nil {
		return nil, err
	}
	defer removeOld()
	if err := s.preload(ctx, old, max(preloaded/4, 4*s.BatchSize*s.Partitions)); err != nil {
		return nil, err
	}
	calls, err := s.reads(ctx, old)
	if err != nil {
		return nil, err
	}
	produced, consumed, fetched := newRecorder("mixed/produce"), newRecorder("mixed/consume"), newRecorder("mixed/fetch")
	produced.slots = s.schedule()
	fetches := s.loadOf(fetched, calls)
	fetches.connections = 1
	js := jobs{s.loadOf(produced, s.singles(topic, `"committed":true`)).run, fetches.run}
	for range mixedMembers {
		js = append(js, func(ctx context.Context) error { return consume(ctx, s, topic, consumed) })
	}
	return s.measure(ctx, []*recorder{produced, consumed, fetched}, js)
}

// consume is one member of a group.
func consume(ctx context.Context, s *session, topic string, rec *recorder) error {
	c, err := s.client.NewConsumer(client.ConsumerConfig{
		Cluster: s.cluster, Group: topic, Topics: []string{topic}, MaxRecords: 10_000, Wait: time.Second,
	})
	if err != nil {
		return err
	}
	err = c.Run(ctx, func(_ context.Context, batch []client.Message) error {
		now := time.Now()
		rec.done(now.Sub(batch[0].Timestamp), len(batch), 0)
		return nil
	})
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = c.Close(leaving) // the topic is deleted next anyway
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("consume: %w", err)
}
