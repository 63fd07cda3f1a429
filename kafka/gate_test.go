package kafka

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/http/access"
	"ottla/http/budget"
	"ottla/http/fair"
	"ottla/protocol"
)

// gated is a broker whose topic takes records when it is told to.
type gated struct {
	Backend
	underWay atomic.Int64
	modest   atomic.Int64 // of them, those of that client
	goOn     chan struct{}
	stuck    bool // it waits for a leader
	some     bool // reads bring something, though not enough
}

func (g *gated) LookupTopic(string, string, bool, time.Time) (*protocol.Topic, *protocol.Error) {
	return &protocol.Topic{Name: "t", Partitions: 1}, nil
}

func (g *gated) Produce(reqs []*protocol.ProduceRequest, _ time.Time) {
	if g.stuck {
		reqs[0].Waits()
	}
	g.underWay.Add(1)
	<-g.goOn
}

// as is the broker as a client may use it.
func (g *gated) as(a protocol.Access) Backend {
	if a.Who.Name() == "modest" {
		return modest{g}
	}
	return g
}

type modest struct{ *gated }

func (m modest) Produce(reqs []*protocol.ProduceRequest, deadline time.Time) {
	m.modest.Add(1)
	m.gated.Produce(reqs, deadline)
}

// parkedFetch is a read that has nothing, and is not woken before it is abandoned.
type parkedFetch struct {
	protocol.PendingFetch
	parked int
}

func (*parkedFetch) Advance() (*protocol.FetchReply, bool, *protocol.Error) { return nil, true, nil }

func (f *parkedFetch) Park(resume func()) {
	if f.parked++; f.parked > 1 {
		resume()
	}
}

func (g *gated) StartFetch(req *protocol.FetchRequest) protocol.PendingFetch {
	g.underWay.Add(1)
	if g.some {
		if w, ok := req.Sink.(*batchWriter); ok {
			w.Take(&protocol.Record{Key: []byte("-"), Value: []byte("1"), Timestamp: 1})
		}
		return &replied{reply: protocol.FetchReply{HighWatermark: 1, NextOffset: 1}}
	}
	return &parkedFetch{}
}

// send answers a request of a client of that name, on a connection of its own.
func (g *gated) send(t *testing.T, s *Server, name string, req kmsg.Request) (done chan struct{}) {
	return g.sendAs(t, s, protocol.NewPrincipal(name, nil, nil), req)
}

func (g *gated) sendAs(t *testing.T, s *Server, who *protocol.Principal, req kmsg.Request) (done chan struct{}) {
	server, client := net.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	go func() { _, _ = client.Read(make([]byte, 1<<16)) }()
	c := newConn(s, server)
	c.who = who
	b := kmsg.NewRequestFormatter().AppendRequest(nil, req, 7)[4:]
	done = make(chan struct{})
	go func() {
		defer close(done)
		defer c.close()
		c.answer(b, req.Key())
	}()
	return done
}

func newGated(t *testing.T, g *gated) *Server {
	t.Helper()
	s := &Server{b: g, done: make(chan struct{}), o: Options{
		Access: &access.Registry{}, As: g.as, Gate: fair.NewGate(),
		Requests: budget.New(1 << 30), Answers: budget.NewAnswers(1<<30, 0, time.Minute),
		RequestTimeout: time.Minute, MaxWait: time.Minute, MaxBytes: 1 << 20, MaxRequestBytes: 1 << 20, MaxRecordBytes: 1 << 20,
		ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: time.Minute, Cluster: "default",
		Millis: func() int64 { return time.Now().UnixMilli() },
	}}
	s.metrics = newMetrics(s)
	return s
}

func produceOne() kmsg.Request {
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(9)
	req.Acks, req.TimeoutMillis = -1, 60_000
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "t"
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = sentBatch(benchRecords(1), nil)
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	return req
}

func fetchOne() kmsg.Request {
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(11)
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 60_000, 1, 1000
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = "t"
	p := kmsg.NewFetchRequestTopicPartition()
	p.PartitionMaxBytes = 1000
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	return req
}

// A client with many connections has only its share under way while others send requests
// too, and the others go past those of it that wait.
func TestAGreedyKafkaClientHasOnlyItsShareUnderWay(t *testing.T) {
	g := &gated{goOn: make(chan struct{})}
	s := newGated(t, g)
	require.True(t, s.o.Gate.Enter("of HTTP", time.Now(), 0))
	const requests = 100
	var all []chan struct{}
	for range requests {
		all = append(all, g.send(t, s, "greedy", produceOne()))
	}
	require.Eventually(t, func() bool { return g.underWay.Load() >= 2 }, time.Minute, time.Millisecond)
	all = append(all, g.send(t, s, "modest", produceOne()), g.send(t, s, "modest", produceOne()))
	require.Eventually(t, func() bool { return g.modest.Load() == 2 }, time.Minute, time.Millisecond)
	assert.Less(t, g.underWay.Load(), int64(requests))
	close(g.goOn)
	for _, done := range all {
		<-done
	}
	s.o.Gate.Leave("of HTTP")
}

// What waits for records, or for a leader, takes no part.
func TestWaitingKafkaRequestsLeaveTheGate(t *testing.T) {
	for name, req := range map[string]func() kmsg.Request{"fetch": fetchOne, "produce without a leader": produceOne} {
		t.Run(name, func(t *testing.T) {
			g := &gated{goOn: make(chan struct{}), stuck: true}
			s := newGated(t, g)
			require.True(t, s.o.Gate.Enter("of HTTP", time.Now(), 0))
			const requests = 100
			for range requests {
				g.send(t, s, "greedy", req())
			}
			require.Eventually(t, func() bool { return g.underWay.Load() == requests }, time.Minute, time.Millisecond)
			close(g.goOn)
			close(s.done)
		})
	}
}

// A fetch that waits ends soon after its client has left, also over TLS, where it leaves
// bytes that nobody reads.
func TestAWaitingFetchNoticesThatItsClientHasLeft(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"plain": func(nc net.Conn) net.Conn { return nc },
		"TLS":   func(nc net.Conn) net.Conn { return tls.Server(nc, &tls.Config{MinVersion: tls.VersionTLS12}) },
	} {
		for _, minBytes := range []int32{1, 1000} {
			t.Run(fmt.Sprintf("%s, %d bytes", name, minBytes), func(t *testing.T) {
				t.Parallel()
				g := &gated{}
				s := newGated(t, g)
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				defer func() { _ = ln.Close() }()
				client, err := net.Dial("tcp", ln.Addr().String())
				require.NoError(t, err)
				server, err := ln.Accept()
				require.NoError(t, err)
				_, err = client.Write([]byte("not read"))
				require.NoError(t, err)
				c := newConn(s, wrap(server))
				c.who = protocol.NewPrincipal("somebody", nil, nil)
				req := fetchOne().(*kmsg.FetchRequest)
				req.MinBytes, req.MaxWaitMillis = minBytes, int32(time.Hour.Milliseconds())
				s.o.MaxWait = time.Hour
				if minBytes > 1 {
					g.some = true
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					c.answer(kmsg.NewRequestFormatter().AppendRequest(nil, req, 7)[4:], req.Key())
					c.close()
				}()
				require.Eventually(t, func() bool { return g.underWay.Load() > 0 }, time.Minute, time.Millisecond)
				select {
				case <-done:
					t.Fatal("it does not wait")
				case <-time.After(departureInterval + 500*time.Millisecond):
				}
				require.NoError(t, client.Close())
				select {
				case <-done:
				case <-time.After(time.Minute):
					t.Fatal("it goes on for a client that has left")
				}
			})
		}
	}
}
