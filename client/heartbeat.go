package client

import (
	"context"
	"time"
)

const (
	defaultMaxProcessing  = 5 * time.Minute
	defaultSessionTimeout = 10 * time.Second // the server's

	// beatsPerSession leaves room for one that gets lost.
	beatsPerSession = 3
)

// heartbeat keeps a member's lease while it processes a batch: a lease is
// renewed by polls, and a slow batch would lose its partitions.
type heartbeat struct {
	stop   chan struct{} // closed: no more beats
	done   chan struct{} // closed: none is under way
	cancel context.CancelFunc
}

// startHeartbeat begins with the first third of the session.
func (c *Consumer) startHeartbeat() *heartbeat {
	ctx, cancel := context.WithCancel(context.Background())
	b := &heartbeat{stop: make(chan struct{}), done: make(chan struct{}), cancel: cancel}
	go b.run(ctx, c.client, c.sign(), c.session()/beatsPerSession, time.Now().Add(c.alive))
	return b
}

// sign is a poll that only renews the lease. It carries no cursor, so that a
// rebalance does not matter to it, and it does not wait; the one record that
// it may return is one of the batch that is being processed.
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
		// An error that does not pass shows at the next poll.
		_, _ = c.Poll(try, sign)
		cancel()
	}
}

// end waits until no beat is under way, because a late one would end the poll
// that comes next. It is cut short when ctx ends. A nil heartbeat has ended.
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
