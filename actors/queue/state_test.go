package queue

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

var partition0 = protocol.PartitionID{TopicID: "id-a"}

// fed is a queue of topic a that has read n records of partition 0.
func fed(t testing.TB, n int, change func(*Change)) *State {
	s := New("q")
	c := &Change{Topics: []Topic{{ID: "id-a", Name: "a"}}}
	if change != nil {
		change(c)
	}
	_, _, err := s.Put(1000, c, []byte("secret"))
	require.Nil(t, err)
	s.Resume()
	s.more(0, n)
	return s
}

// more feeds records from one offset up to another.
func (s *State) more(from, to int) {
	s.Feed(1000, &Read{Scan: Scan{ID: partition0, From: -1}, Next: -1, End: int64(to)})
	for from < to {
		next := min(to, from+scanRecords)
		r := &Read{Scan: Scan{ID: partition0, From: int64(from)}, Next: int64(next), End: int64(to)}
		for o := from; o < next; o++ {
			r.Records = append(r.Records, ReadRecord{Offset: int64(o), Size: 10})
		}
		s.Feed(1000, r)
		from = next
	}
}

func (s *State) takes(t testing.TB, now int64, n int) []Given {
	got, _, err := s.Give(now, &Ask{ClusterID: "c", Topics: []string{"id-a"}, MaxRecords: n, MaxBytes: 1 << 20})
	require.Nil(t, err)
	return got
}

func (s *State) tell(t testing.TB, now int64, w Word, token string) Verdict {
	r, err := DecodeReceipt(token)
	require.Nil(t, err)
	verdicts, _ := s.Say(now, &w, []*Receipt{r})
	return verdicts[0]
}

func TestReceiptsCannotBeMade(t *testing.T) {
	s := fed(t, 3, nil)
	got := s.takes(t, 2000, 2)
	r, err := DecodeReceipt(got[0].Receipt)
	require.Nil(t, err)
	assert.Equal(t, "c", r.ClusterID)
	assert.Equal(t, "q", r.Group)
	assert.Equal(t, [2]int64{0, 1}, [2]int64{r.Offset, int64(r.Count)})
	assert.Equal(t, Done, s.tell(t, 2000, Word{Verb: Extend, WaitMs: 5}, got[0].Receipt))

	for i := range got[0].Receipt { // any change of a character
		forged := []byte(got[0].Receipt)
		forged[i] = 'A' + (forged[i]+1)%26
		if string(forged) == got[0].Receipt {
			continue
		}
		r, err := DecodeReceipt(string(forged))
		if err != nil {
			assert.Equal(t, protocol.CodeInvalidReceipt, err.Code)
			continue
		}
		verdicts, _ := s.Say(2000, &Word{}, []*Receipt{r})
		assert.NotEqual(t, Done, verdicts[0], "at %d", i)
	}
	other := fed(t, 3, nil)
	other.cfg.Secret = []byte("another")
	other.Resume()
	other.more(0, 3)
	assert.Equal(t, Invalid, s.tell(t, 2000, Word{}, other.takes(t, 2000, 1)[0].Receipt))
	for _, text := range []string{"", "x", strings.Repeat("A", 5000), got[0].Receipt + "A", got[0].Receipt[:40]} {
		_, err := DecodeReceipt(text)
		require.NotNil(t, err, text)
	}
}

// An ack that is repeated is taken; one of a delivery that does not count is stale.
func TestWhatWorkersSay(t *testing.T) {
	s := fed(t, 3, func(c *Change) { c.BackoffMs = []int64{100} })
	first := s.takes(t, 2000, 1)[0]
	assert.Equal(t, Done, s.tell(t, 2000, Word{Verb: Nack}, first.Receipt))
	assert.Equal(t, Done, s.tell(t, 2050, Word{Verb: Nack}, first.Receipt), "again")
	assert.Equal(t, Stale, s.tell(t, 2050, Word{Verb: Ack}, first.Receipt), "it was given back")
	assert.Equal(t, Stale, s.tell(t, 2050, Word{Verb: Extend, WaitMs: 1}, first.Receipt))
	assert.EqualValues(t, 1, s.takes(t, 2099, 1)[0].Offset)
	again := s.takes(t, 2100, 1)[0]
	assert.Equal(t, [2]int64{0, 2}, [2]int64{again.Offset, int64(again.Count)})
	assert.Equal(t, Stale, s.tell(t, 2100, Word{Verb: Ack}, first.Receipt))
	late := again.Deadline + 5
	s.Tick(late)
	assert.Equal(t, Done, s.tell(t, late, Word{Verb: Ack}, again.Receipt), "late, but nobody else has it")
	assert.Equal(t, Done, s.tell(t, late, Word{Verb: Ack}, again.Receipt))
	assert.Equal(t, Stale, s.tell(t, late, Word{Verb: Ack}, first.Receipt), "ended by another delivery")
	assert.Equal(t, Stale, s.tell(t, late, Word{Verb: Nack}, again.Receipt))
}

// An ack that is repeated is good however many records have ended since, and one of another
// delivery than that which ended its record is stale; also after a failover.
func TestAckOfARecordThatEndedLongAgo(t *testing.T) {
	const n = 1500
	s := fed(t, n, func(c *Change) { c.BackoffMs = []int64{0} })
	known := map[string]metarecord.Record{}
	say := func(now int64, w Word, token string) Verdict {
		r, err := DecodeReceipt(token)
		require.Nil(t, err)
		verdicts, changed := s.Say(now, &w, []*Receipt{r})
		for _, rec := range changed {
			known[string(rec.Key)] = rec
		}
		return verdicts[0]
	}
	firsts := s.takes(t, 2000, n)
	require.Len(t, firsts, n)
	seconds := map[int64]Given{}
	for _, g := range firsts {
		switch g.Offset % 10 {
		case 0: // ended by its first delivery
			require.Equal(t, Done, say(2000, Word{Verb: Ack}, g.Receipt))
		case 1: // given back as dead
			require.Equal(t, Done, say(2000, Word{Verb: Nack, Dead: true}, g.Receipt))
		default: // given again, and ended by that delivery
			require.Equal(t, Done, say(2001, Word{Verb: Nack}, g.Receipt))
			again := s.takes(t, 2001, 1)
			require.Len(t, again, 1)
			require.Equal(t, Done, say(2001, Word{Verb: Ack}, again[0].Receipt))
			seconds[g.Offset] = again[0]
		}
	}
	for list := s.Dying(); len(list) > 0; list = s.Dying() {
		for _, d := range list {
			for _, rec := range s.Buried(2002, d.ID, d.Offset, d.Seq, d.Offset%20 == 1) {
				known[string(rec.Key)] = rec
			}
		}
	}
	require.EqualValues(t, n, s.parts[partition0].position)
	check := func() {
		for _, g := range firsts {
			want := Stale
			if g.Offset%10 == 0 {
				want = Done
			}
			require.Equal(t, want, say(3000, Word{Verb: Ack}, g.Receipt), "offset %d", g.Offset)
			if again, given := seconds[g.Offset]; given {
				require.Equal(t, Done, say(3000, Word{Verb: Ack}, again.Receipt), "offset %d", g.Offset)
			}
			if g.Offset%10 == 1 {
				require.Equal(t, Done, say(3000, Word{Verb: Nack, Dead: true}, g.Receipt), "offset %d", g.Offset)
			}
		}
	}
	check()
	cfg, dump := s.cfg, s.Dump()
	s = New("q")
	for _, rec := range known { // of a map: any order
		require.NoError(t, s.Apply(rec))
	}
	s.cfg = cfg
	s.Resume()
	require.Equal(t, dump, s.Dump())
	check()
}

func TestMaxInFlight(t *testing.T) {
	two := 2
	s := fed(t, 9, func(c *Change) { c.MaxInFlight = &two })
	got := s.takes(t, 2000, 5)
	require.Len(t, got, 2)
	require.Empty(t, s.takes(t, 2000, 5))
	require.Zero(t, s.Ready([]string{"id-a"}, 5))
	delay := int64(60_000)
	s.tell(t, 2000, Word{Verb: Nack, DelayMs: &delay}, got[0].Receipt)
	require.Len(t, s.takes(t, 2000, 5), 1, "what waits is with nobody")
}

// Blocks of which some records are ended are bounded. Beyond that those get on that
// are given again, and nothing is lost.
func TestBoundOfChunks(t *testing.T) {
	deliveries := 1000
	s := fed(t, 0, func(c *Change) { c.MaxDeliveries = &deliveries })
	const n = (maxChunks + 100) * chunkSize
	delay, p := int64(10_000), s.parts[partition0]
	read := func() { // two records of each block, the others were removed by compaction
		for p.scanned < n && len(p.readable) < lookAhead {
			r := &Read{Scan: Scan{ID: partition0, From: p.scanned}, Next: p.scanned + chunkSize, End: n}
			for o := p.scanned; o < p.scanned+2; o++ {
				r.Records = append(r.Records, ReadRecord{Offset: o, Size: 10})
			}
			s.Feed(1000, r)
		}
	}
	for range 2 * n / chunkSize / lookAhead { // not all can be given
		read()
		for _, g := range s.takes(t, 2000, lookAhead) {
			w := Word{Verb: Ack}
			if g.Offset%chunkSize == 0 {
				w = Word{Verb: Nack, DelayMs: &delay}
			}
			require.Equal(t, Done, s.tell(t, 2000, w, g.Receipt))
		}
		require.LessOrEqual(t, s.tracked, s.room())
	}
	require.Greater(t, s.chunkCount(), minTracked)
	for now := int64(20_000); p.position < n; now += delay {
		read()
		for _, g := range s.takes(t, now, n) {
			require.Equal(t, Done, s.tell(t, now, Word{Verb: Ack}, g.Receipt))
		}
		require.Less(t, now, int64(10_000_000))
	}
}

// Timers of records that are ended do not pile up, nor do those of records that are
// extended again and again.
func TestTimersDoNotPileUp(t *testing.T) {
	day := int64(24 * 60 * 60 * 1000)
	s := fed(t, 1, func(c *Change) { c.AckWaitMs = &day })
	held := s.takes(t, 2000, 1)[0]
	for i := range 40 {
		s.more(1+1000*i, 1+1000*(i+1))
		for _, g := range s.takes(t, 2000, 1000) {
			s.tell(t, 2000, Word{Verb: Ack}, g.Receipt)
		}
		for j := range 1000 {
			s.tell(t, 2000, Word{Verb: Extend, WaitMs: int64(1 + j)}, held.Receipt)
		}
	}
	require.LessOrEqual(t, len(s.timers), 2*minSweep)
	s.Tick(5000)
	require.Equal(t, 1, s.Ready([]string{"id-a"}, 9))
	for range 1000 { // it lapses and is extended, and nobody asks
		s.tell(t, 5000, Word{Verb: Extend, WaitMs: 1}, held.Receipt)
		s.Tick(5001)
	}
	require.LessOrEqual(t, len(s.parts[partition0].readable), 1)
}

// Put again, changed, deleted.
func TestSettings(t *testing.T) {
	s := fed(t, 3, nil)
	_, recs, err := s.Put(5, &Change{Topics: []Topic{{ID: "id-a", Name: "a"}}}, []byte("x"))
	require.Nil(t, err)
	require.Empty(t, recs)
	wait := int64(7)
	_, _, err = s.Put(5, &Change{AckWaitMs: &wait}, nil)
	require.Equal(t, protocol.CodeGroupExists, err.Code)
	s.takes(t, 2000, 1)
	require.Len(t, s.Patch(5, &Change{AckWaitMs: &wait}), 1)
	require.Empty(t, s.Patch(5, &Change{AckWaitMs: &wait}))
	require.EqualValues(t, 2, s.Generation())
	require.EqualValues(t, "a.dead", s.Settings().DeadLettersOf("a"))
	require.EqualValues(t, []int64{1000, 5000, 30_000, 30_000}, []int64{s.cfg.backoff(1), s.cfg.backoff(2), s.cfg.backoff(3), s.cfg.backoff(9)})
	require.Equal(t, 1, s.Describe(6).Partitions[0].InFlight)

	kept := map[string]bool{}
	for _, rec := range s.TopicGone(9, "id-a") {
		if rec.Value == nil {
			kept[string(rec.Key)] = true
		}
	}
	require.Contains(t, kept, `["qn","q","id-a",0,0,0]`)
	require.Empty(t, s.Describe(9).Partitions)
	require.NotEmpty(t, s.Delete())
	require.False(t, s.Exists())
	require.NotContains(t, string(WithoutSecret([]byte(`["q","g"]`), []byte(`{"v":1,"secret":"c2VjcmV0","topics":[]}`))), "c2Vj")
	require.Equal(t, "-", string(WithoutSecret([]byte(`["q","g"]`), []byte(`{"v":1,"secret":"c2VjcmV0","unknown":[]}`))))
	require.Equal(t, "x", string(WithoutSecret([]byte(`["qp","g"]`), []byte("x"))))
}

// Records that no build of ours can have written are refused, and never panic.
func FuzzApply(f *testing.F) {
	f.Add(`["qn","q","t",0,0,1]`, `{"v":1,"ended":"f0","given":[[0,2,1,5]],"waiting":[[3,1,2,9]],"dying":[{"n":8,"count":1,"seq":2,"since":3}]}`)
	f.Add(`["qp","q","t",0]`, `{"v":1,"topic":"x","position":66,"at":1}`)
	f.Add(`["qe","q","t",0]`, `{"v":1,"ends":[[1,2,1]]}`)
	f.Add(`["qe","q","t",0]`, `{"v":1,"ends":[],"forgotten":9}`)
	f.Add(`["qe","q","t",0,3]`, `{"v":1,"ends":[[1,2,1],[2,1,0]]}`)
	f.Add(`["q","q"]`, `{"v":1,"topics":[{"id":"t","name":"x"}],"secret":"AAA="}`)
	f.Fuzz(func(_ *testing.T, key, value string) {
		s := New("q")
		for _, rec := range []metarecord.Record{
			{Action: actionSettings, Key: []byte(`["q","q"]`), Value: []byte(`{"v":1,"topics":[{"id":"t","name":"x"}],"max_in_flight":3,"max_deliveries":2}`)},
			{Action: actionNode, Key: []byte(key), Value: []byte(value)},
		} {
			_ = s.Apply(rec)
		}
		if s.Exists() {
			s.Resume()
			s.Tick(1)
			s.Describe(1)
			_ = s.Dump()
		}
	})
}

func FuzzDecodeReceipt(f *testing.F) {
	f.Add("ARBiZDIyZWEwYWVkYTQ2ZTgxB3dvcmtlcnOjmfm2ojQQN2ZmZmRjOWIzYTYwMzg3YQAAAWshV_WTGIHFFiYW25j_PoU")
	f.Fuzz(func(_ *testing.T, token string) {
		if r, err := DecodeReceipt(token); err == nil {
			_ = r.Group
		}
	})
}

func BenchmarkGiveAndAck(b *testing.B) {
	s := fed(b, 0, nil)
	at := 0
	for b.Loop() {
		s.more(at, at+100)
		at += 100
		var receipts []*Receipt
		for _, g := range s.takes(b, 2000, 100) {
			r, _ := DecodeReceipt(g.Receipt)
			receipts = append(receipts, r)
		}
		s.Say(2000, &Word{}, receipts)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(at), "ns/record")
}

// What is returned to a coordinator that has not read the log yet is given when it was read,
// at its own time: until then nobody knows what the record is.
func TestReturnBeforeAnythingWasRead(t *testing.T) {
	former, known := New("q"), map[string]metarecord.Record{}
	keep := func(recs []metarecord.Record) {
		for _, rec := range recs {
			known[string(rec.Key)] = rec
		}
	}
	_, recs, err := former.Put(1000, &Change{Topics: []Topic{{ID: "id-a", Name: "a"}}}, []byte("secret"))
	require.Nil(t, err)
	former.Resume()
	keep(recs)
	_, recs = former.Feed(1000, &Read{Scan: Scan{ID: partition0, From: -1}, Next: -1, End: 2})
	keep(recs)
	log := &Read{Scan: Scan{ID: partition0}, Next: 2, End: 2, Records: []ReadRecord{{Size: 10, DeliverAt: 1_000_000}, {Offset: 1, Size: 10}}}
	_, recs = former.Feed(1000, log)
	keep(recs)
	got, recs, err := former.Give(2000, &Ask{ClusterID: "c", Topics: []string{"id-a"}, MaxRecords: 5, MaxBytes: 1 << 20})
	require.Nil(t, err)
	require.Len(t, got, 1)
	keep(recs)

	next := New("q")
	for _, rec := range known {
		require.NoError(t, next.Apply(rec))
	}
	next.Resume()
	next.Return(2001, []Ref{{got[0].ID, got[0].Offset, got[0].Count}}, nil)
	assert.Empty(t, next.takes(t, 2001, 5), "nothing was read")
	next.Feed(2001, log)
	again := next.takes(t, 2001, 5)
	require.Len(t, again, 1, "the other record is for later")
	assert.Equal(t, [3]int64{1, 10, 1}, [3]int64{again[0].Offset, int64(again[0].Size), int64(again[0].Count)})
}
