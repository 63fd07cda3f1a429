package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"ottla/protocol"
)

// ConsumerConfig says what a Consumer reads. Zero fields mean the server's
// defaults.
type ConsumerConfig struct {
	Cluster    string
	Group      string   // required: OpenStream and Fetch read without a group, and leave nothing behind
	Topics     []string // required
	AutoCreate bool     // create topics that do not exist; else polls fail with topic_not_found
	ConsumerID int64    // 0: the server assigns one
	From       string   // where a new group starts: "earliest", "latest" or a timestamp in milliseconds
	MaxRecords int      // of a batch
	MaxBytes   int      // of a batch

	// Wait is how long one request waits for records. Poll then sends the next
	// request.
	Wait time.Duration

	// SessionTimeout is how long the group keeps the consumer's partitions without
	// a poll. While a batch is processed, the consumer renews its lease in the
	// background, three times per session. Zero means 10 s, the server's
	// default.
	SessionTimeout time.Duration

	// MaxProcessing is how long a batch may take, from one Poll to the next.
	// After that the lease is not renewed any more, so that others can take over
	// from a consumer that hangs. Default 5 minutes.
	MaxProcessing time.Duration

	// Retry, unless nil, is asked before a poll that failed with err is repeated;
	// false makes err the result of the poll. It must not block.
	Retry func(err error) bool

	// OutOfRange, unless nil, is called for each partition that a poll tells of because
	// its records were removed before they were read, while others are delivered. It
	// must not block.
	OutOfRange func(protocol.Gap)

	RetryBackoff time.Duration // before the first retry, then doubled, to 50 times as much; default 20 ms
}

// Consumer reads topics as a member of a group, at least once: what a poll
// returned counts as processed when the next poll is made. Only one goroutine
// may use it at a time.
//
// It waits and retries after temporary failures, such as a restart of the server.
// When members join or leave, a consumer continues with the partitions that it
// has then. Records of partitions that moved before they were committed are
// delivered again, to the new owner.
type Consumer struct {
	client *Client
	poll   PollRequest
	first  time.Duration // backoff
	alive  time.Duration // longest processing of a batch
	retry  func(error) bool
	gap    func(protocol.Gap)
	beat   *heartbeat // nil: no batch is being processed

	// Of the batch that was returned last; empty once it is committed.
	cursor string            // the position after it
	places []PartitionOffset // the same by partition, in case the cursor is not accepted any more

	// Of a batch of a queue.
	receipts []string
	ackWait  time.Duration // until the first of their deadlines

	once   sync.Once
	closed bool
}

// check refuses values that no server accepts, or that would make polls spin.
func (c *ConsumerConfig) check() error {
	for _, n := range []int64{
		c.ConsumerID, int64(c.MaxRecords), int64(c.MaxBytes), int64(c.Wait), int64(c.SessionTimeout),
		int64(c.MaxProcessing), int64(c.RetryBackoff),
	} {
		if n < 0 {
			return errors.New("client: a consumer's configuration must not be negative")
		}
	}
	if c.SessionTimeout != 0 && c.SessionTimeout < time.Millisecond {
		return fmt.Errorf("client: session timeout: %s is less than a millisecond", c.SessionTimeout)
	}
	if c.RetryBackoff > maxFirstBackoff {
		return fmt.Errorf("client: retry backoff: %s is more than %s", c.RetryBackoff, maxFirstBackoff)
	}
	return nil
}

// NewConsumer makes a consumer, which joins its group with the first poll. It must
// be closed, or the other members wait for the end of its session.
func (c *Client) NewConsumer(cfg ConsumerConfig) (*Consumer, error) {
	if len(cfg.Topics) == 0 {
		return nil, errors.New("client: a consumer needs a topic")
	}
	if cfg.Group == "" {
		return nil, errors.New("client: a consumer needs a group; OpenStream follows a topic without one")
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	orDefault(&cfg.RetryBackoff, defaultBackoff)
	orDefault(&cfg.MaxProcessing, defaultMaxProcessing)
	return &Consumer{client: c, first: cfg.RetryBackoff, alive: cfg.MaxProcessing, retry: cfg.Retry, gap: cfg.OutOfRange, poll: PollRequest{
		Cluster: cfg.Cluster, Group: cfg.Group, ConsumerID: cfg.ConsumerID, Topics: slices.Clone(cfg.Topics), From: cfg.From,
		AutoCreate: cfg.AutoCreate, MaxRecords: cfg.MaxRecords, MaxBytes: cfg.MaxBytes, Wait: cfg.Wait, SessionTimeout: cfg.SessionTimeout,
	}}, nil
}

// ID is the consumer's id, 0 until the server has assigned one.
func (c *Consumer) ID() int64 { return c.poll.ConsumerID }

// Poll commits what the previous poll returned, then waits for records. It returns
// at least one record, the error of ctx, or an error that does not pass by
// waiting.
func (c *Consumer) Poll(ctx context.Context) ([]Message, error) {
	for {
		if batch, err := c.TryPoll(ctx, 0); err != nil || len(batch) > 0 {
			return batch, err
		}
	}
}

// TryPoll is Poll, except that it returns no records if there were none for Wait,
// and at most limit records unless limit is 0.
func (c *Consumer) TryPoll(ctx context.Context, limit int) ([]Message, error) {
	c.beat.end(ctx)
	for tries := 0; ; {
		if c.closed {
			return nil, ErrClosed
		}
		if err := c.ackBatch(ctx); err != nil {
			return nil, err
		}
		c.poll.Ack = c.cursor
		request := c.poll
		if limit > 0 && (request.MaxRecords == 0 || limit < request.MaxRecords) {
			request.MaxRecords = limit
		}
		reply, err := c.ask(ctx, request)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err == nil:
			tries = 0
			c.took(reply)
			for _, gap := range reply.OutOfRange {
				if c.gap != nil {
					c.gap(gap)
				}
			}
			if len(reply.Messages) > 0 {
				c.beat = c.startHeartbeat()
				return reply.Messages, nil
			}
			if reply.TimedOut {
				return nil, nil
			}
			// A rebalance, or another poll under the same id. Two such polls must not
			// end each other without a pause.
		case lostPlace(err):
			// The group has continued without this consumer; the next poll starts at
			// the committed offsets.
			if _, retry := c.salvage(ctx, err); retry == nil {
				c.forget()
			}
		case !Retriable(err) || c.retry != nil && !c.retry(err):
			return nil, fmt.Errorf("poll %s: %w", strings.Join(c.poll.Topics, ", "), err)
		}
		if err := sleep(ctx, c.backoff(tries)); err != nil {
			return nil, err
		}
		tries++
	}
}

// took remembers what a poll returned.
func (c *Consumer) took(reply *PollReply) {
	c.poll.ConsumerID, c.poll.Group = reply.ConsumerID, cmp.Or(reply.Group, c.poll.Group)
	c.cursor, c.places = reply.Cursor, c.places[:0]
	c.receipts = nil
	for i := range reply.Messages {
		m := &reply.Messages[i]
		if m.Delivery != nil {
			if wait := time.Until(m.Delivery.Deadline); len(c.receipts) == 0 || wait < c.ackWait {
				c.ackWait = wait
			}
			c.receipts = append(c.receipts, m.Delivery.Receipt)
		}
		at := slices.IndexFunc(c.places, func(o PartitionOffset) bool { return o.Partition == m.Partition && o.Topic == m.Topic })
		if at < 0 {
			at = len(c.places)
			c.places = append(c.places, PartitionOffset{Topic: m.Topic, Partition: m.Partition})
		}
		c.places[at].Offset = m.Offset + 1
	}
}

// Discard drops the last batch without committing it, because it was not
// processed. Records of a queue are given back.
func (c *Consumer) Discard(ctx context.Context) {
	c.beat.end(ctx)
	c.returnBatch(ctx)
	c.forget()
}

// forget drops the last batch, which is committed or is not to be.
func (c *Consumer) forget() { c.cursor, c.places = "", c.places[:0] }

// lostPlace reports whether the server does not accept the cursor any more.
func lostPlace(err error) bool {
	return HasCode(err, protocol.CodeStaleGeneration) || HasCode(err, protocol.CodeForeignCursor)
}

// salvage commits the last batch on those of its partitions that the consumer
// still owns, after the error why said that its cursor is of an older generation.
// moved is the error for partitions that it does not own; their records are
// delivered again, to the new owner. retry is a temporary failure.
func (c *Consumer) salvage(ctx context.Context, why error) (moved, retry error) {
	if !HasCode(why, protocol.CodeStaleGeneration) {
		return why, nil // another group has the name now
	}
	for _, o := range c.places {
		try, cancel := context.WithTimeout(ctx, defaultRequestTimeout)
		err := c.client.CommitOffsets(try, c.poll.Cluster, c.poll.Group, c.poll.ConsumerID, []PartitionOffset{o})
		cancel()
		switch {
		case err == nil:
		case Retriable(err) || ctx.Err() != nil:
			return moved, err
		default:
			moved = err
		}
	}
	return moved, nil
}

// Run polls and calls process with each batch until ctx ends or process fails. It
// returns the reason; a batch that was not processed is not committed.
func (c *Consumer) Run(ctx context.Context, process func(context.Context, []Message) error) error {
	for {
		batch, err := c.Poll(ctx)
		if err != nil {
			return err
		}
		if err := process(ctx, batch); err != nil {
			c.Discard(ctx)
			return err
		}
	}
}

// Commit commits what the last poll returned, without asking for more.
func (c *Consumer) Commit(ctx context.Context) error {
	c.beat.end(ctx)
	if len(c.places) == 0 {
		return nil
	}
	if err := c.commit(ctx); err != nil {
		return err
	}
	c.forget()
	return nil
}

// Close commits what the last poll returned and leaves the group. After a failed Run
// nothing is committed.
func (c *Consumer) Close(ctx context.Context) error {
	var err error
	c.once.Do(func() {
		c.closed = true
		c.beat.end(ctx)
		if c.poll.ConsumerID == 0 {
			return // never joined
		}
		if len(c.places) > 0 {
			err = c.commit(ctx)
		}
		err = errors.Join(err, c.leave(ctx))
	})
	return err
}

// commit sends a poll that returns as little as possible.
func (c *Consumer) commit(ctx context.Context) error {
	if len(c.receipts) > 0 {
		return c.ackBatch(ctx)
	}
	last := c.poll
	last.Ack, last.Wait, last.MaxRecords, last.MaxBytes = c.cursor, -1, 1, 1
	for tries := 0; ; tries++ {
		_, err := c.ask(ctx, last)
		if lostPlace(err) {
			var moved error
			if moved, err = c.salvage(ctx, err); moved != nil && err == nil {
				return fmt.Errorf("client: the last batch is not all committed, others will get the rest: %w", moved)
			}
		}
		if err == nil || !Retriable(err) {
			return err
		}
		if err := sleep(ctx, c.backoff(tries)); err != nil {
			return err
		}
	}
}

// ask polls once. It gives up some time after the answer was due, so that a new
// connection can be tried.
func (c *Consumer) ask(ctx context.Context, p PollRequest) (*PollReply, error) {
	limit := defaultRequestTimeout + max(p.Wait, 0)
	try, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return c.client.Poll(try, p)
}

// leave takes no longer than the session, at the end of which the member is
// removed anyway.
func (c *Consumer) leave(ctx context.Context) error {
	try, cancel := context.WithTimeout(ctx, c.session())
	defer cancel()
	err := c.client.LeaveGroup(try, c.poll.Cluster, c.poll.Group, c.poll.ConsumerID)
	if HasCode(err, protocol.CodeConsumerNotFound) || HasCode(err, protocol.CodeGroupNotFound) {
		return nil // its session had ended
	}
	return err
}

func (c *Consumer) session() time.Duration {
	return cmp.Or(c.poll.SessionTimeout, defaultSessionTimeout)
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
