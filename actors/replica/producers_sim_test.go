package replica

import (
	"fmt"
	"math/rand"
	"testing"

	"ottla/protocol"

	"github.com/stretchr/testify/require"
)

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
	if protocol.IsKafkaProducer(p.id) && p.seq > 0 && rnd.Intn(3) == 0 {
		back := min(int64(rnd.Intn(maxEarlier+1)), p.seq) // it has not heard of the answer to an earlier one
		value = fmt.Sprintf(`"%s%d"`, p.id, p.seq-back)
		p.send(n, value, p.seq-back)
		return
	}
	p.send(n, value, p.seq)
}

func (p *simProducer) send(n *simReplica, value string, seq int64) {
	req := &protocol.ProduceRequest{ProducerID: p.id, Sequence: seq, Reply: protocol.NewFuture[protocol.ProduceResult]()}
	req.Lines.Add(p.sim.clock.UnixMilli(), "sim", 0, []byte("-"), []byte(value), protocol.ActionProduce, nil)
	n.do(func() { n.rep.Propose(Proposal{Request: req, Lines: &req.Lines, Done: nil}) })
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

var producersSimulation = simulation{
	seeds: 40, meets: append([]string{"requests answered"}, commonly...),
	history: func(s *replicaSim) {
		s.begin()
		producers := []*simProducer{{sim: s, id: "a"}, {sim: s, id: "b"}, {sim: s, id: "kafka:1"}, {sim: s, id: "kafka:2"}}
		for range 4000 {
			s.step()
			if s.rnd.Intn(4) == 0 {
				producers[s.rnd.Intn(len(producers))].try(s.any(), s.rnd)
			}
		}
		s.converge()
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
