package front

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// testReading is a reading of topic "q" that a test carries on.
type testReading struct {
	protocol.Reading
	t *testing.T
}

func (w *world) read(change func(*protocol.ReadingRequest)) *testReading {
	w.t.Helper()
	req := &protocol.ReadingRequest{Topic: w.table("q")}
	if change != nil {
		change(req)
	}
	r, err := w.OpenReading(req)
	require.Nil(w.t, err)
	return &testReading{r, w.t}
}

// look is one look that waits until something comes.
func (r *testReading) look() *protocol.ReadingReply {
	r.t.Helper()
	reply, err := r.Next(protocol.ReadingLook{MaxRecords: 100, MaxBytes: 1 << 20, Timeout: patience})
	require.Nil(r.t, err)
	require.Len(r.t, reply.Cursors, len(reply.Records))
	return reply
}

// now is a look that does not wait.
func (r *testReading) now() *protocol.ReadingReply {
	r.t.Helper()
	reply, err := r.Next(protocol.ReadingLook{MaxRecords: 100, MaxBytes: 1 << 20})
	require.Nil(r.t, err)
	return reply
}

// places are partition and value of each record.
func places(records []protocol.Record) (list []string) {
	for i := range records {
		list = append(list, fmt.Sprintf("%d:%s", records[i].Partition, records[i].Value))
	}
	return list
}

func TestReadingStartsWhereItIsTold(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 2)
	leaders[0].append("1", "2", "3")
	leaders[1].append("4")
	for name, c := range map[string]struct {
		change func(*protocol.ReadingRequest)
		want   []string
	}{
		"earliest":          {nil, []string{"0:1", "0:2", "0:3", "1:4"}},
		"latest":            {func(r *protocol.ReadingRequest) { r.From.Latest = true }, nil},
		"a time":            {func(r *protocol.ReadingRequest) { r.From.Timestamp = ptr(int64(1700000000001)) }, []string{"0:2", "0:3"}},
		"the first time":    {func(r *protocol.ReadingRequest) { r.From.Timestamp = ptr(int64(0)) }, []string{"0:1", "0:2", "0:3", "1:4"}},
		"one partition":     {func(r *protocol.ReadingRequest) { r.Partition = ptr(1) }, []string{"1:4"}},
		"an offset":         {func(r *protocol.ReadingRequest) { r.Partition, r.Offset = ptr(0), ptr(protocol.Offset(2)) }, []string{"0:3"}},
		"beyond the end":    {func(r *protocol.ReadingRequest) { r.Partition, r.Offset = ptr(0), ptr(protocol.Offset(9)) }, nil},
		"the largest":       {func(r *protocol.ReadingRequest) { r.Partition, r.Offset = ptr(0), ptr(protocol.Offset(1<<62-1)) }, nil},
		"a partition's end": {func(r *protocol.ReadingRequest) { r.Partition, r.From.Latest = ptr(0), true }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.read(c.change)
			got := r.now()
			assert.ElementsMatch(t, c.want, places(got.Records))
			assert.Empty(t, got.Gaps)
			again := w.read(func(r2 *protocol.ReadingRequest) { r2.After = r.Cursor() })
			if name != "one partition" && name != "an offset" && name != "a partition's end" && !strings.Contains(name, "beyond") && name != "the largest" {
				assert.Empty(t, again.now().Records, "the cursor is behind all that was read")
			}
		})
	}
	_, err := w.OpenReading(&protocol.ReadingRequest{Topic: w.table("q"), Partition: ptr(2)})
	requireCode(t, protocol.CodePartitionNotFound, err)
}

// The cursor of each record leads to the one behind it, whatever was read before.
func TestReadingGoesOnBehindEachCursor(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 3)
	for p, l := range leaders {
		for i := range 5 {
			l.append(fmt.Sprintf("%d", 10*p+i))
		}
	}
	all := w.read(nil).now()
	require.Len(t, all.Records, 15)
	want := places(all.Records)
	for i := range want {
		rest := w.read(func(r *protocol.ReadingRequest) { r.After = all.Cursors[i] }).now()
		assert.ElementsMatch(t, want[i+1:], places(rest.Records), "after %d", i)
	}
}

func TestReadingReturnsAtMost(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 2)
	for _, l := range leaders {
		l.append("1", "2", "3", "4", "5")
	}
	r := w.read(nil)
	reply, err := r.Next(protocol.ReadingLook{MaxRecords: 3, MaxBytes: 1 << 20})
	require.Nil(t, err)
	assert.Len(t, reply.Records, 3)
	reply, err = r.Next(protocol.ReadingLook{MaxRecords: 100, MaxBytes: 1})
	require.Nil(t, err)
	assert.Len(t, reply.Records, 1, "one always")
	assert.Len(t, r.now().Records, 6)
}

func TestReadingWaitsForRecords(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 2)
	r := w.read(func(r *protocol.ReadingRequest) { r.From.Latest = true })
	go func() {
		require.Eventually(t, func() bool { return leaders[1].registered() == 1 }, patience, time.Millisecond)
		leaders[1].append("1")
	}()
	assert.Equal(t, []string{"1:1"}, places(r.look().Records))
	began := time.Now()
	reply, err := r.Next(protocol.ReadingLook{MaxRecords: 1, MaxBytes: 1, Timeout: 20 * time.Millisecond})
	require.Nil(t, err)
	assert.Empty(t, reply.Records)
	assert.GreaterOrEqual(t, time.Since(began), 20*time.Millisecond)
	assert.Equal(t, 2, leaders[0].registered()+leaders[1].registered(), "nothing has changed, so it waits on where it waits")
	r.Close()
	assert.Zero(t, leaders[0].registered()+leaders[1].registered())
}

func TestReadingEndsWithItsClientOrItsServer(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	done := make(chan struct{})
	r := w.read(func(r *protocol.ReadingRequest) { r.Done = done })
	go func() {
		require.Eventually(t, func() bool { return leaders[0].registered() == 1 }, patience, time.Millisecond)
		close(done)
	}()
	assert.Empty(t, r.look().Records)
	gone := w.read(func(r *protocol.ReadingRequest) { r.Gone = func() bool { return true } })
	assert.Empty(t, gone.look().Records)
}

// Records that were removed before they were read are told of once, and the reading
// goes on at the first that is left.
func TestReadingTellsOfGaps(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 2)
	for _, l := range leaders {
		l.append("1", "2", "3", "4")
	}
	r := w.read(func(r *protocol.ReadingRequest) { r.Partition, r.Offset = ptr(0), ptr(protocol.Offset(1)) })
	leaders[0].startAt(3)
	got := r.now()
	assert.Equal(t, []protocol.Gap{{Topic: "q", Partition: 0, Asked: 1, Earliest: 3, Latest: 4}}, got.Gaps)
	assert.Equal(t, []string{"0:4"}, places(got.Records))

	leaders[0].append("5")
	r = w.read(func(r *protocol.ReadingRequest) { r.Partition, r.Offset = ptr(0), ptr(protocol.Offset(0)) })
	leaders[0].startAt(5)
	got = r.look()
	assert.Equal(t, []protocol.Gap{{Topic: "q", Partition: 0, Asked: 0, Earliest: 5, Latest: 5}}, got.Gaps, "at once, although nothing is left")
	assert.Empty(t, got.Records)
	again := w.read(func(q *protocol.ReadingRequest) { q.After, q.Partition = r.Cursor(), ptr(0) })
	assert.Empty(t, again.now().Gaps)
	assert.Empty(t, w.read(nil).now().Gaps, "who starts at the earliest record misses nothing")
}

func TestReadingFindsAddedPartitions(t *testing.T) {
	w := newWorld(t)
	topic, leaders := w.withTopic("q", 1)
	r := w.read(func(r *protocol.ReadingRequest) { r.From.Latest = true })
	one := w.read(func(r *protocol.ReadingRequest) { r.Partition = ptr(0) })
	old := r.Cursor()

	more := w.topic("q", 3)
	more.ID = topic.ID
	first := w.lead(more, 0)
	*first.Leadership = *leaders[0].Leadership
	added := w.lead(more, 2)
	added.append("new")
	go func() {
		require.Eventually(t, func() bool { return leaders[0].registered() == 1 }, patience, time.Millisecond)
		w.publish(more)
	}()
	assert.Equal(t, []string{"2:new"}, places(r.look().Records), "from the earliest record")
	assert.Empty(t, r.now().Records)
	back := w.read(func(q *protocol.ReadingRequest) { q.After = old })
	assert.Equal(t, []string{"2:new"}, places(back.now().Records), "also after a break")
	assert.Empty(t, one.now().Records)
}

func TestReadingEndsWithItsTopic(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	leaders[0].append("old")
	r := w.read(nil)
	cursor := func() string { r.now(); return r.Cursor() }()
	old := w.table("q")
	go func() {
		require.Eventually(t, func() bool { return leaders[0].registered() == 1 }, patience, time.Millisecond)
		w.remove("q")
	}()
	_, err := r.Next(protocol.ReadingLook{MaxRecords: 1, MaxBytes: 1, Timeout: patience})
	requireCode(t, protocol.CodeTopicNotFound, err)
	_, err = w.OpenReading(&protocol.ReadingRequest{Topic: old, After: cursor})
	requireCode(t, protocol.CodeTopicNotFound, err)

	_, leaders = w.withTopic("q", 1)
	leaders[0].append("new")
	again := w.read(func(r *protocol.ReadingRequest) { r.After = cursor })
	assert.Equal(t, []string{"0:new"}, places(again.now().Records), "all records of a topic of that name are new")
}

// While a partition has no leader, the others are read; when it has one again, the
// reading goes on where it was.
func TestReadingSurvivesChangesOfLeaders(t *testing.T) {
	w := newWorld(t)
	topic, leaders := w.withTopic("q", 2)
	leaders[0].append("1")
	r := w.read(nil)
	assert.Equal(t, []string{"0:1"}, places(r.look().Records))
	leaders[0].resign()
	leaders[1].append("2")
	assert.Equal(t, []string{"1:2"}, places(r.look().Records))
	late := w.read(func(r *protocol.ReadingRequest) { r.From.Latest = true })
	stale := late.Cursor()

	next := w.replica(topic, 0)
	next.append("1", "3")
	go next.route.Set(next.Leadership)
	assert.Equal(t, []string{"0:3"}, places(r.look().Records))
	at := fmt.Sprint(time.Now().UnixMilli())
	assert.Empty(t, late.now().Records, "what is older than the reading, %s, is not from latest", at)
	assert.Empty(t, w.read(func(r *protocol.ReadingRequest) { r.After = stale }).now().Records)
}

// A leader at another node may be known and not answer: the others are read, and it is
// asked again now and then, not all the time.
func TestReadingWhileALeaderDoesNotAnswer(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 2)
	leaders[0].append("1")
	r := w.read(nil)
	assert.Equal(t, []string{"0:1"}, places(r.look().Records))
	var asked atomic.Int32
	leaders[0].silent = func() *protocol.Error {
		if asked.Add(1) == 4 {
			leaders[1].append("2")
		}
		return protocol.ErrNotLeader
	}
	began := time.Now()
	assert.Equal(t, []string{"1:2"}, places(r.look().Records))
	assert.GreaterOrEqual(t, time.Since(began), 2*readingLeaderPatience, "it was asked %d times", asked.Load())
	leaders[0].silent = nil
	leaders[0].append("3")
	assert.Equal(t, []string{"0:3"}, places(r.look().Records))
}

func TestReadingByKey(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 3)
	for _, l := range leaders {
		l.append("0", "1", "2") // under k0, k1, k2
	}
	own := protocol.PartitionForContent([]byte("k1"), 3)
	r := w.read(func(r *protocol.ReadingRequest) { r.Key = []byte("k1") })
	assert.Equal(t, []string{fmt.Sprintf("%d:1", own)}, places(r.look().Records))
	cursor := r.Cursor()
	leaders[own].append("3")      // under k0
	leaders[own].append("4", "5") // under k0, k1
	for range 3 {
		leaders[own].append("6") // k0
	}
	for name, again := range map[string]*testReading{"on": r, "after": w.read(func(r *protocol.ReadingRequest) { r.Key, r.After = []byte("k1"), cursor })} {
		assert.Equal(t, []string{fmt.Sprintf("%d:5", own)}, places(again.look().Records), name)
		assert.Empty(t, again.now().Records)
	}
	other := (own + 1) % 3
	r = w.read(func(r *protocol.ReadingRequest) { r.Key, r.Partition = []byte("k1"), ptr(other) })
	assert.Equal(t, []string{fmt.Sprintf("%d:1", other)}, places(r.now().Records), "the partition that is named")
	assert.Empty(t, w.read(func(r *protocol.ReadingRequest) { r.Key = []byte("none") }).now().Records)
}

// What a look may hold in memory counts the cursors too: they are over all
// partitions, and each record has one.
func TestReadingOfManyPartitionsIsBounded(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 500)
	for _, l := range leaders {
		l.append("1", "2")
	}
	r := w.read(nil)
	seen, held := 0, 0
	for seen < 1000 {
		reply, err := r.Next(protocol.ReadingLook{MaxRecords: 500, MaxBytes: 64 << 10})
		require.Nil(t, err)
		require.NotEmpty(t, reply.Records)
		seen += len(reply.Records)
		size := 0
		for _, c := range reply.Cursors {
			size += len(c)
		}
		held = max(held, size)
	}
	assert.Equal(t, 1000, seen)
	assert.LessOrEqual(t, held, 64<<10)
}

func TestCursorsThatAreNotOfAReading(t *testing.T) {
	w := newWorld(t)
	w.withTopic("q", 1)
	w.withTopic("other", 1)
	good := w.read(nil).Cursor()
	foreign, err := w.OpenReading(&protocol.ReadingRequest{Topic: w.table("other")})
	require.Nil(t, err)
	for token, code := range map[string]protocol.Code{
		"x": protocol.CodeInvalidCursor, good[:len(good)-4]: protocol.CodeInvalidCursor, good + "\n": protocol.CodeInvalidCursor,
		strings.Repeat("A", 2<<20): protocol.CodeInvalidCursor, strings.ToLower(good): protocol.CodeInvalidCursor,
		foreign.Cursor(): protocol.CodeForeignCursor,
	} {
		_, err := w.OpenReading(&protocol.ReadingRequest{Topic: w.table("q"), After: token})
		requireCode(t, code, err)
	}
}

func FuzzReadCursor(f *testing.F) {
	topic := &protocol.Topic{Name: "q", ID: "id", Partitions: 3}
	var c cursorWriter
	f.Add(c.encode(topic, []readPosition{{partition: 0, offset: 7, known: true}, {partition: 2, since: 9}}))
	f.Fuzz(func(t *testing.T, token string) {
		at, err := decodeReadCursor(token, topic)
		if err != nil || at == nil {
			return
		}
		again, err := decodeReadCursor((&cursorWriter{}).encode(topic, at), topic)
		require.Nil(t, err)
		require.Equal(t, at, again)
	})
}

// Readings that are to wait at one place read up to it, and no further.
func TestReadingUpToAPlace(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 2)
	leaders[0].append("a", "b")
	leaders[1].append("x")
	first := w.read(nil)
	assert.True(t, first.look().AtEnd)
	place := first.Cursor()
	leaders[0].append("c")
	leaders[1].append("y", "z")

	second := w.read(nil)
	upTo := func(max int) *protocol.ReadingReply {
		reply, err := second.Next(protocol.ReadingLook{MaxRecords: max, MaxBytes: 1 << 20, UpTo: place})
		require.Nil(t, err)
		return reply
	}
	var got []string
	for range 3 {
		reply := upTo(1)
		assert.False(t, reply.AtEnd)
		got = append(got, places(reply.Records)...)
	}
	assert.ElementsMatch(t, []string{"0:a", "0:b", "1:x"}, got)
	assert.Empty(t, upTo(100).Records)
	assert.Equal(t, place, second.Cursor(), "they are at the same place")
	assert.ElementsMatch(t, []string{"0:c", "1:y", "1:z"}, places(second.look().Records))
	ahead := second.Cursor()
	assert.Empty(t, upTo(100).Records, "one that is ahead reads nothing")
	assert.Equal(t, ahead, second.Cursor())

	_, err := second.Next(protocol.ReadingLook{MaxRecords: 1, MaxBytes: 1, UpTo: "nonsense"})
	require.NotNil(t, err)
	assert.Equal(t, "invalid_cursor", err.Code.Name)
}
