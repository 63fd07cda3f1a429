package queue

import (
	"testing"

	"github.com/stretchr/testify/require"

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
	require.LessOrEqual(t, count(), pageEndings*(maxPages+partitions+1))
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
