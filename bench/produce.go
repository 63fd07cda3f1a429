package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"ottla/client"
)

// variants is the number of different requests that a workload sends in turn.
// With large requests there are fewer, about variantBytes together.
const (
	variants     = 1024
	variantBytes = 64 << 20
	fewVariants  = 8
)

// variantsOf is the number of different requests of a size.
func variantsOf(size int) int { return min(variants, max(fewVariants, variantBytes/size)) }

// keysOf are keys that spread over partitions.
func (o *Options) keyOf(i int) string { return "user-" + strconv.Itoa(100000+i) }

// event is the body of a single produce, of Payload bytes if that is enough.
func (o *Options) event(topic string, i int) []byte {
	b := []byte(`{"topic":"` + topic + `",`)
	if o.Keyed {
		b = append(b, `"key":"`+o.keyOf(i)+`",`...)
	}
	b = append(b, `"value":{"post":`+strconv.Itoa(1000+i)+`,"text":"`...)
	const end = `"}}`
	return append(append(b, filler(o.Payload-len(b)-len(end))...), end...)
}

// line is a record of a batch, with a value of RecordBytes.
func (o *Options) line(i int) []byte {
	b := []byte(`{`)
	if o.Keyed {
		b = append(b, `"key":"`+o.keyOf(i)+`",`...)
	}
	return append(append(append(b, `"value":`...), o.value(i)...), '}', '\n')
}

func (o *Options) value(i int) []byte {
	b := []byte(`{"post":` + strconv.Itoa(1000+i) + `,"text":"`)
	const end = `"}`
	return append(append(b, filler(o.RecordBytes-len(b)-len(end))...), end...)
}

// filler is text of n bytes, none if n is negative.
func filler(n int) string {
	const text = "the quick brown fox jumps over the lazy dog "
	if n <= 0 {
		return ""
	}
	return strings.Repeat(text, n/len(text)+1)[:n]
}

// inTurn hands out calls to connections; each starts at another call.
func inTurn(calls []call) nextCall {
	return func(connection int, n int64) *call {
		return &calls[(int64(connection)*7919+n)%int64(len(calls))]
	}
}

func (s *session) singles(topic string, want string) []call {
	calls := make([]call, variantsOf(s.Payload))
	for i := range calls {
		calls[i] = call{wire: s.post("/events", "application/json", s.event(topic, i)), records: 1, want: []byte(want)}
	}
	return calls
}

func (s *session) batches(topic string) []call {
	// They should stay in the processor's cache.
	calls := make([]call, 8)
	for i := range calls {
		var body []byte
		for j := range s.BatchSize {
			body = append(body, s.line((i*s.BatchSize+j)%variants)...)
		}
		calls[i] = call{
			wire:    s.post("/events?topic="+topic, "application/x-ndjson", body),
			records: s.BatchSize, want: []byte(`"partitions":[`),
		}
	}
	return calls
}

func (s *session) loadOf(rec *recorder, calls []call) *load {
	return &load{addrs: s.targets, connections: s.connections, rec: rec, slots: rec.slots, next: inTurn(calls)}
}

// runCalls runs a workload that consists of rendered calls.
func (s *session) runCalls(ctx context.Context, calls []call) ([]Measurement, error) {
	rec := newRecorder(s.workload.name)
	rec.slots = s.schedule()
	return s.measure(ctx, []*recorder{rec}, jobs{s.loadOf(rec, calls).run})
}

func runEcho(ctx context.Context, s *session) ([]Measurement, error) {
	return s.runCalls(ctx, s.singles("liked", `"topic"`))
}

func runSingle(ctx context.Context, s *session) ([]Measurement, error) {
	topic, remove, err := s.createTopic(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	return s.runCalls(ctx, s.singles(topic, `"committed":true`))
}

func runBatch(ctx context.Context, s *session) ([]Measurement, error) {
	topic, remove, err := s.createTopic(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	return s.runCalls(ctx, s.batches(topic))
}

// sampled is the number of records of produce-async of which one is timed: a
// callback that knows its time costs an allocation, and a sample is enough.
const sampled = 16

// asyncLanes is the number of requests in flight, the default of the producer.
const asyncLanes = 4

func runAsync(ctx context.Context, s *session) ([]Measurement, error) {
	topic, remove, err := s.createTopic(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	p, err := s.client.NewProducer(topic, s.producerConfig())
	if err != nil {
		return nil, err
	}
	rec := newRecorder(s.workload.name)
	rec.slots = s.schedule()
	list, err := s.measure(ctx, []*recorder{rec}, jobs{func(ctx context.Context) error { return s.sendAsync(ctx, p, rec) }})
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if closeErr := p.Close(closing); err == nil && closeErr != nil {
		err = fmt.Errorf("close producer: %w", closeErr)
	}
	return list, err
}

func (s *session) producerConfig() client.ProducerConfig {
	cfg := client.ProducerConfig{Cluster: s.cluster, Lanes: asyncLanes}
	switch s.Compression {
	case "gzip":
		cfg.Compression = client.Gzip
	case "zstd":
		cfg.Compression = client.Zstd
	}
	return cfg
}

// sendAsync sends as fast as the producer accepts records, or at the given rate.
// The values are encoded in advance: encoding JSON is not measured.
func (s *session) sendAsync(ctx context.Context, p *client.Producer, rec *recorder) error {
	records := make([]client.Record, variantsOf(s.RecordBytes))
	for i := range records {
		if records[i].Value = client.JSONData(s.value(i)); s.Keyed {
			records[i].Key = client.StringData(s.keyOf(i))
		}
	}
	var untimed atomic.Int64 // since the last one that was timed
	plain := func(_ client.Ack, err error) {
		if err != nil {
			rec.failed(err.Error())
			return
		}
		untimed.Add(1)
	}
	for n := 0; ; n++ {
		start := time.Now()
		if rec.slots != nil {
			if start = rec.slots.reserve(); !waitDue(ctx, start) {
				return nil
			}
		}
		done := plain
		if n%sampled == 0 {
			done = func(_ client.Ack, err error) {
				if err != nil {
					rec.failed(err.Error())
					return
				}
				others := int(untimed.Swap(0))
				rec.done(time.Since(start), 1, s.RecordBytes)
				rec.count(others, others, others*s.RecordBytes)
			}
		}
		if err := p.Send(ctx, records[n%len(records)], done); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}
