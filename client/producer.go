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
// Records with the same key, or the same Partition, keep their order; others may
// not.
type Producer struct {
	client *Client
	cfg    ProducerConfig
	lanes  []*lane
	memory *budget
	sticky atomic.Uint32 // lane of records without key and Partition; the next one with each full batch
	lines  sync.Pool     // *[]byte, for encoding
	seed   maphash.Seed

	ctx    context.Context // ends when Close ends or gives up
	cancel context.CancelFunc
	closed atomic.Bool

	stopped atomic.Pointer[error] // with StopOnError, the error after which nothing is sent

	work sync.WaitGroup

	mu     sync.Mutex
	failed int // records without a callback, since the last Flush
	first  error
}

// NewProducer starts a producer for a topic. It must be closed.
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

// Send takes a record to be written in the background. It waits only while
// MaxInFlightBytes are used up, and no longer than ctx lasts. The caller may reuse
// r's memory when Send returns. After Send has returned nil, the end of ctx has no
// effect.
//
// If Send returns nil, done is called exactly once, with the position of the
// record or with the reason why it was not written: an [*Error] that the server
// reported, or a [*DeliveryError]. It is called from a goroutine of the producer,
// one call at a time for each key. It must not block: it may call TrySend, but not
// Send, Flush or Close. If done is nil, Flush and Close report failures.
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

// TrySend is Send without waiting: while MaxInFlightBytes are used up, it returns
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

// SendSync sends a record and waits until it is committed. If ctx ends before that,
// the record may still be written.
func (p *Producer) SendSync(ctx context.Context, r Record) (Ack, error) {
	f, err := p.SendFuture(ctx, r)
	if err != nil {
		return Ack{}, err
	}
	return f.Wait(ctx)
}

// SendFuture is Send, with a Future for the result.
func (p *Producer) SendFuture(ctx context.Context, r Record) (*Future, error) {
	f := &Future{done: make(chan struct{})}
	if err := p.Send(ctx, r, f.set); err != nil {
		return nil, err
	}
	return f, nil
}

// Future is the result of a record that is being sent.
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

// Flush sends all records that Send has taken, without lingering, and waits until
// their results are known. Its error reports records without a callback that
// failed since the last Flush.
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

// failures is the error about records without a callback that failed since the
// last call.
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

// wake makes idle lanes check whether there is something to send.
func (p *Producer) wake() {
	for _, l := range p.lanes {
		l.signal()
	}
}

// Close accepts no more records, flushes, and ends the producer. If ctx ends first,
// the remaining records fail, with ErrClosed or the error of their last try. No
// callback is called after Close has returned.
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

// noteFailed counts failed records without a callback.
func (p *Producer) noteFailed(n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed += n
	if p.first == nil {
		p.first = err
	}
}

// laneOf returns the lane of a record: the same for records that must keep their
// order. The key is the encoded one, so that equal keys of different origin are
// equal here.
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

// headersOf are the headers of a lane's requests, without the sequence.
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
