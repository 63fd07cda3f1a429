package http

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"ottla/http/access"
	"ottla/protocol"
)

// instantBackend has one topic and answers a produce at once.
type instantBackend struct {
	*fakeBackend
	topic *protocol.Topic
}

func (b *instantBackend) LookupTopic(string, string, bool, time.Time) (*protocol.Topic, *protocol.Error) {
	return b.topic, nil
}

func (b *instantBackend) RestoringTopic(string, string, string) (*protocol.Topic, *protocol.Error) {
	return b.topic, nil
}

func (b *instantBackend) Placed(t *protocol.Topic, _ *protocol.PlaceQuestion, _ time.Time) (protocol.Placement, bool, *protocol.Error) {
	return t.Placement(), false, nil
}

func (b *instantBackend) Produce(reqs []*protocol.ProduceRequest, _ time.Time) {
	for _, r := range reqs {
		r.Result.BaseOffset = 42
	}
}

func instantServer() *Server { return instantServerFor(Options{}) }

func instantServerFor(o Options) *Server {
	o.Logger = slog.New(slog.DiscardHandler)
	return New(newInstant(), o)
}

func newInstant() *instantBackend {
	topic := &protocol.Topic{Name: "liked", Partitions: 3, MaxRecordBytes: 1 << 20, RoundRobin: new(protocol.Counter)}
	return &instantBackend{newFake(), topic}
}

// handle runs one request through the handler alone.
func handle(s *Server, ctx *fasthttp.RequestCtx, body *strings.Reader, text string) {
	body.Reset(text)
	ctx.Request.Reset()
	ctx.Response.Reset()
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.SetRequestURI("/events")
	ctx.Request.SetBodyStream(body, len(text))
	s.Handler(ctx)
}

const event130 = `{"topic":"liked","key":"user-42","value":{"post":7,"at":"2026-11-22T17:16:03Z","text":"the quick brown fox jumps over it"}}`

func TestProduceAllocatesLittle(t *testing.T) {
	s, ctx, body := instantServer(), &fasthttp.RequestCtx{}, strings.NewReader("")
	handle(s, ctx, body, event130)
	require.Equal(t, 200, ctx.Response.StatusCode(), string(ctx.Response.Body()))
	allocs := testing.AllocsPerRun(200, func() { handle(s, ctx, body, event130) })
	require.LessOrEqual(t, allocs, 12.0)
}

// eventOf is a produce request of size bytes.
func eventOf(size int) string {
	const head, end = `{"topic":"liked","key":"user-42","value":{"post":7,"text":"`, `"}}`
	return head + strings.Repeat("x", size-len(head)-len(end)) + end
}

func BenchmarkProduceOne(b *testing.B) {
	for _, size := range []int{130, 1000, 10_000} {
		b.Run(fmt.Sprint("bytes=", size), func(b *testing.B) {
			s, ctx, body, event := instantServer(), &fasthttp.RequestCtx{}, strings.NewReader(""), eventOf(size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				handle(s, ctx, body, event)
			}
		})
	}
}

// BenchmarkProduceOverTCP includes loopback TCP and the client. With a token it costs
// no allocation more.
func BenchmarkProduceOverTCP(b *testing.B) {
	b.Run("open", func(b *testing.B) { produceOverTCP(b, instantServer(), "") })
	b.Run("token", func(b *testing.B) {
		backend := newInstant()
		registry, err := access.New(backend, access.Options{AdminToken: adminToken})
		require.NoError(b, err)
		s := instantServerFor(Options{Access: registry, As: func(protocol.Access) Backend { return backend }})
		produceOverTCP(b, s, "Bearer "+adminToken)
	})
}

func produceOverTCP(b *testing.B, s *Server, authorization string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	go func() { _ = s.Serve(ln) }()
	client := &fasthttp.HostClient{Addr: ln.Addr().String(), MaxConns: 1000}
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		req.Header.SetMethod("POST")
		req.SetRequestURI("http://" + ln.Addr().String() + "/events")
		req.Header.SetContentType("application/json")
		req.SetBodyString(event130)
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		for pb.Next() {
			if err := client.Do(req, resp); err != nil || resp.StatusCode() != 200 {
				b.Error(err, resp.StatusCode())
				return
			}
		}
	})
	b.StopTimer()
	client.CloseIdleConnections()
	require.NoError(b, s.Shutdown(context.Background()))
}

func BenchmarkProduceBatch(b *testing.B) {
	record := strings.Replace(event130, `"topic":"liked",`, "", 1)
	for _, n := range []int{1, 10, 500} {
		b.Run(fmt.Sprint("records=", n), func(b *testing.B) {
			s, ctx, body := instantServer(), &fasthttp.RequestCtx{}, strings.NewReader("")
			batch := `{"topic":"liked","records":[` + strings.Repeat(record+",", n-1) + record + `]}`
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				handle(s, ctx, body, batch)
			}
		})
	}
}

func BenchmarkRenderPoll(b *testing.B) {
	for _, n := range []int{1, 500} {
		b.Run(fmt.Sprint("records=", n), func(b *testing.B) { benchRenderPoll(b, n) })
	}
}

func benchRenderPoll(b *testing.B, n int) {
	reply := &protocol.PollReply{ConsumerID: 1, Group: "g", Generation: 1, Cursor: "c"}
	for i := range n {
		reply.Records = append(reply.Records, protocol.Record{
			Topic: "liked", Offset: protocol.Offset(i), Timestamp: 1790000000000,
			Key: []byte(`"user-42"`), Value: []byte(`{"post":7,"text":"the quick brown fox"}`),
		})
	}
	var r rendering
	size := 0
	b.ReportAllocs()
	for b.Loop() {
		for i := range reply.Records {
			r.Take(&reply.Records[i])
		}
		size = len(appendPollHead(nil, reply)) + len(r.buf) - headRoom + len(appendPollTail(nil, reply))
		r.release()
	}
	b.SetBytes(int64(size))
}

// BenchmarkProduceLines sends records with values of that many bytes as NDJSON.
func BenchmarkProduceLines(b *testing.B) {
	for _, size := range []int{100, 1000} {
		b.Run(fmt.Sprint("bytes=", size), func(b *testing.B) {
			s, ctx, body := instantServer(), &fasthttp.RequestCtx{}, strings.NewReader("")
			const head, end = `{"post":1007,"text":"`, `"}`
			value := head + strings.Repeat("x", size-len(head)-len(end)) + end
			lines := strings.Repeat(`{"key":"user-100042","value":`+value+"}\n", 500)
			b.SetBytes(int64(len(lines)))
			b.ReportAllocs()
			for b.Loop() {
				handleLines(s, ctx, body, lines)
			}
			require.Equal(b, 200, ctx.Response.StatusCode(), string(ctx.Response.Body()))
		})
	}
}

func handleLines(s *Server, ctx *fasthttp.RequestCtx, body *strings.Reader, lines string) {
	body.Reset(lines)
	ctx.Request.Reset()
	ctx.Response.Reset()
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.Header.SetContentType("application/x-ndjson")
	ctx.Request.SetRequestURI("/events?topic=liked")
	ctx.Request.SetBodyStream(body, len(lines))
	s.Handler(ctx)
}
