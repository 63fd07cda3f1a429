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

// heartbeat renews a member's lease while it processes a batch. Only polls renew
// leases, so a member would otherwise lose its partitions during a slow batch.
type heartbeat struct {
	stop   chan struct{} // closed: no more beats
	done   chan struct{} // closed: no beat is running any more
	cancel context.CancelFunc
}

// startHeartbeat starts beats; the first is due after a third of the session.
func (c *Consumer) startHeartbeat() *heartbeat {
	ctx, cancel := context.WithCancel(context.Background())
	b := &heartbeat{stop: make(chan struct{}), done: make(chan struct{}), cancel: cancel}
	go b.run(ctx, c.client, c.sign(), c.session()/beatsPerSession, time.Now().Add(c.alive))
	return b
}

// sign is a poll that only renews the lease. It has no cursor, so that it succeeds
// after a rebalance, and it does not wait. It may return one record, which is one
// of the batch that is being processed.
func (c *Consumer) sign() PollRequest {
	p := c.poll
	p.Ack, p.Wait, p.MaxRecords, p.MaxBytes = "", -1, 1, 1
	return p
}

func (b *heartbeat) run(ctx context.Context, c *Client, sign PollRequest, every time.Duration, until time.Time) {
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
		// The next poll reports an error that does not pass.
		_, _ = c.Poll(try, sign)
		cancel()
	}
}

// end stops the heartbeat and waits until no beat is running, because a late one
// would end the next poll. It aborts a running beat when ctx ends. A nil heartbeat
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
