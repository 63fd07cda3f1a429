package kafka

import (
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/http/budget"
	"ottla/protocol"
)

// timed is a partition whose records have these times. It counts reads, and the records
// that are in them.
type timed struct {
	Backend
	times       []int64
	reads, sent int
}

type replied struct {
	protocol.PendingFetch
	reply protocol.FetchReply
}

func (r *replied) Advance() (*protocol.FetchReply, bool, *protocol.Error) {
	return &r.reply, false, nil
}

func (b *timed) PartitionOffsets(*protocol.Topic, int) (earliest, latest protocol.Offset, err *protocol.Error) {
	return 0, protocol.Offset(len(b.times)), nil
}

func (b *timed) StartFetch(req *protocol.FetchRequest) protocol.PendingFetch {
	b.reads++
	at := int(req.Offset)
	if req.Timestamp != nil {
		for at = 0; at < len(b.times) && b.times[at] < *req.Timestamp; at++ {
		}
	}
	r := &replied{}
	for ; at < len(b.times) && len(r.reply.Records) < req.MaxRecords; at++ {
		r.reply.Records = append(r.reply.Records, protocol.Record{Offset: protocol.Offset(at), Timestamp: b.times[at]})
		b.sent++
	}
	r.reply.NextOffset, r.reply.HighWatermark = protocol.Offset(at), protocol.Offset(len(b.times))
	return r
}

// The greatest timestamp is found by few questions of single records, whatever the order
// of the times.
func TestGreatestTimeReadsLittle(t *testing.T) {
	const now = 1_795_367_763_123
	rng := rand.New(rand.NewPCG(1, 2))
	orders := map[string]func(i, n int) int64{
		"ascending":           func(i, _ int) int64 { return now + int64(i) },
		"descending":          func(i, n int) int64 { return now + int64(n-i) },
		"equal":               func(int, int) int64 { return now },
		"ascending to a last": func(i, n int) int64 { return now + int64(i%max(n-1, 1)) },
		"any":                 func(int, int) int64 { return now + rng.Int64N(1000) },
		"far apart":           func(int, int) int64 { return rng.Int64N(maxTimestamp + 1) },
		"the ends":            func(i, _ int) int64 { return int64(i%2) * maxTimestamp },
	}
	for name, at := range orders {
		for _, n := range []int{0, 1, 2, 3, 5000} {
			b := &timed{times: make([]int64, n)}
			for i := range b.times {
				b.times[i] = at(i, n)
			}
			s := &Server{b: b, o: Options{Answers: budget.NewAnswers(1<<20, 0, time.Minute)}, done: make(chan struct{})}
			nc, other := net.Pipe()
			t.Cleanup(func() { _, _ = nc.Close(), other.Close() })
			h := &recordHandlers{caller: &caller{srv: s}, socket: &socket{nc: nc}}
			wantOffset, wantTime := int64(-1), int64(-1)
			for i, ms := range b.times {
				if ms > wantTime {
					wantOffset, wantTime = int64(i), ms
				}
			}
			offset, timestamp, code := h.offsetAt(&protocol.Topic{Name: "t", Partitions: 1}, 0, maxTimeOffset)
			require.Equal(t, errNone, code)
			assert.Equal(t, [2]int64{wantOffset, wantTime}, [2]int64{offset, timestamp}, "%s, %d records", name, n)
			assert.LessOrEqual(t, b.reads, 110, "%s, %d records", name, n)
			assert.LessOrEqual(t, b.sent, b.reads)
			if name == "ascending" {
				assert.LessOrEqual(t, b.reads, 4)
			}
		}
	}
}
