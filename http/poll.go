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

// pollFields are the fields of a poll, which setPollField sets.
var pollFields = []binding{
	{name: "topic", required: true, many: true},
	{name: "cluster"},
	{name: "consumer_id"},
	{name: "group"},
	{name: "max_records"},
	{name: "max_bytes"},
	{name: "timeout_ms"},
	{name: "session_timeout_ms"},
	{name: "auto_commit"},
	{name: "auto_create"},
	{name: "from"},
	{name: "ack"},
	{name: "after"},
}

func setPollField(req *protocol.PollRequest, o *Options, i int, name string, v value) *protocol.Error {
	switch pollFields[i].name {
	case "topic":
		return setNames(&req.Topics, protocol.MaxPollTopics)(name, v)
	case "cluster":
		return setName(&req.Cluster)(name, v)
	case "consumer_id":
		return setInteger(&req.ConsumerID, 1, maxID, atLeast)(name, v)
	case "group":
		return setName(&req.Group)(name, v)
	case "max_records":
		return setInteger(&req.MaxRecords, 1, int64(o.MaxRecords), limited)(name, v)
	case "max_bytes":
		return setInteger(&req.MaxBytes, 1, int64(o.MaxBytes), limited)(name, v)
	case "timeout_ms":
		return setMilliseconds(&req.Timeout, 0, o.MaxTimeout)(name, v)
	case "session_timeout_ms":
		return setMilliseconds(&req.SessionTimeout, time.Millisecond, o.MaxSessionTimeout)(name, v)
	case "auto_commit":
		return setBool(&req.AutoCommit)(name, v)
	case "auto_create":
		return setBool(&req.AutoCreate)(name, v)
	case "from":
		return setFrom(&req.From)(name, v)
	case "ack":
		return setCursor(&req.Ack)(name, v)
	}
	return setCursor(&req.After)(name, v)
}

// decodePoll reads a poll from the body or from the query.
func (q *request) decodePoll() (*protocol.PollRequest, *protocol.Error) {
	o := q.intake.o
	req := &protocol.PollRequest{
		MaxRecords: o.DefaultMaxRecords, MaxBytes: o.DefaultMaxBytes, Timeout: o.DefaultPollTimeout,
		SessionTimeout: o.DefaultSessionTimeout, AutoCommit: true, AutoCreate: o.AutoCreateOnRead,
	}
	set := func(i int, name string, v value) *protocol.Error { return setPollField(req, o, i, name, v) }
	if err := q.bindEither(pollFields, set); err != nil {
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
