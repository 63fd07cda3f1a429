package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"ottla/protocol"
)

// QueueSpec describes a queue. Zero fields mean the server's defaults, and in a change
// what is there.
type QueueSpec struct {
	Cluster         string
	Topics          []string
	AckWait         time.Duration   // how long a worker has for a record
	MaxDeliveries   int             // before a record goes to the dead letters
	Backoff         []time.Duration // after the first nack, the second, ...; not nil and empty: none
	DeadLetterTopic string          // default: the topic's name and ".dead"
	Order           protocol.Order  // protocol.OrderNone or protocol.OrderKey
	MaxInFlight     int
}

// queueBody is what the API takes.
type queueBody struct {
	Mode            string         `json:"mode,omitempty"`
	Cluster         string         `json:"cluster,omitempty"`
	Topics          []string       `json:"topics,omitempty"`
	AckWaitMs       int64          `json:"ack_wait_ms,omitempty"`
	MaxDeliveries   int            `json:"max_deliveries,omitempty"`
	BackoffMs       *[]int64       `json:"backoff_ms,omitempty"`
	DeadLetterTopic string         `json:"dead_letter_topic,omitempty"`
	Order           protocol.Order `json:"order,omitempty"`
	MaxInFlight     int            `json:"max_in_flight,omitempty"`
}

func (s *QueueSpec) body(mode string) queueBody {
	b := queueBody{
		Mode: mode, Cluster: s.Cluster, Topics: s.Topics, AckWaitMs: s.AckWait.Milliseconds(), MaxDeliveries: s.MaxDeliveries,
		DeadLetterTopic: s.DeadLetterTopic, Order: s.Order, MaxInFlight: s.MaxInFlight,
	}
	if s.Backoff != nil {
		list := make([]int64, len(s.Backoff))
		for i, d := range s.Backoff {
			list[i] = d.Milliseconds()
		}
		b.BackoffMs = &list
	}
	return b
}

// PutQueue makes a group a queue, or returns the existing one if it has the same
// settings. A [Consumer] of the group is a worker of the queue then: it acknowledges
// the records of a batch when it polls again.
func (c *Client) PutQueue(ctx context.Context, group string, spec QueueSpec) (*protocol.GroupInfo, error) {
	info := &protocol.GroupInfo{}
	return info, c.call(ctx, http.MethodPut, "/groups/"+url.PathEscape(group), nil, spec.body(protocol.ModeQueue), info)
}

// AlterQueue changes the settings of a queue.
func (c *Client) AlterQueue(ctx context.Context, group string, spec QueueSpec) (*protocol.GroupInfo, error) {
	info := &protocol.GroupInfo{}
	return info, c.call(ctx, http.MethodPatch, "/groups/"+url.PathEscape(group), nil, spec.body(""), info)
}

// Delivery is what a record of a queue has with it: it is with this worker until the
// deadline.
type Delivery struct {
	Receipt  string
	Count    int // how often the record was given, this time included
	Deadline time.Time
}

// Ack ends the records of these receipts: they are never given to the queue again. It
// returns how many receipts that went for. Errors: stale_receipt, if it goes for none
// because all were given again or are ended otherwise.
func (c *Client) Ack(ctx context.Context, receipts ...string) (int, error) {
	return c.say(ctx, protocol.VerbAck, sayBody{Receipts: receipts})
}

// NackOptions say what becomes of records that are given back.
type NackOptions struct {
	Delay  *time.Duration // until they are given again; nil: by the queue's settings
	Reason string         // at most 1,024 characters
	Dead   bool           // they go to the dead letters
}

// Nack gives records back. It returns as Ack does.
func (c *Client) Nack(ctx context.Context, o NackOptions, receipts ...string) (int, error) {
	body := sayBody{Receipts: receipts, Reason: o.Reason, Dead: o.Dead}
	if o.Delay != nil {
		ms := o.Delay.Milliseconds()
		body.DelayMs = &ms
	}
	return c.say(ctx, protocol.VerbNack, body)
}

// Extend moves the deadlines of records to so long from now on. It returns as Ack does.
func (c *Client) Extend(ctx context.Context, ackWait time.Duration, receipts ...string) (int, error) {
	return c.say(ctx, protocol.VerbExtend, sayBody{Receipts: receipts, AckWaitMs: ackWait.Milliseconds()})
}

type sayBody struct {
	Receipts  []string `json:"receipts"`
	DelayMs   *int64   `json:"delay_ms,omitempty"`
	Reason    string   `json:"reason,omitempty"`
	Dead      bool     `json:"dead,omitempty"`
	AckWaitMs int64    `json:"ack_wait_ms,omitempty"`
}

func (c *Client) say(ctx context.Context, verb string, body sayBody) (int, error) {
	var reply struct{ Count int }
	err := c.call(ctx, http.MethodPost, "/events/"+verb, nil, body, &reply)
	return reply.Count, err
}

// ackBatch acknowledges the records of the last batch, if it is of a queue. Those that
// were given to others meanwhile are not this consumer's any more.
func (c *Consumer) ackBatch(ctx context.Context) error {
	for tries := 0; len(c.receipts) > 0; tries++ {
		try, cancel := context.WithTimeout(ctx, defaultRequestTimeout)
		_, err := c.client.Ack(try, c.receipts...)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil, HasCode(err, protocol.CodeStaleReceipt):
			c.receipts = nil
			return nil
		case !Retriable(err) || c.retry != nil && !c.retry(err):
			return err
		}
		if err := sleep(ctx, c.backoff(tries)); err != nil {
			return err
		}
	}
	return nil
}

// returnBatch gives the records of the last batch back, if it is of a queue. If that
// fails, they are given again after their deadline.
func (c *Consumer) returnBatch(ctx context.Context) {
	if len(c.receipts) == 0 {
		return
	}
	try, cancel := context.WithTimeout(ctx, defaultRequestTimeout)
	defer cancel()
	_, _ = c.client.Nack(try, NackOptions{}, c.receipts...)
	c.receipts = nil
}
