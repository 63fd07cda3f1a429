package http

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math"

	"ottla/protocol"
)

// maxTimestamp is the last millisecond of the year 9999, since 1970.
const maxTimestamp = 253402300799999

// record is one record of a produce request, decoded.
type record struct {
	key, value, headers []byte // tokens; headers empty without
	timestamp           int64  // -1: not given
	partition           int    // -1: not given; else its index, once placed
	size                int    // bytes of key, value and headers, decoded
	deliverAt           int64  // milliseconds since 1970, 0: at once; of delayed: from now on
	delayed             bool
}

// noRecord is a record of which nothing was given.
var noRecord = record{key: []byte(protocol.NullToken), value: []byte(protocol.NullToken), timestamp: -1, partition: -1}

// seenFields are the fields a record object has had so far.
type seenFields uint16

const (
	seenKey seenFields = 1 << iota
	seenKeyText
	seenKeyBase64
	seenValue
	seenValueText
	seenValueBase64
	seenPartition
	seenHeaders
	seenTimestamp
	seenDeliverAt
	seenDelay
	seenTopic
	seenCluster
	seenRecords

	anyKey    = seenKey | seenKeyText | seenKeyBase64
	anyValue  = seenValue | seenValueText | seenValueBase64
	anyDelay  = seenDeliverAt | seenDelay
	anyRecord = anyKey | anyValue | anyDelay | seenPartition | seenHeaders | seenTimestamp
)

// recordField is the field called key; 0 for none of a record.
func recordField(key []byte) seenFields {
	switch string(key) {
	case "key":
		return seenKey
	case "value":
		return seenValue
	case "partition":
		return seenPartition
	case "headers":
		return seenHeaders
	case "timestamp":
		return seenTimestamp
	case "deliver_at":
		return seenDeliverAt
	case "delay_ms":
		return seenDelay
	case "key_text":
		return seenKeyText
	case "key_base64":
		return seenKeyBase64
	case "value_text":
		return seenValueText
	case "value_base64":
		return seenValueBase64
	}
	return 0
}

// decoder makes records of JSON. What it makes are the tokens that stand in the log, and
// nothing in between, because produces are the hot path.
type decoder struct {
	limits  *Options
	scratch []byte // tokens made of parts of the body
	records []record
}

// decodeRecordField reads the value of the field r.Key into rec. It returns
// which field that is, and 0, having read nothing, if a record has none such.
func (d *decoder) decodeRecordField(r *protocol.JSONReader, rec *record, seen seenFields) (seenFields, *protocol.Error) {
	f := recordField(r.Key)
	if f == 0 {
		return 0, nil
	}
	if seen&f != 0 {
		return f, duplicateField("", r.Key)
	}
	for _, exclusive := range [...]seenFields{anyKey, anyValue} {
		if f&exclusive != 0 && seen&exclusive != 0 {
			return f, invalid(string(r.Key), "excludes its other forms: give one of plain, _text and _base64")
		}
	}
	if f&anyDelay != 0 && seen&anyDelay != 0 {
		return f, invalid(string(r.Key), "and its other form exclude each other: give deliver_at or delay_ms")
	}
	var v protocol.JSONValue
	if !r.ValueInto(&v) {
		return f, nil // the error is kept by r
	}
	var err *protocol.Error
	switch f {
	case seenDeliverAt:
		err = setInteger(&rec.deliverAt, 0, maxTimestamp, atLeast)("deliver_at", value{json: v})
	case seenDelay:
		rec.delayed = true
		err = setInteger(&rec.deliverAt, 0, protocol.MaxDelayMs, permitted)("delay_ms", value{json: v})
	case seenKey:
		rec.key, err = d.jsonToken("key", &v, &rec.size)
	case seenValue:
		rec.value, err = d.jsonToken("value", &v, &rec.size)
	case seenKeyText:
		rec.key, err = d.textToken("key_text", &v, &rec.size)
	case seenValueText:
		rec.value, err = d.textToken("value_text", &v, &rec.size)
	case seenKeyBase64:
		rec.key, err = d.base64Token("key_base64", &v, &rec.size)
	case seenValueBase64:
		rec.value, err = d.base64Token("value_base64", &v, &rec.size)
	case seenPartition:
		rec.partition, err = decodePartition(value{json: v})
	case seenTimestamp:
		err = setInteger(&rec.timestamp, 0, maxTimestamp, atLeast)("timestamp", value{json: v})
	case seenHeaders:
		rec.headers, err = d.headersToken(v, &rec.size)
	}
	return f, err
}

func decodePartition(v value) (int, *protocol.Error) {
	n, ok := v.integer()
	if !ok {
		return 0, v.wrong("partition", "an integer")
	}
	if n < 0 || n > math.MaxInt32 {
		return 0, unknownPartition(n)
	}
	return int(n), nil
}

func unknownPartition(n int64) *protocol.Error {
	return protocol.Errorf(protocol.CodeUnknownPartition, "partition %d does not exist", n).With("partition", n)
}

func (d *decoder) jsonToken(field string, v *protocol.JSONValue, size *int) ([]byte, *protocol.Error) {
	if string(v.Raw) == "null" {
		return noRecord.key, nil
	}
	o := d.limits
	switch {
	case int(v.Depth) > o.MaxJSONDepth:
		return nil, tooDeep(field, o.MaxJSONDepth)
	case int(v.Digits) > o.MaxNumberDigits:
		return nil, recordLimit("number_digits", o.MaxNumberDigits, field+" has a number of %d digits", v.Digits)
	case v.HalfSurrogate():
		return nil, halfSurrogate(field)
	}
	token := v.Compact(&d.scratch)
	*size += len(token)
	return token, nil
}

// recordLimit is the error for a record that is larger in some way than the setting
// below limits in the configuration allows.
func recordLimit(setting string, limit int, format string, args ...any) *protocol.Error {
	args = append(args, limit, setting)
	return protocol.Errorf(protocol.CodeRecordLimit, format+", more than the limit of %d (limits.%s)", args...).
		With("limit", limit).With("setting", "limits."+setting)
}

func tooDeep(field string, limit int) *protocol.Error {
	return recordLimit("json_depth", limit, "%s is nested too deep", field)
}

func halfSurrogate(field string) *protocol.Error {
	return wrongType(field, "a text, without half a surrogate pair")
}

func (d *decoder) textToken(field string, v *protocol.JSONValue, size *int) ([]byte, *protocol.Error) {
	if v.Raw[0] != '"' {
		return nil, wrongType(field, "a string")
	}
	start, inner := len(d.scratch), v.Raw[1:len(v.Raw)-1]
	if v.Escaped() {
		content, whole := protocol.AppendUnescaped(nil, inner)
		if !whole {
			return nil, halfSurrogate(field)
		}
		inner = content
	}
	*size += len(inner)
	d.scratch = protocol.AppendTextToken(d.scratch, inner)
	return d.scratch[start:len(d.scratch):len(d.scratch)], nil
}

func (d *decoder) base64Token(field string, v *protocol.JSONValue, size *int) ([]byte, *protocol.Error) {
	if v.Raw[0] != '"' {
		return nil, wrongType(field, "a string")
	}
	inner := v.Raw[1 : len(v.Raw)-1]
	if v.Escaped() {
		inner, _ = protocol.AppendUnescaped(nil, inner)
	}
	content, err := base64.StdEncoding.Strict().AppendDecode(nil, inner)
	if err != nil || bytes.ContainsAny(inner, "\r\n") {
		return nil, wrongType(field, "base64 with padding")
	}
	*size += len(content)
	return d.rawToken(content), nil
}

// rawToken is the token of bytes that are no text.
func (d *decoder) rawToken(content []byte) []byte {
	start := len(d.scratch)
	d.scratch = protocol.AppendRawToken(d.scratch, content)
	return d.scratch[start:len(d.scratch):len(d.scratch)]
}

// inRecord adds to e which record, line or offset of the request it is about.
func inRecord(e *protocol.Error, unit string, index int) *protocol.Error {
	e.Message = fmt.Sprintf("%s %d: %s", unit, index, e.Message)
	return e.With(unit, index)
}

// decodeRecords decodes the array of records that is next in r.
func (d *decoder) decodeRecords(r *protocol.JSONReader) *protocol.Error {
	if k := r.Kind(); k != '[' && k != 0 {
		return wrongType("records", "an array")
	}
	i := 0
	for r.Array(); r.Element(); i++ {
		if err := d.decodeRecord(r); err != nil {
			return inRecord(err, "record", i)
		}
	}
	return nil // a syntax error is kept by r
}

// decodeRecord decodes the record that is next in r, and appends it.
func (d *decoder) decodeRecord(r *protocol.JSONReader) *protocol.Error {
	if limit := d.limits.MaxBatchRecords; len(d.records) == limit {
		return protocol.Errorf(protocol.CodeBatchTooLarge, "a batch has at most %d records", limit).With("limit", limit)
	}
	if k := r.Kind(); k != '{' && k != 0 {
		return wrongType("the record", "an object")
	}
	d.records = append(d.records, noRecord)
	rec := &d.records[len(d.records)-1]
	var seen seenFields
	for r.Object(); r.Field(); {
		f, err := d.decodeRecordField(r, rec, seen)
		if err != nil {
			return err
		}
		if f == 0 {
			return unknownField("", r.Key)
		}
		seen |= f
	}
	if err := r.Err(); err != nil {
		return d.recordSyntaxError("the body", err)
	}
	return nil
}

// recordSyntaxError is the error for the text of a record that is not JSON, or that
// is nested deeper than JSON is read here.
func (d *decoder) recordSyntaxError(what string, err error) *protocol.Error {
	var syntax *protocol.SyntaxError
	if errors.As(err, &syntax) && syntax.TooDeep() {
		return tooDeep(what, d.limits.MaxJSONDepth)
	}
	return syntaxError(what, err)
}
