package http

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

func TestAnswersShareTheirBudget(t *testing.T) {
	const limit = 8 << 20
	b := newAnswerBudget(limit)
	var held []*room
	last := limit
	for {
		r := &room{b: b}
		n, err := r.Take(limit)
		if err != nil {
			assert.Equal(t, protocol.CodeOverloaded, err.Code)
			break
		}
		held = append(held, r)
		assert.LessOrEqual(t, n, last, "what is left gets less")
		assert.GreaterOrEqual(t, n, smallAnswer)
		last = n
	}
	assert.EqualValues(t, 7<<20/answerShare, held[0].held, "an eighth of what is not reserved")
	assert.Greater(t, len(held), limit/reserveShare/smallAnswer, "small answers have the reserve")
	assert.LessOrEqual(t, b.used.Load(), int64(limit))

	held[len(held)-1].release()
	small := &room{b: b}
	n, err := small.Take(100)
	require.Nil(t, err)
	assert.Equal(t, 100, n)
	require.Nil(t, small.Keep(40))
	assert.EqualValues(t, 40, small.held, "what was not read goes back")
	require.Nil(t, small.Keep(4000), "a last record may be of the reserve")
	assert.NotNil(t, small.Keep(1<<20), "a large one may not")
	assert.Zero(t, small.held)

	for _, r := range held {
		r.release()
	}
	assert.Zero(t, b.used.Load())
	_, err = small.Take(smallAnswer)
	require.Nil(t, err)
	require.Nil(t, small.Keep(2*limit), "who is alone may read any record")
	small.release()
	assert.Zero(t, b.used.Load())
}

// Whatever many do at the same time, no more is granted than there is, and
// all of it comes back.
func TestAnswersShareTheirBudgetAtOnce(t *testing.T) {
	const limit = 1 << 20
	b := newAnswerBudget(limit)
	b.patience, b.standstill = time.Millisecond, 50*time.Microsecond
	var all sync.WaitGroup
	for seed := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			rnd := rand.New(rand.NewPCG(uint64(seed), 1))
			rooms := make([]room, 20)
			for range 5000 {
				r := &rooms[rnd.IntN(len(rooms))]
				r.b = b
				switch rnd.IntN(3) {
				case 0:
					_, _ = r.Take(1 + rnd.IntN(limit))
				case 1:
					_ = r.Keep(rnd.IntN(int(r.held) + smallAnswer))
				default:
					r.release()
				}
				if used := b.used.Load(); used > limit || used < 0 {
					t.Errorf("%d bytes are held of %d", used, limit)
					return
				}
			}
			for i := range rooms {
				rooms[i].b = b
				rooms[i].release()
			}
		}()
	}
	all.Wait()
	assert.Zero(t, b.used.Load())
}

// As long as answers are read, none is shorter than asked for, however many
// there are; who comes first is served first.
func TestOrdinaryAnswersAreWhole(t *testing.T) {
	const limit, answer, readers = 8 << 20, 200 << 10, 1000 // together 25 times as much
	b := newAnswerBudget(limit)
	b.patience, b.standstill = time.Minute, time.Minute
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			r := &room{b: b}
			for range 3 {
				n, err := r.Take(answer)
				if !assert.Nil(t, err) || !assert.Equal(t, answer, n) {
					return
				}
				assert.LessOrEqual(t, b.used.Load(), int64(limit))
				assert.Nil(t, r.Keep(answer-1000))
				r.set(answer + 1000) // as it is rendered
				r.release()
			}
		})
	}
	all.Wait()
	assert.Zero(t, b.used.Load())
	assert.Zero(t, b.waiting.Load())
}

func TestRoomIsGivenInTurn(t *testing.T) {
	const limit = 8 << 20
	b := newAnswerBudget(limit)
	b.patience, b.standstill = time.Minute, time.Minute
	require.True(t, b.take(b.open()))
	got := make(chan int, 2)
	var rooms [2]room
	for i, want := range []int{500 << 10, 100 << 10} {
		rooms[i].b = b
		go func() {
			n, err := rooms[i].Take(want)
			assert.Nil(t, err)
			got <- n
		}()
		for b.waiting.Load() != int64(i+1) {
			runtime.Gosched()
		}
	}
	small := &room{b: b}
	n, err := small.Take(smallAnswer)
	require.Nil(t, err)
	assert.Equal(t, smallAnswer, n, "small answers need not wait")
	small.release()
	b.give(200 << 10)
	require.EqualValues(t, 2, b.waiting.Load(), "the second does not overtake the first")
	b.give(300 << 10)
	assert.Equal(t, 500<<10, <-got)
	require.EqualValues(t, 1, b.waiting.Load())
	b.give(100 << 10)
	assert.Equal(t, 100<<10, <-got)
	assert.LessOrEqual(t, b.used.Load(), b.open())
}

// Where nothing is given back one read waits in vain, and others learn of it.
func TestWaitingForRoomInVain(t *testing.T) {
	const limit = 8 << 20
	b := newAnswerBudget(limit)
	b.patience, b.standstill = time.Minute, 10*time.Millisecond
	require.True(t, b.take(b.open()))
	var rooms [3]room
	for i := range rooms {
		rooms[i].b = b
		b.standstill = []time.Duration{time.Millisecond, time.Hour, time.Millisecond}[i]
		n, err := rooms[i].Take(1 << 20)
		require.Nil(t, err)
		assert.Equal(t, smallAnswer, n)
		if i == 1 {
			b.give(muchRoom) // the next one waits again
			require.True(t, b.take(muchRoom))
		}
	}
	assert.Zero(t, b.waiting.Load())
	b.give(2 << 20)
	n, err := (&room{b: b}).Take(1 << 20)
	require.Nil(t, err)
	assert.Equal(t, b.ordinary(), int64(n))
}

// smallBuffers has the kernel take little of an answer that nobody reads.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}

func startSmallBuffers(t *testing.T, o Options) *harness {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return startOn(t, o, tcpListener{smallBuffers{ln}})
}

// answerBegin is what slowReader reads.
const answerBegin = "HTTP/1.1 "

// slowReader asks, and reads no more than the first bytes of the answer.
func (h *harness) slowReader(target string) net.Conn {
	h.t.Helper()
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
		}); e != nil {
			return e
		}
		return err
	}}
	conn, err := d.Dial("tcp", h.ln.Addr().String())
	require.NoError(h.t, err)
	h.t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\nAccept-Encoding: identity\r\n\r\n", target)
	require.NoError(h.t, err)
	begin := make([]byte, len(answerBegin))
	_, err = io.ReadFull(conn, begin)
	require.NoError(h.t, err)
	assert.Equal(h.t, answerBegin, string(begin))
	return conn
}

func (h *harness) fill(topic string, records, size int) {
	h.b.add(topic, 1)
	value := []byte(`"` + strings.Repeat("x", size) + `"`)
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	log := make([]protocol.Record, records)
	for i := range log {
		log[i] = protocol.Record{Topic: topic, Offset: protocol.Offset(i), Key: []byte("-"), Value: value}
	}
	h.b.topics[topic].partitions[0] = log
}

func TestSlowReadersShareTheMemory(t *testing.T) {
	const limit = 64 << 20
	h := startSmallBuffers(t, Options{MaxResponseBytes: limit})
	h.fill("large", 10_000, 1000)
	h.fill("quick", 1, 10)
	const one = "/topic/large/partitions/0/records?offset=0&max_records=10000&max_bytes=10000000"
	alone := len(wantOK(t, h.do("GET", one, ""), 200)["records"].([]any))
	used := &h.s.answers.used
	var slow []net.Conn
	for i := range 300 {
		target := one
		if i%2 == 1 {
			target = fmt.Sprintf("/events?topic=large&consumer_id=%d&auto_commit=false&max_records=10000&max_bytes=10000000", i+1)
		}
		conn := h.slowReader(target)
		slow = append(slow, conn)
		// What was read fits; what was rendered is a little more.
		require.Less(t, used.Load(), int64(limit*5/4))
		if i%50 == 0 {
			wantOK(t, h.do("GET", "/topic/quick/partitions/0/records?offset=0", ""), 200)
			wantOK(t, h.do("POST", "/events", `{"topic":"p","value":1}`), 200)
			wantOK(t, h.do("GET", "/topics", ""), 200)
		}
	}
	require.Greater(t, used.Load(), int64(limit/2), "they hold what there is")
	squeezed := len(wantOK(t, h.do("GET", one, ""), 200)["records"].([]any))
	assert.Less(t, squeezed, alone/4, "an answer is smaller")
	assert.Positive(t, squeezed)
	assert.Contains(t, h.do("GET", "/metrics", "").body, "\nottla_http_response_bytes_limit 6.7108864e+07\n")

	for _, conn := range slow {
		require.NoError(t, conn.Close())
	}
	require.Eventually(t, func() bool { return used.Load() == 0 }, patience, time.Millisecond)
	assert.Len(t, wantOK(t, h.do("GET", one, ""), 200)["records"].([]any), alone)
}

func TestReadsWithoutRoomAreRefused(t *testing.T) {
	const limit = 1 << 20
	h := startTCP(t, Options{MaxResponseBytes: limit})
	h.fill("t", 100, 1000)
	h.fill("large", 1, 100_000)
	read := func(topic string) string { return "/topic/" + topic + "/partitions/0/records?offset=0" }

	require.True(t, h.s.answers.take(limit-limit/reserveShare))
	wantOK(t, h.do("GET", read("t"), ""), 200)
	wantError(t, h.do("GET", read("large"), ""), 503, "overloaded")
	h.s.answers.give(limit - limit/reserveShare)

	require.True(t, h.s.answers.take(limit))
	wantError(t, h.do("GET", read("t"), ""), 503, "overloaded")
	wantError(t, h.do("GET", "/events?topic=t&consumer_id=5", ""), 503, "overloaded")
	wantError(t, h.do("GET", "/events?topic=t&consumer_id=5", "", "Accept", "text/event-stream"), 503, "overloaded")
	wantError(t, h.do("GET", "/openapi.json", ""), 503, "overloaded")
	wantOK(t, h.do("GET", "/cluster", ""), 200)
	wantOK(t, h.do("GET", "/healthz", ""), 200)
	wantOK(t, h.do("POST", "/events", `{"topic":"p","value":1}`), 200)
	h.s.answers.give(limit)

	// A read that waits holds nothing; it is refused when it has something.
	h.b.parked = make(chan struct{}, 1)
	waited := make(chan answer, 1)
	go func() { waited <- h.do("GET", "/topic/p/partitions/0/records?offset=1&timeout_ms=20000", "") }()
	<-h.b.parked
	assert.Zero(t, h.s.answers.used.Load())
	require.True(t, h.s.answers.take(limit))
	wantOK(t, h.do("POST", "/events", `{"topic":"p","value":2,"partition":0}`), 200)
	wantError(t, <-waited, 503, "overloaded")
	h.s.answers.give(limit)
	assert.Len(t, wantOK(t, h.do("GET", "/events?topic=t&consumer_id=5", ""), 200)["records"].([]any), 100,
		"what was refused was not committed")
}

// A stream that nobody reads holds one batch, and gives it back when it ends.
func TestSlowStreamsShareTheMemory(t *testing.T) {
	const limit = 32 << 20
	h := startSmallBuffers(t, Options{MaxResponseBytes: limit})
	h.fill("large", 10_000, 1000)
	var slow []net.Conn
	for i := range 100 {
		conn, err := h.ln.Dial()
		require.NoError(t, err)
		defer conn.Close()
		_, err = fmt.Fprintf(conn, "GET /events?topic=large&consumer_id=%d&max_bytes=10000000&max_records=10000 HTTP/1.1\r\nHost: a\r\nAccept: application/x-ndjson\r\n\r\n", i+1)
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 9))
		require.NoError(t, err)
		require.Less(t, h.s.answers.used.Load(), int64(limit*5/4))
		slow = append(slow, conn)
	}
	for _, conn := range slow {
		require.NoError(t, conn.Close())
	}
	require.Eventually(t, func() bool { return h.s.answers.used.Load() == 0 }, patience, time.Millisecond)
}
