package metarecord

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"ottla/protocol"
)

// Format is the newest format of values in internal topics that this build reads,
// and the one that it writes. Every value names its format in "v"; a newer one is
// refused before anything of it is applied.
const Format = 1

// Record is one record of an internal topic: what happened, to what, and
// the whole state of that thing from then on. Key and Value are compact JSON;
// a nil Value says that the thing is gone. Because a value is always whole,
// the newest record per key is all that a replay needs, and compaction by key
// loses nothing.
type Record struct {
	Action string
	Key    []byte
	Value  []byte
}

// AppendLines encodes recs as lines of the log, stamped ts (milliseconds
// since 1970).
func AppendLines(l *protocol.Lines, topic string, partition int, ts int64, recs []Record) {
	for i := range recs {
		value := recs[i].Value
		if value == nil {
			value = []byte(protocol.NullToken)
		}
		l.Add(ts, topic, partition, recs[i].Key, value, recs[i].Action, nil)
	}
}

// Parse turns the tokens of a line of an internal topic back into a
// record. The record shares the tokens' memory. It fails when a token cannot
// have been written by AppendLines.
func Parse(key, value, action []byte) (Record, error) {
	rec := Record{Action: string(action), Key: key}
	if rec.Action == "" {
		return Record{}, fmt.Errorf("internal record %q has no action", key)
	}
	if !json.Valid(key) {
		return Record{}, fmt.Errorf("internal record %s: key %q is not JSON", action, key)
	}
	if string(value) == protocol.NullToken {
		return rec, nil
	}
	if !json.Valid(value) {
		return Record{}, fmt.Errorf("internal record %s %s: value %q is not JSON", action, key, value)
	}
	rec.Value = value
	return rec, nil
}

// JSON encodes v as compact JSON without HTML escapes, so that grep finds in the
// log what was written. It panics if v cannot be encoded, which a struct of a state
// machine always can.
func JSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("BUG: internal record does not encode: %v", err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Key makes the key of an internal record: a JSON array of its kind and args, which
// are strings and integers.
func Key(kind string, args ...any) []byte {
	key := protocol.AppendJSONString([]byte{'['}, kind)
	for _, arg := range args {
		key = append(key, ',')
		switch arg := arg.(type) {
		case string:
			key = protocol.AppendJSONString(key, arg)
		case int:
			key = strconv.AppendInt(key, int64(arg), 10)
		default:
			key = append(key, JSON(arg)...)
		}
	}
	return append(key, ']')
}

// SplitKey is the inverse of Key: it returns the kind and the other elements,
// strings decoded and everything else as it stands in the JSON. Errors: the key is
// no JSON array, or is empty.
func SplitKey(key []byte) (kind string, args []string, err error) {
	r := protocol.NewJSONReader(key)
	parts := make([]string, 0, 4)
	for r.Array(); r.Element(); {
		v, ok := r.Value()
		if !ok {
			break
		}
		if v.Raw[0] != '"' {
			parts = append(parts, string(v.Raw))
			continue
		}
		inner := v.Raw[1 : len(v.Raw)-1]
		if bytes.IndexByte(inner, '\\') >= 0 {
			inner, _ = protocol.AppendUnescaped(nil, inner)
		}
		parts = append(parts, string(inner))
	}
	if err := r.End(); err != nil {
		return "", nil, fmt.Errorf("internal key %q: %w", key, err)
	}
	if len(parts) == 0 {
		return "", nil, fmt.Errorf("internal key %q is empty", key)
	}
	return parts[0], parts[1:], nil
}

// Decode decodes a value into a struct, after checking its format. Errors: the
// format is newer than Format, a field is unknown, or it is not valid JSON.
func Decode(value []byte, into any) error {
	var head struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(value, &head); err != nil {
		return fmt.Errorf("internal value: %w", err)
	}
	if head.V < 1 || head.V > Format {
		return fmt.Errorf("internal value has format %d, this build reads 1 to %d", head.V, Format)
	}
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("internal value: %w", err)
	}
	return nil
}
