package client

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"ottla/protocol"
)

// Header is one header of a record. In a list of them, other than in a map, a name may
// come several times, and values may be null or any bytes, as Kafka clients send them.
type Header struct {
	Name  string
	Value []byte // nil: null
}

// appendHeaderList appends a list of pairs; values that are UTF-8 are texts.
func appendHeaderList(dst []byte, list []Header) ([]byte, error) {
	dst = append(dst, '[')
	for i, h := range list {
		if !utf8.ValidString(h.Name) {
			return dst, errHeaderNotUTF8
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = protocol.AppendJSONString(append(dst, '['), h.Name)
		dst = append(dst, ',')
		switch {
		case h.Value == nil:
			dst = append(dst, "null"...)
		case utf8.Valid(h.Value):
			dst = protocol.AppendJSONString(dst, h.Value)
		default:
			dst = append(dst, `{"b64":"`...)
			dst = base64.StdEncoding.AppendEncode(dst, h.Value)
			dst = append(dst, `"}`...)
		}
		dst = append(dst, ']')
	}
	return append(dst, ']'), nil
}

var errNoHeaders = errors.New("client: headers are neither an object of texts nor a list of pairs")

// ParseHeaders reads headers as the API writes them: an object of texts, or a list of pairs
// of a name and a text, null or {"b64": BASE64}. Of an object they come in the order of their
// names. Error: it is neither.
func ParseHeaders(text []byte) ([]Header, error) {
	var byName map[string]string
	if err := json.Unmarshal(text, &byName); err == nil {
		var list []Header
		for _, name := range slices.Sorted(maps.Keys(byName)) {
			list = append(list, Header{name, []byte(byName[name])})
		}
		return list, nil
	}
	var pairs [][]json.RawMessage
	if err := json.Unmarshal(text, &pairs); err != nil {
		return nil, errNoHeaders
	}
	list := make([]Header, 0, len(pairs))
	for _, pair := range pairs {
		var h Header
		if len(pair) != 2 || pair[0][0] != '"' || json.Unmarshal(pair[0], &h.Name) != nil {
			return nil, errNoHeaders
		}
		var value string
		var encoded struct {
			B64 *[]byte `json:"b64"`
		}
		switch {
		case string(pair[1]) == "null":
		case json.Unmarshal(pair[1], &value) == nil:
			h.Value = []byte(value)
		case json.Unmarshal(pair[1], &encoded) == nil && encoded.B64 != nil:
			h.Value = *encoded.B64
		default:
			return nil, errNoHeaders
		}
		list = append(list, h)
	}
	return list, nil
}

// HeaderList are all headers of the message, in their order if some of them cannot be in
// Headers. Error: the server has answered something else.
func (m *Message) HeaderList() ([]Header, error) {
	r := protocol.NewJSONReader(m.raw)
	for r.Object(); r.Field(); {
		name := string(r.Key)
		if v, ok := r.Value(); ok && name == "headers" {
			list, err := ParseHeaders(v.Raw)
			if err != nil {
				return nil, fmt.Errorf("%w: %.200s", err, v.Raw)
			}
			return list, nil
		}
	}
	return nil, nil
}
