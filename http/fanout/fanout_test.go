package fanout

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

const patience = 30 * time.Second

// testLog is a topic of one partition. A cursor is the offset of the next record.
type testLog struct {
	mu      sync.Mutex
	records []protocol.Record
	moved   chan struct{}
	fails   *protocol.Error // what every look returns
	gap     bool            // what the next look tells of

	opened, closed, looks atomic.Int64
	fetched, held         atomic.Int64
}

func newLog() *testLog { return &testLog{moved: make(chan struct{})} }

func (l *testLog) change(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
	close(l.moved)
	l.moved = make(chan struct{})
}

func (l *testLog) write(values ...string) {
	l.change(func() {
		for _, v := range values {
			l.records = append(l.records, protocol.Record{Offset: protocol.Offset(len(l.records)), Value: []byte(v)})
		}
	})
}

func (l *testLog) end() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strconv.Itoa(len(l.records))
}

// text is what a stream has got that began at an offset and is at the end.
func (l *testLog) text(from int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, r := range l.records[from:] {
		b.Write(r.Value)
	}
	return b.String()
}

type testReading struct {
	l    *testLog
	at   int
	stop <-chan struct{}
}

func (l *testLog) open(req *protocol.ReadingRequest) (protocol.Reading, *protocol.Error) {
	l.opened.Add(1)
	at, err := strconv.Atoi(req.After)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeInvalidCursor, "no cursor")
	}
	return &testReading{l, at, req.Done}, nil
}

func (r *testReading) Next(look protocol.ReadingLook) (*protocol.ReadingReply, *protocol.Error) {
	r.l.looks.Add(1)
	timeout := time.After(look.Timeout)
	for {
		r.l.mu.Lock()
		moved, reply, fails := r.l.moved, &protocol.ReadingReply{}, r.l.fails
		if r.l.gap {
			r.l.gap, reply.Gaps = false, make([]protocol.Gap, 1)
		}
		for ; r.at < len(r.l.records) && len(reply.Records) < look.MaxRecords; r.at++ {
			reply.Records = append(reply.Records, r.l.records[r.at])
		}
		r.l.mu.Unlock()
		if fails != nil {
			return nil, fails
		}
		if len(reply.Records) > 0 || len(reply.Gaps) > 0 {
			return reply, nil
		}
		select {
		case <-moved:
		case <-timeout:
			return reply, nil
		case <-r.stop:
			return reply, nil
		}
	}
}

func (r *testReading) Cursor() string { return strconv.Itoa(r.at) }
func (r *testReading) Close()         { r.l.closed.Add(1) }

func (r *testReading) Copies(reply *protocol.ReadingReply) func(int) {
	n := int64(len(reply.Records))
	return func(times int) { r.l.fetched.Add(n * int64(times)) }
}

// testRoom counts what is held.
type testRoom struct {
	l    *testLog
	mine int64
}

func (r *testRoom) Take(want int) (int, *protocol.Error) { return want, nil }
func (r *testRoom) Keep(int) *protocol.Error             { return nil }
func (r *testRoom) Release()                             { r.Set(0) }

func (r *testRoom) Set(n int64) {
	r.l.held.Add(n - r.mine)
	r.mine = n
}

func (l *testLog) feeds() *Feeds {
	return New(Options{
		Open: l.open,
		Render: func(form Form, reply *protocol.ReadingReply) []byte {
			var b []byte
			for i := range reply.Records {
				b = append(b, reply.Records[i].Value...)
			}
			if form == 1 {
				b = []byte(strings.ToUpper(string(b)))
			}
			return b
		},
		Look: protocol.ReadingLook{MaxRecords: 3, Timeout: 20 * time.Millisecond},
		Room: func() Room { return &testRoom{l: l} }, Sent: func(int) {},
	})
}

// testOutput takes as much as takes says.
type testOutput struct {
	mu    sync.Mutex
	got   strings.Builder
	takes func(n int) (int, error)
}

func (o *testOutput) TryWrite(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := len(b), error(nil)
	if o.takes != nil {
		n, err = o.takes(n)
	}
	o.got.Write(b[:n])
	return n, err
}

func (o *testOutput) write(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.got.Write(b)
}

func (o *testOutput) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.got.String()
}

func always(int, time.Time) bool { return true }

func (fs *Feeds) join(form Form, may func(int, time.Time) bool) (*Feed, *Subscriber, *testOutput) {
	out := &testOutput{}
	s := NewSubscriber(out, form, may)
	return fs.Join(&protocol.Topic{ID: "t"}, nil, s), s, out
}

func eventually(t *testing.T, ok func() bool, what string) {
	t.Helper()
	require.Eventually(t, ok, patience, time.Millisecond, what)
}

func TestThoseAtOnePlaceShareWhatIsRead(t *testing.T) {
	l := newLog()
	l.write("old ")
	fs := l.feeds()
	var outs []*testOutput
	for i := range 100 {
		f, s, out := fs.join(Form(i%2), always)
		_, end, ok := f.Attach(s, "1", i == 0)
		require.True(t, ok)
		require.Equal(t, "1", end)
		outs = append(outs, out)
	}
	l.write("a ", "b ")
	l.write("c ")
	for i, out := range outs {
		want := "a b c "
		if i%2 == 1 {
			want = "A B C "
		}
		eventually(t, func() bool { return out.text() == want }, want)
	}
	assert.EqualValues(t, 1, l.opened.Load())
	eventually(t, func() bool { return l.fetched.Load() == 300 }, "all are counted")
	assert.Less(t, l.looks.Load(), int64(50))
}

// A stream that is elsewhere does not start a feed unless it is at the end, and does not
// move one that runs.
func TestOnlyWhoIsAtTheEndStartsAFeed(t *testing.T) {
	l := newLog()
	l.write("a", "b")
	fs := l.feeds()
	f, s, _ := fs.join(0, always)
	target, _ := f.Target()
	assert.Empty(t, target)
	_, _, ok := f.Attach(s, "1", false)
	assert.False(t, ok)
	_, _, ok = f.Attach(s, "nonsense", true)
	assert.False(t, ok, "it cannot be opened there")
	_, _, ok = f.Attach(s, "2", true)
	assert.True(t, ok)
	target, moved := f.Target()
	assert.Equal(t, "2", target)
	g, other, out := fs.join(0, always)
	require.Same(t, f, g)
	_, _, ok = g.Attach(other, "1", true)
	assert.False(t, ok)
	l.write("c")
	<-moved
	next, end, ok := g.Attach(other, "2", false)
	assert.Equal(t, "c", string(next), "it is kept for those who come a little late")
	assert.Equal(t, "3", end)
	require.True(t, ok)
	_, _, ok = g.Attach(other, end, false)
	require.True(t, ok)
	l.write("d")
	eventually(t, func() bool { return out.text() == "d" }, "what follows")
}

// A slow reader is given the rest of its chunk, and the others wait for nothing.
func TestASlowReaderIsDetached(t *testing.T) {
	l := newLog()
	fs := l.feeds()
	f, slow, slowOut := fs.join(0, always)
	_, fast, fastOut := fs.join(0, always)
	slowOut.takes = func(int) (int, error) { return 2, nil }
	for _, s := range []*Subscriber{slow, fast} {
		_, _, ok := f.Attach(s, "0", true)
		require.True(t, ok)
	}
	l.write("hello")
	<-slow.Woken()
	l.write(" world")
	eventually(t, func() bool { return fastOut.text() == "hello world" }, "the fast one")
	cursor, rest, sent, err := f.Detach(slow)
	require.NoError(t, err)
	assert.Equal(t, "he", slowOut.text())
	assert.Equal(t, "llo", string(rest))
	assert.Equal(t, "1", cursor)
	assert.Equal(t, 5, sent)
	next, end, ok := f.Attach(slow, cursor, false)
	require.True(t, ok)
	assert.Equal(t, " world", string(next))
	assert.Equal(t, "2", end)
}

// Who may take nothing now, or whose output fails, is detached; only the first has missed
// something.
func TestWhoMayTakeNothingIsDetached(t *testing.T) {
	l := newLog()
	fs := l.feeds()
	f, poor, poorOut := fs.join(0, func(size int, _ time.Time) bool { return size < 2 })
	_, broken, brokenOut := fs.join(0, always)
	brokenOut.takes = func(int) (int, error) { return 0, fmt.Errorf("broken") }
	for _, s := range []*Subscriber{poor, broken} {
		_, _, ok := f.Attach(s, "0", true)
		require.True(t, ok)
	}
	l.write("12")
	<-poor.Woken()
	<-broken.Woken()
	cursor, rest, sent, err := f.Detach(poor)
	assert.Equal(t, []any{"0", 0, 0, nil, ""}, []any{cursor, len(rest), sent, err, poorOut.text()})
	_, _, _, err = f.Detach(broken)
	assert.EqualError(t, err, "broken")
}

// Gaps and errors send everybody to look alone. After an error the feed rests.
func TestAFeedThatFailsLetsEverybodyGo(t *testing.T) {
	for name, fail := range map[string]func(*testLog){
		"gap":   func(l *testLog) { l.gap = true },
		"error": func(l *testLog) { l.fails = protocol.Errorf(protocol.CodeTopicNotFound, "gone") },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog()
			f, s, _ := l.feeds().join(0, always)
			_, _, ok := f.Attach(s, "0", true)
			require.True(t, ok)
			l.change(func() { fail(l) })
			<-s.Woken()
			cursor, _, _, err := f.Detach(s)
			require.NoError(t, err)
			assert.Equal(t, "0", cursor)
			target, _ := f.Target()
			assert.Empty(t, target)
			_, _, ok = f.Attach(s, "0", true)
			assert.Equal(t, name == "gap", ok)
		})
	}
}

func TestAFeedEndsWithItsStreams(t *testing.T) {
	l := newLog()
	fs := l.feeds()
	f, s, _ := fs.join(0, always)
	_, _, ok := f.Attach(s, "0", true)
	require.True(t, ok)
	l.write("a")
	eventually(t, func() bool { return l.held.Load() == 1 }, "what is kept is counted")
	_, _, _, err := f.Detach(s)
	require.NoError(t, err)
	eventually(t, func() bool { target, _ := f.Target(); return target == "" }, "nobody listens")
	assert.Zero(t, l.held.Load())
	eventually(t, func() bool { return l.closed.Load() == 1 }, "it looks no more")
	fs.Leave(f, s)
	assert.Empty(t, fs.all)
	g, _, _ := fs.join(0, always)
	assert.NotSame(t, f, g)
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	l := newLog()
	fs := l.feeds()
	f, s, out := fs.join(0, always)
	_, _, ok := f.Attach(s, "0", true)
	require.True(t, ok)
	large := strings.Repeat("x", maxKeptBytes/3)
	for i := range 3 * maxKept {
		if i%2 == 0 {
			l.write("y")
		} else if i < 20 {
			l.write(large)
		}
		eventually(t, func() bool { return len(out.text()) == len(l.text(0)) }, "it is written")
		assert.LessOrEqual(t, l.held.Load(), int64(maxKeptBytes))
		f.mu.Lock()
		assert.LessOrEqual(t, len(f.kept), maxKept)
		f.mu.Unlock()
	}
}

// Streams that come, go, are slow and attach again at any moment get each record once
// and in order.
func TestNothingIsMissedOrRepeated(t *testing.T) {
	l := newLog()
	fs := l.feeds()
	const records = 3000
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			f, s, out := fs.join(0, func(int, time.Time) bool { return true })
			defer fs.Leave(f, s)
			out.takes = func(n int) (int, error) { // under out.mu
				if rng.IntN(8) == 0 {
					return rng.IntN(n + 1), nil
				}
				return n, nil
			}
			at, atEnd := "0", false
			for at != strconv.Itoa(records) {
				next, end, ok := f.Attach(s, at, atEnd)
				switch {
				case ok && next != nil:
					out.write(next)
					at = end
				case ok:
					select {
					case <-s.Woken():
					case <-time.After(time.Duration(1+i) * time.Millisecond):
					}
					cursor, rest, _, err := f.Detach(s)
					assert.NoError(t, err)
					out.write(rest)
					at = cursor
				default: // alone, up to the feed's place
					target, _ := f.Target()
					from, _ := strconv.Atoi(at)
					if target == "" {
						target = l.end()
					}
					to, _ := strconv.Atoi(target)
					if to = min(to, from+50); to > from {
						l.mu.Lock()
						for _, r := range l.records[from:to] {
							out.write(r.Value)
						}
						l.mu.Unlock()
						at = strconv.Itoa(to)
					}
					atEnd = at == l.end()
				}
			}
			assert.True(t, out.text() == l.text(0), "stream %d", i)
		})
	}
	for i := range records {
		l.write(fmt.Sprintf("%d ", i))
	}
	wg.Wait()
	assert.Empty(t, fs.all)
	assert.Zero(t, l.held.Load())
}

// A stream that has not noticed yet that its reading has ended gets nothing of the next
// one, which may begin elsewhere.
func TestTheNextReadingIsNotForThoseOfTheLast(t *testing.T) {
	l := newLog()
	l.write("a", "b")
	fs := l.feeds()
	f, late, lateOut := fs.join(0, always)
	_, other, otherOut := fs.join(0, always)
	_, _, ok := f.Attach(late, "0", true)
	require.True(t, ok)
	eventually(t, func() bool { return lateOut.text() == "ab" }, "what is there")
	f.mu.Lock()
	f.end(false)
	f.mu.Unlock()
	l.write("gone")
	_, _, ok = f.Attach(other, "3", true)
	require.True(t, ok)
	l.write("c")
	eventually(t, func() bool { return otherOut.text() == "c" }, "what follows")
	cursor, _, _, err := f.Detach(late)
	require.NoError(t, err)
	assert.Equal(t, "2", cursor)
	assert.Equal(t, "ab", lateOut.text())
}
