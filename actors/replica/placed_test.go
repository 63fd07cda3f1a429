package replica

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/level"
	"ottla/protocol"
)

// TestPlacementInSimulation has requests with ids arrive late, through crashes and changes
// of the leader, while the topic gets more and more partitions: what a leader has said it
// does not know is not written afterwards, and what it has written it knows.
func TestPlacementInSimulation(t *testing.T) { placementSimulation.test(t) }

// simPlaced is a request with an id of its own, and what became of it.
type simPlaced struct {
	id      string
	written bool // a leader has said so
	unknown bool // a leader has said that it does not know it
}

var placementSimulation = simulation{
	seeds: 40, meets: []string{"requests answered", "requests not known", "requests known", "requests too late", "kills", "power cuts", "splits"},
	history: func(s *replicaSim) {
		s.begin()
		var all []*simPlaced
		partitions := 1
		for range 4000 {
			s.step()
			n := s.any()
			switch s.rnd.Intn(12) {
			case 0, 1, 2:
				by := protocol.Placement{Partitions: max(1, partitions-s.rnd.Intn(3))} // by somebody who may not have heard of the last changes
				by.First = by.Partitions == 1
				p := &simPlaced{id: by.ID(fmt.Sprintf("key:%d", len(all)))}
				all = append(all, p)
				s.placed(n, p)
			case 3:
				if s.rnd.Intn(20) == 0 {
					partitions++
				}
			case 4, 5, 6, 7:
				if len(all) > 0 && n.rep != nil && !n.full {
					s.askPlaced(n, all[max(0, len(all)-1-s.rnd.Intn(30))], partitions)
				}
			}
		}
		s.converge()
		s.check()
		values := s.live()[0].values()
		for _, p := range all {
			in := slices.Contains(values, `"`+p.id+`"`)
			require.True(s.t, in || !p.written, "%s is lost", p.id)
			require.False(s.t, in && p.unknown, "%s was written after a leader had said that it does not know it", p.id)
		}
	},
}

func (s *replicaSim) placed(n *simReplica, p *simPlaced) {
	if n.rep == nil || n.full {
		return
	}
	req := &protocol.ProduceRequest{ProducerID: p.id, Reply: protocol.NewFuture[protocol.ProduceResult]()}
	req.Lines.Add(s.clock.UnixMilli(), "sim", 0, []byte("-"), []byte(`"`+p.id+`"`), protocol.ActionProduce, nil)
	n.do(func() { n.rep.Propose(Proposal{Request: req, Lines: &req.Lines}) })
	s.watch = append(s.watch, func() bool {
		select {
		case res := <-req.Reply.C():
			switch {
			case res.Err == nil:
				s.tally["requests answered"]++
				p.written = true
			case res.Err.Code == protocol.CodePartitionsChanged:
				s.tally["requests too late"]++
			}
			return true
		default:
			return false
		}
	})
}

func (s *replicaSim) askPlaced(n *simReplica, p *simPlaced, partitions int) {
	if protocol.PlacedBy(p.id) >= partitions || partitions == 1 {
		return // whoever asks knows that there are more
	}
	wasWritten := p.written
	req := &protocol.ProduceRequest{ProducerID: p.id}
	n.do(func() {
		n.rep.Placed(req, partitions, func(known protocol.Knowledge, err *protocol.Error) {
			switch {
			case err != nil:
			case known == protocol.KnownNot:
				require.False(s.t, wasWritten, "%s was written, and the leader does not know it", p.id)
				s.tally["requests not known"]++
				p.unknown = true
			default:
				s.tally["requests known"]++
			}
		})
	})
}

// What is said of a request's placement goes through a checkpoint, is no producer for
// anybody, and is forgotten like one.
func TestPlacementIsKeptInTheTable(t *testing.T) {
	table := newProducerTable()
	table.put(&producerState{id: "p", at: 1})
	table.putPlaced(4, 2)
	table.putPlaced(3, 3)
	for range 2 {
		assert.Equal(t, 4, table.placed)
		assert.Equal(t, []string{"p"}, table.ids())
		again, err := decodeProducerTable(table.encode(level.Newest))
		require.NoError(t, err)
		table = again
	}
	table.putPlaced(5, 4+producerRetention.Milliseconds())
	assert.Equal(t, 5, table.placed)
	table.put(&producerState{id: "p", at: 5 + 2*producerRetention.Milliseconds()})
	assert.Zero(t, table.placed)
}

// A request that is placed by a number of partitions that is history is refused, unless
// somebody knows it.
func TestRequestsThatArePlacedEarlier(t *testing.T) {
	l := newLeader(t)
	table := newProducerTable()
	admit := func(id string, again bool) bool {
		req := &protocol.ProduceRequest{ProducerID: id, Again: again, Reply: protocol.NewFuture[protocol.ProduceResult]()}
		switch l.admit(table, 0, &Proposal{Request: req, Lines: &req.Lines}) {
		case admitNew:
			return true
		case admitAnswered:
			res := <-req.Reply.C()
			require.NotNil(t, res.Err)
			assert.Equal(t, protocol.CodePartitionsChanged, res.Err.Code)
			assert.Equal(t, protocol.OutcomeNone, res.Err.Outcome)
		}
		return false
	}
	three, four := protocol.Placement{Partitions: 3}, protocol.Placement{Partitions: 4}
	assert.True(t, admit("a", false), "nobody has asked")
	table.putPlaced(4, 1)
	assert.False(t, admit("a", false))
	assert.False(t, admit(three.ID("a"), false))
	assert.True(t, admit(four.ID("a"), false))
	assert.True(t, admit("a", true))
	assert.True(t, admit("kafka:7", false), "it names its partitions itself")
	l.placing.by = 5
	assert.False(t, admit(four.ID("a"), false), "the entry is on its way")
}

// A producer that a partition knows may not go on there by the number of partitions that
// the topic had before: another node may have been told that the request is not here, and
// have written it elsewhere.
func TestAKnownProducerThatIsPlacedEarlier(t *testing.T) {
	l := newLeader(t)
	table := newProducerTable()
	table.put(&producerState{id: "p", request: request{seq: 5, count: 1}, at: 1})
	admit := func(seq int64, again bool) *protocol.Error {
		req := &protocol.ProduceRequest{ProducerID: "p", Sequence: seq, Again: again, Reply: protocol.NewFuture[protocol.ProduceResult]()}
		if l.admit(table, 0, &Proposal{Request: req, Lines: &req.Lines}) == admitNew {
			return nil
		}
		res := <-req.Reply.C()
		if res.Duplicate {
			return nil
		}
		return res.Err
	}
	require.Nil(t, admit(6, false))
	table.putPlaced(8, 1)
	err := admit(6, false)
	require.NotNil(t, err)
	assert.Equal(t, protocol.CodePartitionsChanged, err.Code)
	assert.Equal(t, protocol.OutcomeNone, err.Outcome)
	assert.Nil(t, admit(5, false), "what it has, it knows")
	assert.Nil(t, admit(6, true), "a request that is half written is completed where it was")
}
