package http

import (
	"time"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// produce is what a POST /events asks for, whatever the form of its body.
//
// It sees the whole call: it decodes the request, asks the broker and answers.
type produce struct {
	*call
	topic, cluster string
	source         *protocol.Source // of a webhook; nil: none
	batch          bool             // it is answered as a batch
	noAck          bool
	offsets        bool // the answer lists every record's offset
	idempotence    idempotence
	now            int64 // milliseconds since 1970; for records without a timestamp
	deadline       time.Time
}

// postEvents takes one event, a batch, NDJSON or raw bytes.
//
// A write to an internal topic is refused before anything else is checked. So
// every other error gives way to that one when the topic can be seen.
func postEvents(c *call) *protocol.Error {
	err := c.newProduce().answer()
	if err != nil {
		return refusedEvents(c, err)
	}
	return nil
}

// refusedEvents returns the error that answers a produce request that failed with
// err.
func refusedEvents(c *call, err *protocol.Error) *protocol.Error {
	if topic := c.visibleTopic(); protocol.IsInternalTopic(topic) {
		return internalTopic(topic)
	}
	return err
}

func internalTopic(topic string) *protocol.Error {
	return protocol.Errorf(protocol.CodeInternalTopic, "topic %.220q is internal: it can be read, but not written", topic)
}

// newProduce is the produce of this call, which asks for one.
func (c *call) newProduce() *produce {
	c.produced.call = c
	return &c.produced
}

// answer decodes the request, sends its records and answers it.
func (p *produce) answer() *protocol.Error {
	now := p.arrived()
	p.now, p.deadline = p.srv.o.millis(now), now.Add(p.srv.o.RequestTimeout)
	var err *protocol.Error
	switch media := p.media(); {
	case p.route == webhookPath:
		err = p.decodeWebhook()
	case p.source != nil:
		err = p.decodeSource()
	case media == mediaJSON:
		err = p.decodeEvents()
	case media == mediaNDJSON:
		err = p.decodeNDJSON()
	case media == mediaRaw:
		err = p.decodeRaw()
	default:
		err = p.unsupportedMedia()
	}
	if err == nil && protocol.IsInternalTopic(p.topic) {
		err = internalTopic(p.topic)
	}
	if err == nil && p.idempotence.id == "" {
		err = p.decodeIdempotence()
	}
	if err == nil {
		err = p.checkRecords(p.srv.o.MaxRecordBytes)
	}
	if err != nil {
		return err
	}
	if err := p.who.Usage().Produce(len(p.body), now); err != nil {
		return err
	}
	topic, err := p.b.LookupTopic(p.cluster, p.topic, true, p.deadline)
	if err != nil && err.Code == protocol.CodeTopicRestoring && p.idempotence.id != "" {
		topic, err = p.b.RestoringTopic(p.cluster, p.topic, p.idempotence.id)
	}
	if err != nil {
		return err
	}
	if topic.Internal {
		return internalTopic(topic.Name)
	}
	if topic.MaxRecordBytes > 0 && topic.MaxRecordBytes < p.srv.o.MaxRecordBytes {
		if err := p.checkRecords(topic.MaxRecordBytes); err != nil {
			return err
		}
	}
	if err := p.place(topic); err != nil {
		return err
	}
	if p.batch {
		return p.sendBatch(topic)
	}
	return p.sendOne(topic)
}

// checkRecords checks the number and the sizes of the records before any is sent.
func (p *produce) checkRecords(maxBytes int) *protocol.Error {
	if len(p.records) == 0 {
		return protocol.Errorf(protocol.CodeEmptyBatch, "the batch has no records")
	}
	for i := range p.records {
		if r := &p.records[i]; r.size > maxBytes {
			e := protocol.Errorf(protocol.CodeRecordTooLarge, "the record has %d bytes, more than the limit of %d", r.size, maxBytes).
				With("limit", maxBytes)
			if p.batch {
				e = inRecord(e, "record", i)
			}
			return e
		}
		if r := &p.records[i]; r.deliverAt > 0 || r.delayed {
			if err := p.checkDelay(r); err != nil {
				return err
			}
		}
	}
	// Escapes can make the log line of a text much longer than the text.
	if limit := 2 * p.srv.o.MaxBodyBytes; len(p.scratch) > limit {
		return protocol.Errorf(protocol.CodeBatchTooLarge, "the records take more than %d bytes in the log", limit).
			With("limit", limit)
	}
	return nil
}

// checkDelay makes a delay a time, which may not be too far away.
func (p *produce) checkDelay(r *record) *protocol.Error {
	if r.delayed {
		r.deliverAt, r.delayed = p.now+r.deliverAt, false
	}
	if limit := p.now + protocol.MaxDelayMs; r.deliverAt > limit {
		return protocol.Errorf(protocol.CodeNotAllowed, "deliver_at %d is more than 30 days away", r.deliverAt).
			With("field", "deliver_at").With("max", limit)
	}
	return nil
}

// place gives every record a partition: the one that it names, else one by its
// key. Without either the request's id decides, so that a retry goes where the
// first try went, or else round-robin.
func (p *produce) place(topic *protocol.Topic) *protocol.Error {
	of := topic.Partitions
	if p.idempotence.id != "" && len(topic.Earlier) > 0 {
		var err *protocol.Error
		if of, err = p.idempotence.placed(p, topic); err != nil {
			return err
		}
	}
	for i := range p.records {
		r := &p.records[i]
		switch {
		case r.partition >= topic.Partitions:
			e := unknownPartition(int64(r.partition)).With("partitions", topic.Partitions)
			if p.batch {
				e = inRecord(e, "record", i)
			}
			return e
		case r.partition >= 0:
		case string(r.key) != protocol.NullToken:
			r.partition = protocol.PartitionForKey(r.key, of)
		case p.idempotence.id != "":
			r.partition = p.idempotence.place(i, of)
		default:
			r.partition = int(topic.RoundRobin.Next() % uint64(topic.Partitions))
		}
		if r.timestamp < 0 {
			r.timestamp = p.now
		}
	}
	return nil
}

// line appends the record's log line to the lines of its partition.
func (r *record) line(l *protocol.Lines, topic *protocol.Topic) {
	action := protocol.ActionProduce
	if string(r.value) == protocol.NullToken {
		action = protocol.ActionTombstone
	}
	if r.deliverAt > 0 {
		action = string(protocol.AppendDelayed(nil, action, r.deliverAt))
	}
	l.Add(r.timestamp, topic.Name, r.partition, r.key, r.value, action, r.headers)
}

// lineBytes is an upper bound of what line appends, in bytes.
func (r *record) lineBytes(topic *protocol.Topic) int {
	const others = len("2026-11-22 17:16:03.123      TOMBSTONE 65535  \n")
	n := others
	if r.deliverAt > 0 {
		n += len("@253402300799999")
	}
	return n + len(topic.Name) + len(r.key) + len(r.value) + len(r.headers)
}

// sendOne sends the only record and answers with its place.
func (p *produce) sendOne(topic *protocol.Topic) *protocol.Error {
	// What the backend owns takes one allocation, and the line another.
	own := &struct {
		req  protocol.ProduceRequest
		list [1]*protocol.ProduceRequest
		gap  [1]int
	}{}
	rec, req := &p.records[0], &own.req
	req.Waits = p.waits
	own.list[0] = req
	req.Topic, req.Partition, req.NoAck = topic, rec.partition, p.noAck
	req.Lines = protocol.Lines{Buf: make([]byte, 0, rec.lineBytes(topic)), Gaps: own.gap[:0]}
	rec.line(&req.Lines, topic)
	p.idempotence.apply(req)
	p.b.Produce(own.list[:], p.deadline)
	if s := p.client.session; s != nil {
		s.Yield() // records of other clients are committed together with this one
	}
	p.nameLeader(topic, req.Partition)
	if req.Result.Err != nil {
		return req.Result.Err
	}
	if p.noAck {
		p.send(fasthttp.StatusAccepted, appendAccepted(p.out(), topic.Name))
		return nil
	}
	p.send(fasthttp.StatusOK, appendPlace(p.out(), topic.Name, rec, &req.Result))
	return nil
}
