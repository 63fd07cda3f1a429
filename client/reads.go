package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"ottla/protocol"
)

// FetchOptions are the options of Fetch. Zero fields mean the server's defaults.
type FetchOptions struct {
	Cluster    string    // needed where several clusters have the topic
	Offset     int64     // of the first record
	Since      time.Time // instead of Offset: start at the first record not before that time
	MaxRecords int
	MaxBytes   int           // at least one record is returned even if it is larger
	Wait       time.Duration // how long to wait for a first record; 0: not at all
}

// FetchReply is what Fetch returns.
type FetchReply struct {
	Messages      []Message
	NextOffset    int64 // from which to continue
	HighWatermark int64 // offset after the last committed record
	Earliest      int64 // oldest offset still kept
}

// Fetch reads a partition from a given offset or time, without a group.
func (c *Client) Fetch(ctx context.Context, topic string, partition int, o FetchOptions) (*FetchReply, error) {
	q := url.Values{}
	setQuery(q, "cluster", o.Cluster)
	if o.Since.IsZero() {
		q.Set("offset", strconv.FormatInt(o.Offset, 10))
	} else {
		q.Set("timestamp", strconv.FormatInt(o.Since.UnixMilli(), 10))
	}
	setInt(q, "max_records", int64(o.MaxRecords))
	setInt(q, "max_bytes", int64(o.MaxBytes))
	setInt(q, "timeout_ms", o.Wait.Milliseconds())
	body, err := c.send(ctx, &request{
		method: http.MethodGet, path: fmt.Sprintf("/topic/%s/partitions/%d/records", url.PathEscape(topic), partition), query: q,
	}, nil)
	if err != nil {
		return nil, err
	}
	reply := &FetchReply{}
	d := decoder{r: protocol.NewJSONReader(body)}
	for d.r.Object(); d.r.Field(); {
		switch string(d.r.Key) {
		case "records":
			reply.Messages = d.messages(o.MaxRecords, len(body))
		case "next_offset":
			reply.NextOffset = d.int64("next_offset")
		case "high_watermark":
			reply.HighWatermark = d.int64("high_watermark")
		case "earliest":
			reply.Earliest = d.int64("earliest")
		default:
			d.r.Value()
		}
	}
	return reply, d.end()
}

// PollRequest is one poll of a member of a group. Zero fields mean the server's
// defaults.
type PollRequest struct {
	Cluster        string
	Group          string // default "consumer-<id>"
	ConsumerID     int64  // 0: the server assigns one
	Topics         []string
	MaxRecords     int
	MaxBytes       int
	Wait           time.Duration // how long to wait for a first record; negative: not at all
	SessionTimeout time.Duration
	From           string // "earliest" (default), "latest" or a timestamp in milliseconds
	AutoCreate     bool   // create the topics that do not exist, instead of failing with topic_not_found
	AutoCommit     bool   // commit the returned records before they are returned: at most once
	Ack            string // cursor to commit first; not with AutoCommit
	After          string // cursor to read on from without committing; not with AutoCommit
}

// PollReply is the answer to a poll.
type PollReply struct {
	ConsumerID int64
	Group      string
	Generation int64
	Messages   []Message
	Cursor     string // the position after Messages, for Ack or After
	TimedOut   bool

	// OutOfRange are partitions of which nothing is delivered, because their records
	// were removed before they were read; seek or commit to go on. If there is nothing
	// else to deliver, the poll fails with offset_out_of_range instead.
	OutOfRange []protocol.Gap
}

// Poll sends one poll. [Consumer] is a loop around it.
func (c *Client) Poll(ctx context.Context, p PollRequest) (*PollReply, error) {
	body, err := c.send(ctx, &request{method: http.MethodGet, path: "/events", query: p.query()}, nil)
	if err != nil {
		return nil, err
	}
	reply := &PollReply{}
	d := decoder{r: protocol.NewJSONReader(body)}
	for d.r.Object(); d.r.Field(); {
		switch string(d.r.Key) {
		case "consumer_id":
			reply.ConsumerID = d.int64("consumer_id")
		case "group":
			reply.Group = d.text("group", p.Group)
		case "generation":
			reply.Generation = d.int64("generation")
		case "records":
			reply.Messages = d.messages(p.MaxRecords, len(body))
		case "cursor":
			reply.Cursor = d.text("cursor", "")
		case "out_of_range":
			if v, ok := d.r.Value(); ok {
				if err := json.Unmarshal(v.Raw, &reply.OutOfRange); err != nil {
					return nil, fmt.Errorf("%w: out_of_range: %w", ErrGarbled, err)
				}
			}
		case "timed_out":
			reply.TimedOut = d.bool("timed_out")
		default:
			d.r.Value()
		}
	}
	return reply, d.end()
}

func (p *PollRequest) query() url.Values {
	q := url.Values{"topic": p.Topics, "auto_commit": {strconv.FormatBool(p.AutoCommit)}}
	setQuery(q, "cluster", p.Cluster)
	setQuery(q, "group", p.Group)
	setQuery(q, "from", p.From)
	setQuery(q, "ack", p.Ack)
	setQuery(q, "after", p.After)
	setInt(q, "consumer_id", p.ConsumerID)
	setInt(q, "max_records", int64(p.MaxRecords))
	setInt(q, "max_bytes", int64(p.MaxBytes))
	setInt(q, "session_timeout_ms", p.SessionTimeout.Milliseconds())
	setInt(q, "timeout_ms", p.Wait.Milliseconds())
	if p.AutoCreate {
		q.Set("auto_create", "true")
	}
	if p.Wait < 0 {
		q.Set("timeout_ms", "0")
	}
	return q
}

func setQuery(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func setInt(q url.Values, name string, value int64) {
	if value != 0 {
		q.Set(name, strconv.FormatInt(value, 10))
	}
}
