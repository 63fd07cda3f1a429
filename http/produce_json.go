package http

import (
	"strconv"

	"ottla/protocol"
)

// decodeEvents decodes a JSON body: one event, or a batch under "records". It
// makes one pass and builds no values, because produces are the hot path.
func (p *produce) decodeEvents() *protocol.Error {
	if err := p.query(); err != nil {
		return err
	}
	if len(p.body) == 0 {
		return protocol.Errorf(protocol.CodeMalformed, "a body is required")
	}
	r := protocol.NewJSONReader(p.body)
	if k := r.Kind(); k != '{' && k != 0 {
		return wrongType("the body", "a JSON object")
	}
	rec := noRecord
	var seen seenFields
	for r.Object(); r.Field(); {
		f, err := p.decodeEventField(&r, &rec, seen)
		if err != nil {
			return err
		}
		seen |= f
	}
	if err := r.End(); err != nil {
		return p.recordSyntaxError("the body", err)
	}
	switch {
	case seen&seenTopic == 0:
		return missing("topic")
	case !p.batch:
		p.records = append(p.records, rec)
	case seen&anyRecord != 0:
		return invalid("records", "excludes the fields of a single event")
	}
	return nil
}

// decodeEventField reads the value of the field r.Key, of an event or a batch, and
// returns which field that is.
func (p *produce) decodeEventField(r *protocol.JSONReader, rec *record, seen seenFields) (seenFields, *protocol.Error) {
	f, err := p.decodeRecordField(r, rec, seen)
	if f != 0 || err != nil {
		return f, err
	}
	dst := &p.topic
	switch string(r.Key) {
	case "topic":
		f = seenTopic
	case "cluster":
		f, dst = seenCluster, &p.cluster
	case "records":
		f = seenRecords
	default:
		return 0, unknownField("", r.Key)
	}
	if seen&f != 0 {
		return f, duplicateField("", r.Key)
	}
	if f == seenRecords {
		p.batch = true
		return f, p.decodeRecords(r)
	}
	v, ok := r.Value()
	if !ok {
		return f, nil // the error is kept by r
	}
	return f, decodeName(dst, f, v)
}

// decodeName is setName without a closure, which would be allocated.
func decodeName(dst *string, f seenFields, v protocol.JSONValue) *protocol.Error {
	name := "topic"
	if f == seenCluster {
		name = "cluster"
	}
	s, ok := value{json: v}.str()
	if !ok {
		return wrongType(name, "a string")
	}
	if !protocol.ValidName(s) {
		return invalidName(name, s)
	}
	*dst = s
	return nil
}

func appendAccepted(dst []byte, topic string) []byte {
	dst = append(dst, `{"topic":`...)
	dst = protocol.AppendJSONString(dst, topic)
	return append(dst, `,"committed":false}`...)
}

func appendPlace(dst []byte, topic string, rec *record, res *protocol.ProduceResult) []byte {
	dst = append(dst, `{"topic":`...)
	dst = protocol.AppendJSONString(dst, topic)
	dst = append(dst, `,"partition":`...)
	dst = strconv.AppendInt(dst, int64(rec.partition), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, int64(res.BaseOffset), 10)
	dst = append(dst, `,"timestamp":`...)
	timestamp := rec.timestamp
	if res.Duplicate && res.Timestamp != 0 {
		timestamp = res.Timestamp // of the original
	}
	dst = strconv.AppendInt(dst, timestamp, 10)
	dst = append(dst, `,"committed":true`...)
	if res.Duplicate {
		dst = append(dst, `,"duplicate":true`...)
	}
	return append(dst, '}')
}
