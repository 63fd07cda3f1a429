package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"syscall"
	"time"
)

// callLimit is how long a client of one process waits for an answer. It is more than
// the broker's own request_timeout.
const callLimit = 15 * time.Second

// target is what clients talk to: a process, or any node of a fleet.
type target interface {
	call(ctx context.Context, method, path string, header http.Header, body []byte) (int, answer)
}

func (s *server) call(ctx context.Context, method, path string, header http.Header, body []byte) (int, answer) {
	return call(ctx, callLimit, method, s.url(path), header, body)
}

// answer holds the fields of a response that clients use.
type answer struct {
	Partition  int             `json:"partition"`
	Offset     int64           `json:"offset"`
	Offsets    json.RawMessage `json:"offsets"` // of a batch, a commit or a group
	Code       string          `json:"code"`
	Outcome    string          `json:"outcome"`
	Details    json.RawMessage `json:"details"`
	Cursor     string          `json:"cursor"`
	Generation int64           `json:"generation"`
	Records    []consumed      `json:"records"`
	Earliest   int64           `json:"earliest"`
	Latest     *int64          `json:"latest"`         // of offsets
	High       *int64          `json:"high_watermark"` // of a read
}

// consumed is a record that a client has read.
type consumed struct {
	Partition int             `json:"partition"`
	Offset    int64           `json:"offset"`
	Key       json.RawMessage `json:"key"`
	Value     json.RawMessage `json:"value"`
	Delivery  struct {
		Receipt  string `json:"receipt"`
		Count    int    `json:"count"`
		Deadline int64  `json:"deadline"`
	} `json:"delivery"` // of a queue
}

// offsetRow is the committed offset of a group in one partition.
type offsetRow struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Committed *int64 `json:"committed"`
	End       *int64 `json:"end"` // nil while nobody knows it, as no leader is known
}

// call sends one request; status 0 means that no answer came. When the connection
// was refused, so that the request was never sent, the outcome is none.
func call(ctx context.Context, limit time.Duration, method, url string, header http.Header, body []byte) (int, answer) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var tries atomic.Int32 // the transport repeats a GET by itself when a connection breaks
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { tries.Add(1) }})
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, answer{}
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := http.DefaultClient.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) && tries.Load() == 0 {
		return 0, answer{Outcome: "none"}
	}
	if err != nil {
		return 0, answer{}
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	var a answer
	if err != nil || len(data) > 0 && json.Unmarshal(data, &a) != nil {
		return 0, answer{}
	}
	if tries.Load() > 1 && a.none() {
		a.Outcome = "unknown" // the answer is about the last try only
	}
	return resp.StatusCode, a
}

// none reports whether the request was refused and has changed nothing.
func (a *answer) none() bool { return a.Outcome == "none" }

// decode decodes a part of an answer; it returns the zero value if that is missing.
func decode[T any](raw json.RawMessage) T {
	var v T
	if len(raw) > 0 && json.Unmarshal(raw, &v) != nil {
		var zero T
		return zero
	}
	return v
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// dial makes a connection that takes with it, when it ends, what has not arrived: the kernel
// would send a deletion that a client has given up long after the topic was made again.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if tcp, ok := c.(*net.TCPConn); ok && err == nil {
		err = tcp.SetLinger(0)
	}
	return c, err
}
