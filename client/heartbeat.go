package client

import (
	"context"
	"time"
)

const (
	defaultMaxProcessing  = 5 * time.Minute
	defaultSessionTimeout = 10 * time.Second // the server's default

	// beatsPerSession is more than two, so that one beat may fail.
	beatsPerSession = 3
)

// heartbeat renews a member's lease while it processes a batch. Without it a
// member would lose its partitions during a slow batch.
type heartbeat struct {
	stop   chan struct{} // closed: no more beats
	done   chan struct{} // closed: no beat is running any more
	cancel context.CancelFunc
}

// startHeartbeat starts beats; the first is due after a third of the session.
func (c *Consumer) startHeartbeat() *heartbeat {
	ctx, cancel := context.WithCancel(context.Background())
	b := &heartbeat{stop: make(chan struct{}), done: make(chan struct{}), cancel: cancel}
	p := c.poll
	sign := func(ctx context.Context) {
		// The next poll reports an error that does not pass.
		_, _ = c.client.Heartbeat(ctx, p.Cluster, p.Group, p.ConsumerID, 0)
	}
	every := c.session() / beatsPerSession
	if receipts := c.receipts; len(receipts) > 0 {
		wait := max(c.ackWait, time.Millisecond)
		sign = func(ctx context.Context) { _, _ = c.client.Extend(ctx, wait, receipts...) }
		every = max(wait/beatsPerSession, time.Millisecond)
	}
	go b.run(ctx, sign, every, time.Now().Add(c.alive))
	return b
}

func (b *heartbeat) run(ctx context.Context, sign func(context.Context), every time.Duration, until time.Time) {
	defer close(b.done)
	defer b.cancel()
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-t.C:
		}
		if time.Now().After(until) {
			return
		}
		try, cancel := context.WithTimeout(ctx, every)
		sign(try)
		cancel()
	}
}

// end stops the heartbeat and waits until no beat is running. It aborts a running beat when ctx ends. A nil heartbeat
// has ended.
func (b *heartbeat) end(ctx context.Context) {
	if b == nil {
		return
	}
	select {
	case <-b.stop:
	default:
		close(b.stop)
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		b.cancel()
		<-b.done
	}
}
