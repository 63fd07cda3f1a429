package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"ottla/bench"
)

const (
	// batchSize is the number of records in a batch of Ottla's workloads.
	batchSize = 500

	closePatience = 5 * time.Second
)

// eachWithItsOwn runs publish n times at once, each with its own connection.
func eachWithItsOwn(addr string, n int, publish func(context.Context, jetstream.JetStream, bench.Counter) error) func(context.Context, bench.Counter) error {
	return func(ctx context.Context, c bench.Counter) error {
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				conn, err := nats.Connect("nats://" + addr)
				if err != nil {
					errs[i] = fmt.Errorf("connect: %w", err)
					return
				}
				defer conn.Close()
				js, err := jetstream.New(conn)
				if err == nil {
					err = publish(ctx, js, c)
				}
				if ctx.Err() == nil {
					errs[i] = err
				}
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	}
}

// publishAtomic publishes one atomic batch after the other: all of its messages
// are written or none, and there is one ack.
func publishAtomic(ctx context.Context, js jetstream.JetStream, c bench.Counter) error {
	flow := jetstreamext.BatchFlowControl{AckFirst: false, AckTimeout: stall}
	for i := 0; ctx.Err() == nil; i += batchSize {
		start := time.Now()
		batch, err := jetstreamext.NewBatchPublisher(js, flow)
		if err != nil {
			return err
		}
		for j := range batchSize - 1 {
			if err := batch.Add(subject, payload(i+j)); err != nil {
				return fmt.Errorf("add to a batch: %w", err)
			}
		}
		_, err = batch.Commit(ctx, subject, payload(i+batchSize-1))
		switch {
		case ctx.Err() != nil:
		case err != nil:
			c.Failed(err)
		default:
			c.Done(time.Since(start), batchSize)
		}
	}
	return nil
}

// publishFast keeps one fast batch open, whose messages are acknowledged while it
// is open. It counts batchSize messages as one request, whose latency is the time
// from the last of them to the ack that covers it.
func publishFast(ctx context.Context, js jetstream.JetStream, c bench.Counter) error {
	flow := jetstreamext.FastPublishFlowControl{Flow: batchSize, MaxOutstandingAcks: 8, AckTimeout: stall}
	p, err := jetstreamext.NewFastPublisher(js, flow, jetstreamext.WithFastPublisherErrorHandler(c.Failed))
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
		defer cancel()
		_, _ = p.Close(closing) // an error comes after the measurement
	}()
	var marks []time.Time // when the last message of each part without an ack was sent
	counted := uint64(0)  // messages
	for i := 0; ctx.Err() == nil; i++ {
		ack, err := p.Add(subject, payload(i))
		if err != nil {
			return fmt.Errorf("add to a fast batch: %w", err)
		}
		if ack.BatchSequence%batchSize == 0 {
			marks = append(marks, time.Now())
		}
		for len(marks) > 0 && ack.AckSequence >= counted+batchSize {
			c.Done(time.Since(marks[0]), batchSize)
			counted += batchSize
			marks = marks[1:]
		}
	}
	return nil
}
