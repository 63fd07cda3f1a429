package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// recorder collects the history of all clients.
type recorder struct {
	mu sync.Mutex
	h  history
}

func (r *recorder) produced(p produced) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.produced = append(r.h.produced, p)
}

func (r *recorder) acked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, p := range r.h.produced {
		if p.outcome == acked {
			n++
		}
	}
	return n
}

// answer is what the clients look at in a response.
type answer struct {
	Partition int             `json:"partition"`
	Offset    int64           `json:"offset"`
	Code      string          `json:"code"`
	Outcome   string          `json:"outcome"`
	Cursor    string          `json:"cursor"`
	Records   []consumed      `json:"records"`
	Offsets   []offsetRow     `json:"offsets"`
	Gen       json.RawMessage `json:"generation"`
}

type consumed struct {
	Partition int   `json:"partition"`
	Offset    int64 `json:"offset"`
}

type offsetRow struct {
	Partition int    `json:"partition"`
	Committed *int64 `json:"committed"`
}

// call does one request; status 0 means that no answer came.
func call(ctx context.Context, method, url string, header http.Header, body []byte) (int, answer) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, answer{}
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, answer{}
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	var a answer
	if err != nil || len(data) > 0 && json.Unmarshal(data, &a) != nil {
		return 0, answer{}
	}
	return resp.StatusCode, a
}

// pause waits a little, or until the end.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// producer sends one record after the other under an id of its own. A request
// without an answer is sent again under the same sequence until there is one:
// the log must then have the record exactly once.
func producer(ctx context.Context, s *server, rec *recorder, topic string, n int) {
	id := "chaos-" + strconv.Itoa(n)
	for seq := 1; ctx.Err() == nil; seq++ {
		value := fmt.Sprintf(`"%s-%d"`, id, seq)
		body := fmt.Appendf(nil, `{"topic":%q,"key":"k%d","value":%s}`, topic, seq%97, value)
		header := http.Header{
			"Producer-Id": {id}, "Producer-Epoch": {"0"}, "Producer-Seq": {strconv.Itoa(seq)},
		}
		p := produced{value: value, outcome: refused}
		for p.outcome != acked {
			status, a := call(ctx, http.MethodPost, s.url("/events"), header, body)
			switch {
			case status == http.StatusOK:
				p.outcome, p.at = acked, place{a.Partition, a.Offset}
				continue
			case status == 0, a.Outcome != "none":
				p.outcome = unknown // and stays so whatever refusal follows
			}
			if ctx.Err() != nil {
				if p.outcome == refused {
					p.outcome = unknown // the last try was cut off by ourselves
				}
				break
			}
			pause(ctx, 5*time.Millisecond)
		}
		rec.produced(p)
		if p.outcome != acked {
			return
		}
	}
}

// consumer is the one member of its group; it acknowledges each response with
// the next poll, and now and then reads its offsets back.
func consumer(ctx context.Context, s *server, rec *recorder, topic string, n int) {
	client := "group-" + strconv.Itoa(n)
	base := fmt.Sprintf("/events?topic=%s&group=%s&consumer_id=%d&auto_commit=false&timeout_ms=200", topic, client, n)
	cursor, again := "", true
	var pending map[int]int64 // what the cursor commits
	for round := 0; ctx.Err() == nil; round++ {
		url := s.url(base)
		if cursor != "" {
			url += "&ack=" + cursor
		}
		status, a := call(ctx, http.MethodGet, url, nil, nil)
		if status != http.StatusOK {
			if status == http.StatusConflict || status == http.StatusBadRequest {
				cursor, pending = "", nil // a new generation or term: begin at what is committed
			}
			again = true
			pause(ctx, 5*time.Millisecond)
			continue
		}
		rec.delivered(client, a.Records, pending, again)
		cursor, again = a.Cursor, false
		pending = map[int]int64{}
		for _, r := range a.Records {
			pending[r.Partition] = r.Offset + 1
		}
		if round%10 == 0 {
			readOffsets(ctx, s, rec, topic, client)
		}
	}
}

// delivered notes a response: the acknowledged commits that came with the
// request, and its records.
func (r *recorder) delivered(client string, records []consumed, commits map[int]int64, seek bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, off := range commits {
		r.h.committed = append(r.h.committed, committed{client: client, partition: p, offset: off})
	}
	byPartition := map[int][]int64{}
	for _, c := range records {
		byPartition[c.Partition] = append(byPartition[c.Partition], c.Offset)
	}
	for p, offs := range byPartition {
		r.h.deliveries = append(r.h.deliveries, delivery{client: client, partition: p, offsets: offs, seek: seek})
	}
	if seek { // also for partitions that this response had nothing of
		for p := range 64 {
			if _, ok := byPartition[p]; !ok {
				r.h.deliveries = append(r.h.deliveries, delivery{client: client, partition: p, reset: true})
			}
		}
	}
}

func readOffsets(ctx context.Context, s *server, rec *recorder, topic, group string) {
	status, a := call(ctx, http.MethodGet, s.url("/offset?group="+group+"&topic="+topic), nil, nil)
	if status != http.StatusOK {
		return
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, row := range a.Offsets {
		if row.Committed != nil {
			rec.h.committed = append(rec.h.committed, committed{client: group, partition: row.Partition, offset: *row.Committed, read: true})
		}
	}
}
