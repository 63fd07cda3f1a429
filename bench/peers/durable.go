package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"ottla/bench"
)

// Streams of the peers that speak the protocol of Durable Streams over HTTP.
const (
	durableBucket  = "/bench" // needs no making but with Ursula
	durableStream  = durableBucket + "/liked"
	durableStreams = 64      // over which one of the workloads spreads
	durableRecords = 200_000 // in the stream that is read
	mediaJSON      = "application/json"
)

// durableModes are the ways in which the Rust server of Durable Streams keeps what it
// acknowledges: after one fdatasync for all that wait, or in memory.
var durableModes = []string{"wal", "memory"}

// durable measures the Rust server of Durable Streams, which has one copy.
func (s *suite) durable(ctx context.Context) error {
	for _, mode := range durableModes {
		start := func(dir string) (string, []*child, error) {
			addr, err := freeAddr()
			if err != nil {
				return "", nil, err
			}
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return "", nil, err
			}
			c, err := startChild(ctx, addr, "durable-streams-server", "--port", port, "--data-dir", dir, "--durability", mode)
			if err != nil {
				return "", nil, err
			}
			return addr, []*child{c}, nil
		}
		if err := s.streamsPeer(ctx, "Durable Streams "+mode, start); err != nil {
			return err
		}
	}
	return nil
}

// streamsPeer measures a server of the protocol of Durable Streams. start starts its
// nodes, which it returns also with an error; clients begin with the one at addr.
func (s *suite) streamsPeer(ctx context.Context, name string, start func(dir string) (addr string, nodes []*child, err error)) error {
	dir, err := os.MkdirTemp(s.o.DataDir, "peers-streams-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	addr, nodes, err := start(dir)
	for _, c := range nodes {
		defer c.stop()
	}
	if err != nil {
		return err
	}
	p := streamsPeer{suite: s, name: name, addr: addr, nodes: nodes}
	if _, err := p.insist(ctx, http.MethodPut, addr, durableBucket, nil); err != nil {
		return err
	}
	parts := []func(context.Context) error{p.singles, p.batches, p.fetches, p.fanout}
	if len(nodes) > 1 { // Ursula refuses so much without a cold tier: "COLD_BACKPRESSURE"
		parts = []func(context.Context) error{p.singles, p.fanout}
	}
	for _, part := range parts {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// streamsPeer is a running server of the protocol of Durable Streams.
type streamsPeer struct {
	*suite
	name, addr string
	nodes      []*child
}

func (p *streamsPeer) peer(what string, connections int) bench.Peer {
	peer := bench.Peer{Name: p.name + " " + what, Connections: connections}
	for _, c := range p.nodes {
		peer.Pids = append(peer.Pids, c.pid())
	}
	return peer
}

// request sends one request and expects a status of success. It returns the address of the
// node that answered, as some send a client on to the leader.
func (p *streamsPeer) request(ctx context.Context, method, addr, path string, body []byte) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", mediaJSON)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	return resp.Request.URL.Host, err
}

// insist sends a request until it is answered with success: a server that has just
// started may not know its leaders yet.
func (p *streamsPeer) insist(ctx context.Context, method, addr, path string, body []byte) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		at, err := p.request(ctx, method, addr, path, body)
		if err == nil {
			return at, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", err
		}
	}
}

// makeStream makes a stream and returns the address of the node that takes its events.
func (p *streamsPeer) makeStream(ctx context.Context, path string) (string, error) {
	addr, err := p.insist(ctx, http.MethodPut, p.addr, path, nil)
	if err != nil {
		return "", err
	}
	return p.insist(ctx, http.MethodPost, addr, path, []byte(`{"first":true}`))
}

// singles sends one event a request, to one stream and spread over many.
func (p *streamsPeer) singles(ctx context.Context) error {
	for _, load := range []struct {
		what                 string
		streams, connections int
	}{{"single", 1, 64}, {"single", 1, 256}, {"single, 64 streams", durableStreams, 256}} {
		if load.streams > 1 && len(p.nodes) > 1 {
			continue // clients would have to find the leader of each
		}
		addr, calls := "", make([]bench.PeerCall, 1000)
		for i := range calls {
			path := fmt.Sprintf("%s-%d-%d-%d", durableStream, load.connections, load.streams, i%load.streams)
			if i < load.streams {
				var err error
				if addr, err = p.makeStream(ctx, path); err != nil {
					return err
				}
			}
			body := fmt.Appendf(nil, `{"key":"user-%d","value":%s}`, 100000+i, payload(i))
			calls[i] = bench.PeerCall{Path: path, MediaType: mediaJSON, Body: body, Records: 1}
		}
		if err := p.measure(ctx, addr, load.what, load.connections, calls); err != nil {
			return err
		}
	}
	return nil
}

// measure adds what a load of requests gives.
func (p *streamsPeer) measure(ctx context.Context, addr, what string, connections int, calls []bench.PeerCall) error {
	m, err := bench.MeasurePeerHTTP(ctx, p.o, p.peer(what, connections), addr, calls)
	if err == nil {
		p.add(m)
	}
	return err
}

// batch is a JSON array of records as large as those of `produce-batch`.
func (p *streamsPeer) batch(records int) []byte {
	body := []byte("[")
	for i := range records {
		if i > 0 {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"key":"user-%d","value":%s}`, 100000+i, payload(i))
	}
	return append(body, ']')
}

// batches sends many events a request.
func (p *streamsPeer) batches(ctx context.Context) error {
	path := durableStream + "-batch"
	addr, err := p.makeStream(ctx, path)
	if err != nil {
		return err
	}
	calls := []bench.PeerCall{{Path: path, MediaType: mediaJSON, Body: p.batch(p.o.BatchSize), Records: p.o.BatchSize}}
	return p.measure(ctx, addr, "batch", 16, calls)
}

// fetches reads a whole stream with each request, as one cannot ask for less.
func (p *streamsPeer) fetches(ctx context.Context) error {
	path := durableStream + "-fetch"
	addr, err := p.makeStream(ctx, path)
	if err != nil {
		return err
	}
	for range durableRecords / p.o.BatchSize {
		if _, err := p.request(ctx, http.MethodPost, addr, path, p.batch(p.o.BatchSize)); err != nil {
			return err
		}
	}
	calls := []bench.PeerCall{{Path: path, Records: durableRecords / p.o.BatchSize * p.o.BatchSize, Want: "]"}}
	return p.measure(ctx, addr, "fetch, the whole stream", 16, calls)
}

// fanoutSubscribers each have the stream of single events.
const fanoutSubscribers = 1000

// fanout sends single events to many subscribers of one stream.
func (p *streamsPeer) fanout(ctx context.Context) error {
	path := durableStream + "-fanout"
	addr, err := p.makeStream(ctx, path)
	if err != nil {
		return err
	}
	list, err := bench.MeasurePeerFanout(ctx, p.o, p.peer("fanout", fanoutSubscribers), bench.PeerStream{
		Addr: addr,
		Path: path + "?offset=now&live=sse",
		Publish: func(ctx context.Context, n int) error {
			_, err := p.request(ctx, http.MethodPost, addr, path, strconv.AppendInt(nil, int64(n), 10))
			return err
		},
		Events: eventsOfStream,
	})
	for _, m := range list {
		p.add(m)
	}
	return err
}

// eventsOfStream finds the events, each a number, of a line of a stream: an array of them,
// or, of Ursula, one.
func eventsOfStream(line []byte, yield func(int64)) {
	list, found := bytes.CutPrefix(line, []byte("data:"))
	list = bytes.Trim(list, "[] \r")
	if !found || len(list) == 0 || list[0] == '{' {
		return
	}
	for digits := range bytes.SplitSeq(list, []byte(",")) {
		n, err := strconv.ParseInt(string(digits), 10, 64)
		if err != nil {
			n = -1
		}
		yield(n)
	}
}
