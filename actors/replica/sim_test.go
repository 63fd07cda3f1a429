package replica

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile/faultfs"
	"ottla/protocol"
)

// replicaSim is a partition in simulated time: one goroutine decides, from a
// seed, which message arrives, which disk syncs or fails, and which replica loses
// power next. Nothing in it waits or sleeps, and a seed always gives the same
// history.
type replicaSim struct {
	t     *testing.T
	rnd   *rand.Rand
	trace io.Writer      // gets everything that happens, nil unless somebody looks
	tally map[string]int // how often each kind of event happened: a test checks that it met what it is for

	clock time.Time
	nodes []*simReplica
	net   []raftpb.Message
	split map[uint64]bool // these and all others do not hear of each other; nil: all do

	next    int               // number of the next value
	acked   map[int64]string  // by offset
	fate    map[string]error  // answers that were no success
	seen    map[int64]string  // what readers saw, by offset
	leaders map[uint64]uint64 // by term
	calm    bool              // no more faults: everything arrives
	watch   []func() bool     // called after each step until they return true
	drop    func(raftpb.Message) bool
	plus    *simChanges // nil unless membership, retention and producers are simulated too
	keyed   *simKeyed   // nil unless records have keys and the log is compacted
}

// simReplica is one replica with a disk of its own.
type simReplica struct {
	sim      *replicaSim
	id       uint64
	fs       *faultfs.FS
	rep      *Replica // nil while it is down
	skew     time.Duration
	queue    []*Write         // handed to the disk, not executed
	reads    []*Read          // for followers that are far behind, not done
	held     map[*Read]bool   // of these, read and not released
	executed []*Write         // executed, not synced
	full     bool             // the disk refused the first of queue for lack of space
	doomed   bool             // the disk was told to fail in a way that is final
	top      uint64           // the greatest index executed, truncated since or not
	half     bool             // a power cut came in the middle of a truncation, see isHalf
	boots    int              // power cuts, each of which ends in another boot
	lost     bool             // for good: another replica takes its place
	before   raftpb.ConfState // the membership before the present step
	job      *simJob          // a compaction under way
	fetch    bool             // its snapshot waits for compacted records
	state    map[string]string
}

const simDir = "/replica"

// simReplicas is the number of replicas that a seed has: three, or five, or
// one.
func simReplicas(seed int64) int {
	switch seed % 10 {
	case 0, 5:
		return 5
	case 1:
		return 1
	}
	return 3
}

func newReplicaSim(t *testing.T, seed int64, trace io.Writer) *replicaSim {
	s := &replicaSim{
		t: t, rnd: rand.New(rand.NewSource(seed)), trace: trace, tally: map[string]int{},
		clock: time.UnixMilli(1_700_000_000_000),
		acked: map[int64]string{}, fate: map[string]error{}, seen: map[int64]string{}, leaders: map[uint64]uint64{},
	}
	var voters []uint64
	for range simReplicas(seed) {
		voters = append(voters, uint64(len(voters)+1))
	}
	for _, id := range voters {
		n := &simReplica{sim: s, id: id, fs: faultfs.New()}
		require.NoError(t, n.create(voters))
		s.nodes = append(s.nodes, n)
	}
	return s
}

// begin opens all replicas and has the first one campaign.
func (s *replicaSim) begin() {
	for _, n := range s.nodes {
		n.open()
	}
	if n := s.nodes[0]; n.rep != nil {
		n.do(func() { n.rep.Campaign(false) })
	}
}

// any is a replica, running or not.
func (s *replicaSim) any() *simReplica { return s.nodes[s.rnd.Intn(len(s.nodes))] }

// chance is true once in so many times, and never in calm.
func (s *replicaSim) chance(in int) bool { return s.rnd.Intn(in) == 0 && !s.calm }

func (n *simReplica) config() Config {
	return Config{
		ElectionTicks: 10, HeartbeatTicks: 1, MaxBatchBytes: 400, cachedBytes: 1500,
		Now: n.now, Logger: slog.New(slog.DiscardHandler),
	}
}

// now is the replica's clock, which is not always right.
func (n *simReplica) now() time.Time { return n.sim.clock.Add(n.skew) }

// do runs one step of the replica and what it asks for. A disk that dies in
// the middle takes the process with it, whatever the step makes of that.
func (n *simReplica) do(step func()) {
	defer func() {
		if n.fs.Stopped() && n.rep != nil {
			_ = recover() // raft panics over entries that it cannot read
			n.sim.tally["interrupted steps"]++
			n.crash(n.sim.rnd.Intn(2) == 0)
		}
	}()
	if n.rep != nil {
		n.before = n.rep.storage.conf
	}
	step()
	n.collect()
}

// collect carries out what the replica asks for.
func (n *simReplica) collect() {
	for i := 0; n.rep != nil; i++ {
		fx := n.rep.Take()
		if n.rep.failed != nil {
			n.mustBeSilent(&fx)
			return
		}
		fx.Messages = append(fx.Messages, fx.Old...)
		for _, m := range fx.Messages {
			n.sim.noteMessage("send", m)
			n.prove(m)
		}
		n.sim.net = append(n.sim.net, fx.Messages...)
		n.reads = append(n.reads, fx.Reads...)
		n.sim.tally["fed"] += len(fx.Old)
		n.queue = append(n.queue, fx.Writes...)
		n.checkLeader()
		if fx.HighWatermarkMoved && n.sim.rnd.Intn(8) == 0 {
			n.look()
		}
		for i := range fx.Committed {
			fx.Committed[i].Answer()
		}
		n.fetch = n.fetch || fx.FetchParts
		if fx.Flush {
			n.rep.Flush()
		}
		if len(fx.Messages) == 0 && len(fx.Writes) == 0 && !fx.Flush && n.rep.failed == nil {
			return
		}
		require.Less(n.sim.t, i, 100, "a replica does not come to rest")
	}
}

// deliver takes a random message from the network: in any order, sometimes
// twice, sometimes never.
func (s *replicaSim) deliver() {
	if len(s.net) == 0 {
		return
	}
	i := 0
	if !s.calm {
		i = s.rnd.Intn(len(s.net))
	}
	m := s.net[i]
	fate := s.rnd.Intn(20)
	if s.calm || fate != 0 { // 0: it arrives and stays, to arrive again
		s.net = slices.Delete(s.net, i, i+1)
	}
	n := s.nodes[m.To-1] // ids are given out in order
	if s.drop != nil && s.drop(m) || s.split != nil && s.split[m.From] != s.split[m.To] {
		return
	}
	if n.rep == nil || !s.calm && fate == 1 {
		return
	}
	s.noteMessage("step", m)
	n.do(func() { n.rep.Step(m) })
}

func (s *replicaSim) produce(n *simReplica) {
	if n.rep == nil || n.full { // the shell answers storage_full
		return
	}
	lines := &protocol.Lines{}
	count := 1 + s.rnd.Intn(3)
	values := make([]string, count)
	for i := range values {
		s.next++
		values[i] = strconv.Itoa(s.next)
		key := []byte("-")
		if s.keyed != nil {
			key, values[i] = s.keyed.record(values[i])
		}
		lines.Add(s.clock.UnixMilli(), "sim", 0, key, []byte(values[i]), protocol.ActionProduce, nil)
	}
	done := func(res protocol.ProduceResult) {
		if res.Err == nil {
			n.proveAck(int64(res.BaseOffset), values)
		}
		for i, v := range values {
			if res.Err != nil {
				s.fate[v] = res.Err
				continue
			}
			s.ack(int64(res.BaseOffset)+int64(i), v)
		}
	}
	n.do(func() { n.rep.Propose(Proposal{Lines: lines, Done: done}) })
}

// ack notes that a value was acknowledged at an offset.
func (s *replicaSim) ack(at int64, value string) {
	if old, ok := s.acked[at]; ok {
		require.Equal(s.t, old, value, "offset %d was acknowledged twice", at)
	}
	s.acked[at] = value
	s.tally["acked"]++
	s.note("ack %d %s", at, value)
}

// step does one thing that could happen.
func (s *replicaSim) step() {
	defer func() {
		s.watch = slices.DeleteFunc(s.watch, func(done func() bool) bool { return done() })
	}()
	n := s.any()
	p := s.rnd.Intn(1000)
	s.note("%d %d", n.id, p)
	switch {
	case n.rep != nil && n.rep.failed != nil && p < 50: // the rest shows that it is silent
		n.crash(s.rnd.Intn(2) == 0)
	case p < 400:
		s.deliver()
	case p < 550 && n.rep != nil:
		n.execute()
	case p < 700 && n.rep != nil:
		n.sync()
	case p < 720 && n.rep != nil && len(n.reads) > 0:
		n.read()
	case p < 760 && n.rep != nil:
		s.clock = s.clock.Add(100 * time.Millisecond)
		s.tick(n)
	case p < 940:
		s.produce(n)
	case p < 950:
		s.fault(n)
	case p < 970 && n.rep == nil && !n.lost:
		n.open()
	case p < 975 && n.rep != nil:
		n.do(func() { n.rep.Campaign(true) })
	case p < 980 && n.rep != nil:
		n.do(func() { n.rep.HandOver(uint64(1 + s.rnd.Intn(len(s.nodes)))) })
	case p < 983:
		s.read(n)
	case s.keyed != nil && s.rnd.Intn(3) > 0:
		s.keyed.step(n)
	case s.plus != nil:
		s.plus.step(n)
	}
}

// fault does one of the things that should not happen.
func (s *replicaSim) fault(n *simReplica) {
	switch p := s.rnd.Intn(40); {
	case p < 13:
		n.crash(s.rnd.Intn(2) == 0)
	case p < 14:
		for _, n := range s.nodes {
			n.crash(true)
		}
	case p < 18:
		n.stop()
	case p < 26:
		n.trouble()
	case p < 28:
		n.skew = time.Duration(s.rnd.Intn(480)-240) * time.Second
		s.tally["clock jumps"]++
	case p < 31:
		s.split = map[uint64]bool{}
		for _, n := range s.nodes {
			s.split[n.id] = s.rnd.Intn(2) == 0
		}
		s.tally["splits"]++
	default:
		s.split = nil
	}
}

func (s *replicaSim) tick(n *simReplica) {
	n.full = false // it is tried again
	n.do(func() {
		n.rep.Tick()
		if s.plus != nil {
			s.plus.tick(n)
		}
	})
}

// read asks for a linearizable read: it must see everything that was
// acknowledged before it was asked.
func (s *replicaSim) read(n *simReplica) {
	if n.rep == nil {
		return
	}
	var least int64
	for off := range s.acked {
		least = max(least, off+1)
	}
	done := func(err *protocol.Error) {
		if err == nil {
			s.tally["reads"]++
			require.GreaterOrEqual(s.t, n.rep.hw, least, "replica %d answers a read with less than was acknowledged", n.id)
		}
	}
	n.do(func() { n.rep.ReadIndex(done) })
}

// live are the replicas that are not lost for good.
func (s *replicaSim) live() []*simReplica {
	return slices.DeleteFunc(slices.Clone(s.nodes), func(n *simReplica) bool { return n.lost })
}

// converge ends the faults and runs until all replicas agree.
func (s *replicaSim) converge() {
	s.calm = true
	s.net, s.split = nil, nil
	for _, n := range s.live() {
		if n.doomed || n.fs.Stopped() {
			n.crash(false)
		}
		n.fs.StopAfter(-1)
		n.fs.SetSpace(-1)
		n.full = false
		if n.rep == nil {
			n.open()
		}
	}
	if !s.run(3000) {
		s.t.Fatalf("the replicas do not agree although nothing fails any more%s", s.describe())
	}
}

// describe says where every replica stands.
func (s *replicaSim) describe() string {
	text := ""
	for _, n := range s.live() {
		r := n.rep
		st := r.rn.BasicStatus()
		_, pending := r.PendingCompaction()
		text += fmt.Sprintf("\nreplica %d: %v, term %d, leader %d, vote %d, members %v, commit %d, applied %d, log %d to %d, %d writes, compaction pending %v, snapshot deferred %v, %v",
			n.id, st.RaftState, st.Term, st.Lead, st.Vote, r.storage.conf, st.Commit, r.applied, r.log.FirstIndex(), r.log.LastIndex(),
			len(n.queue)+len(n.executed), pending, r.deferred != nil, r.leading)
	}
	if s.plus != nil {
		text += fmt.Sprintf("\nwanted: %v", s.plus.want)
	}
	return text
}

// run lets everything happen in its order until all replicas agree. It reports
// whether they do after at most that many passes over all of them.
func (s *replicaSim) run(passes int) bool {
	for range passes {
		for _, n := range s.live() {
			if s.keyed != nil {
				s.keyed.work(n)
			}
			for len(n.queue) > 0 {
				n.execute()
			}
			n.sync()
			for n.rep != nil && len(n.reads) > 0 {
				n.read()
			}
		}
		for range 50 {
			s.deliver()
		}
		if s.agreed() {
			return true
		}
		if len(s.net) == 0 {
			s.clock = s.clock.Add(100 * time.Millisecond)
			for _, n := range s.live() {
				if n.rep != nil { // else its files were removed just now
					s.tick(n)
				}
			}
		}
	}
	return false
}

func (s *replicaSim) agreed() bool {
	serving := false
	live := s.live()
	for _, n := range live {
		serving = serving || n.rep.leading != nil && n.rep.leading.serving && len(n.rep.leading.pending) == 0
		if s.plus != nil && !n.rep.HasMembers(s.plus.want) {
			return false
		}
		if _, pending := n.rep.PendingCompaction(); pending || n.rep.deferred != nil {
			return false
		}
		for rd := range n.held {
			if rd.Context.Err() == nil { // somebody may still get it
				return false
			}
		}
		if n.rep.applied != live[0].rep.applied || n.rep.applied != n.rep.log.LastIndex() || len(n.queue)+len(n.executed) > 0 {
			return false
		}
	}
	return serving
}
