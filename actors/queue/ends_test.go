package queue

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/actors/level"
	"ottla/actors/metarecord"
	"ottla/protocol"
)

// What a queue remembers of how records ended is bounded, over all its partitions. Beyond
// that an ack is taken; records that died are remembered apart, and longer.
func TestBoundOfEndings(t *testing.T) {
	const partitions, each = 8, 4 * pageEndings * maxPages / 8
	s := fed(t, 0, nil)
	known := map[string]metarecord.Record{}
	keep := func(recs []metarecord.Record) {
		for _, rec := range recs {
			if known[string(rec.Key)] = rec; rec.Value == nil {
				delete(known, string(rec.Key))
			}
		}
	}
	count := func() (n int) {
		for _, p := range s.parts {
			require.Len(t, p.endings.pages, len(p.endings.stored))
			n += len(p.endings.of)
		}
		return n
	}
	died := s.partitionOf(protocol.PartitionID{TopicID: "id-a", Partition: 1})
	s.remember(died, 7, 1, true)
	for i := range each {
		for n := range partitions {
			p := s.partitionOf(protocol.PartitionID{TopicID: "id-a", Partition: n})
			s.remember(p, int64(1000+i), 2+i%3, false)
		}
		if i%500 == 0 {
			keep(s.flush(1))
		}
	}
	keep(s.flush(1))
	require.LessOrEqual(t, count(), 2048+pageEndings*(partitions+1))
	require.GreaterOrEqual(t, count(), pageEndings*maxPages)
	require.True(t, died.endings.of[7].dead)
	require.NotContains(t, died.endings.of, int64(1000), "the oldest")
	for n := range partitions {
		p := s.parts[protocol.PartitionID{TopicID: "id-a", Partition: n}]
		require.Contains(t, p.endings.of, int64(1000+each-1))
		require.Greater(t, len(p.endings.of), pageEndings*maxPages/partitions/2, "a partition has its part")
	}

	again := New("q")
	for _, rec := range known { // of a map: any order
		require.NoError(t, again.Apply(rec))
	}
	for id, p := range s.parts {
		require.Equal(t, p.endings.of, again.partitionOf(id).endings.of)
		require.Equal(t, p.endings.newest, again.partitionOf(id).endings.newest)
		require.Equal(t, p.endings.next, again.partitionOf(id).endings.next)
	}
	for _, rec := range s.drop(died) {
		delete(known, string(rec.Key))
	}
	for key := range known {
		require.NotContains(t, key, `"id-a",1`, "a partition that is dropped leaves nothing")
	}
}

// A record with what an earlier program has written is page 0.
func TestEndingsOfBeforePages(t *testing.T) {
	s := fed(t, 0, nil)
	require.NoError(t, s.Apply(metarecord.Record{
		Action: actionEnds, Key: []byte(`["qe","q","id-a",0]`), Value: []byte(`{"v":1,"ends":[[5,2,0],[6,3,1]],"forgotten":3}`),
	}))
	p := s.parts[partition0]
	require.Equal(t, map[int64]ending{5: {count: 2}, 6: {count: 3, dead: true}}, p.endings.of)
	s.remember(p, 9, 2, false)
	recs := s.flush(1)
	require.Len(t, recs, 1)
	require.Equal(t, `["qe","q","id-a",0,1]`, string(recs[0].Key))
	s.remember(p, 6, 4, true) // again, its flush having been cut off
	recs = s.flush(1)
	require.Len(t, recs, 1)
	require.Equal(t, `["qe","q","id-a",0] {"v":1,"ends":[[5,2,0],[6,4,1]],"forgotten":3}`, string(recs[0].Key)+" "+string(recs[0].Value))
	require.Error(t, s.Apply(metarecord.Record{Action: actionEnds, Key: []byte(`["qe","q","id-a",0,0]`), Value: []byte(`{"v":1}`)}))
	require.Error(t, s.Apply(metarecord.Record{Action: actionEnds, Key: []byte(`["qe","q","id-a",0,-1]`), Value: []byte(`{"v":1}`)}))
}

// Retention and compaction may remove a record that was given again: an ack of a delivery
// before that of the worker that had it is stale all the same.
func TestAckOfARecordThatIsGone(t *testing.T) {
	for name, remove := range map[string]func(*State){
		"retention": func(s *State) { s.Feed(3000, &Read{Scan: Scan{ID: partition0, From: 3}, Next: 3, Earliest: 3, End: 3}) },
		"compaction": func(s *State) {
			s.Resume() // after a failover all is read again
			s.Feed(3000, &Read{Scan: Scan{ID: partition0, From: 0}, Next: 3, Earliest: 0, End: 3})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := fed(t, 3, func(c *Change) { c.BackoffMs = []int64{0} })
			firsts := s.takes(t, 2000, 3)
			require.Equal(t, Done, s.tell(t, 2000, Word{Verb: Nack}, firsts[0].Receipt))
			second := s.takes(t, 2001, 1)[0]
			require.Equal(t, Done, s.tell(t, 2001, Word{Verb: Nack, Dead: true}, firsts[1].Receipt))
			remove(s)
			require.EqualValues(t, 3, s.parts[partition0].position)
			require.Equal(t, Stale, s.tell(t, 3000, Word{Verb: Ack}, firsts[0].Receipt))
			require.Equal(t, Done, s.tell(t, 3000, Word{Verb: Ack}, second.Receipt))
			require.Equal(t, Stale, s.tell(t, 3000, Word{Verb: Ack}, firsts[1].Receipt))
			require.Equal(t, Done, s.tell(t, 3000, Word{Verb: Nack, Dead: true}, firsts[1].Receipt))
			require.Equal(t, Done, s.tell(t, 3000, Word{Verb: Ack}, firsts[2].Receipt), "the worker that had it")
		})
	}
}

// lowEndings is what programs below the level of pages keep of a partition.
type lowEndings struct {
	ends      []endValue
	forgotten int64
}

func (l *lowEndings) remember(offset int64, count, dead int64) {
	if l.ends = append(l.ends, endValue{offset, count, dead}); len(l.ends) > 128 {
		l.forgotten = max(l.forgotten, l.ends[0][0]+1)
		l.ends = l.ends[1:]
	}
}

func (l *lowEndings) value() string {
	ends := strings.ReplaceAll(fmt.Sprint(l.ends), " ", ",")
	if l.forgotten == 0 {
		return fmt.Sprintf(`{"v":1,"ends":%s}`, ends)
	}
	return fmt.Sprintf(`{"v":1,"ends":%s,"forgotten":%d}`, ends, l.forgotten)
}

// Below the level of pages a queue writes what programs of that level write, which know
// keys with three arguments, and no others. Once the fleet has the level there are pages.
func TestEndingsBelowTheirLevel(t *testing.T) {
	at := level.Endings.Level - 1
	s := fed(t, 0, nil)
	s.Level = func() int { return at }
	parts := []*partition{s.parts[partition0], s.partitionOf(protocol.PartitionID{TopicID: "id-a", Partition: 1})}
	low := [2]lowEndings{}
	newest := map[string]metarecord.Record{}
	for i := range int64(300) {
		for n, p := range parts {
			offset := 1000 + i*7%300 // in no order
			dead := i % 5 / 4
			s.remember(p, offset, int(i%9+1), dead == 1)
			low[n].remember(offset, i%9+1, dead)
		}
		for _, rec := range s.flush(1) {
			kind, args, err := metarecord.SplitKey(rec.Key)
			require.NoError(t, err)
			require.Equal(t, keyEnds, kind)
			require.Len(t, args, 3, "older programs lose %s", rec.Key)
			require.Equal(t, actionEnds, rec.Action)
			newest[string(rec.Key)] = rec
		}
		for n := range parts {
			require.Equal(t, low[n].value(), string(newest[fmt.Sprintf(`["qe","q","id-a",%d]`, n)].Value))
		}
	}
	require.Len(t, newest, 2)

	at = level.Endings.Level
	s.remember(parts[0], 5000, 2, false)
	s.remember(parts[0], 5001, 1, true)
	recs := s.flush(1)
	require.Len(t, recs, 2)
	for n, rec := range recs {
		require.Equal(t, fmt.Sprintf(`["qe","q","id-a",0,%d]`, n+1), string(rec.Key))
		require.GreaterOrEqual(t, level.Formats["offsets "+rec.Action], level.Endings.Level)
	}
	at = level.Endings.Level - 1 // as a node has it that has not heard of the level yet
	s.remember(parts[0], 5002, 2, false)
	require.Equal(t, `["qe","q","id-a",0,1]`, string(s.flush(1)[0].Key), "what has pages has pages")
}

// Where it is forgotten that records died, an ack is taken only where it is known that it
// is good: also after a failover, and where an earlier program has forgotten.
func TestAckWhereDeadRecordsAreForgotten(t *testing.T) {
	const n = 5000
	s := fed(t, n, nil)
	receipts := map[int64]string{}
	for range 5 {
		for _, g := range s.takes(t, 2000, 1000) {
			receipts[g.Offset] = g.Receipt
		}
	}
	require.Len(t, receipts, n)
	known := map[string]metarecord.Record{}
	keep := func(recs []metarecord.Record) {
		for _, rec := range recs {
			if known[string(rec.Key)] = rec; rec.Value == nil {
				delete(known, string(rec.Key))
			}
		}
	}
	keep([]metarecord.Record{{Action: actionEnds, Key: []byte(`["qe","q","id-a",0]`), Value: []byte(`{"v":1,"ends":[[1,1,1],[7,1,1]],"forgotten":1}`)}})
	require.NoError(t, s.Apply(known[`["qe","q","id-a",0]`]))
	say := func(w Word, offset int64) Verdict {
		t.Helper()
		r, err := DecodeReceipt(receipts[offset])
		require.Nil(t, err)
		verdicts, recs := s.Say(2000, &w, []*Receipt{r})
		keep(recs)
		return verdicts[0]
	}
	died := func(offset int64) bool { return offset%2 == 1 }
	for offset := range int64(n) {
		if died(offset) {
			require.Equal(t, Done, say(Word{Verb: Nack, Dead: true}, offset), offset)
		} else {
			require.Equal(t, Done, say(Word{Verb: Ack}, offset), offset)
		}
		for _, d := range s.Dying() {
			keep(s.Buried(2000, d.ID, d.Offset, d.Seq, true))
		}
	}
	p := s.parts[partition0]
	again := func() {
		t.Helper()
		require.LessOrEqual(t, len(p.endings.of), 2048+128)
		require.Contains(t, known, `["qe","q","id-a",0]`)
		require.Contains(t, string(known[`["qe","q","id-a",0]`].Value), fmt.Sprintf(`"forgotten":%d`, p.endings.forgotten))
		for offset := range int64(n) {
			want := Done
			if died(offset) || offset < p.endings.forgotten {
				want = Stale
			}
			require.Equal(t, want, say(Word{Verb: Ack}, offset), offset)
		}
	}
	require.Greater(t, p.endings.forgotten, int64(n-2*2048-512))
	require.Less(t, p.endings.forgotten, int64(n-2*2048+512))
	again()
	next, dump := New("q"), s.Dump()
	next.cfg = s.cfg
	for _, rec := range known { // of a map: any order
		require.NoError(t, next.Apply(rec))
	}
	s = next
	s.Resume()
	p = s.parts[partition0]
	require.Equal(t, dump, s.Dump())
	again()
}
