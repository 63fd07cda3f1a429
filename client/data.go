package client

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"ottla/protocol"
)

// Kind says what a key or value is.
type Kind uint8

// The kinds of Data.
const (
	Null  Kind = iota // no value
	JSON              // any JSON but null, unchanged except for white space
	Text              // UTF-8 that is not JSON
	Bytes             // any bytes
)

// Data is a key or a value. The zero Data is null. Data shares its bytes with its
// creator.
type Data struct {
	kind Kind
	raw  []byte // JSON: the text; Text and Bytes: the bytes themselves
	str  string // instead of raw, if a string was given
	form form
}

// form says where the bytes of a Data are, and in which encoding.
type form uint8

const (
	inRaw       form = iota
	inString         // str holds text
	jsonOfStr        // the JSON string whose content is str
	quotedText       // raw is the text as a JSON string, quotes included
	quotedBytes      // raw is the base64 form as a JSON string
)

// JSONData is a key or value that is encoded as JSON. It is checked when it is
// sent. The text null means no data.
func JSONData(text []byte) Data { return Data{kind: JSON, raw: text} }

// StringData is a JSON string with that content, as most keys are.
func StringData(s string) Data { return Data{kind: JSON, str: s, form: jsonOfStr} }

// TextData is UTF-8 text that is not JSON.
func TextData(s string) Data { return Data{kind: Text, str: s, form: inString} }

// BytesData is any bytes.
func BytesData(b []byte) Data { return Data{kind: Bytes, raw: b} }

// Marshal is v encoded as JSON.
func Marshal(v any) (Data, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return Data{}, fmt.Errorf("client: %w", err)
	}
	if string(text) == "null" {
		return Data{}, nil
	}
	return JSONData(text), nil
}

// Kind is the kind of d.
func (d Data) Kind() Kind { return d.kind }

// IsNull reports whether d is null.
func (d Data) IsNull() bool { return d.kind == Null }

// Bytes is the JSON text, the text or the bytes; nil for null. It may share
// memory with d and must not be changed.
func (d Data) Bytes() []byte {
	switch d.form {
	case inString:
		return []byte(d.str)
	case jsonOfStr:
		return protocol.AppendJSONString(nil, d.str)
	case quotedText:
		inner, _ := protocol.AppendUnescaped(nil, d.raw[1:len(d.raw)-1])
		return inner
	case quotedBytes:
		// It is valid base64: the decoder of answers has checked it.
		b, _ := base64.StdEncoding.AppendDecode(nil, d.raw[1:len(d.raw)-1])
		return b
	}
	return d.raw
}

// String is Bytes as a string, or the content if d is a JSON string.
func (d Data) String() string {
	switch {
	case d.form == inString, d.form == jsonOfStr:
		return d.str
	case d.kind == JSON && len(d.raw) > 1 && d.raw[0] == '"':
		inner, _ := protocol.AppendUnescaped(nil, d.raw[1:len(d.raw)-1])
		return string(inner)
	}
	return string(d.Bytes())
}

// Unmarshal decodes JSON into v.
func (d Data) Unmarshal(v any) error {
	switch d.kind {
	case Null:
		return json.Unmarshal([]byte("null"), v)
	case JSON:
		return json.Unmarshal(d.Bytes(), v)
	}
	return errors.New("client: the data is not JSON")
}

var errNotUTF8 = errors.New("text is not valid UTF-8: send it as bytes")

// appendField appends d as a field of a record: "key":..., "key_text":... or
// "key_base64":..., with a comma before it unless first. Null appends nothing.
func (d Data) appendField(dst []byte, name string, first bool) ([]byte, error) {
	if d.kind == Null {
		return dst, nil
	}
	if !first {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	switch d.kind {
	case Text:
		dst = append(dst, `_text":`...)
	case Bytes:
		dst = append(dst, `_base64":`...)
	default:
		dst = append(dst, `":`...)
	}
	switch {
	case d.form == quotedText || d.form == quotedBytes:
		return append(dst, d.raw...), nil
	case d.form == inString || d.form == jsonOfStr:
		if !utf8.ValidString(d.str) {
			return dst, errNotUTF8
		}
		return protocol.AppendJSONString(dst, d.str), nil
	case d.kind == Bytes:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, d.raw)
		return append(dst, '"'), nil
	}
	return protocol.AppendCompactJSON(dst, d.raw)
}
