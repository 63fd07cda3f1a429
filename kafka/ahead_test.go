package kafka

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/http/budget"
	"ottla/protocol"
)

// numbers is a partition of numbers, which notes from where it was read.
type numbers struct {
	Backend
	mu    sync.Mutex
	topic *protocol.Topic
	n     int64
	start protocol.Offset
	moved bool // another broker leads
	dark  bool // nobody knows where it ends, though it can be read
	far   bool // another node leads: it is asked, and waited for, unless the read is to be near
	away  int  // reads that were refused because of that
	reads []int64
}

func (b *numbers) LookupTopic(string, string, bool, time.Time) (*protocol.Topic, *protocol.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.topic, nil
}

func (b *numbers) StartFetch(req *protocol.FetchRequest) protocol.PendingFetch {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.moved {
		return &refused{err: protocol.Errorf(protocol.CodeNoLeader, "moved")}
	}
	r := &replied{reply: protocol.FetchReply{HighWatermark: protocol.Offset(b.n), Earliest: b.start}}
	w, ok := req.Sink.(*batchWriter)
	switch {
	case !ok && b.dark:
		return &refused{err: protocol.Errorf(protocol.CodeNoLeader, "an election")}
	case !ok:
		return r
	case b.far && req.Near:
		b.away++
		return &refused{err: protocol.ErrAway}
	}
	n, err := req.Room.Take(req.MaxBytes)
	if err != nil {
		return &refused{err: err}
	}
	b.reads = append(b.reads, int64(req.Offset))
	w.Expect(n)
	at := max(req.Offset, b.start)
	for ; w.size() < n && int64(at) < b.n; at++ {
		w.Take(&protocol.Record{Offset: at, Key: []byte("-"), Value: fmt.Appendf(nil, "[%d]", at), Timestamp: int64(at)})
	}
	r.reply.NextOffset = at
	if err := req.Room.Keep(w.size()); err != nil {
		return &refused{err: err}
	}
	return r
}

// readFrom returns from where the partition was read since the last time.
func (b *numbers) readFrom() []int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	reads := b.reads
	b.reads = nil
	return reads
}

func (b *numbers) change(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	do()
}

// reader is a client that reads the partition.
type reader struct {
	t      *testing.T
	b      *numbers
	s      *Server
	client net.Conn
}

func newReader(t *testing.T) *reader {
	b := &numbers{topic: &protocol.Topic{Name: "t", Partitions: 1}, n: 1_000_000}
	g := &gated{}
	s := newGated(t, g)
	s.o.As = func(protocol.Access) Backend { return b }
	s.o.Answers = budget.NewAnswers(1<<20, 1<<20, time.Minute)
	client, _ := g.dial(t, s, protocol.NewPrincipal("reader", nil, nil))
	return &reader{t: t, b: b, s: s, client: client}
}

const aheadBytes = 4000

// fetch reads from an offset on, and returns the offset after the last record.
func (r *reader) fetch(from int64) (next int64) {
	r.t.Helper()
	req := fetchOne().(*kmsg.FetchRequest)
	req.MaxBytes = aheadBytes
	p := &req.Topics[0].Partitions[0]
	p.FetchOffset, p.PartitionMaxBytes = from, aheadBytes
	out := ask[*kmsg.FetchResponse](r.t, r.client, req).Topics[0].Partitions[0]
	require.Zero(r.t, out.ErrorCode)
	require.EqualValues(r.t, r.b.n, out.HighWatermark)
	require.Greater(r.t, len(out.RecordBatches), batchHeaderBytes)
	base := int64(binary.BigEndian.Uint64(out.RecordBatches))
	require.Equal(r.t, max(from, int64(r.b.start)), base)
	b, code := readBatch(out.RecordBatches)
	require.Zero(r.t, code)
	s := scanner{b: b.records}
	for i := range b.count {
		require.Equal(r.t, fmt.Sprintf("[%d]", base+int64(i)), string(s.record(i).value))
	}
	return base + int64(b.count)
}

// settled waits until the server has done what follows an answer.
func (r *reader) settled(reads int) []int64 {
	r.t.Helper()
	var got []int64
	require.Eventually(r.t, func() bool {
		got = append(got, r.b.readFrom()...)
		return len(got) >= reads
	}, patience, time.Millisecond)
	return got
}

// begin reads until the server reads ahead: the second fetch goes on where the first one
// ended. It returns what the client asks for next.
func (r *reader) begin() (next int64) {
	return r.goOn(r.fetch(r.fetch(0)))
}

// goOn reads on until the server has read ahead what the client asks for next.
func (r *reader) goOn(next int64) int64 {
	for range 100 { // on a machine that is slow the client may seem to pause
		<-time.After(time.Millisecond)
		if reads := r.b.readFrom(); len(reads) > 0 && reads[len(reads)-1] == next {
			return next
		}
		next = r.fetch(next)
	}
	r.t.Fatal("nothing is read ahead")
	return 0
}

// Who reads a partition from end to end finds the next answer made, once and right.
func TestFetchesAreReadAhead(t *testing.T) {
	r := newReader(t)
	next, given := r.begin(), 0
	for range 20 {
		after := r.fetch(next)
		reads := r.b.readFrom()
		for _, from := range reads {
			assert.Contains(t, []int64{next, after}, from)
		}
		if !slices.Contains(reads, next) {
			given++
		}
		if next = after; !slices.Contains(reads, next) {
			next = r.goOn(next)
		}
	}
	assert.Positive(t, given, "everything is read twice")
}

// What was read ahead is not given to who asks for something else, nor after the partition
// has changed.
func TestWhatWasReadAheadIsNotTaken(t *testing.T) {
	for why, ask := range map[string]func(r *reader, next int64){
		"another offset": func(r *reader, _ int64) {
			assert.Greater(r.t, r.fetch(7), int64(7))
			assert.Equal(r.t, []int64{7}, r.settled(1)[:1])
		},
		"another topic of that name": func(r *reader, next int64) {
			r.b.change(func() { r.b.topic = &protocol.Topic{Name: "t", Partitions: 1, ID: "another"} })
			r.fetch(next)
			assert.Equal(r.t, []int64{next}, r.settled(1)[:1])
		},
		"old records are removed": func(r *reader, next int64) {
			r.b.change(func() { r.b.start = protocol.Offset(next + 5) })
			r.fetch(next)
			assert.Equal(r.t, []int64{next}, r.settled(1)[:1])
		},
		"an election": func(r *reader, next int64) {
			r.b.change(func() { r.b.dark = true })
			r.fetch(next)
			assert.Equal(r.t, []int64{next}, r.settled(1)[:1])
		},
		"another leader": func(r *reader, next int64) {
			r.b.change(func() { r.b.moved = true })
			req := fetchOne().(*kmsg.FetchRequest)
			req.MaxBytes = aheadBytes
			req.Topics[0].Partitions[0].FetchOffset, req.Topics[0].Partitions[0].PartitionMaxBytes = next, aheadBytes
			assert.Equal(r.t, errNotLeaderOrFollower, r.refusal(req))
		},
		"a pause": func(r *reader, _ int64) {
			require.Eventually(r.t, func() bool { return r.s.o.Answers.Used() == 0 }, patience, time.Millisecond, "its memory is given back")
		},
		"other requests": func(r *reader, _ int64) {
			ask[*kmsg.ApiVersionsResponse](r.t, r.client, kmsg.NewPtrApiVersionsRequest())
			assert.Zero(r.t, r.s.o.Answers.Used(), "they do not keep it")
		},
		"a fetch that waits": func(r *reader, _ int64) {
			req := fetchOne().(*kmsg.FetchRequest)
			req.Topics[0].Partitions[0].FetchOffset = r.b.n
			write(r.t, r.client, req)
		},
		"three bytes of a fetch":    func(r *reader, next int64) { r.half(next, 3) },
		"the beginning of a fetch":  func(r *reader, next int64) { r.half(next, 20) },
		"all but a byte of a fetch": func(r *reader, next int64) { r.half(next, -1) },
		"the client leaves": func(r *reader, _ int64) {
			require.NoError(r.t, r.client.Close())
			require.Eventually(r.t, func() bool { return r.s.o.Answers.Used() == 0 }, patience, time.Millisecond)
		},
	} {
		t.Run(why, func(t *testing.T) {
			r := newReader(t)
			ask(r, r.begin())
			require.Eventually(t, func() bool { return r.s.o.Answers.Used() == 0 }, patience, time.Millisecond)
		})
	}
}

// half sends the first n bytes of a fetch, or all but -n, and the others when the server
// holds nothing any more.
func (r *reader) half(from int64, n int) {
	r.t.Helper()
	req := fetchOne().(*kmsg.FetchRequest)
	req.Topics[0].Partitions[0].FetchOffset = from
	b := kmsg.NewRequestFormatter().AppendRequest(nil, req, 7)
	if n < 0 {
		n += len(b)
	}
	_, err := r.client.Write(b[:n])
	require.NoError(r.t, err)
	require.Eventually(r.t, func() bool { return r.s.o.Answers.Used() == 0 }, patience, time.Millisecond, "half a request keeps it")
	_, err = r.client.Write(b[n:])
	require.NoError(r.t, err)
	out := answer[*kmsg.FetchResponse](r.t, r.client, req).Topics[0].Partitions[0]
	require.Zero(r.t, out.ErrorCode)
	require.EqualValues(r.t, from, binary.BigEndian.Uint64(out.RecordBatches))
}

// refusal is the code of a fetch.
func (r *reader) refusal(req *kmsg.FetchRequest) int16 {
	return ask[*kmsg.FetchResponse](r.t, r.client, req).Topics[0].Partitions[0].ErrorCode
}

// Where another node leads a partition nothing is read ahead of it, once that is known.
func TestNothingIsReadAheadFromAfar(t *testing.T) {
	r := newReader(t)
	next := r.begin()
	away := func() (n int) {
		r.b.change(func() { n = r.b.away })
		return n
	}
	r.b.change(func() { r.b.far = true })
	for deadline := time.Now().Add(patience); away() == 0 && time.Now().Before(deadline); { // a client that seems to pause is not read ahead for
		next = r.fetch(next)
	}
	for range 20 {
		next = r.fetch(next)
	}
	assert.Equal(t, 1, away())
	r.b.change(func() { r.b.far = false })
	r.b.readFrom()
	for range 20 {
		next = r.fetch(next)
	}
	assert.Len(t, r.b.readFrom(), 20)
}

// Nothing is read ahead for who pauses, jumps, has read everything, or while memory is
// scarce.
func TestNothingIsReadAheadInVain(t *testing.T) {
	r := newReader(t)
	last := r.b.n - 3
	for _, from := range []int64{0, 0, 500, 7, last, 0} { // jumps, and the end
		r.fetch(from)
	}
	assert.Equal(t, []int64{0, 0, 500, 7, last, 0}, r.settled(6))

	next := r.fetch(0)
	for range 3 {
		<-time.After(2 * aheadPause)
		next = r.fetch(next)
	}
	assert.Len(t, r.settled(4), 4)

	held := r.s.o.Answers.Share()
	held.Set(1 << 19)
	next = r.fetch(0)
	for range 3 {
		next = r.fetch(next)
	}
	<-time.After(10 * time.Millisecond)
	assert.NotContains(t, r.b.readFrom(), next)
	held.Release()
}
