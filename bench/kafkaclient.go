package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// kafkaClient is a client of franz-go.
func (s kafkaSession) kafkaClient(opts ...kgo.Opt) (*kgo.Client, error) {
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.kafka), kgo.ProducerBatchCompression(kafkaCompression[s.Compression])}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return cl, nil
}

var kafkaCompression = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "zstd": kgo.ZstdCompression(),
}

// runKafkaClientProduce is produce-async with franz-go.
func runKafkaClientProduce(ctx context.Context, of *session) ([]Measurement, error) {
	s := kafkaSession{of}
	topic, remove, err := s.createTopic(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	rec := newRecorder(s.workload.name)
	js := make(jobs, s.connections)
	for i := range js {
		cl, err := s.kafkaClient(kgo.DefaultProduceTopic(topic), kgo.MaxBufferedRecords(50_000))
		if err != nil {
			return nil, err
		}
		defer cl.Close()
		js[i] = func(ctx context.Context) error { return s.produceKafka(ctx, cl, rec) }
	}
	return s.measure(ctx, []*recorder{rec}, js)
}

func (s kafkaSession) produceKafka(ctx context.Context, cl *kgo.Client, rec *recorder) error {
	values, keys := make([][]byte, variants), make([][]byte, variants)
	for i := range values {
		if values[i] = s.value(i); s.Keyed {
			keys[i] = []byte(s.keyOf(i))
		}
	}
	var untimed atomic.Int64 // since the last one that was timed
	plain := func(_ *kgo.Record, err error) {
		switch {
		case err == nil:
			untimed.Add(1)
		case ctx.Err() == nil:
			rec.failed(err.Error())
		}
	}
	for n := 0; ctx.Err() == nil; n++ {
		done := plain
		if n%sampled == 0 {
			start := time.Now()
			done = func(r *kgo.Record, err error) {
				if plain(r, err); err != nil {
					return
				}
				more := int(untimed.Swap(0)) - 1
				rec.done(time.Since(start), 1, 0)
				rec.count(more, more, 0)
			}
		}
		cl.Produce(ctx, &kgo.Record{Key: keys[n%variants], Value: values[n%variants]}, done)
	}
	return nil
}

// runKafkaClientFetch reads a topic from its beginning with franz-go, again and again.
func runKafkaClientFetch(ctx context.Context, of *session) ([]Measurement, error) {
	s := kafkaSession{of}
	topic, remove, err := s.createTopic(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	const times = 5 // as many records as fetch has: beginning again costs a client time
	records := times * preloaded
	if err := s.preloadKafka(ctx, topic, records); err != nil {
		return nil, err
	}
	rec := newRecorder(s.workload.name)
	js := make(jobs, s.connections)
	for i := range js {
		js[i] = func(ctx context.Context) error {
			for ctx.Err() == nil {
				if err := s.consumeKafka(ctx, topic, records, rec); err != nil && ctx.Err() == nil {
					return err
				}
			}
			return nil
		}
	}
	return s.measure(ctx, []*recorder{rec}, js)
}

// consumeKafka reads a topic of so many records once.
func (s kafkaSession) consumeKafka(ctx context.Context, topic string, records int, rec *recorder) error {
	cl, err := s.kafkaClient(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer cl.Close()
	for read := 0; read < records; {
		start := time.Now()
		fs := cl.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		n := fs.NumRecords()
		read += n
		rec.done(time.Since(start), n, 0)
	}
	return nil
}
