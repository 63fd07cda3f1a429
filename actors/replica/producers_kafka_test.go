package replica

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/level"
	"ottla/actors/level/leveltest"
	"ottla/protocol"
)

// kafkaBatch is a batch of a Kafka producer.
func kafkaBatch(epoch, seq int64, records int) *protocol.ProduceRequest {
	req := &protocol.ProduceRequest{ProducerID: "kafka:9", Epoch: epoch, Sequence: seq}
	for range records {
		req.Lines.Add(1, "t", 0, []byte("-"), []byte("1"), protocol.ActionProduce, nil)
	}
	return req
}

// known is a table after batches of two records each, from sequence first on.
func knownAfter(t *testing.T, batches int, first int64) *producerTable {
	t.Helper()
	table := newProducerTable()
	for i := range int64(batches) {
		table.put(&producerState{id: "kafka:9", request: request{seq: (first + 2*i) % kafkaSequences, base: 100 + 2*i, count: 2, timestamp: i}, at: i})
	}
	again, err := decodeProducerTable(table.encode(level.Newest))
	require.NoError(t, err)
	require.Equal(t, table.get("kafka:9"), again.get("kafka:9"))
	return again
}

func TestKafkaProducerKnowsItsLastFiveBatches(t *testing.T) {
	s := knownAfter(t, 7, 0).get("kafka:9")
	require.Len(t, s.earlier, maxEarlier)
	for _, tt := range []struct {
		what       string
		epoch, seq int64
		records    int
		want       verdict
		base       int64
	}{
		{"the next", 0, 14, 3, verdictNew, 0},
		{"the last again", 0, 12, 2, verdictDuplicate, 0},
		{"the one before", 0, 10, 2, verdictEarlier, 110},
		{"the fifth before the next", 0, 4, 2, verdictEarlier, 104},
		{"the sixth", 0, 2, 2, verdictRefused, 0},
		{"one with another number of records", 0, 10, 3, verdictRefused, 0},
		{"one inside another", 0, 11, 1, verdictRefused, 0},
		{"one that leaves a gap", 0, 15, 1, verdictRefused, 0},
		{"the first of an epoch", 1, 0, 1, verdictNew, 0},
		{"the second of an epoch whose first is missing", 1, 2, 1, verdictRefused, 0},
	} {
		v, earlier, err := s.judge(kafkaBatch(tt.epoch, tt.seq, tt.records))
		assert.Equal(t, tt.want, v, tt.what)
		assert.Equal(t, tt.want == verdictRefused, err != nil, tt.what)
		assert.Equal(t, tt.base, earlier.base, tt.what)
	}
	s.epoch = 3
	_, _, err := s.judge(kafkaBatch(2, 14, 1))
	require.NotNil(t, err)
	assert.Equal(t, protocol.CodeStaleEpoch, err.Code)
}

func TestKafkaSequencesBeginAgain(t *testing.T) {
	s := knownAfter(t, 2, kafkaSequences-4).get("kafka:9")
	v, _, err := s.judge(kafkaBatch(0, 0, 1))
	assert.Nil(t, err)
	assert.Equal(t, verdictNew, v)
}

// An epoch has a window of its own: its first batch may look like one before it.
func TestKafkaWindowEndsWithItsEpoch(t *testing.T) {
	table := knownAfter(t, 3, 0)
	table.put(&producerState{id: "kafka:9", epoch: 1, request: request{seq: 0, base: 500, count: 2}, at: 9})
	s := table.get("kafka:9")
	assert.Empty(t, s.earlier)
	v, _, _ := s.judge(kafkaBatch(1, 2, 2))
	assert.Equal(t, verdictNew, v)
}

// While a batch is in flight, a retry of it waits for its result, one of an earlier
// batch has its result at once, and the next one waits for its turn.
func TestKafkaBatchesInFlight(t *testing.T) {
	l := newLeading(5, 1000)
	require.True(t, l.startServing(5))
	table := knownAfter(t, 3, 0)
	replies := map[string]protocol.Future[protocol.ProduceResult]{}
	put := func(name string, seq int64) *Proposal {
		req := kafkaBatch(0, seq, 2)
		req.Reply = protocol.NewFuture[protocol.ProduceResult]()
		replies[name] = req.Reply
		return &Proposal{Request: req, Lines: &req.Lines}
	}
	flying := put("flying", 6)
	require.Equal(t, admitNew, l.admit(table, 0, flying))
	l.enterInFlight(flying.Request, 106, table.get("kafka:9"))
	assert.Equal(t, admitAnswered, l.admit(table, 0, put("again", 6)))
	assert.Equal(t, admitAnswered, l.admit(table, 0, put("earlier", 2)))
	assert.Equal(t, admitWait, l.admit(table, 0, put("next", 8)))
	assert.Equal(t, admitAnswered, l.admit(table, 0, put("gap", 10)))
	assert.Len(t, l.inFlight["kafka:9"].waiters, 1)
	assert.Equal(t, protocol.ProduceResult{BaseOffset: 102, Timestamp: 1, Duplicate: true}, <-replies["earlier"].C())
	assert.NotNil(t, (<-replies["gap"].C()).Err)
	for _, waiting := range []string{"flying", "again", "next"} {
		assert.Empty(t, replies[waiting].C(), waiting)
	}
}

// Below the level of earlier requests no table is written that older programs cannot
// read: the requests are forgotten then. A repetition of one is refused, and never
// appended again.
func TestEarlierRequestsAreNotWrittenBelowTheirLevel(t *testing.T) {
	table := knownAfter(t, 3, 0)
	require.EqualValues(t, producerTableWithEarlier, table.encode(level.KafkaRequests.Level)[0])
	low := table.encode(level.KafkaRequests.Level - 1)
	require.EqualValues(t, producerTableFormat, low[0])
	again, err := decodeProducerTable(low)
	require.NoError(t, err)
	v, _, refused := again.get("kafka:9").judge(kafkaBatch(0, 2, 2))
	require.Equal(t, verdictRefused, v)
	require.NotNil(t, refused)
	v, _, _ = again.get("kafka:9").judge(kafkaBatch(0, 4, 2))
	require.Equal(t, verdictDuplicate, v, "the newest one is still known")
}

// Whoever adds a field to control entries says from which level on it is written.
func TestEveryFieldHasALevel(t *testing.T) {
	leveltest.Fields(t, "fields.txt", map[string]any{"control": control{}})
}
