package http

import (
	"strconv"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// Paths of what workers say of their deliveries.
const (
	ackPath    = "/events/ack"
	nackPath   = "/events/nack"
	extendPath = "/events/extend"
)

// queueSettings are the fields that PUT and PATCH of a queue share.
func queueSettings(spec *protocol.QueueSpec) []binding {
	return []binding{
		{name: "cluster", set: setName(&spec.Cluster)},
		{name: "ack_wait_ms", set: setOptionalInteger(&spec.AckWaitMs, 1, protocol.MaxAckWaitMs, permitted)},
		{name: "max_deliveries", set: setOptionalInteger(&spec.MaxDeliveries, 1, protocol.MaxDeliveries, permitted)},
		{name: "backoff_ms", set: setBackoff(&spec.BackoffMs)},
		{name: "dead_letter_topic", set: setDeadLetters(&spec.DeadLetterTopic)},
		{name: "order", set: setOrder(&spec.Order)},
		{name: "max_in_flight", set: setOptionalInteger(&spec.MaxInFlight, 1, protocol.MaxInFlight, permitted)},
	}
}

// setOrder takes the order in which a queue gives out records.
func setOrder(dst **protocol.Order) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		var word *string
		err := setOneOf(&word, string(protocol.OrderNone), string(protocol.OrderKey))(field, v)
		if err == nil {
			order := protocol.Order(*word)
			*dst = &order
		}
		return err
	}
}

// queueOf reads a queue to create or to change.
func (q *request) queueOf(created bool) (*protocol.QueueSpec, *protocol.Error) {
	cluster, group, err := q.groupOf()
	if err != nil {
		return nil, err
	}
	spec, mode := &protocol.QueueSpec{Cluster: cluster, Group: group}, new(string)
	err = q.bindRequired(append(queueSettings(spec),
		binding{name: "mode", required: created, set: setOneOf(&mode, protocol.ModeQueue)},
		binding{name: "topics", required: created, set: setQueueTopics(&spec.Topics)},
	))
	if err == nil && cluster != "" && spec.Cluster != cluster {
		err = protocol.Errorf(protocol.CodeNotAllowed, "cluster is another one in the query").With("field", "cluster")
	}
	return spec, err
}

// putQueue makes a group a queue.
func putQueue(c *call) *protocol.Error {
	spec, err := c.queueOf(true)
	if err != nil {
		return err
	}
	ctx, cancel := c.timeout()
	defer cancel()
	info, created, err := c.b.PutQueue(ctx, spec, false)
	if err != nil {
		return err
	}
	fillGroup(info)
	return c.sendCreated(created, info)
}

// patchQueue changes a queue.
func patchQueue(c *call) *protocol.Error {
	spec, err := c.queueOf(false)
	if err != nil {
		return err
	}
	ctx, cancel := c.timeout()
	defer cancel()
	info, _, err := c.b.PutQueue(ctx, spec, true)
	if err != nil {
		return err
	}
	fillGroup(info)
	return c.sendJSON(fasthttp.StatusOK, info)
}

// setQueueTopics takes one name or an array of names.
func setQueueTopics(dst *[]string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		if err := setNames(dst, 0)(field, v); err != nil {
			return err
		}
		if len(*dst) > protocol.MaxQueueTopics {
			return protocol.Errorf(protocol.CodeNotAllowed, "%s has more than %d names", field, protocol.MaxQueueTopics).
				With("field", field).With("limit", protocol.MaxQueueTopics)
		}
		return nil
	}
}

// setBackoff takes an array of milliseconds.
func setBackoff(dst *[]int64) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		if v.json.Raw[0] != '[' {
			return v.wrong(field, "an array of integers")
		}
		list := []int64{}
		r := protocol.NewJSONReader(v.json.Raw)
		for r.Array(); r.Element(); {
			item, _ := r.Value()
			if len(list) == protocol.MaxBackoffs {
				return protocol.Errorf(protocol.CodeNotAllowed, "%s has more than %d times", field, protocol.MaxBackoffs).
					With("field", field).With("limit", protocol.MaxBackoffs)
			}
			var ms int64
			if err := setInteger(&ms, 0, protocol.MaxDelayMs, permitted)(field, value{json: item}); err != nil {
				return err
			}
			list = append(list, ms)
		}
		*dst = list
		return nil
	}
}

// setDeadLetters takes the name of a topic, or null for the one that is made of the
// topic's name.
func setDeadLetters(dst **string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		*dst = new(string)
		if string(v.json.Raw) == "null" {
			return nil
		}
		return setName(*dst)(field, v)
	}
}

func postAck(c *call) *protocol.Error {
	return sayDeliveries(c, &protocol.DeliveryRequest{Verb: protocol.VerbAck}, nil)
}

func postNack(c *call) *protocol.Error {
	req := &protocol.DeliveryRequest{Verb: protocol.VerbNack}
	return sayDeliveries(c, req, []binding{
		{name: "delay_ms", set: setOptionalInteger(&req.DelayMs, 0, protocol.MaxDelayMs, permitted)},
		{name: "reason", set: setReason(&req.Reason)},
		{name: "dead", set: setBool(&req.Dead)},
	})
}

func postExtend(c *call) *protocol.Error {
	req := &protocol.DeliveryRequest{Verb: protocol.VerbExtend}
	return sayDeliveries(c, req, []binding{
		{name: "ack_wait_ms", required: true, set: setInteger(&req.AckWaitMs, 1, protocol.MaxAckWaitMs, permitted)},
	})
}

func setReason(dst *string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		if err := setText(dst)(field, v); err != nil {
			return err
		}
		if v.json.HalfSurrogate() {
			return halfSurrogate(field)
		}
		if n := utf8.RuneCountInString(*dst); n > protocol.MaxReason {
			return protocol.Errorf(protocol.CodeNotAllowed, "%s has %d characters, more than %d", field, n, protocol.MaxReason).
				With("field", field).With("limit", protocol.MaxReason)
		}
		return nil
	}
}

// setReceipts takes an array of receipts.
func setReceipts(limit int, dst *[]string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		if v.json.Raw[0] != '[' {
			return v.wrong(field, "an array of strings")
		}
		r := protocol.NewJSONReader(v.json.Raw)
		for r.Array(); r.Element(); {
			item, _ := r.Value()
			if len(*dst) == limit {
				return protocol.Errorf(protocol.CodeBatchTooLarge, "%s has more than %d", field, limit).With("limit", limit)
			}
			var one string
			if err := setText(&one)(field, value{json: item}); err != nil {
				return err
			}
			*dst = append(*dst, one)
		}
		return nil
	}
}

// sayDeliveries reads what a worker says of its deliveries, does it, and answers for
// each receipt.
func sayDeliveries(c *call, req *protocol.DeliveryRequest, more []binding) *protocol.Error {
	if err := c.bindBody(append(more, binding{name: "receipts", required: true, set: setReceipts(c.srv.o.MaxBatchRecords, &req.Receipts)})...); err != nil {
		return err
	}
	if len(req.Receipts) == 0 {
		return protocol.Errorf(protocol.CodeEmptyBatch, "receipts is empty").With("field", "receipts")
	}
	ctx, cancel := c.timeout()
	defer cancel()
	errs := c.b.SayDeliveries(ctx, req)
	failed, same := 0, true
	for _, err := range errs {
		if err != nil {
			failed++
		}
		same = same && err != nil && errs[0] != nil && err.Code == errs[0].Code && err.Outcome == errs[0].Outcome
	}
	if same {
		return errs[0]
	}
	dst := append(c.out(), `{"count":`...)
	dst = strconv.AppendInt(dst, int64(len(errs)-failed), 10)
	if failed == 0 {
		c.send(fasthttp.StatusOK, append(dst, '}'))
		return nil
	}
	dst = append(dst, `,"results":[`...)
	for i, err := range errs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"receipt":`...)
		dst = protocol.AppendJSONString(dst, req.Receipts[i])
		if err != nil {
			dst = append(dst, `,"error":`...)
			dst = appendError(dst, err, c.requestID())
		}
		dst = append(dst, '}')
	}
	c.send(fasthttp.StatusMultiStatus, append(dst, `]}`...))
	return nil
}
