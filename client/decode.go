package client

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"ottla/protocol"
)

// decoder decodes answers that contain records, in one pass.
type decoder struct {
	r     protocol.JSONReader
	topic string // of the previous record, usually that of the next as well
	err   error  // of a value of the wrong type

	begins beginning // of the records before
}

// beginning is what the records of a partition begin with, up to the value of their
// offset, as the server writes them: the topic and the partition. It is empty where they
// began in another way.
type beginning struct {
	text      []byte
	topic     string
	partition int
}

// timestampNext is what follows the offset of a record as the server writes it.
var timestampNext = []byte(`,"timestamp":`)

// fail records an error, unless there was one before.
func (d *decoder) fail(field string, v protocol.JSONValue) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s: unexpected %.50q", ErrGarbled, field, v.Raw)
	}
}

// end returns the first error, after everything was read.
func (d *decoder) end() error {
	if err := d.r.End(); err != nil {
		return fmt.Errorf("%w: %w", ErrGarbled, err)
	}
	return d.err
}

func (d *decoder) int64(field string) int64 {
	if n, ok := d.r.Natural(); ok {
		return n
	}
	v, ok := d.r.Value()
	if !ok {
		return 0
	}
	n, fits, ok := protocol.ParseInteger(v.Raw)
	if !ok || !fits {
		d.fail(field, v)
	}
	return n
}

func (d *decoder) bool(field string) bool {
	v, ok := d.r.Value()
	switch {
	case !ok:
	case string(v.Raw) == "true":
		return true
	case string(v.Raw) != "false":
		d.fail(field, v)
	}
	return false
}

// text decodes a string; it returns old, without allocating, if that is equal.
func (d *decoder) text(field, old string) string {
	v, ok := d.r.Value()
	switch {
	case !ok:
		return ""
	case string(v.Raw) == "null":
		return ""
	case v.Raw[0] != '"':
		d.fail(field, v)
		return ""
	}
	inner := v.Raw[1 : len(v.Raw)-1]
	if bytes.IndexByte(inner, '\\') >= 0 {
		inner, _ = protocol.AppendUnescaped(nil, inner)
	}
	if string(inner) == old {
		return old
	}
	return string(inner)
}

// messages decodes an array of records, which share the memory of the answer: at most
// limit, 0 for usualRecords, of which size bytes are left at most. Both are for room only.
func (d *decoder) messages(limit, size int) []Message {
	if limit <= 0 {
		limit = usualRecords
	}
	var list []Message
	for d.r.Array(); d.r.Element(); {
		if len(list) == 1 { // most are about as long as the first
			list = append(make([]Message, 0, 1+min(limit, size/max(1, len(list[0].raw)))), list[0])
		}
		list = append(list, Message{})
		m, start := &list[len(list)-1], d.r.Mark()
		d.message(m)
		m.raw = d.r.Since(start)
	}
	return list
}

// usualRecords is how many records the server returns at most, unless told otherwise.
const usualRecords = 500

func (d *decoder) message(m *Message) {
	start := d.r.Mark()
	if b := &d.begins; len(b.text) > 0 && d.r.Skip(b.text) {
		m.Topic, m.Partition, m.Offset = b.topic, b.partition, d.int64("offset")
		if d.r.Skip(timestampNext) {
			m.Timestamp = time.UnixMilli(d.int64("timestamp"))
		}
	} else {
		b.text = b.text[:0]
		d.r.Object()
	}
	for fields, usual := 0, 0; d.r.Field(); fields++ {
		switch string(d.r.Key) {
		case "topic":
			d.topic = d.text("topic", d.topic)
			m.Topic = d.topic
			if fields == 0 {
				usual = 1 // field so far
			}
		case "partition":
			m.Partition = int(d.int64("partition"))
			if fields == 1 && usual == 1 {
				usual = 2
			}
		case "offset":
			if fields == 2 && usual == 2 && d.err == nil {
				d.begins = beginning{append(d.begins.text[:0], d.r.Since(start)...), m.Topic, m.Partition}
			}
			m.Offset = d.int64("offset")
		case "timestamp":
			m.Timestamp = time.UnixMilli(d.int64("timestamp"))
		case "key":
			m.Key = d.data(JSON, inRaw)
		case "key_text":
			m.Key = d.data(Text, quotedText)
		case "key_base64":
			m.Key = d.data(Bytes, quotedBytes)
		case "value":
			m.Value = d.data(JSON, inRaw)
		case "value_text":
			m.Value = d.data(Text, quotedText)
		case "value_base64":
			m.Value = d.data(Bytes, quotedBytes)
		case "headers":
			m.Headers = d.headers()
		case "deliver_at":
			m.DeliverAt = time.UnixMilli(d.int64("deliver_at"))
		case "delivery":
			m.Delivery = d.delivery()
		default:
			d.r.Value()
		}
	}
}

func (d *decoder) data(kind Kind, f form) Data {
	v, ok := d.r.Value()
	if !ok || string(v.Raw) == "null" {
		return Data{}
	}
	if f != inRaw && v.Raw[0] != '"' {
		d.fail("record", v)
		return Data{}
	}
	if f == quotedBytes {
		if bytes.IndexByte(v.Raw, '\\') >= 0 { // by a proxy; the server does not escape base64
			text, _ := protocol.AppendUnescaped(nil, v.Raw[1:len(v.Raw)-1])
			v.Raw = protocol.AppendJSONString(nil, text)
		}
		if _, err := base64.StdEncoding.DecodeString(string(v.Raw[1 : len(v.Raw)-1])); err != nil {
			d.fail("record", v)
			return Data{}
		}
	}
	return Data{kind: kind, raw: v.Raw, form: f}
}

func (d *decoder) delivery() *Delivery {
	v := &Delivery{}
	for d.r.Object(); d.r.Field(); {
		switch string(d.r.Key) {
		case "receipt":
			v.Receipt = d.text("receipt", "")
		case "count":
			v.Count = int(d.int64("count"))
		case "deadline":
			v.Deadline = time.UnixMilli(d.int64("deadline"))
		default:
			d.r.Value()
		}
	}
	return v
}

func (d *decoder) headers() map[string]string {
	v, ok := d.r.Value()
	if !ok || string(v.Raw) == "{}" || string(v.Raw) == "null" {
		return nil
	}
	var h map[string]string
	if v.Raw[0] == '[' {
		return d.headerList(v)
	}
	if err := json.Unmarshal(v.Raw, &h); err != nil {
		d.fail("headers", v)
	}
	return h
}

// headerList reads headers as Kafka clients may send them: names may come several
// times, of which the last one counts, and values may be null or bytes.
func (d *decoder) headerList(v protocol.JSONValue) map[string]string {
	var list [][2]json.RawMessage
	if err := json.Unmarshal(v.Raw, &list); err != nil {
		d.fail("headers", v)
		return nil
	}
	h := make(map[string]string, len(list))
	for _, pair := range list {
		var name, text string
		var bytes struct {
			B64 []byte `json:"b64"`
		}
		switch {
		case json.Unmarshal(pair[0], &name) != nil:
			d.fail("headers", v)
		case json.Unmarshal(pair[1], &text) == nil: // null is no text
			h[name] = text
		case json.Unmarshal(pair[1], &bytes) == nil:
			h[name] = string(bytes.B64)
		default:
			d.fail("headers", v)
		}
	}
	return h
}
