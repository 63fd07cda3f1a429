package http

import (
	"strconv"

	"ottla/protocol"
)

// list is an answer with one plural key. nil becomes [].
func list[T any](name string, items []T) map[string][]T {
	return map[string][]T{name: orEmpty(items)}
}

// orEmpty makes nil an empty list, which JSON renders as [] and not as null.
func orEmpty[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// appendRecord appends a record as clients see it.
func appendRecord(dst []byte, r *protocol.Record) []byte {
	return append(appendRecordFields(dst, r), '}')
}

// AppendRecord appends a record as clients see it, in JSON on one line.
func AppendRecord(dst []byte, r *protocol.Record) []byte { return appendRecord(dst, r) }

// appendRecordFields appends a record without its closing brace.
func appendRecordFields(dst []byte, r *protocol.Record) []byte {
	return appendRecordRest(appendRecordPrefix(dst, r), r)
}

// appendRecordPrefix appends what all records of a partition begin with, up to
// the offset.
func appendRecordPrefix(dst []byte, r *protocol.Record) []byte {
	dst = append(dst, `{"topic":`...)
	dst = protocol.AppendJSONString(dst, r.Topic)
	dst = append(dst, `,"partition":`...)
	dst = strconv.AppendInt(dst, int64(r.Partition), 10)
	return append(dst, `,"offset":`...)
}

// appendRecordRest appends the fields from the offset on.
func appendRecordRest(dst []byte, r *protocol.Record) []byte {
	dst = strconv.AppendInt(dst, int64(r.Offset), 10)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, r.Timestamp, 10)
	dst = appendTokenField(dst, "key", r.Key)
	dst = appendTokenField(dst, "value", r.Value)
	dst = append(dst, `,"headers":`...)
	if len(r.Headers) == 0 || string(r.Headers) == protocol.NullToken {
		dst = append(dst, '{', '}')
	} else {
		dst = append(dst, r.Headers...)
	}
	if r.DeliverAt != 0 {
		dst = strconv.AppendInt(append(dst, `,"deliver_at":`...), r.DeliverAt, 10)
	}
	if r.Delivery != nil {
		dst = appendDelivery(dst, r.Delivery)
	}
	return dst
}

// appendDelivery appends what a record of a queue has with it.
func appendDelivery(dst []byte, d *protocol.Delivery) []byte {
	dst = append(dst, `,"delivery":{"receipt":"`...)
	dst = append(dst, d.Receipt...) // base64
	dst = strconv.AppendInt(append(dst, `","count":`...), int64(d.Count), 10)
	dst = strconv.AppendInt(append(dst, `,"deadline":`...), d.Deadline, 10)
	return append(dst, '}')
}

// appendTokenField appends a key or value under the name that says what kind it
// is: name, name_text or name_base64. Tokens hold JSON already, so nothing is
// parsed.
func appendTokenField(dst []byte, name string, token []byte) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	switch protocol.KindOfToken(token) {
	case protocol.TokenNull:
		return append(dst, `":null`...)
	case protocol.TokenText:
		dst = append(dst, `_text":`...)
		return append(dst, protocol.TokenString(token)...)
	case protocol.TokenBytes:
		dst = append(dst, `_base64":`...)
		return append(dst, protocol.TokenString(token)...)
	}
	dst = append(dst, '"', ':')
	return append(dst, token...)
}
