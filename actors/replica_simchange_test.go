package actors

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/logfile/faultfs"
	"ottla/protocol"
)

// simChanges adds to replicaSim what changes a partition while it runs:
// replicas that are lost for good and replaced under a new id, retention (so
// that the new ones need snapshots), linearizable reads, and producers that
// retry what they have no answer for.
type simChanges struct {
	s         *replicaSim
	want      []placedReplica
	producers []*epochProducer
	replaced  int
	reads     int
	retried   int
}

// epochProducer sends one request after the other, each until it is told where
// its records are.
type epochProducer struct {
	sim        *simChanges
	id         string
	epoch, seq int64
	values     []string
	req        *protocol.ProduceRequest // nil when the next one is to be made
	tries      int
}

func newSimChanges(s *replicaSim) *simChanges {
	c := &simChanges{s: s}
	for _, n := range s.nodes {
		c.want = append(c.want, placedReplica{Broker: int(n.id), ReplicaID: n.id})
	}
	for i := range 3 {
		c.producers = append(c.producers, &epochProducer{sim: c, id: fmt.Sprintf("p%d", i)})
	}
	return c
}

// tick is what a partition's shell does on a leader's tick.
func (c *simChanges) tick(n *simReplica) {
	r := n.rep
	if r.leading == nil || !r.leading.serving {
		return
	}
	r.reconcileMembers(c.want)
	if c.s.keyed != nil {
		return // compacted logs have no retention
	}
	start := n.log.RetentionStart(c.s.clock.UnixMilli(), -1, 6000, r.applied)
	if start > n.log.LogStart() {
		r.propose(proposal{control: encodeControl(control{LogStart: &start})})
	}
}

func (c *simChanges) step(n *simReplica) {
	switch p := c.s.rnd.Intn(100); {
	case p < 8:
		c.replace(n)
	case p < 40 && n.rep != nil:
		c.read(n)
	default:
		c.producers[c.s.rnd.Intn(len(c.producers))].step(n)
	}
}

// replace loses a replica for good. One at a time: more would be a majority.
func (c *simChanges) replace(n *simReplica) {
	for _, m := range c.s.nodes {
		if m.lost && m.rep != nil || !m.lost && (m.rep == nil || !m.rep.settled(c.want)) {
			return
		}
	}
	if n.lost {
		return
	}
	s := c.s
	n.crash(true)
	n.lost = true
	next := &simReplica{sim: s, id: uint64(len(s.nodes) + 1), fs: faultfs.New()}
	spec := next.spec(nil)
	require.NoError(s.t, spec.create(&environment{fs: next.fs, bootID: "0"}))
	s.nodes = append(s.nodes, next)
	for i := range c.want {
		if c.want[i].ReplicaID == n.id {
			c.want[i].ReplicaID = next.id
		}
	}
	next.open()
	c.replaced++
}

// read asks for a linearizable read: it must see everything that was
// acknowledged before it was asked.
func (c *simChanges) read(n *simReplica) {
	var least int64
	for off := range c.s.acked {
		least = max(least, off+1)
	}
	n.rep.readIndex(func(err *protocol.Error) {
		if err == nil {
			c.reads++
			require.GreaterOrEqual(c.s.t, n.rep.hw, least, "replica %d answers a read with less than was acknowledged", n.id)
		}
	})
	n.collect()
}

// step looks for an answer, gives up waiting for one now and then, and sends.
func (p *epochProducer) step(n *simReplica) {
	s := p.sim.s
	if p.req != nil {
		select {
		case res := <-p.req.Reply.C():
			p.answered(res)
			return
		default:
			if s.rnd.Intn(4) != 0 {
				return
			}
		}
	}
	if n.rep == nil {
		return
	}
	if p.values == nil {
		p.seq++
		if s.rnd.Intn(10) == 0 {
			p.epoch, p.seq = p.epoch+1, 0
		}
		for range 1 + s.rnd.Intn(3) {
			s.next++
			p.values = append(p.values, strconv.Itoa(s.next))
		}
	}
	p.tries++
	p.send(n)
}

func (p *epochProducer) send(n *simReplica) {
	p.req = &protocol.ProduceRequest{
		ProducerID: p.id, Epoch: p.epoch, Sequence: p.seq, Reply: protocol.NewFuture[protocol.ProduceResult](),
	}
	for _, v := range p.values {
		p.req.Lines.Add(p.sim.s.clock.UnixMilli(), "sim", 0, []byte("-"), []byte(v), protocol.ActionProduce, nil)
	}
	n.rep.propose(proposal{req: p.req, lines: &p.req.Lines})
	n.collect()
}

func (p *epochProducer) answered(res protocol.ProduceResult) {
	p.req = nil
	if res.Err != nil {
		require.Contains(p.sim.s.t, []string{protocol.CodeNoLeader.Name, protocol.CodeOutcomeUnknown.Name}, res.Err.Code.Name, "%v", res.Err)
		return
	}
	if p.tries > 1 {
		p.sim.retried++
	}
	for i, v := range p.values {
		at := int64(res.BaseOffset) + int64(i)
		if old, ok := p.sim.s.acked[at]; ok {
			require.Equal(p.sim.s.t, old, v, "offset %d was acknowledged twice", at)
		}
		p.sim.s.acked[at] = v
	}
	p.values, p.tries = nil, 0
}

// TestReplicaSimulationChanges is TestReplicaSimulation with membership
// changes, retention, reads and idempotent producers.
func TestReplicaSimulationChanges(t *testing.T) {
	var replaced, reads, retried, snapshots int
	seeds, first := simEnv("OTTLA_SIM_SEEDS", 60), simEnv("OTTLA_SIM_FIRST", 1)
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			s := newReplicaSim(t, int64(seed))
			s.plus = newSimChanges(s)
			s.nodes[0].rep.campaign(false)
			s.nodes[0].collect()
			for range 5000 {
				s.step()
			}
			s.settle()
			s.check()
			replaced += s.plus.replaced
			reads += s.plus.reads
			retried += s.plus.retried
			for _, n := range s.live() {
				if n.log.FirstIndex() > firstLogIndex+1 && n.id > 3 {
					snapshots++
				}
			}
		})
	}
	t.Logf("%d replicas replaced, %d of them by snapshot, %d reads, %d retries in %d runs", replaced, snapshots, reads, retried, seeds)
	if seeds >= 20 {
		require.Greater(t, min(replaced, reads, retried, snapshots), seeds/10, "the simulation hardly gets to what it is for")
	}
}
