package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ottla/bench"
)

const (
	subject = "liked"
	stream  = "LIKED"

	// pending is the number of asynchronous publishes in flight.
	pending = 4096

	// stall is how long a publish waits while there are so many.
	stall = 30 * time.Second

	// preloaded is how many messages the ordered consumer reads.
	preloaded = 200_000
)

// nats measures JetStream with file storage: with its default, a sync every two
// minutes, and with a sync before every acknowledgement.
func (s *suite) nats(replicas int) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, always := range []bool{false, true} {
			if err := s.natsWith(ctx, replicas, always); err != nil {
				return err
			}
		}
		return nil
	}
}

func (s *suite) natsWith(ctx context.Context, replicas int, always bool) error {
	dir, err := os.MkdirTemp(s.o.DataDir, "peers-nats-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{natsCommand, "-addr", addr, "-dir", dir, "-replicas", fmt.Sprint(replicas), fmt.Sprintf("-sync-always=%t", always)}
	srv, err := startChild(ctx, addr, self, args...)
	if err != nil {
		return err
	}
	defer srv.stop()
	js, closeConn, err := connectNATS(ctx, addr, replicas)
	if err != nil {
		return err
	}
	defer closeConn()
	mode := fmt.Sprintf(" R%d, sync 2m", replicas)
	if always {
		mode = fmt.Sprintf(" R%d, sync always", replicas)
	}
	for _, job := range []struct {
		name        string
		connections int
		run         func(context.Context, bench.Counter) error
	}{
		{"JetStream single", 64, publishers(js, 64)},
		{"JetStream single", 256, publishers(js, 256)},
		{"JetStream async", 1, publishAsync(js)},
		{"JetStream atomic batch", 16, eachWithItsOwn(addr, 16, publishAtomic)},
		{"JetStream fast batch", 1, eachWithItsOwn(addr, 1, publishFast)},
		{"JetStream fast batch", 4, eachWithItsOwn(addr, 4, publishFast)},
		{"JetStream ordered consumer", 1, orderedConsumer(js)},
		{"JetStream pull of one, synced ack", pullers, pullAndAck(js)},
	} {
		if job.name == "JetStream ordered consumer" {
			if err := refill(ctx, js, replicas); err != nil {
				return err
			}
		}
		m, err := bench.MeasurePeer(ctx, s.o, bench.Peer{Name: job.name + mode, Connections: job.connections, Pids: []int{srv.pid()}}, job.run)
		if err != nil {
			return fmt.Errorf("%s%s: %w", job.name, mode, err)
		}
		s.add(m)
	}
	return nil
}

// connectNATS waits until the stream can be created, which in a cluster needs an
// election first.
func connectNATS(ctx context.Context, addr string, replicas int) (jetstream.JetStream, func(), error) {
	conn, err := nats.Connect("nats://" + addr)
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(pending))
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := createStream(ctx, js, replicas)
		if err == nil {
			return js, conn.Close, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			conn.Close()
			return nil, nil, fmt.Errorf("create stream: %w", err)
		}
		pause(ctx, 100*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func createStream(ctx context.Context, js jetstream.JetStream, replicas int) error {
	_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: stream, Subjects: []string{subject}, Storage: jetstream.FileStorage, Replicas: replicas,
		AllowAtomicPublish: true, AllowBatchPublish: true,
	})
	return err
}

// publishers each publish one message after the other and wait for its ack.
func publishers(js jetstream.JetStream, n int) func(context.Context, bench.Counter) error {
	return func(ctx context.Context, c bench.Counter) error {
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				oneByOne(ctx, c, func(i int) error {
					_, err := js.Publish(ctx, subject, payload(i))
					return err
				})
			})
		}
		wg.Wait()
		return nil
	}
}

// publishAsync keeps pending messages in flight on one connection.
func publishAsync(js jetstream.JetStream) func(context.Context, bench.Counter) error {
	type sent struct {
		future jetstream.PubAckFuture
		at     time.Time
	}
	return func(ctx context.Context, c bench.Counter) error {
		inFlight := make(chan sent, pending)
		var wg sync.WaitGroup
		wg.Go(func() {
			for s := range inFlight {
				select {
				case <-s.future.Ok():
					c.Done(time.Since(s.at), 1)
				case err := <-s.future.Err():
					c.Failed(err)
				case <-ctx.Done():
				}
			}
		})
		defer wg.Wait()
		defer close(inFlight)
		for i := 0; ctx.Err() == nil; i++ {
			s := sent{at: time.Now()}
			var err error
			if s.future, err = js.PublishAsync(subject, payload(i), jetstream.WithStallWait(stall)); err != nil {
				c.Failed(err)
				continue
			}
			select {
			case inFlight <- s:
			case <-ctx.Done():
			}
		}
		return nil
	}
}

// refill leaves as many messages in the stream as Ottla's fetch workload reads.
func refill(ctx context.Context, js jetstream.JetStream, replicas int) error {
	// Publishes still in flight would wait forever for a stream that is deleted.
	if err := settled(ctx, js); err != nil {
		return err
	}
	if err := js.DeleteStream(ctx, stream); err != nil {
		return fmt.Errorf("empty the stream: %w", err)
	}
	if err := createStream(ctx, js, replicas); err != nil {
		return fmt.Errorf("empty the stream: %w", err)
	}
	for i := range preloaded {
		if _, err := js.PublishAsync(subject, payload(i), jetstream.WithStallWait(stall)); err != nil {
			return fmt.Errorf("preload: %w", err)
		}
	}
	return settled(ctx, js)
}

// settled waits for the acks of everything published so far.
func settled(ctx context.Context, js jetstream.JetStream) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	select {
	case <-js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d publishes remain without an ack: %w", js.PublishAsyncPending(), ctx.Err())
	}
}

// orderedConsumer reads the stream repeatedly and counts messages. It measures no
// latency of single messages: they were in the stream before.
func orderedConsumer(js jetstream.JetStream) func(context.Context, bench.Counter) error {
	const step = 500 // messages that count as one request, as many as one fetch of Ottla reads
	return func(ctx context.Context, c bench.Counter) error {
		for ctx.Err() == nil {
			consumer, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{})
			if err != nil {
				return ignoreEnd(ctx, err)
			}
			seen, last := 0, time.Now()
			done := make(chan struct{})
			consuming, err := consumer.Consume(func(jetstream.Msg) {
				seen++
				if seen%step == 0 {
					now := time.Now()
					c.Done(now.Sub(last), step)
					last = now
				}
				if seen == preloaded {
					close(done)
				}
			}, jetstream.PullMaxMessages(10_000))
			if err != nil {
				return ignoreEnd(ctx, err)
			}
			select {
			case <-done:
			case <-ctx.Done():
			}
			consuming.Stop()
		}
		return nil
	}
}

// pullers is how many consumers pull, each by itself.
const pullers = 64

// pullAndAck has consumers with a position of their own ask for one message, and confirm
// its acknowledgement before they ask for the next: what poll-commit is for Ottla.
func pullAndAck(js jetstream.JetStream) func(context.Context, bench.Counter) error {
	return func(ctx context.Context, c bench.Counter) error {
		var wg sync.WaitGroup
		for i := range pullers {
			consumer, err := js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
				Durable: fmt.Sprintf("puller-%d", i), AckPolicy: jetstream.AckExplicitPolicy,
			})
			if err != nil {
				return ignoreEnd(ctx, err)
			}
			wg.Go(func() {
				oneByOne(ctx, c, func(int) error {
					msg, err := consumer.Next(jetstream.FetchMaxWait(5 * time.Second))
					if err != nil {
						return err
					}
					return msg.DoubleAck(ctx)
				})
			})
		}
		wg.Wait()
		return nil
	}
}

// oneByOne does something with one record, again and again, and counts it each time.
func oneByOne(ctx context.Context, c bench.Counter, do func(i int) error) {
	for i := 0; ctx.Err() == nil; i++ {
		start := time.Now()
		err := do(i)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			c.Failed(err)
		default:
			c.Done(time.Since(start), 1)
		}
	}
}

// ignoreEnd drops errors that come from the end of the measurement.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
