package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"ottla/protocol"
)

// ConsumerConfig says what a Consumer reads. Zero fields mean the server's
// defaults.
type ConsumerConfig struct {
	Cluster    string
	Group      string   // required
	Topics     []string // required
	ConsumerID int64    // 0: the server assigns one
	From       string   // where a new group starts: "earliest", "latest" or a timestamp in milliseconds
	MaxRecords int      // of a batch
	MaxBytes   int      // of a batch

	// Wait is how long one request waits for records; the consumer then asks
	// again.
	Wait time.Duration

	// SessionTimeout is how long the group waits for the next poll before it
	// gives the consumer's partitions to others; processing a batch must take
	// less.
	SessionTimeout time.Duration

	RetryBackoff time.Duration // before the first retry, then doubled, to 50 times as much; default 20 ms
}

// Consumer reads topics as a member of a group, at least once: what a poll
// returned counts as processed when the next poll is made. Only one goroutine
// may use it at a time.
//
// Failures that pass, a server that restarts among them, are waited out. A
// consumer that lost its partitions in between goes on with those it has then;
// records that it had not finished come again, there or elsewhere.
type Consumer struct {
	client *Client
	poll   PollRequest
	first  time.Duration // backoff
	cursor string        // place after the batch that was returned last

	once   sync.Once
	closed bool
}

// NewConsumer makes a consumer; it joins its group with the first poll. Close
// it, so that the others need not wait for its session to end.
func (c *Client) NewConsumer(cfg ConsumerConfig) (*Consumer, error) {
	if cfg.Group == "" || len(cfg.Topics) == 0 {
		return nil, errors.New("client: a consumer needs a group and a topic")
	}
	orDefault(&cfg.RetryBackoff, defaultBackoff)
	return &Consumer{client: c, first: cfg.RetryBackoff, poll: PollRequest{
		Cluster: cfg.Cluster, Group: cfg.Group, ConsumerID: cfg.ConsumerID, Topics: cfg.Topics, From: cfg.From,
		MaxRecords: cfg.MaxRecords, MaxBytes: cfg.MaxBytes, Wait: cfg.Wait, SessionTimeout: cfg.SessionTimeout,
	}}, nil
}

// ID is the consumer's id, 0 until the server has assigned one.
func (c *Consumer) ID() int64 { return c.poll.ConsumerID }

// Poll commits what the poll before returned, then waits for records: it
// returns at least one, or the error of ctx, or one that waiting does not
// cure.
func (c *Consumer) Poll(ctx context.Context) ([]Message, error) {
	for tries := 0; ; {
		if c.closed {
			return nil, ErrClosed
		}
		c.poll.Ack = c.cursor
		reply, err := c.client.Poll(ctx, c.poll)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err == nil:
			tries = 0
			c.poll.ConsumerID = reply.ConsumerID
			if c.cursor = reply.Cursor; len(reply.Messages) > 0 {
				return reply.Messages, nil
			}
			if reply.TimedOut {
				continue
			}
			// A rebalance, or another poll under the same id: two of those must
			// not chase each other without a pause.
		case lostPlace(err):
			// The group moved on without us; its committed offsets say where.
			c.cursor = ""
		case !retriable(err):
			return nil, fmt.Errorf("poll as group %s: %w", c.poll.Group, err)
		}
		if err := sleep(ctx, c.backoff(tries)); err != nil {
			return nil, err
		}
		tries++
	}
}

// lostPlace reports whether the cursor has become worthless.
func lostPlace(err error) bool {
	return HasCode(err, protocol.CodeStaleGeneration) || HasCode(err, protocol.CodeForeignCursor)
}

// Run polls and hands each batch to process until ctx ends or process fails;
// that batch is then not committed. The reason comes back as the error.
func (c *Consumer) Run(ctx context.Context, process func(context.Context, []Message) error) error {
	for {
		batch, err := c.Poll(ctx)
		if err != nil {
			return err
		}
		if err := process(ctx, batch); err != nil {
			c.cursor = ""
			return err
		}
	}
}

// Close commits what the last poll returned and leaves the group. After a
// failed Run nothing is committed.
func (c *Consumer) Close(ctx context.Context) error {
	var err error
	c.once.Do(func() {
		c.closed = true
		if c.poll.ConsumerID == 0 {
			return // never joined
		}
		if c.cursor != "" {
			err = c.commit(ctx)
		}
		leave := c.client.LeaveGroup(ctx, c.poll.Cluster, c.poll.Group, c.poll.ConsumerID)
		if HasCode(leave, protocol.CodeConsumerNotFound) || HasCode(leave, protocol.CodeGroupNotFound) {
			leave = nil // its session had ended
		}
		err = errors.Join(err, leave)
	})
	return err
}

// commit is a poll that takes as little as a poll can.
func (c *Consumer) commit(ctx context.Context) error {
	last := c.poll
	last.Ack, last.Wait, last.MaxRecords = c.cursor, -1, 1
	for tries := 0; ; tries++ {
		_, err := c.client.Poll(ctx, last)
		switch {
		case err == nil:
			return nil
		case lostPlace(err):
			return fmt.Errorf("client: the last batch is not committed, others will get it: %w", err)
		case !retriable(err):
			return err
		}
		if err := sleep(ctx, c.backoff(tries)); err != nil {
			return err
		}
	}
}

func (c *Consumer) backoff(tries int) time.Duration {
	pause := min(c.first<<min(tries, 6), maxBackoff*c.first)
	return pause/2 + rand.N(pause/2+1)
}

// sleep waits, or returns the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
