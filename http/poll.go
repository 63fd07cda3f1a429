package http

import (
	"encoding/json"
	"strconv"
	"time"

	"ottla/protocol"
)

// maxCursor is the longest cursor that is decoded, in bytes.
const maxCursor = 1 << 20

// maxID is the largest id that a client may name: JavaScript represents larger
// integers inexactly.
const maxID = 1<<53 - 1

// getEvents is the poll of a group member, or a stream of such polls if the
// Accept header asks for one.
func getEvents(c *call) *protocol.Error {
	req, err := c.decodePoll()
	if err != nil {
		return err
	}
	if err := c.who.Usage().Fetch(c.began); err != nil {
		return err
	}
	if kind := c.wantsStream(); kind != noStream {
		return startStream(c, kind, req)
	}
	release, err := c.park(req.Timeout)
	if err != nil {
		return err
	}
	records := &rendering{}
	req.Room, req.Sink = &c.client.answer, records
	req.Gone = c.client.gone
	return c.await(pending(c, c.b.StartPoll(req, c.srv.done), &req.Watch, records, answerPoll, c.lostPoll(req, records), release), req.Timeout)
}

// decodePoll reads a poll from the body or from the query.
func (q *request) decodePoll() (*protocol.PollRequest, *protocol.Error) {
	o := q.intake.o
	req := &protocol.PollRequest{
		MaxRecords: o.DefaultMaxRecords, MaxBytes: o.DefaultMaxBytes, Timeout: o.DefaultPollTimeout,
		SessionTimeout: o.DefaultSessionTimeout, AutoCommit: true, AutoCreate: o.AutoCreateOnRead,
	}
	fields := []binding{
		{name: "topic", required: true, many: true, set: setNames(&req.Topics, protocol.MaxPollTopics)},
		{name: "cluster", set: setName(&req.Cluster)},
		{name: "consumer_id", set: setInteger(&req.ConsumerID, 1, maxID, atLeast)},
		{name: "group", set: setName(&req.Group)},
		{name: "max_records", set: setInteger(&req.MaxRecords, 1, int64(o.MaxRecords), limited)},
		{name: "max_bytes", set: setInteger(&req.MaxBytes, 1, int64(o.MaxBytes), limited)},
		{name: "timeout_ms", set: setMilliseconds(&req.Timeout, 0, o.MaxTimeout)},
		{name: "session_timeout_ms", set: setMilliseconds(&req.SessionTimeout, time.Millisecond, o.MaxSessionTimeout)},
		{name: "auto_commit", set: setBool(&req.AutoCommit)},
		{name: "auto_create", set: setBool(&req.AutoCreate)},
		{name: "from", set: setFrom(&req.From)},
		{name: "ack", set: setCursor(&req.Ack)},
		{name: "after", set: setCursor(&req.After)},
	}
	if err := q.bindEither(fields); err != nil {
		return nil, err
	}
	switch {
	case req.Ack != "" && req.After != "":
		return nil, invalid("ack", "excludes after")
	case req.AutoCommit && req.Ack != "":
		return nil, invalid("ack", "needs auto_commit=false")
	case req.AutoCommit && req.After != "":
		return nil, invalid("after", "needs auto_commit=false")
	}
	return req, nil
}

// setCursor takes a cursor that an earlier answer gave.
func setCursor(dst *string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		if err := setText(dst)(field, v); err != nil {
			return err
		}
		if *dst == "" || len(*dst) > maxCursor {
			return protocol.Errorf(protocol.CodeInvalidCursor, "%s is not a cursor", field).With("field", field)
		}
		return nil
	}
}

// setFrom takes "earliest", "latest" or a timestamp.
func setFrom(dst *protocol.StartFrom) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		if n, ok := v.integer(); ok {
			if n < 0 || n > maxTimestamp {
				return invalid(field, "must be a timestamp from 0 to %d", int64(maxTimestamp))
			}
			dst.Timestamp = &n
			return nil
		}
		switch s, _ := v.str(); s {
		case "earliest":
		case "latest":
			dst.Latest = true
		default:
			return invalid(field, `must be "earliest", "latest" or a timestamp in milliseconds`)
		}
		return nil
	}
}

// appendPollHead appends the answer to a poll up to its records, and
// appendPollTail what follows them.
func appendPollHead(dst []byte, r *protocol.PollReply) []byte {
	dst = append(dst, `{"consumer_id":`...)
	dst = strconv.AppendInt(dst, int64(r.ConsumerID), 10)
	dst = append(dst, `,"group":`...)
	dst = protocol.AppendJSONString(dst, r.Group)
	dst = append(dst, `,"generation":`...)
	dst = strconv.AppendInt(dst, int64(r.Generation), 10)
	return append(dst, `,"records":[`...)
}

func answerPoll(c *call, records *rendering, r *protocol.PollReply) {
	var b [headRoom]byte
	c.sendRendered(records, appendPollHead(b[:0], r), appendPollTail(nil, r))
}

func appendPollTail(dst []byte, r *protocol.PollReply) []byte {
	dst = append(dst, ']')
	if len(r.Gaps) > 0 {
		if gaps, err := json.Marshal(r.Gaps); err == nil {
			dst = append(append(dst, `,"out_of_range":`...), gaps...)
		}
	}
	dst = append(dst, `,"cursor":`...)
	dst = protocol.AppendJSONString(dst, r.Cursor)
	dst = append(dst, `,"timed_out":`...)
	dst = strconv.AppendBool(dst, r.TimedOut)
	return append(dst, '}')
}
