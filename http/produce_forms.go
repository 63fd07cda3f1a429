package http

import (
	"bytes"

	"ottla/protocol"
)

// query reads the query: the parameters that all forms have, and more.
func (p *produce) query(more ...binding) *protocol.Error {
	if len(more) == 0 && len(p.ctx.URI().QueryString()) == 0 {
		return nil
	}
	return p.bindQuery(append(more,
		binding{name: "offsets", set: setBool(&p.offsets)},
		binding{name: "acks", set: func(field string, v value) *protocol.Error {
			switch string(v.text) {
			case "all":
			case "none":
				p.noAck = true
			default:
				return invalid(field, "must be all or none")
			}
			return nil
		}})...)
}

// decodeRaw takes the body as one record's value, byte for byte.
func (p *produce) decodeRaw() *protocol.Error {
	rec := noRecord
	var key *string
	var delay int64
	err := p.query(
		binding{name: "topic", required: true, set: setName(&p.topic)},
		binding{name: "cluster", set: setName(&p.cluster)},
		binding{name: "key", set: setOptionalText(&key)},
		binding{name: "timestamp", set: setInteger(&rec.timestamp, 0, maxTimestamp, atLeast)},
		binding{name: "deliver_at", set: setInteger(&rec.deliverAt, 0, maxTimestamp, atLeast)},
		binding{name: "delay_ms", set: func(field string, v value) *protocol.Error {
			rec.delayed = true
			return setInteger(&delay, 0, protocol.MaxDelayMs, permitted)(field, v)
		}},
		binding{name: "partition", set: func(_ string, v value) (err *protocol.Error) {
			rec.partition, err = decodePartition(v)
			return err
		}})
	if err != nil {
		return err
	}
	if rec.delayed {
		if rec.deliverAt != 0 {
			return invalid("delay_ms", "excludes deliver_at")
		}
		rec.deliverAt = delay
	}
	if key != nil {
		start := len(p.scratch)
		p.scratch = protocol.AppendJSONString(p.scratch, *key)
		rec.key = p.scratch[start:len(p.scratch):len(p.scratch)]
		rec.size += len(rec.key)
	}
	rec.size += len(p.body)
	if rec.size <= p.srv.o.MaxRecordBytes {
		rec.value = p.rawToken(p.body)
	}
	p.records = append(p.records, rec)
	return nil
}

// decodeNDJSON decodes a record from every line that is not blank.
func (p *produce) decodeNDJSON() *protocol.Error {
	p.batch = true
	err := p.query(
		binding{name: "topic", required: true, set: setName(&p.topic)},
		binding{name: "cluster", set: setName(&p.cluster)})
	if err != nil {
		return err
	}
	unread := p.body
	for n := 1; len(unread) > 0; n++ {
		var line []byte
		line, unread, _ = bytes.Cut(unread, []byte("\n"))
		r := protocol.NewJSONReader(line)
		if r.Kind() == 0 && r.End() == nil {
			continue
		}
		if err := p.decodeRecord(&r); err != nil {
			return inRecord(err, "line", n)
		}
		if err := r.End(); err != nil {
			return inRecord(p.recordSyntaxError("the line", err), "line", n)
		}
	}
	return nil
}
