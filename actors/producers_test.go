package actors

import (
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

func TestProducerTableRoundTrip(t *testing.T) {
	table := newProducerTable()
	for i := range 100 {
		table.put(&producerState{
			id: fmt.Sprintf("p%d", i%40), epoch: int64(i), seq: int64(i * 2), hash: uint64(i) << 60, base: int64(i),
			count: i, timestamp: int64(1000 + i), at: int64(5000 + i),
		})
	}
	again, err := decodeProducerTable(table.encode())
	require.NoError(t, err)
	require.Equal(t, table.encode(), again.encode())
	for cut := 1; cut < len(table.encode()); cut++ {
		short, err := decodeProducerTable(table.encode()[:cut])
		require.True(t, err != nil || len(short.byID) < 40, "cut at %d", cut)
	}
}

func TestProducerLineRoundTrip(t *testing.T) {
	s := &producerState{id: `key:"a"#`, epoch: 1, seq: 2, hash: 0xdeadbeef, base: 3, count: 4, timestamp: 5}
	line := string(s.appendLine(nil))
	require.Equal(t, "#p 1 2 deadbeef 3 4 5 key:\"a\"#\n", line)
	back, err := parseProducerLine([]byte(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "#p ")))
	require.NoError(t, err)
	require.Equal(t, s, back)
	for _, bad := range []string{"", "1 2 3", "x 2 3 4 5 6 id", "1 2 g 4 5 6 id", "1 2 3 4 5 6 id more"} {
		_, err := parseProducerLine([]byte(bad))
		require.Error(t, err, "%q", bad)
	}
}

func TestProducerTableForgetsByAppendTimeAlone(t *testing.T) {
	table := newProducerTable()
	table.put(&producerState{id: "old", at: 0})
	table.put(&producerState{id: "kept", at: 1})
	late := producerRetention.Milliseconds() + 1
	table.put(&producerState{id: "new", at: late})
	assert.Nil(t, table.get("old"))
	assert.NotNil(t, table.get("kept"))
	assert.NotNil(t, table.get("new"))
}

func TestProducerTableFull(t *testing.T) {
	table := newProducerTable()
	for i := range maxProducers {
		table.put(&producerState{id: fmt.Sprint(i), at: 10})
	}
	require.True(t, table.full(10+producerRetention.Milliseconds()))
	require.False(t, table.full(11+producerRetention.Milliseconds()), "the oldest may go")
}

// idempotent sends one value as a producer's request.
func idempotent(t *testing.T, n *Node, topic, id string, epoch, seq int64, hash uint64, value string) protocol.ProduceResult {
	t.Helper()
	deadline := time.Now().Add(patience)
	tp, err := n.LookupTopic("", topic, true, deadline)
	require.Nil(t, err)
	req := &protocol.ProduceRequest{Topic: tp, ProducerID: id, Epoch: epoch, Sequence: seq, BodyHash: hash}
	req.Lines.Add(1_700_000_000_123, topic, 0, []byte("-"), []byte(value), protocol.ActionProduce, nil)
	n.Produce([]*protocol.ProduceRequest{req}, deadline)
	return req.Result
}

func TestIdempotentProduceOverRestart(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	first := idempotent(t, n, "once", "p", 1, 5, 0, `"a"`)
	require.Nil(t, first.Err)
	require.False(t, first.Duplicate)

	check := func(n *Node) {
		again := idempotent(t, n, "once", "p", 1, 5, 0, `"a"`)
		require.Nil(t, again.Err)
		require.True(t, again.Duplicate)
		require.Equal(t, first.BaseOffset, again.BaseOffset)
		require.EqualValues(t, 1_700_000_000_123, again.Timestamp)
		require.Equal(t, protocol.CodeStaleSequence, idempotent(t, n, "once", "p", 1, 4, 0, `"b"`).Err.Code)
		require.Equal(t, protocol.CodeStaleEpoch, idempotent(t, n, "once", "p", 0, 9, 0, `"b"`).Err.Code)
	}
	check(n)
	keyed := idempotent(t, n, "once", "key:k", 0, 0, 77, `"k"`)
	require.Nil(t, keyed.Err)
	require.Equal(t, protocol.CodeIdempotencyMismatch, idempotent(t, n, "once", "key:k", 0, 0, 78, `"other"`).Err.Code)
	stopNode(t, n)

	n = startNode(t, dir)
	defer stopNode(t, n)
	check(n)
	require.Equal(t, keyed.BaseOffset, idempotent(t, n, "once", "key:k", 0, 0, 77, `"k"`).BaseOffset)
	next := idempotent(t, n, "once", "p", 2, 0, 0, `"new epoch"`)
	require.Nil(t, next.Err)
	require.False(t, next.Duplicate)
	require.Equal(t, []string{`"a"`, `"k"`, `"new epoch"`}, fetchAll(t, n, "once", 0))
}

func TestConcurrentRetriesMakeOneRecord(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	produce(t, n, "once", 0, `"warm"`)
	const requests, retries = 20, 8
	var wg sync.WaitGroup
	offsets := make([][]protocol.Offset, requests)
	var mu sync.Mutex
	for i := range requests {
		for range retries {
			wg.Go(func() {
				res := idempotent(t, n, "once", fmt.Sprintf("key:%d", i), 0, 0, uint64(i), fmt.Sprint(i))
				mu.Lock()
				defer mu.Unlock()
				if assert.Nil(t, res.Err) {
					offsets[i] = append(offsets[i], res.BaseOffset)
				}
			})
		}
	}
	wg.Wait()
	require.Len(t, fetchAll(t, n, "once", 0), 1+requests)
	for i := range offsets {
		for _, off := range offsets[i] {
			require.Equal(t, offsets[i][0], off, "request %d", i)
		}
	}
}

var producersSimulation = simulation{
	seeds: 40, meets: append([]string{"requests answered"}, commonly...),
	history: func(s *replicaSim) {
		s.begin()
		producers := []*simProducer{{sim: s, id: "a"}, {sim: s, id: "b"}}
		for range 4000 {
			s.step()
			if s.rnd.Intn(4) == 0 {
				producers[s.rnd.Intn(2)].try(s.any(), s.rnd)
			}
		}
		s.settle()
		s.check()
		at := map[string]int{}
		for off, v := range s.live()[0].values() {
			at[v] = off
		}
		for _, p := range producers {
			for v, off := range p.acked {
				require.Equal(s.t, int(off), at[v], "value %s of producer %s", v, p.id)
				s.tally["requests answered"]++
			}
		}
	},
}

// TestProducerSequencesInSimulation has producers with ids retry through
// crashes and changes of the leader: each request stands in the log once.
func TestProducerSequencesInSimulation(t *testing.T) { producersSimulation.test(t) }

// simProducer sends one request after the other, and each again until it is
// answered; sometimes it forgets that it was.
type simProducer struct {
	sim   *replicaSim
	id    string
	seq   int64
	acked map[string]protocol.Offset
	done  bool
}

func (p *simProducer) try(n *simReplica, rnd *rand.Rand) {
	if n.rep == nil || n.full {
		return
	}
	if p.done && rnd.Intn(3) > 0 {
		p.seq++
		p.done = false
	}
	if p.acked == nil {
		p.acked = map[string]protocol.Offset{}
	}
	value := fmt.Sprintf(`"%s%d"`, p.id, p.seq)
	req := &protocol.ProduceRequest{ProducerID: p.id, Sequence: p.seq, Reply: protocol.NewFuture[protocol.ProduceResult]()}
	req.Lines.Add(p.sim.clock.UnixMilli(), "sim", 0, []byte("-"), []byte(value), protocol.ActionProduce, nil)
	seq := p.seq
	n.do(func() { n.rep.propose(proposal{req: req, lines: &req.Lines, done: nil}) })
	p.sim.watch = append(p.sim.watch, func() bool {
		select {
		case res := <-req.Reply.C():
			if res.Err == nil {
				if before, ok := p.acked[value]; ok {
					require.Equal(p.sim.t, before, res.BaseOffset, "a retry of %s got another offset", value)
				}
				p.acked[value] = res.BaseOffset
				p.done = p.done || seq == p.seq
			}
			return true
		default:
			return false
		}
	})
}
