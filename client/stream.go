package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"ottla/protocol"
)

// StreamOptions are the options of OpenStream. Zero fields mean the server's
// defaults.
type StreamOptions struct {
	Cluster    string             // needed where several clusters have the topic
	From       string             // "earliest" (default), "latest" or a timestamp in milliseconds
	Partition  *int               // nil: all
	Key        *string            // nil: all; only records with this key
	After      string             // cursor to go on exactly behind
	OutOfRange func(protocol.Gap) // if not nil, told of records that were removed before they were read
}

// Stream follows a topic without a group: the server keeps nothing of it. It is for
// one goroutine, and must be closed.
type Stream struct {
	body   io.ReadCloser
	lines  *bufio.Reader
	gap    func(protocol.Gap)
	cursor []byte
	failed error // what Next returns from now on

	decoder decoder // goes on from record to record, for the name of the topic
	long    []byte  // a line that is longer than the buffer of lines
	id      []byte  // of the event that is read
	memory  []byte  // of records; what is behind its length is free
	usual   int     // how many records Next returned last
}

// streamMemory is how much memory records of a stream share, in bytes.
const streamMemory = 64 << 10

// OpenStream opens a stream, which ends when ctx does.
func (c *Client) OpenStream(ctx context.Context, topic string, o StreamOptions) (*Stream, error) {
	q := url.Values{}
	setQuery(q, "cluster", o.Cluster)
	setQuery(q, "from", o.From)
	setQuery(q, "after", o.After)
	if o.Partition != nil {
		q.Set("partition", strconv.Itoa(*o.Partition))
	}
	if o.Key != nil {
		q.Set("key", *o.Key)
	}
	resp, err := c.open(ctx, &request{
		method: http.MethodGet, path: "/topic/" + url.PathEscape(topic) + "/stream", query: q,
		headers: map[string]string{"Accept": "text/event-stream"},
	})
	if err != nil {
		return nil, err
	}
	return &Stream{body: resp.Body, lines: bufio.NewReaderSize(resp.Body, 64<<10), gap: o.OutOfRange, cursor: []byte(o.After)}, nil
}

// Next waits for records, and returns those that have arrived, at least one. After an
// error the stream is of no use any more; another one goes on behind Cursor.
func (s *Stream) Next() ([]Message, error) {
	batch := make([]Message, 0, s.usual)
	defer func() { s.usual = len(batch) }()
	for len(batch) == 0 || s.lines.Buffered() > 0 && len(batch) < maxStreamBatch {
		e, err := s.event()
		if err == nil {
			err = s.take(e, &batch)
		}
		switch {
		case err != nil && len(batch) > 0 && s.failed == nil:
			s.failed = err
			return batch, nil
		case err != nil:
			return nil, err
		}
	}
	return batch, nil
}

// maxStreamBatch bounds the records that Next returns at once.
const maxStreamBatch = 1000

// Cursor is the position behind what Next returned last, for StreamOptions.After. It
// is known from the beginning on, once Next was called.
func (s *Stream) Cursor() string { return string(s.cursor) }

// Close ends the stream.
func (s *Stream) Close() error { return s.body.Close() }

// streamEvent is one event of the server's.
type streamEvent struct {
	kind string // empty for a record
	data []byte // nil: it has none, as a comment
}

// line reads a line without its end. It is valid until the next one is read.
func (s *Stream) line() ([]byte, error) {
	line, err := s.lines.ReadSlice('\n')
	s.long = s.long[:0]
	for errors.Is(err, bufio.ErrBufferFull) {
		s.long = append(s.long, line...)
		line, err = s.lines.ReadSlice('\n')
	}
	if err != nil {
		return nil, &TransportError{fmt.Errorf("client: read stream: %w", err)}
	}
	if len(s.long) > 0 {
		s.long = append(s.long, line...)
		line = s.long
	}
	line = line[:len(line)-1]
	return bytes.TrimSuffix(line, []byte{'\r'}), nil
}

// keep copies what a record is made of, to memory that is not used again.
func (s *Stream) keep(data []byte) []byte {
	if s.memory == nil || len(data) > cap(s.memory)-len(s.memory) {
		if len(data) > streamMemory/4 {
			return bytes.Clone(data)
		}
		s.memory = make([]byte, 0, streamMemory)
	}
	at := len(s.memory)
	s.memory = append(s.memory, data...)
	return s.memory[at:len(s.memory):len(s.memory)]
}

// event reads the next event, and takes its id for the cursor.
func (s *Stream) event() (e streamEvent, err error) {
	if s.failed != nil {
		return e, s.failed
	}
	s.id = s.id[:0]
	for {
		line, err := s.line()
		if err != nil {
			return e, err
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) {
		case "":
			if len(value) > 0 {
				continue // a comment
			}
			if len(s.id) > 0 {
				s.cursor = append(s.cursor[:0], s.id...)
			}
			return e, nil
		case "event":
			e.kind = string(value)
		case "data":
			e.data = s.keep(value)
		case "id":
			s.id = append(s.id[:0], value...)
		}
	}
}

// take adds a record to the batch, or tells what else an event says.
func (s *Stream) take(e streamEvent, batch *[]Message) error {
	switch {
	case e.data == nil:
	case e.kind == "problem":
		var said errorBody
		if err := json.Unmarshal(e.data, &said); err != nil {
			return fmt.Errorf("%w: problem: %w", ErrGarbled, err)
		}
		return said.error(said.Number / 100)
	case e.kind == "gap":
		var gap protocol.Gap
		if err := json.Unmarshal(e.data, &gap); err != nil {
			return fmt.Errorf("%w: gap: %w", ErrGarbled, err)
		}
		if s.gap != nil {
			s.gap(gap)
		}
	case e.kind == "":
		*batch = append(*batch, Message{raw: e.data})
		s.decoder.r = protocol.NewJSONReader(e.data)
		s.decoder.message(&(*batch)[len(*batch)-1])
		if err := s.decoder.end(); err != nil {
			*batch = (*batch)[:len(*batch)-1]
			return err
		}
	}
	return nil
}
