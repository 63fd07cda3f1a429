package kafka

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/http/budget"
	"ottla/protocol"
)

// plenty is a broker whose partition has one record, as large as asked for.
type plenty struct {
	gated
	reads atomic.Int64
}

const plentyBytes = 1 << 20

func (p *plenty) StartFetch(req *protocol.FetchRequest) protocol.PendingFetch {
	w, ok := req.Sink.(*batchWriter)
	if !ok { // it asks where the partition ends
		return &replied{reply: protocol.FetchReply{HighWatermark: 1}}
	}
	n, err := req.Room.Take(min(plentyBytes, req.MaxBytes))
	if err != nil {
		return &refused{err: err}
	}
	p.reads.Add(1)
	w.Take(&protocol.Record{Key: []byte("-"), Value: append(append([]byte(`"`), make([]byte, n)...), '"'), Timestamp: 1})
	if err := req.Room.Keep(n); err != nil {
		return &refused{err: err}
	}
	return &replied{reply: protocol.FetchReply{HighWatermark: 1, NextOffset: 1}}
}

type refused struct {
	protocol.PendingFetch
	err *protocol.Error
}

func (r *refused) Advance() (*protocol.FetchReply, bool, *protocol.Error) { return nil, false, r.err }

// asking opens a connection that asks for that much, with small buffers in the kernel.
func (p *plenty) asking(t *testing.T, s *Server, req *kmsg.FetchRequest) net.Conn {
	t.Helper()
	client, _ := p.dialBy(t, s, protocol.NewPrincipal("reader", nil, nil), func(nc net.Conn) net.Conn {
		require.NoError(t, nc.(*net.TCPConn).SetWriteBuffer(8<<10))
		return nc
	})
	require.NoError(t, client.(*net.TCPConn).SetReadBuffer(8<<10))
	write(t, client, req)
	return client
}

func newPlenty(t *testing.T) (*plenty, *Server) {
	t.Helper()
	p := &plenty{}
	s := newGated(t, &p.gated)
	s.o.As = func(protocol.Access) Backend { return p }
	s.log = slog.New(slog.DiscardHandler)
	s.o.Answers = budget.NewAnswers(16<<20, 16<<20, time.Second)
	s.o.WriteTimeout, s.o.MaxBytes, s.o.MaxWait = time.Hour, 2*plentyBytes, time.Hour
	return p, s
}

// counted is the value of a counter.
func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	got, err := r.Gather()
	require.NoError(t, err)
	return got[0].GetMetric()[0].GetCounter().GetValue()
}

// large asks for a megabyte.
func large() *kmsg.FetchRequest {
	req := fetchOne().(*kmsg.FetchRequest)
	req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = plentyBytes, plentyBytes
	return req
}

// A Kafka client that takes nothing of its answer is disconnected while memory is scarce, as
// one of HTTP is; one that reads slowly keeps its answer, and one that waits for more than
// there is goes on waiting.
func TestStalledKafkaClientsAreDisconnected(t *testing.T) {
	p, s := newPlenty(t)
	patient := large()
	patient.MinBytes, patient.MaxWaitMillis = 2*plentyBytes, int32(time.Hour.Milliseconds())
	patient.MaxBytes, patient.Topics[0].Partitions[0].PartitionMaxBytes = 2*plentyBytes, 64<<10
	waits := p.asking(t, s, patient)
	slow := p.asking(t, s, large())
	stop, read := make(chan struct{}), make(chan error, 1)
	go func() {
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-stop:
				_, err := io.Copy(io.Discard, io.LimitReader(slow, 64<<10))
				read <- err
				return
			case <-tick.C:
				if _, err := slow.Read(make([]byte, 1000)); err != nil {
					read <- err
					return
				}
			}
		}
	}()
	require.Eventually(t, func() bool { return p.reads.Load() == 2 }, patience, time.Millisecond)
	var stalled []net.Conn
	for range 10 {
		stalled = append(stalled, p.asking(t, s, large()))
	}
	require.Eventually(t, func() bool {
		return counted(t, s.metrics.stalled) > 0 && s.o.Answers.Used() <= 8<<20
	}, patience, 10*time.Millisecond)
	close(stop)
	require.NoError(t, <-read, "it was slow, but took something")
	reset := 0
	for _, c := range stalled {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
		if _, err := io.Copy(io.Discard, io.LimitReader(c, 64<<10)); errors.Is(err, syscall.ECONNRESET) {
			reset++
		}
	}
	assert.Positive(t, reset)
	require.NoError(t, waits.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, err := waits.Read(make([]byte, 1))
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	assert.True(t, timeout.Timeout(), "it waits")
	assert.Zero(t, counted(t, s.metrics.slow))
}

// While there is room the write timeout alone counts.
func TestSlowKafkaClientsHaveTheWriteTimeout(t *testing.T) {
	p, s := newPlenty(t)
	s.o.WriteTimeout = 100 * time.Millisecond
	p.asking(t, s, large())
	require.Eventually(t, func() bool { return counted(t, s.metrics.slow) == 1 }, patience, time.Millisecond)
	require.Eventually(t, func() bool { return s.o.Answers.Used() == 0 }, patience, time.Millisecond)
	assert.Zero(t, counted(t, s.metrics.stalled))
}

// Half a request holds the memory of what was sent, until the read timeout is over.
func TestHalfAKafkaRequestHoldsLittle(t *testing.T) {
	half := func(s *Server, p *plenty) (served chan struct{}) {
		client, served := p.dial(t, s, protocol.NewPrincipal("writer", nil, nil))
		b := kmsg.NewRequestFormatter().AppendRequest(nil, produceOne(), 7)
		b[0], b[1], b[2], b[3] = 0, 0x10, 0, 0 // of a megabyte
		_, err := client.Write(b[:len(b)/2])
		require.NoError(t, err)
		return served
	}
	p, s := newPlenty(t)
	s.o.ReadTimeout = time.Hour
	half(s, p)
	require.Eventually(t, func() bool { return s.o.Requests.Used() > 0 }, patience, time.Millisecond)
	assert.LessOrEqual(t, s.o.Requests.Used(), int64(firstBytes))

	p, s = newPlenty(t)
	s.o.ReadTimeout = 100 * time.Millisecond
	<-half(s, p)
	assert.Zero(t, s.o.Requests.Used())
}
