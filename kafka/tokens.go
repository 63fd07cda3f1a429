package kafka

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"

	"ottla/protocol"
)

// What a client's bytes become in the log, and back. Both directions are exact: whatever a token
// looks like, it has the bytes that were sent.

// appendKeyToken appends the token of a key. One that is UTF-8 is the JSON string
// that {"key":"..."} makes, so that compaction takes the two for one key. It is never JSON of
// another kind, as a value may be: HTTP's keys are strings.
func appendKeyToken(dst, key []byte) []byte {
	switch {
	case key == nil:
		return append(dst, protocol.NullToken...)
	case utf8.Valid(key):
		return protocol.AppendJSONString(dst, key)
	}
	return protocol.AppendBytesToken(dst, key)
}

// appendKey appends the bytes of a key's token; ok is false if it is null.
func appendKey(dst, token []byte) (out []byte, ok bool) {
	if len(token) > 0 && token[0] == '"' {
		dst, _ = protocol.AppendUnescaped(dst, token[1:len(token)-1])
		return dst, true
	}
	return appendValue(dst, token)
}

// appendValueToken appends the token of a value. Compact JSON stands as it is, so
// that HTTP shows it as JSON; the rest is text or base64. JSON with spaces in it is text, because
// the token would lose them; so is null as four letters, which is no null to Kafka.
func (o *Options) appendValueToken(dst, value []byte) []byte {
	if value == nil {
		return append(dst, protocol.NullToken...)
	}
	if protocol.IsCompactJSON(value, o.MaxJSONDepth, o.MaxNumberDigits) {
		return append(dst, value...)
	}
	return protocol.AppendRawToken(dst, value)
}

// appendValue appends the bytes of a token; ok is false if it is null. JSON is compact in the log,
// so what HTTP's clients have sent with spaces in it comes without them.
func appendValue(dst, token []byte) (out []byte, ok bool) {
	switch protocol.KindOfToken(token) {
	case protocol.TokenNull:
		return dst, false
	case protocol.TokenJSON:
		return append(dst, token...), true
	}
	out, err := protocol.AppendTokenContent(dst, token)
	// The log's checksum was right, so this was written so. The reader gets it as it stands: an
	// error here would keep it from all that follows in the partition.
	if err != nil {
		return append(dst, token...), true
	}
	return out, true
}

// appendHeadersToken appends the token of a record's headers: an object of strings
// where that says everything, else a list of [name, value]. A value is a string, null,
// or {"b64":"..."} where it is no UTF-8. Errors: a name that is no UTF-8 or too long,
// too many headers. Names are compared pair by pair, which MaxRecordHeaders bounds.
func (o *Options) appendHeadersToken(dst []byte, r *kafkaRecord) ([]byte, int16) {
	if r.nHeaders > o.MaxRecordHeaders {
		return dst, errInvalidRecord
	}
	type header struct{ name, value []byte }
	headers := make([]header, 0, r.nHeaders)
	object := true
	for s := (scanner{b: r.headers}); len(headers) < r.nHeaders; {
		h := header{s.bytes(), s.bytes()}
		if len(h.name) > o.MaxHeaderName || !utf8.Valid(h.name) {
			return dst, errInvalidRecord
		}
		for i := range headers {
			object = object && !bytes.Equal(headers[i].name, h.name)
		}
		object = object && h.value != nil && utf8.Valid(h.value)
		headers = append(headers, h)
	}
	if object {
		dst = append(dst, '{')
		for i, h := range headers {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(protocol.AppendJSONString(dst, h.name), ':')
			dst = protocol.AppendJSONString(dst, h.value)
		}
		return append(dst, '}'), errNone
	}
	dst = append(dst, '[')
	for i, h := range headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(protocol.AppendJSONString(append(dst, '['), h.name), ',')
		switch {
		case h.value == nil:
			dst = append(dst, "null"...)
		case utf8.Valid(h.value):
			dst = protocol.AppendJSONString(dst, h.value)
		default:
			dst = append(dst, `{"b64":"`...)
			dst = append(base64.StdEncoding.AppendEncode(dst, h.value), `"}`...)
		}
		dst = append(dst, ']')
	}
	return append(dst, ']'), errNone
}

// headerList is the headers of a record that was read, in the order in which they stand in the
// log. It is used for one record after the other.
type headerList struct {
	n    int
	body []byte // as they stand in a record: name and value, each behind its length
}

// add appends a header; a value that is null has no bytes.
func (l *headerList) add(name, value []byte, null bool) {
	l.n++
	l.body = appendVarint(l.body, int64(len(name)))
	l.body = append(l.body, name...)
	if null {
		l.body = appendVarint(l.body, -1)
		return
	}
	l.body = appendVarint(l.body, int64(len(value)))
	l.body = append(l.body, value...)
}

// read takes the headers of a token, either form; what is none has no headers. An object's headers
// are in the order of its text, those of a Kafka client in the order in which they were sent.
func (l *headerList) read(token []byte) {
	l.n, l.body = 0, l.body[:0]
	if len(token) == 0 {
		return
	}
	r := protocol.NewJSONReader(token)
	if token[0] == '{' {
		for r.Object(); r.Field(); {
			name := bytes.Clone(r.Key)
			if v, ok := r.Value(); ok {
				l.addJSON(name, v.Raw)
			}
		}
		return
	}
	if token[0] != '[' {
		return
	}
	for r.Array(); r.Element(); {
		v, ok := r.Value()
		if !ok || v.Raw[0] != '[' {
			return
		}
		pair := protocol.NewJSONReader(v.Raw)
		var parts [2][]byte
		n := 0
		for pair.Array(); pair.Element(); n++ {
			if e, ok := pair.Value(); ok && n < len(parts) {
				parts[n] = e.Raw
			}
		}
		if n == len(parts) && len(parts[0]) > 1 && parts[0][0] == '"' {
			name, _ := protocol.AppendUnescaped(nil, parts[0][1:len(parts[0])-1])
			l.addJSON(name, parts[1])
		}
	}
}

// addJSON adds a header whose value is JSON in one of the forms that appendHeadersToken makes;
// null, and what is none of them, has no bytes.
func (l *headerList) addJSON(name, value []byte) {
	switch value[0] {
	case '"':
		content, _ := protocol.AppendUnescaped(nil, value[1:len(value)-1])
		l.add(name, content, false)
	case '{':
		r := protocol.NewJSONReader(value)
		for r.Object(); r.Field(); {
			v, ok := r.Value()
			if ok && len(v.Raw) > 1 && v.Raw[0] == '"' {
				if content, err := base64.StdEncoding.AppendDecode(nil, v.Raw[1:len(v.Raw)-1]); err == nil {
					l.add(name, content, false)
				}
			}
		}
	default:
		l.add(name, nil, true)
	}
}
