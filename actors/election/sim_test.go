package election

import (
	"errors"
	"fmt"
	"math/rand"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/actors/replica"
	"ottla/logfile"
	"ottla/logfile/faultfs"
	"ottla/protocol"
)

// sim is a partition whose replicas run on nodes that believe wrong things of each
// other, in simulated time: from a seed it is decided which message arrives, which node
// dies, which way of a link is cut and what a node is told of another, true or not. A
// seed always gives the same history.
type sim struct {
	t     *testing.T
	rnd   *rand.Rand
	tally map[string]int // how often each kind of event happened

	clock time.Time
	nodes []*simNode
	want  []protocol.PlacedReplica
	lanes map[lane][]any     // messages on their way, in the order of each lane
	cut   map[[2]uint64]bool // from and to: what is sent that way is lost

	next    int
	acked   map[int64]string
	leaders map[uint64]uint64 // by term
}

// lane is one connection between two nodes: what is sent on one arrives in its order,
// what is sent on two in any.
type lane struct {
	from, to uint64
	kind     laneKind
}

type laneKind int

const (
	laneControl laneKind = iota
	laneBulk
	laneCatchUp
	laneKinds
)

const simDir = "/replica"

func newSim(t *testing.T, seed int64) *sim {
	cryptotest.SetGlobalRandom(t, uint64(seed)) // of which raft draws its election timeouts
	s := &sim{
		t: t, rnd: rand.New(rand.NewSource(seed)), tally: map[string]int{}, clock: time.UnixMilli(1_700_000_000_000),
		lanes: map[lane][]any{}, cut: map[[2]uint64]bool{}, acked: map[int64]string{}, leaders: map[uint64]uint64{},
	}
	size := 3
	if seed%3 == 0 {
		size = 5
	}
	var founders []uint64
	for i := range size {
		founders = append(founders, uint64(i+1))
		s.want = append(s.want, protocol.PlacedReplica{Broker: i + 1, ReplicaID: uint64(i + 1)})
	}
	for _, id := range founders {
		n := &simNode{sim: s, id: id, fs: faultfs.New()}
		identity := logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "sim", Broker: int(id), ReplicaID: id}
		require.NoError(t, replica.Create(n.fs, simDir, identity, founders, 0, n.options()))
		s.nodes = append(s.nodes, n)
	}
	for _, n := range s.nodes {
		n.start()
	}
	s.truth()
	return s
}

func (n *simNode) options() logfile.Options {
	return logfile.Options{SegmentBytes: 4000, LargeBody: n.boots % 2, BootID: strconv.Itoa(n.boots)} // with 1, bodies are not copied
}

// hears reports whether two nodes hear each other.
func (s *sim) hears(a, b *simNode) bool {
	return a.rep != nil && b.rep != nil && !s.cut[[2]uint64{a.id, b.id}] && !s.cut[[2]uint64{b.id, a.id}]
}

// send puts a message on its way.
func (s *sim) send(l lane, message any) {
	if len(s.lanes[l]) < 200 { // what a lane holds is bounded
		s.lanes[l] = append(s.lanes[l], message)
	}
}

// deliver takes the first message off a lane; what does not get through is lost.
func (s *sim) deliver(l lane) {
	m := s.lanes[l][0]
	if s.lanes[l] = s.lanes[l][1:]; len(s.lanes[l]) == 0 {
		delete(s.lanes, l)
	}
	n := s.nodes[l.to-1]
	if n.rep == nil || s.cut[[2]uint64{l.from, l.to}] {
		return
	}
	switch m := m.(type) {
	case raftpb.Message:
		if n.member.Quiet() && m.Type != raftpb.MsgHeartbeatResp {
			n.member.Wake()
		}
		n.do(func() { n.rep.Step(m) })
	case *Leaderless:
		n.electing(func(v View) *Leaderless { return n.member.Heard(m, v) })
	case *FallQuiet:
		n.member.Follow(m, n.view())
	}
}

// busy are the lanes that hold anything, in an order that depends on the seed only.
func (s *sim) busy() []lane {
	var lanes []lane
	for _, from := range s.nodes {
		for _, to := range s.nodes {
			for kind := range laneKinds {
				if l := (lane{from.id, to.id, kind}); len(s.lanes[l]) > 0 {
					lanes = append(lanes, l)
				}
			}
		}
	}
	return lanes
}

func (s *sim) produce(n *simNode) {
	if n.rep == nil {
		return
	}
	s.next++
	value := strconv.Itoa(s.next)
	lines := &protocol.Lines{}
	lines.Add(s.clock.UnixMilli(), "sim", 0, []byte("-"), []byte(value), protocol.ActionProduce, nil)
	n.member.Wake()
	n.do(func() {
		n.rep.Propose(replica.Proposal{Lines: lines, Done: func(res protocol.ProduceResult) {
			if res.Err == nil {
				_, twice := s.acked[int64(res.BaseOffset)]
				require.False(s.t, twice, "offset %d was acknowledged twice", res.BaseOffset)
				s.acked[int64(res.BaseOffset)] = value
				s.tally["acked"]++
			}
		}})
	})
}

// read asks for a read that must see all that was acknowledged before.
func (s *sim) read(n *simNode) {
	if n.rep == nil {
		return
	}
	var least int64
	for at := range s.acked {
		least = max(least, at+1)
	}
	n.member.Wake()
	n.do(func() {
		n.rep.ReadIndex(func(err *protocol.Error) {
			if err == nil {
				s.tally["reads"]++
				require.GreaterOrEqual(s.t, n.rep.HighWatermark(), least, "node %d reads less than was acknowledged", n.id)
			}
		})
	})
}

// step does one thing that could happen.
func (s *sim) step() {
	n := s.nodes[s.rnd.Intn(len(s.nodes))]
	switch p := s.rnd.Intn(1000); {
	case p < 500:
		if lanes := s.busy(); len(lanes) > 0 {
			s.deliver(lanes[s.rnd.Intn(len(lanes))])
		}
	case p < 700:
		n.disk()
	case p < 880:
		s.clock = s.clock.Add(20 * time.Millisecond)
		n.tick()
	case p < 940:
		s.produce(n)
	case p < 960:
		s.read(n)
	case p < 985:
		s.lie(n)
	default:
		s.harm(n)
	}
}

// lie tells a node something of another that is true or is not.
func (s *sim) lie(n *simNode) {
	o := s.nodes[s.rnd.Intn(len(s.nodes))]
	says, truth := s.rnd.Intn(2) == 0, s.hears(n, o)
	if s.rnd.Intn(2) == 0 {
		says = truth
	}
	if n.rep != nil && o != n && says != truth {
		s.tally[fmt.Sprintf("said to run, untruly: %v", says)]++
	}
	n.believe(o.id, says)
}

func (s *sim) harm(n *simNode) {
	o := s.nodes[s.rnd.Intn(len(s.nodes))]
	switch p := s.rnd.Intn(10); {
	case n.rep == nil:
		n.start()
	case p < 3:
		n.kill(s.rnd.Intn(2) == 0)
	case p < 6 && n != o:
		s.cut[[2]uint64{n.id, o.id}] = true
		s.tally["cuts"]++
	default:
		clear(s.cut)
	}
}

// round has everything arrive, all disks write, and then time go on by a tick, for all.
func (s *sim) round() {
	for i := 0; ; i++ {
		require.Less(s.t, i, 10_000, "the replicas do not come to rest")
		for _, n := range s.nodes {
			n.disk()
		}
		lanes := s.busy()
		if len(lanes) == 0 {
			break
		}
		s.deliver(lanes[s.rnd.Intn(len(lanes))])
	}
	s.clock = s.clock.Add(100 * time.Millisecond)
	for _, n := range s.nodes {
		n.tick()
	}
}

// within runs rounds until something holds, so many at most.
func (s *sim) within(rounds int, what string, holds func() bool) {
	for range rounds {
		if holds() {
			return
		}
		s.round()
	}
	require.FailNow(s.t, "not after so many ticks: "+what, "%d%s", rounds, s.describe())
}

// heal ends all faults and lies, one of which nobody hears about: a node that was said
// to run and does again.
func (s *sim) heal() {
	clear(s.cut)
	for _, n := range s.nodes {
		if n.rep == nil {
			n.start()
		}
	}
	s.truth()
}

// truth tells all nodes how it is.
func (s *sim) truth() {
	for _, n := range s.nodes {
		for _, o := range s.nodes {
			n.believe(o.id, s.hears(n, o))
		}
	}
}

// leader is the one that serves, and that every running node which hears it follows; nil
// if there is none.
func (s *sim) leader() *simNode {
	for _, n := range s.nodes {
		if n.rep == nil {
			continue
		}
		if _, ok := n.rep.Serving(); ok && !slices.ContainsFunc(s.nodes, func(o *simNode) bool {
			return s.hears(n, o) && (o.rep.Leader() != n.id || o.member.Seeking())
		}) {
			return n
		}
	}
	return nil
}

func (s *sim) allQuiet() bool {
	return !slices.ContainsFunc(s.nodes, func(n *simNode) bool { return n.rep != nil && !n.member.Quiet() })
}

// settle waits for a leader that takes records, and for quiet.
func (s *sim) settle() {
	s.within(100, "a leader that all follow", func() bool { return s.leader() != nil })
	before := len(s.acked)
	s.within(40, "a record that is acknowledged", func() bool {
		if n := s.leader(); n != nil && len(s.acked) == before {
			s.produce(n)
		}
		return len(s.acked) > before
	})
	s.within(200, "quiet", s.allQuiet)
	require.Equal(s.t, s.nodes[0], s.leader(), "placement prefers the first")
	for _, n := range s.nodes {
		require.Equal(s.t, s.nodes[0].rep.AppliedIndex(), n.rep.AppliedIndex(), "node %d has applied all before its clock stops", n.id)
	}
}

func (s *sim) describe() string {
	text := ""
	for _, n := range s.nodes {
		if n.rep == nil {
			text += fmt.Sprintf("\nnode %d is down", n.id)
			continue
		}
		_, serving := n.rep.Serving()
		text += fmt.Sprintf("\nnode %d: leads %v, serving %v, leader %d, seeking %v, quiet %v, idle %d, believes %v, last %v, applied %d",
			n.id, n.rep.Leads(), serving, n.rep.Leader(), n.member.Seeking(), n.member.Quiet(), n.member.idle, n.reaches, n.rep.LastPosition(), n.rep.AppliedIndex())
	}
	return text
}

// check holds what is in the logs against what was acknowledged.
func (s *sim) check() {
	for _, n := range s.nodes {
		v := n.log.View(n.rep.HighWatermark())
		recs, err := v.Read(nil, 0, 1<<20, 1<<30)
		require.NoError(s.t, err)
		found := map[int64]string{}
		for i := range recs {
			found[recs[i].Offset] = string(recs[i].Value)
		}
		for at, value := range s.acked {
			require.Equal(s.t, value, found[at], "node %d, offset %d", n.id, at)
		}
	}
}

// simSeeds plays a history for many seeds. OTTLA_SIM_SEEDS says how many, OTTLA_SIM_FIRST
// which is the first. Of what it is to meet, more than a tenth of the seeds must have.
func simSeeds(t *testing.T, history func(s *sim), meets ...string) {
	env := func(name string, def int) int {
		if v, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return v
		}
		return def
	}
	seeds, first := env("OTTLA_SIM_SEEDS", 60), env("OTTLA_SIM_FIRST", 1)
	tally := map[string]int{}
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			s := newSim(t, int64(seed))
			history(s)
			for what, n := range s.tally {
				tally[what] += n
			}
		})
		if t.Failed() {
			return
		}
	}
	t.Log(tally)
	for _, what := range meets {
		require.Greater(t, tally[what], seeds/10, "the simulation hardly meets what it is for: %s", what)
	}
}

// TestElectionSimulation has nodes believe of each other what is not so, in
// both directions, while they die and links break one way. Whatever they believe, one
// leads a term, and nothing that was acknowledged is lost or read stale; when the lies
// end, there is a leader, records are taken, and then it is quiet.
func TestElectionSimulation(t *testing.T) {
	simSeeds(t, func(s *sim) {
		for range 3 {
			for range 1500 {
				s.step()
			}
			s.heal()
			s.settle()
		}
		s.check()
	}, "kills", "cuts", "acked", "reads", "quiet", "said to run, untruly: true", "said to run, untruly: false")
}

// TestQuietLeaderThatIsCutOff has the clock of all replicas stand still, and then the
// leader lose all others. As soon as nodes suspect each other, the others have another
// leader and the old one gives up.
func TestQuietLeaderThatIsCutOff(t *testing.T) {
	simSeeds(t, func(s *sim) {
		s.settle()
		old := s.leader()
		for _, n := range s.nodes {
			s.cut[[2]uint64{old.id, n.id}] = true
			s.cut[[2]uint64{n.id, old.id}] = true
		}
		for range 50 {
			s.round()
		}
		require.True(s.t, old.rep.Leads(), "nobody has noticed anything")
		s.truth()
		s.within(60, "the old leader gives up", func() bool { return !old.rep.Leads() })
		s.within(60, "another leader", func() bool { n := s.leader(); return n != nil && n != old })
		s.produce(s.leader())
		s.heal()
		s.settle()
		s.check()
	}, "quiet")
}

// TestQuietLeaderThatIsBackUnnoticed has a leader of a quiet partition die and come back
// before anybody suspects it: no node is told of any change.
func TestQuietLeaderThatIsBackUnnoticed(t *testing.T) {
	simSeeds(t, func(s *sim) {
		s.settle()
		old := s.leader()
		old.kill(s.rnd.Intn(2) == 0)
		old.start()
		s.settle()
		s.check()
	}, "kills")
}

// TestFollowerThatIsNotToldOfQuiet has the message that the partition falls quiet miss a
// follower. Its pre-vote wakes the others and is refused; no term begins by it.
func TestFollowerThatIsNotToldOfQuiet(t *testing.T) {
	simSeeds(t, func(s *sim) {
		s.settle()
		term, err := s.termOfLeader()
		require.NoError(s.t, err)
		last := s.nodes[len(s.nodes)-1]
		last.member.Wake()
		woken := false
		for range 200 {
			s.round()
			woken = woken || !s.nodes[0].member.Quiet()
		}
		require.True(s.t, woken, "the leader is woken")
		s.within(100, "quiet", s.allQuiet)
		now, err := s.termOfLeader()
		require.NoError(s.t, err)
		require.Equal(s.t, term, now, "no term began")
	}, "quiet")
}

func (s *sim) termOfLeader() (uint64, error) {
	n := s.leader()
	if n == nil {
		return 0, errors.New("there is no leader")
	}
	term, _ := n.rep.Serving()
	return term, nil
}
