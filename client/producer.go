package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Producer writes records to one topic in the background. It gathers them
// into batches and repeats a request that failed until it succeeds, is refused
// for good, or DeliveryTimeout is over. Requests carry a producer id and a
// sequence, so a record whose first answer was lost is not written again.
//
// Records of one key keep their order, and so do those with the same
// Partition; others do not.
type Producer struct {
	client *Client
	cfg    ProducerConfig
	lanes  []*lane
	memory *budget
	sticky atomic.Uint32 // lane of records that may go anywhere; moves on with each full batch
	lines  sync.Pool     // *[]byte, for encoding
	seed   maphash.Seed

	ctx    context.Context // ends when Close gives up
	cancel context.CancelFunc
	closed atomic.Bool
	work   sync.WaitGroup

	mu     sync.Mutex
	failed int // records that nobody was told about, since the last Flush
	first  error
}

// NewProducer starts a producer for a topic. Close it.
func (c *Client) NewProducer(topic string, cfg ProducerConfig) (*Producer, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	if topic == "" {
		return nil, fmt.Errorf("client: a producer needs a topic")
	}
	orDefault(&cfg.Epoch, time.Now().UnixMicro())
	orDefault(&cfg.ProducerID, rand.Text())
	p := &Producer{
		client: c, cfg: cfg, seed: maphash.MakeSeed(), memory: newBudget(cfg.MaxInFlightBytes),
		lines: sync.Pool{New: func() any { return new([]byte) }},
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for i := range cfg.Lanes {
		l, err := newLane(p, topic, cfg.ProducerID+"."+strconv.Itoa(i))
		if err != nil {
			p.cancel()
			return nil, err
		}
		p.lanes = append(p.lanes, l)
	}
	for _, l := range p.lanes {
		p.work.Go(l.run)
	}
	return p, nil
}

// Send hands a record over. It waits, no longer than ctx lasts, only while
// MaxInFlightBytes are used up; r's memory is the caller's again when it
// returns. Once it has returned nil, the end of ctx changes nothing.
//
// If Send returns nil, done is called exactly once, with the record's place or
// with what became of it: an [*Error] that the server gave, or a
// [*DeliveryError]. It is called from the producer's own goroutine, one at a
// time for each key. It must not block, so it may TrySend, but not Send, Flush
// or Close. Without done, failures show at Flush and Close.
func (p *Producer) Send(ctx context.Context, r Record, done func(Ack, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return p.send(r, done, func(cost int64) error {
		if err := p.memory.take(ctx, cost, p.wake); err != nil {
			return fmt.Errorf("client: wait for memory: %w", err)
		}
		return nil
	})
}

// TrySend is Send that never waits: while MaxInFlightBytes are used up it is
// ErrFull.
func (p *Producer) TrySend(r Record, done func(Ack, error)) error {
	return p.send(r, done, func(cost int64) error {
		if !p.memory.try(cost) {
			return ErrFull
		}
		return nil
	})
}

func (p *Producer) send(r Record, done func(Ack, error), take func(cost int64) error) error {
	if p.closed.Load() {
		return ErrClosed
	}
	buf := p.lines.Get().(*[]byte)
	defer p.lines.Put(buf)
	text, keyEnd, err := r.appendLine((*buf)[:0])
	if *buf = text; err != nil {
		return err
	}
	cost := lineCost(len(text))
	if err := take(cost); err != nil {
		return err
	}
	if err := p.laneOf(&r, text[:keyEnd]).add(text, done); err != nil {
		p.memory.give(cost)
		return err
	}
	return nil
}

// SendSync sends a record and waits until it is committed. When ctx ends
// before, the record may still be written.
func (p *Producer) SendSync(ctx context.Context, r Record) (Ack, error) {
	f, err := p.SendFuture(ctx, r)
	if err != nil {
		return Ack{}, err
	}
	return f.Wait(ctx)
}

// SendFuture is Send with a Future for the result.
func (p *Producer) SendFuture(ctx context.Context, r Record) (*Future, error) {
	f := &Future{done: make(chan struct{})}
	if err := p.Send(ctx, r, f.set); err != nil {
		return nil, err
	}
	return f, nil
}

// Future is the result of a record that is under way.
type Future struct {
	done chan struct{}
	ack  Ack
	err  error
}

func (f *Future) set(ack Ack, err error) {
	f.ack, f.err = ack, err
	close(f.done)
}

// Done is closed when the result is there.
func (f *Future) Done() <-chan struct{} { return f.done }

// Wait returns the result, or the error of ctx when that ends first.
func (f *Future) Wait(ctx context.Context) (Ack, error) {
	select {
	case <-f.done:
		return f.ack, f.err
	case <-ctx.Done():
		return Ack{}, ctx.Err()
	}
}

// Flush sends what has been handed over, without lingering, and waits until
// each record's result is known. Its error tells of records that failed since
// the last Flush and had nobody to be told.
func (p *Producer) Flush(ctx context.Context) error {
	for _, l := range p.lanes {
		l.seal()
	}
	for _, l := range p.lanes {
		select {
		case <-l.settled():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return p.failures()
}

// failures tells of records that failed since the last time, and had nobody to
// be told.
func (p *Producer) failures() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	failed, first := p.failed, p.first
	p.failed, p.first = 0, nil
	if failed > 0 {
		return fmt.Errorf("client: %d records were not written: %w", failed, first)
	}
	return nil
}

// wake has idle lanes look what there is to be sent.
func (p *Producer) wake() {
	for _, l := range p.lanes {
		l.signal()
	}
}

// Close takes no more records, flushes, and ends the producer. When ctx ends
// first, what is left fails, with ErrClosed or the error of its last try. When
// Close returns, no callback will be called any more.
func (p *Producer) Close(ctx context.Context) error {
	p.closed.Store(true)
	for _, l := range p.lanes {
		l.close()
	}
	err := p.Flush(ctx)
	p.cancel()
	p.work.Wait()
	return errors.Join(err, p.failures())
}

// noteFailed remembers the failure of records that nobody was told about.
func (p *Producer) noteFailed(n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed += n
	if p.first == nil {
		p.first = err
	}
}

// laneOf keeps records together that must keep their order. The key is as it
// stands in the request, so that it is the same however it was made.
func (p *Producer) laneOf(r *Record, key []byte) *lane {
	n := uint64(len(p.lanes))
	switch {
	case n == 1:
		return p.lanes[0]
	case r.Partition != nil:
		return p.lanes[uint64(*r.Partition)%n]
	case r.Key.IsNull():
		return p.lanes[uint64(p.sticky.Load())%n]
	}
	return p.lanes[maphash.Bytes(p.seed, key)%n]
}

// headersOf are the headers of a lane's requests but for the sequence.
func headersOf(cfg *ProducerConfig, id string) map[string]string {
	h := map[string]string{
		"Content-Type":   "application/x-ndjson",
		"Producer-Id":    id,
		"Producer-Epoch": strconv.FormatInt(cfg.Epoch, 10),
	}
	switch cfg.Compression {
	case Gzip:
		h["Content-Encoding"] = "gzip"
	case Zstd:
		h["Content-Encoding"] = "zstd"
	}
	return h
}
