package bench

import (
	"context"
	"fmt"
	"strconv"

	"ottla/client"
)

// preloaded is the number of records in the topic that fetch reads repeatedly.
const preloaded = 200_000

// preload fills a topic for fetch.
func (s *session) preload(ctx context.Context, topic string, records int) error {
	p, err := s.client.NewProducer(topic, client.ProducerConfig{Cluster: s.cluster})
	if err != nil {
		return err
	}
	for i := range records {
		r := client.Record{Value: client.JSONData(s.value(i % variants)), Key: client.StringData(s.keyOf(i % variants))}
		if err := p.Send(ctx, r, nil); err != nil {
			return fmt.Errorf("preload: %w", err)
		}
	}
	if err := p.Close(ctx); err != nil {
		return fmt.Errorf("preload: %w", err)
	}
	return nil
}

// reads are requests that together read a whole topic, BatchSize records each.
func (s *session) reads(ctx context.Context, topic string) ([]call, error) {
	info, err := s.client.Topic(ctx, s.cluster, topic)
	if err != nil {
		return nil, err
	}
	step := int64(s.BatchSize)
	var calls []call
	for _, p := range info.Partitions {
		if p.Earliest == nil || p.Latest == nil {
			return nil, fmt.Errorf("partition %d of %s has no leader", p.Number, topic)
		}
		for from := int64(*p.Earliest); from+step <= int64(*p.Latest); from += step {
			path := fmt.Sprintf("/topic/%s/partitions/%d/records?max_bytes=16777216&max_records=%d&offset=%d", topic, p.Number, step, from)
			calls = append(calls, call{
				wire: s.get(path), records: s.BatchSize, want: []byte(`"next_offset":` + strconv.FormatInt(from+step, 10) + ","),
			})
		}
	}
	if len(calls) == 0 {
		return nil, fmt.Errorf("no partition holds %d records", step)
	}
	return calls, nil
}

func runFetch(ctx context.Context, s *session) ([]Measurement, error) {
	topic, remove, err := s.createTopic(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	if err := s.preload(ctx, topic, max(preloaded, 4*s.BatchSize*s.Partitions)); err != nil {
		return nil, err
	}
	calls, err := s.reads(ctx, topic)
	if err != nil {
		return nil, err
	}
	return s.runCalls(ctx, calls)
}
