package kafka

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/http/budget"
	"ottla/protocol"
)

// patience is how long tests wait for what must happen: far longer than a busy machine
// needs.
const patience = time.Minute

// limited is a principal with that quota.
func limited(name string, quota protocol.TokenQuota) *protocol.Principal {
	return protocol.NewPrincipal(name, nil, nil).WithUsage(protocol.NewUsage(quota))
}

// exhausted is a principal whose quotas hold it back for hours.
func exhausted(name string) *protocol.Principal {
	who := limited(name, protocol.TokenQuota{ProduceBytes: 1, FetchBytes: 1})
	who.Usage().Produced(1<<20, time.Now())
	who.Usage().Fetched(1<<20, time.Now())
	return who
}

// dial opens a connection of who's; served is closed when the server has ended it.
func (g *gated) dial(t *testing.T, s *Server, who *protocol.Principal) (client net.Conn, served chan struct{}) {
	t.Helper()
	return g.dialBy(t, s, who, func(nc net.Conn) net.Conn { return nc })
}

// dialBy is dial by a connection that wrap has prepared.
func (g *gated) dialBy(t *testing.T, s *Server, who *protocol.Principal, wrap func(net.Conn) net.Conn) (client net.Conn, served chan struct{}) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = ln.Close() }()
	client, err = net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	server, err := ln.Accept()
	require.NoError(t, err)
	c := newConn(s, wrap(server))
	c.who = who
	served = make(chan struct{})
	go func() {
		defer close(served)
		defer c.close()
		c.run()
	}()
	t.Cleanup(func() { _ = client.Close() })
	return client, served
}

// fill lets requests of that client in until its next one has to wait.
func fill(t *testing.T, s *Server, who string) {
	t.Helper()
	require.True(t, s.o.Gate.Enter("of HTTP", time.Now(), 0))
	n := 0
	for s.o.Gate.Enter(who, time.Now(), 0) {
		n++
	}
	t.Cleanup(func() {
		for range n {
			s.o.Gate.Leave(who)
		}
		s.o.Gate.Leave("of HTTP")
	})
}

// write sends a request.
func write(t *testing.T, client net.Conn, req kmsg.Request) {
	t.Helper()
	_, err := client.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 7))
	require.NoError(t, err)
}

// ask sends a request and reads its answer.
func ask[P kmsg.Response](t *testing.T, client net.Conn, req kmsg.Request) P {
	t.Helper()
	write(t, client, req)
	return answer[P](t, client, req)
}

// answer reads the answer to a request.
func answer[P kmsg.Response](t *testing.T, client net.Conn, req kmsg.Request) P {
	t.Helper()
	require.NoError(t, client.SetReadDeadline(time.Now().Add(patience)))
	var size [4]byte
	_, err := io.ReadFull(client, size[:])
	require.NoError(t, err, "it is not answered")
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err = io.ReadFull(client, b)
	require.NoError(t, err)
	if b = b[4:]; req.IsFlexible() {
		b = b[1:]
	}
	resp := answerTo[P](req)
	require.NoError(t, resp.ReadFrom(b))
	return resp
}

// awaitServed waits until the server has ended a connection.
func awaitServed(t *testing.T, served chan struct{}) {
	t.Helper()
	select {
	case <-served:
	case <-time.After(patience):
		t.Fatal("it goes on for a client that has left")
	}
}

// heldBack are the ways in which a request has to wait, until the client asks the same
// again.
var heldBack = map[string]func(t *testing.T, s *Server) *protocol.Principal{
	"others": func(t *testing.T, s *Server) *protocol.Principal {
		fill(t, s, "greedy")
		return protocol.NewPrincipal("greedy", nil, nil)
	},
	"quota": func(*testing.T, *Server) *protocol.Principal { return exhausted("greedy") },
}

// What waits for its turn, or for a quota, is not executed for a client that has left: it
// has sent the same again.
func TestARequestThatWasHeldBackIsNotExecutedForAClientThatHasLeft(t *testing.T) {
	for by, hold := range heldBack {
		for name, req := range map[string]kmsg.Request{"produce": produceOne(), "fetch": fetchOne()} {
			t.Run(name+" by "+by, func(t *testing.T) {
				g := &gated{goOn: make(chan struct{})}
				close(g.goOn)
				s := newGated(t, g)
				client, served := g.dial(t, s, hold(t, s))
				write(t, client, req)
				require.NoError(t, client.Close())
				awaitServed(t, served)
				assert.Zero(t, g.underWay.Load())
			})
		}
	}
}

// Who wants no answer does not ask again, and may leave.
func TestAProduceWithoutAnAnswerIsExecutedForAClientThatHasLeft(t *testing.T) {
	g := &gated{goOn: make(chan struct{})}
	close(g.goOn)
	s := newGated(t, g)
	require.True(t, s.o.Gate.Enter("of HTTP", time.Now(), 0))
	n := 0
	for s.o.Gate.Enter("greedy", time.Now(), 0) {
		n++
	}
	client, served := g.dial(t, s, protocol.NewPrincipal("greedy", nil, nil))
	req := produceOne().(*kmsg.ProduceRequest)
	req.Acks = 0
	write(t, client, req)
	require.NoError(t, client.Close())
	select {
	case <-served:
		t.Fatal("it does not wait")
	case <-time.After(time.Second):
	}
	for range n {
		s.o.Gate.Leave("greedy")
	}
	awaitServed(t, served)
	assert.EqualValues(t, 1, g.underWay.Load())
}

// What waits for its turn longer than a request may take is given up before it began, and
// the connection goes on.
func TestARequestIsNotHeldBackForEver(t *testing.T) {
	for by, hold := range heldBack {
		t.Run(by, func(t *testing.T) {
			for _, tc := range []struct {
				server time.Duration
				client int32 // milliseconds
			}{{300 * time.Millisecond, 60_000}, {time.Minute, 50}, {300 * time.Millisecond, 0}} {
				g := &gated{goOn: make(chan struct{})}
				close(g.goOn)
				s := newGated(t, g)
				s.o.RequestTimeout = tc.server
				client, _ := g.dial(t, s, hold(t, s))
				for range 2 {
					req := produceOne().(*kmsg.ProduceRequest)
					req.TimeoutMillis = tc.client
					p := ask[*kmsg.ProduceResponse](t, client, req).Topics[0].Partitions[0]
					require.Equal(t, errRequestTimedOut, p.ErrorCode)
					assert.NotEmpty(t, p.ErrorMessage)
				}
				assert.Zero(t, g.underWay.Load())
			}
		})
	}
	t.Run("fetch", func(t *testing.T) {
		g := &gated{}
		s := newGated(t, g)
		s.o.RequestTimeout = 300 * time.Millisecond
		client, _ := g.dial(t, s, heldBack["others"](t, s))
		assert.Equal(t, errRequestTimedOut, ask[*kmsg.FetchResponse](t, client, fetchOne()).ErrorCode)
		assert.Zero(t, g.underWay.Load())
	})
}

// A request that a quota holds back takes no part of the server: others of the same client
// pass it.
func TestWhatAQuotaHoldsBackIsOutsideTheGate(t *testing.T) {
	for name, req := range map[string]func() kmsg.Request{"produce": produceOne, "fetch": fetchOne} {
		t.Run(name, func(t *testing.T) {
			g := &gated{goOn: make(chan struct{})}
			s := newGated(t, g)
			who := exhausted("greedy")
			require.True(t, s.o.Gate.Enter("of HTTP", time.Now(), 0))
			for range 100 {
				g.sendAs(t, s, who, req())
			}
			assert.Never(t, func() bool {
				free := s.o.Gate.Enter("greedy", time.Now(), 0)
				if free {
					s.o.Gate.Leave("greedy")
				}
				return !free
			}, 500*time.Millisecond, 20*time.Millisecond, "they have taken all places")
			assert.Zero(t, g.underWay.Load())
			close(g.goOn)
			close(s.done)
		})
	}
}

// A request that waits for memory does not keep others of the same client from waiting
// for it at the same time.
func TestWhoWaitsForMemoryLeavesTheGate(t *testing.T) {
	g := &gated{}
	s := newGated(t, g)
	s.o.Requests = budget.New(1)
	require.True(t, s.o.Gate.Enter("of HTTP", time.Now(), 0))
	places := 0
	for s.o.Gate.Enter("greedy", time.Now(), 0) {
		places++
	}
	for range places {
		s.o.Gate.Leave("greedy")
	}
	begun := time.Now()
	var all []chan struct{}
	for range 20 * places {
		all = append(all, g.send(t, s, "greedy", produceOne()))
	}
	for _, done := range all {
		<-done
	}
	assert.Less(t, time.Since(begun), time.Duration(10*places)*roomWait, "they have waited one after the other")
	assert.Zero(t, g.underWay.Load(), "there was no memory")
}
