package client

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"ottla/protocol"
)

// Record is a record to be written.
type Record struct {
	Key     Data              // records with the same key go to the same partition
	Value   Data              // null is a tombstone
	Headers map[string]string // UTF-8

	// HeaderList, unless empty, is sent instead of Headers.
	HeaderList []Header

	// Partition, unless nil, overrides the placement by key.
	Partition *int

	// Timestamp is the record's time, with a precision of milliseconds. Zero means
	// the time at which the server receives the record.
	Timestamp time.Time

	// DeliverAt, unless zero, is when queues give the record to a worker at the
	// earliest; at most 30 days from now. All other readers see it at once.
	DeliverAt time.Time
}

// Ack is the position of a committed record, which is on disk on a majority of its
// partition's replicas.
type Ack struct {
	Partition int
	Offset    int64
	Duplicate bool // the request was a repetition of one that had succeeded
}

// append appends the fields of r as a JSON object without its braces, the key
// first. comma says whether other fields come before them.
func (r *Record) append(dst []byte, comma bool) (text []byte, keyEnd int, err error) {
	start := len(dst)
	first := func() bool { return !comma && len(dst) == start }
	if dst, err = r.Key.appendField(dst, "key", first()); err != nil {
		return dst, 0, fmt.Errorf("client: key: %w", err)
	}
	keyEnd = len(dst)
	if dst, err = r.Value.appendField(dst, "value", first()); err != nil {
		return dst, 0, fmt.Errorf("client: value: %w", err)
	}
	if r.Partition != nil {
		dst = appendName(dst, "partition", first())
		dst = strconv.AppendInt(dst, int64(*r.Partition), 10)
	}
	if !r.Timestamp.IsZero() {
		dst = appendName(dst, "timestamp", first())
		dst = strconv.AppendInt(dst, r.Timestamp.UnixMilli(), 10)
	}
	if !r.DeliverAt.IsZero() {
		dst = appendName(dst, "deliver_at", first())
		dst = strconv.AppendInt(dst, r.DeliverAt.UnixMilli(), 10)
	}
	switch {
	case len(r.HeaderList) > 0:
		dst = appendName(dst, "headers", first())
		if dst, err = appendHeaderList(dst, r.HeaderList); err != nil {
			return dst, 0, fmt.Errorf("client: headers: %w", err)
		}
	case len(r.Headers) > 0:
		dst = appendName(dst, "headers", first())
		if dst, err = appendHeaders(dst, r.Headers); err != nil {
			return dst, 0, fmt.Errorf("client: headers: %w", err)
		}
	}
	return dst, keyEnd, nil
}

// appendLine appends r as a line of NDJSON and returns where its key ends.
func (r *Record) appendLine(dst []byte) (text []byte, keyEnd int, err error) {
	dst = append(dst, '{')
	dst, keyEnd, err = r.append(dst, false)
	return append(dst, '}', '\n'), keyEnd, err
}

func appendName(dst []byte, name string, first bool) []byte {
	if !first {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

var errHeaderNotUTF8 = errors.New("a header is not valid UTF-8")

// appendHeaders sorts the names, so that equal records are equal bytes.
func appendHeaders(dst []byte, headers map[string]string) ([]byte, error) {
	names := make([]string, 0, len(headers))
	for name, value := range headers {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return dst, errHeaderNotUTF8
		}
		names = append(names, name)
	}
	slices.Sort(names)
	dst = append(dst, '{')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = protocol.AppendJSONString(dst, name)
		dst = append(dst, ':')
		dst = protocol.AppendJSONString(dst, headers[name])
	}
	return append(dst, '}'), nil
}

// Message is a record that was read.
type Message struct {
	Topic     string
	Partition int
	Offset    int64
	Timestamp time.Time
	Key       Data
	Value     Data
	Headers   map[string]string // nil when there are none
	DeliverAt time.Time         // when queues give the record at the earliest; zero: at once
	Delivery  *Delivery         // of a queue; else nil

	raw []byte
}

// Raw is the record as the server wrote it: a JSON object. It may share memory
// with m and must not be changed.
func (m *Message) Raw() []byte { return m.raw }
