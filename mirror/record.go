package mirror

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/protocol"
)

// OffsetHeader is the header of a copied record that has its offset at the source, in
// decimal.
const OffsetHeader = "ottla-mirror-offset"

// Limits of JSON that a server has by default; what is beyond them is copied as text.
const (
	maxDepth  = 128
	maxDigits = 1000
)

// appendRecord appends a record as the API takes it, with its offset as a header: keys,
// values and headers become what they would at the port for Kafka clients.
func appendRecord(dst []byte, r *kgo.Record) ([]byte, error) {
	dst = append(dst, `{"partition":`...)
	dst = strconv.AppendInt(dst, int64(r.Partition), 10)
	if ms := r.Timestamp.UnixMilli(); ms >= 0 {
		dst = append(dst, `,"timestamp":`...)
		dst = strconv.AppendInt(dst, ms, 10)
	}
	switch {
	case r.Key == nil:
	case utf8.Valid(r.Key):
		dst = protocol.AppendJSONString(append(dst, `,"key":`...), r.Key)
	default:
		dst = appendBase64(append(dst, `,"key_base64":`...), r.Key)
	}
	switch {
	case r.Value == nil:
	case protocol.IsCompactJSON(r.Value, maxDepth, maxDigits):
		dst = append(append(dst, `,"value":`...), r.Value...)
	case utf8.Valid(r.Value):
		dst = protocol.AppendJSONString(append(dst, `,"value_text":`...), r.Value)
	default:
		dst = appendBase64(append(dst, `,"value_base64":`...), r.Value)
	}
	dst, err := appendHeaders(append(dst, `,"headers":`...), r)
	return append(dst, '}'), err
}

func appendBase64(dst, b []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

// appendHeaders appends the headers: an object of strings if that says everything, else a
// list. One that an earlier mirror has made is left out.
func appendHeaders(dst []byte, r *kgo.Record) ([]byte, error) {
	headers := make([]kgo.RecordHeader, 0, len(r.Headers)+1)
	object, names := true, map[string]bool{OffsetHeader: true}
	for _, h := range r.Headers {
		if h.Key == OffsetHeader {
			continue
		}
		if !utf8.ValidString(h.Key) {
			return dst, fmt.Errorf("a header has the name %q, which is not UTF-8: Ottla cannot keep it", h.Key)
		}
		object = object && !names[h.Key] && h.Value != nil && utf8.Valid(h.Value)
		names[h.Key] = true
		headers = append(headers, h)
	}
	headers = append(headers, kgo.RecordHeader{Key: OffsetHeader, Value: strconv.AppendInt(nil, r.Offset, 10)})
	begin, middle, end := "[", ",", "]"
	if object {
		begin, middle, end = "", ":", ""
		dst = append(dst, '{')
	} else {
		dst = append(dst, '[')
	}
	for i, h := range headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(protocol.AppendJSONString(append(dst, begin...), []byte(h.Key)), middle...)
		switch {
		case h.Value == nil:
			dst = append(dst, "null"...)
		case utf8.Valid(h.Value):
			dst = protocol.AppendJSONString(dst, h.Value)
		default:
			dst = append(appendBase64(append(dst, `{"b64":`...), h.Value), '}')
		}
		dst = append(dst, end...)
	}
	if object {
		return append(dst, '}'), nil
	}
	return append(dst, ']'), nil
}

// sourceOffset is what the header of a record says; false if it has none. headers is what
// the API shows: an object or a list of pairs.
func sourceOffset(headers json.RawMessage) (int64, bool) {
	var object map[string]string
	text := ""
	if json.Unmarshal(headers, &object) == nil {
		text = object[OffsetHeader]
	} else {
		var list [][]json.RawMessage
		if json.Unmarshal(headers, &list) != nil {
			return 0, false
		}
		for _, pair := range list {
			var name string
			if len(pair) == 2 && json.Unmarshal(pair[0], &name) == nil && name == OffsetHeader {
				_ = json.Unmarshal(pair[1], &text) // another value is none
			}
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n >= 0
}
