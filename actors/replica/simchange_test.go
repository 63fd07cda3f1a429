package replica

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
// that the new ones need snapshots), and producers that retry what they have no
// answer for.
type simChanges struct {
	s         *replicaSim
	want      []protocol.PlacedReplica
	replacing bool          // until a leader says that a majority has the new membership on disk
	leaving   []*simReplica // of replacing: those that run until then, and are not wanted
	producers []*epochProducer
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
		c.want = append(c.want, protocol.PlacedReplica{Broker: int(n.id), ReplicaID: n.id})
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
	r.ReconcileMembers(c.want)
	if r.LeavesLeading(c.want) {
		to := r.BestTransferee(c.want, func(id uint64) bool { return c.s.nodes[id-1].rep != nil })
		if to != 0 {
			c.s.tally["led by who leaves"]++
		}
		r.HandOver(to)
	}
	if c.replacing && (r.ProveMembers(c.want) || r.HasMembers(c.want) && r.MembersProven()) {
		c.replacing = false
		for _, gone := range c.leaving { // their files are removed
			gone.crash(true)
			gone.lost = true
		}
		c.leaving = nil
	}
	if c.s.keyed != nil {
		return // compacted logs have no retention
	}
	start := r.log.RetentionStart(n.now().UnixMilli(), -1, 3000, r.applied)
	if start > r.log.LogStart() {
		r.ProposeLogStart(start)
	}
}

func (c *simChanges) step(n *simReplica) {
	switch p := c.s.rnd.Intn(100); {
	case p < 15:
		c.replace(n)
	case p < 30:
		c.move(n)
	case p < 33:
		c.moveBack()
	default:
		c.producers[c.s.rnd.Intn(len(c.producers))].step(n)
	}
}

// replace loses a replica for good. One at a time: more would be a majority, as
// is a single one. The next may be lost as soon as a leader has said that the last
// replacement is over, whatever the others do not have on disk yet.
func (c *simChanges) replace(n *simReplica) {
	if len(c.want) == 1 || c.replacing || n.lost {
		return
	}
	n.crash(true)
	n.lost = true
	c.substitute(n)
}

// move has another replica take the place of one that goes on until that is over. One
// at a time, lost ones included.
func (c *simChanges) move(n *simReplica) {
	if c.replacing || n.lost {
		return
	}
	c.leaving = append(c.leaving, n)
	c.substitute(n)
	c.s.tally["moved"]++
}

// moveBack gives a move up before it is over, however far it has come.
func (c *simChanges) moveBack() {
	if len(c.leaving) != 1 {
		return
	}
	next, back := c.s.nodes[len(c.s.nodes)-1], c.leaving[0]
	for i := range c.want {
		if c.want[i].ReplicaID == next.id {
			c.want[i].ReplicaID = back.id
		}
	}
	c.leaving[0] = next
	c.s.tally["moved back"]++
}

// substitute brings a new replica in the place of a lost one.
func (c *simChanges) substitute(n *simReplica) {
	s := c.s
	c.replacing = true
	next := &simReplica{sim: s, id: uint64(len(s.nodes) + 1), fs: faultfs.New()}
	require.NoError(s.t, next.create(nil))
	s.nodes = append(s.nodes, next)
	for i := range c.want {
		if c.want[i].ReplicaID == n.id {
			c.want[i].ReplicaID = next.id
		}
	}
	next.open()
	s.tally["replaced"]++
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
	if n.rep == nil || n.full {
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
	n.do(func() { n.rep.Propose(Proposal{Request: p.req, Lines: &p.req.Lines}) })
}

func (p *epochProducer) answered(res protocol.ProduceResult) {
	p.req = nil
	if res.Err != nil {
		require.Contains(p.sim.s.t, []string{protocol.CodeNoLeader.Name, protocol.CodeOutcomeUnknown.Name}, res.Err.Code.Name, "%v", res.Err)
		return
	}
	if p.tries > 1 {
		p.sim.s.tally["retries"]++
	}
	for i, v := range p.values {
		p.sim.s.ack(int64(res.BaseOffset)+int64(i), v)
	}
	p.values, p.tries = nil, 0
}

var changesSimulation = simulation{
	seeds: 60, meets: append([]string{"replaced", "moved", "moved back", "led by who leaves", "retries", "snapshots"}, commonly...),
	history: func(s *replicaSim) {
		s.plus = newSimChanges(s)
		s.begin()
		founders := len(s.nodes)
		for range 5000 {
			s.step()
		}
		s.converge()
		s.check()
		for _, n := range s.live() {
			if n.rep.log.FirstIndex() > firstLogIndex+1 && int(n.id) > founders {
				s.tally["snapshots"]++
			}
		}
	},
}

// TestReplicaSimulationChanges is TestReplicaSimulation with membership
// changes, retention and idempotent producers.
func TestReplicaSimulationChanges(t *testing.T) { changesSimulation.test(t) }

// TestSnapshotsBringTheTableOnce: of each of these histories the producers of a replica that
// began with a snapshot were in another order than those of the others, because entries that
// the table of the snapshot had were applied to it again.
func TestSnapshotsBringTheTableOnce(t *testing.T) {
	for _, seed := range []int64{201657, 403349} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { changesSimulation.run(t, seed, nil) })
	}
}
