package client

import (
	"bytes"
	"context"
	"encoding/json"
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

	// Reuse has Next return its slice, and what the records in it hold, in memory that the
	// next call of Next uses again.
	Reuse bool
}

// Stream follows a topic without a group: the server keeps nothing of it. It is for
// one goroutine, and must be closed.
type Stream struct {
	body   io.ReadCloser
	gap    func(protocol.Gap)
	reuse  bool
	cursor []byte
	failed error // of reading the body

	buf     []byte // what was read; records lie in it
	at      int    // where in buf the first event begins that was not taken
	batch   []Message
	decoder decoder // goes on from record to record, for what is the same in the next
}

// streamMemory is how much memory records of a stream share, in bytes, and streamRead how
// much of it must be free for the next read.
const (
	streamMemory = 64 << 10
	streamRead   = 16 << 10
)

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
	return &Stream{body: resp.Body, gap: o.OutOfRange, reuse: o.Reuse, cursor: []byte(o.After)}, nil
}

// Next waits for records, and returns those that have arrived, at least one. After an
// error the stream is of no use any more; another one goes on behind Cursor.
func (s *Stream) Next() ([]Message, error) {
	if s.reuse {
		s.batch = s.batch[:0]
	} else {
		s.batch = make([]Message, 0, len(s.batch)) // and not what the largest has taken: single ones may follow it
	}
	for {
		err := s.takeAll()
		switch {
		case len(s.batch) > 0: // what is wrong with the event behind them is found again
			return s.batch, nil
		case err != nil:
			return nil, err
		case s.failed != nil:
			return nil, s.failed
		}
		s.read()
	}
}

// maxStreamBatch bounds the records that Next returns at once.
const maxStreamBatch = 1000

// Cursor is the position behind what Next returned last, for StreamOptions.After. It
// is known from the beginning on, once Next was called.
func (s *Stream) Cursor() string { return string(s.cursor) }

// Close ends the stream.
func (s *Stream) Close() error { return s.body.Close() }

// read reads on behind what is there.
func (s *Stream) read() {
	if rest := s.buf[s.at:]; cap(s.buf)-len(s.buf) < streamRead {
		memory := s.buf[:0]
		if room := len(rest) + streamRead; !s.reuse || cap(memory) < room {
			memory = make([]byte, 0, max(streamMemory, 2*len(rest)))
		}
		s.buf, s.at = append(memory, rest...), 0
	}
	n, err := s.body.Read(s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	if err != nil {
		s.failed = &TransportError{fmt.Errorf("client: read stream: %w", err)}
	}
}

// takeAll takes the events that are there as a whole, up to an error.
func (s *Stream) takeAll() error {
	var id []byte
	defer func() {
		if len(id) > 0 {
			s.cursor = append(s.cursor[:0], id...)
		}
	}()
	for len(s.batch) < maxStreamBatch {
		e, size := parseEvent(s.buf[s.at:])
		if size == 0 {
			return nil
		}
		if err := s.take(&e); err != nil {
			return err
		}
		s.at += size
		if len(e.id) > 0 {
			id = e.id
		}
	}
	return nil
}

// streamEvent is one event of the server's.
type streamEvent struct {
	kind, id []byte // empty: it has none
	data     []byte // nil: it has none, as a comment
}

// parseEvent parses the event that text begins with. Size is how long it is, 0 where
// its end is yet to come.
func parseEvent(text []byte) (e streamEvent, size int) {
	for {
		n := bytes.IndexByte(text[size:], '\n')
		if n < 0 {
			return e, 0
		}
		line := text[size : size+n : size+n]
		size += n + 1
		if n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		if len(line) == 0 {
			return e, size
		}
		switch name, value, _ := bytes.Cut(line, []byte(": ")); string(name) {
		case "event":
			e.kind = value
		case "data":
			e.data = value[:len(value):len(value)]
		case "id":
			e.id = value
		}
	}
}

// take adds a record to the batch, or tells what else an event says.
func (s *Stream) take(e *streamEvent) error {
	switch {
	case e.data == nil:
	case string(e.kind) == "problem":
		var said errorBody
		if err := json.Unmarshal(e.data, &said); err != nil {
			return fmt.Errorf("%w: problem: %w", ErrGarbled, err)
		}
		return said.error(said.Number / 100)
	case string(e.kind) == "gap":
		var gap protocol.Gap
		if err := json.Unmarshal(e.data, &gap); err != nil {
			return fmt.Errorf("%w: gap: %w", ErrGarbled, err)
		}
		if s.gap != nil {
			s.gap(gap)
		}
	case len(e.kind) == 0:
		s.batch = append(s.batch, Message{raw: e.data})
		s.decoder.r = protocol.NewJSONReader(e.data)
		s.decoder.message(&s.batch[len(s.batch)-1])
		if err := s.decoder.end(); err != nil {
			s.batch = s.batch[:len(s.batch)-1]
			return err
		}
	}
	return nil
}
