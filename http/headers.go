package http

import (
	"encoding/base64"

	"ottla/protocol"
)

// headersToken checks the headers of a record: an object of strings, each name once,
// or, where names come several times or values are null or bytes, a list of [name,
// value] in which a value is a string, null or {"b64": "..."}.
func (d *decoder) headersToken(v protocol.JSONValue, size *int) ([]byte, *protocol.Error) {
	if v.HalfSurrogate() {
		return nil, halfSurrogate("headers")
	}
	switch v.Raw[0] {
	case '{':
		return d.headerObject(v, size)
	case '[':
		return d.headerList(v, size)
	}
	return nil, wrongType("headers", "an object of strings, or a list of [name, value]")
}

func (d *decoder) headerObject(v protocol.JSONValue, size *int) ([]byte, *protocol.Error) {
	r := protocol.NewJSONReader(v.Raw)
	seen := map[string]struct{}{}
	for r.Object(); r.Field(); {
		if err := d.checkHeader(r.Key, len(seen)); err != nil {
			return nil, err
		}
		if _, twice := seen[string(r.Key)]; twice {
			return nil, duplicateField("headers", r.Key)
		}
		seen[string(r.Key)] = struct{}{}
		if r.Kind() != '"' {
			return nil, wrongType("headers."+string(r.Key), "a string")
		}
		r.Value()
	}
	if len(seen) == 0 {
		return nil, nil
	}
	token := v.Compact(&d.scratch)
	*size += len(token)
	return token, nil
}

// checkHeader checks the name of a header that comes after n others.
func (d *decoder) checkHeader(name []byte, n int) *protocol.Error {
	if limit := d.limits.MaxHeaderName; len(name) > limit {
		return recordLimit("header_name", limit, "the header %.40q... has a name of %d bytes", name, len(name))
	}
	if limit := d.limits.MaxRecordHeaders; n == limit {
		return recordLimit("headers", limit, "the record has %d headers or more", limit+1)
	}
	return nil
}

// headerList takes the list form. What an object can say is kept as one, so that the
// same headers are the same whichever way they came.
func (d *decoder) headerList(v protocol.JSONValue, size *int) ([]byte, *protocol.Error) {
	type header struct{ name, value []byte }
	var list []header
	exact := true // an object says the same
	seen := map[string]struct{}{}
	r := protocol.NewJSONReader(v.Raw)
	for r.Array(); r.Element(); {
		pair, ok := r.Value()
		if !ok {
			break
		}
		h, err := headerPair(pair.Raw)
		if err != nil {
			return nil, inRecord(err, "header", len(list))
		}
		name, _ := protocol.AppendUnescaped(nil, h[0][1:len(h[0])-1])
		if err := d.checkHeader(name, len(list)); err != nil {
			return nil, err
		}
		_, twice := seen[string(name)]
		seen[string(name)] = struct{}{}
		exact = exact && !twice && h[1][0] == '"'
		list = append(list, header{h[0], h[1]})
	}
	if len(list) == 0 {
		return nil, nil
	}
	start := len(d.scratch)
	open, between, end := byte('['), byte(','), byte(']')
	if exact {
		open, between, end = '{', ':', '}'
	}
	b := append(d.scratch, open)
	for i, h := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if !exact {
			b = append(b, '[')
		}
		b = append(append(b, h.name...), between)
		b = append(b, h.value...)
		if !exact {
			b = append(b, ']')
		}
	}
	d.scratch = append(b, end)
	*size += len(d.scratch) - start
	return d.scratch[start:len(d.scratch):len(d.scratch)], nil
}

// headerPair reads [name, value]; the value of bytes is compact.
func headerPair(raw []byte) (pair [2][]byte, err *protocol.Error) {
	const form = "[name, value], with a value that is a string, null or {\"b64\": base64}"
	if raw[0] != '[' {
		return pair, wrongType("headers", form)
	}
	n := 0
	r := protocol.NewJSONReader(raw)
	for r.Array(); r.Element(); n++ {
		v, ok := r.Value()
		if !ok || n == len(pair) {
			return pair, wrongType("headers", form)
		}
		pair[n] = v.Raw
	}
	if n != len(pair) || pair[0][0] != '"' {
		return pair, wrongType("headers", form)
	}
	switch value := pair[1]; {
	case value[0] == '"', string(value) == "null":
		return pair, nil
	case value[0] == '{':
		pair[1] = headerBytes(value)
	default:
		pair[1] = nil
	}
	if pair[1] == nil {
		return pair, wrongType("headers", form)
	}
	return pair, nil
}

// headerBytes reads {"b64": base64} and writes it compactly; nil if it is something
// else.
func headerBytes(raw []byte) []byte {
	var out []byte
	r := protocol.NewJSONReader(raw)
	for r.Object(); r.Field(); {
		named := string(r.Key) == "b64" && out == nil
		v, ok := r.Value()
		if !ok || !named || v.Raw[0] != '"' {
			return nil
		}
		if _, err := base64.StdEncoding.Strict().AppendDecode(nil, v.Raw[1:len(v.Raw)-1]); err != nil {
			return nil
		}
		out = append(append([]byte(`{"b64":`), v.Raw...), '}')
	}
	return out
}
