package http

import (
	"bytes"

	"ottla/protocol"
)

// query takes the parameters that every form has, and more.
func (p *produce) query(c *call, more ...field) *protocol.Error {
	if len(more) == 0 && len(c.ctx.URI().QueryString()) == 0 {
		return nil
	}
	return c.bindQuery(append(more,
		field{name: "offsets", set: boolean(&p.offsets)},
		field{name: "acks", set: func(field string, v value) *protocol.Error {
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

// decodeRaw takes the body as one value, byte for byte.
func (c *call) decodeRaw(p *produce) *protocol.Error {
	rec := noRecord
	var key *string
	err := p.query(c,
		field{name: "topic", required: true, set: name(&p.topic)},
		field{name: "cluster", set: name(&p.cluster)},
		field{name: "key", set: optionalText(&key)},
		field{name: "timestamp", set: integer(&rec.timestamp, 0, maxTimestamp, atLeast)},
		field{name: "partition", set: func(_ string, v value) (err *protocol.Error) {
			rec.partition, err = decodePartition(v)
			return err
		}})
	if err != nil {
		return err
	}
	if key != nil {
		start := len(c.scratch)
		c.scratch = protocol.AppendJSONString(c.scratch, *key)
		rec.key = c.scratch[start:len(c.scratch):len(c.scratch)]
		rec.size += len(rec.key)
	}
	rec.size += len(c.body)
	if rec.size <= c.srv.o.MaxRecordBytes {
		rec.value = c.rawToken(c.body)
	}
	c.records = append(c.records, rec)
	return nil
}

// decodeNDJSON takes a record object from every line that is not blank.
func (c *call) decodeNDJSON(p *produce) *protocol.Error {
	p.batch = true
	err := p.query(c,
		field{name: "topic", required: true, set: name(&p.topic)},
		field{name: "cluster", set: name(&p.cluster)})
	if err != nil {
		return err
	}
	rest := c.body
	for n := 1; len(rest) > 0; n++ {
		var text []byte
		text, rest, _ = bytes.Cut(rest, []byte("\n"))
		r := protocol.NewJSONReader(text)
		if r.Kind() == 0 && r.End() == nil {
			continue
		}
		if err := c.decodeRecord(&r); err != nil {
			return inRecord(err, "line", n)
		}
		if err := r.End(); err != nil {
			return inRecord(syntaxError("the line", err), "line", n)
		}
	}
	return nil
}
