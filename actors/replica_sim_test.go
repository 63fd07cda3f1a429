package actors

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
	"ottla/logfile/faultfs"
	"ottla/protocol"
)

// replicaSim is a partition of three replicas in simulated time: one goroutine
// decides, from a seed, which message arrives, which disk syncs and who loses
// power next. Nothing in it waits or sleeps.
type replicaSim struct {
	t     *testing.T
	rnd   *rand.Rand
	clock time.Time
	nodes []*simReplica
	net   []raftpb.Message
	next  int              // number of the next value
	acked map[int64]string // by offset
	fate  map[string]error // answers that were no success
	calm  bool             // no more faults: everything arrives
	watch []func() bool    // asked after each step until they say that they are done
	drop  func(raftpb.Message) bool
	plus  *simChanges // nil unless membership, retention, reads and producers are simulated too
	keyed *simKeyed   // nil unless records have keys and the log is compacted
}

// simReplica is one of them with a disk of its own.
type simReplica struct {
	sim      *replicaSim
	id       uint64
	fs       *faultfs.FS
	rep      *replica // nil while it is down
	log      *logfile.Log
	queue    []*stagedWrite // handed to the disk, not executed
	executed []*stagedWrite // executed, not synced
	boots    int            // power cuts, each of which ends in another boot
	lost     bool           // for good: another replica takes its place
	job      *simJob        // a compaction under way
	fetch    bool           // its snapshot waits for compacted records
	state    map[string]string
}

const simDir = "/replica"

func newReplicaSim(t *testing.T, seed int64) *replicaSim {
	s := &replicaSim{
		t: t, rnd: rand.New(rand.NewSource(seed)), clock: time.UnixMilli(1_700_000_000_000),
		acked: map[int64]string{}, fate: map[string]error{},
	}
	voters := []uint64{1, 2, 3}
	for _, id := range voters {
		n := &simReplica{sim: s, id: id, fs: faultfs.New()}
		spec := n.spec(voters)
		require.NoError(t, spec.create(&environment{fs: n.fs, bootID: "0"}))
		s.nodes = append(s.nodes, n)
		n.open()
	}
	return s
}

func (n *simReplica) spec(founders []uint64) partitionSpec {
	return partitionSpec{
		id: logfile.Identity{
			ClusterID: "c", TopicID: "t", Topic: "sim", Broker: int(n.id), ReplicaID: n.id,
		},
		dir: simDir, founders: founders, settings: topicSettings{SegmentBytes: 2000},
	}
}

// open starts the replica from what its disk has. A replica that the faults
// left damaged would be rebuilt from its peers; faults of this simulation never
// damage what was synced, so that is a failure.
func (n *simReplica) open() {
	spec := n.spec(nil)
	log, rec, err := logfile.Open(n.fs, simDir, spec.logOptions(&environment{bootID: strconv.Itoa(n.boots)}))
	require.NoError(n.sim.t, err, "replica %d", n.id)
	cfg := replicaConfig{
		electionTicks: 10, heartbeatTicks: 1, maxBatchBytes: 400,
		now: func() time.Time { return n.sim.clock }, logger: slog.New(slog.DiscardHandler),
	}
	n.job, n.fetch = nil, false
	if n.sim.keyed != nil {
		n.sim.keyed.configure(n, &cfg)
	}
	rep, err := newReplica(cfg, log, rec)
	require.NoError(n.sim.t, err)
	n.log, n.rep, n.queue, n.executed = log, rep, nil, nil
	n.collect()
}

func (n *simReplica) collect() {
	for i := 0; i < 100; i++ {
		fx := n.rep.take()
		n.sim.net = append(n.sim.net, fx.sends...)
		n.queue = append(n.queue, fx.writes...)
		for i := range fx.committed {
			fx.committed[i].answer()
		}
		n.fetch = n.fetch || fx.fetch
		if fx.kick {
			n.rep.flush()
		}
		if len(fx.sends) == 0 && len(fx.writes) == 0 && !fx.kick {
			require.NoError(n.sim.t, n.rep.failed, "replica %d", n.id)
			return
		}
	}
	n.sim.t.Fatal("a replica does not come to rest")
}

// crash ends the replica: a kill keeps what was written, a power cut only what
// was synced, and anything of the rest.
func (n *simReplica) crash(power bool) {
	if n.rep == nil {
		return
	}
	n.rep.closing()
	n.rep = nil
	if power {
		n.fs.PowerCut(n.sim.rnd)
		n.boots++
	} else {
		n.fs.Restart()
	}
}

func (n *simReplica) execute() {
	if len(n.queue) == 0 {
		return
	}
	w := n.queue[0]
	n.queue = n.queue[1:]
	require.NoError(n.sim.t, w.batch.Execute())
	n.executed = append(n.executed, w)
}

func (n *simReplica) sync() {
	if len(n.executed) == 0 {
		return
	}
	for _, w := range n.executed {
		for _, f := range w.batch.Files() {
			require.NoError(n.sim.t, f.Sync())
		}
	}
	last := n.executed[len(n.executed)-1].seq
	n.executed = nil
	n.rep.diskDone(last, nil)
	n.collect()
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
	if s.drop != nil && s.drop(m) {
		return
	}
	if n.rep == nil || !s.calm && fate == 1 {
		return
	}
	n.rep.step(m)
	n.collect()
}

func (s *replicaSim) produce(n *simReplica) {
	if n.rep == nil {
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
	n.rep.propose(proposal{lines: lines, done: func(res protocol.ProduceResult) {
		for i, v := range values {
			if res.Err != nil {
				s.fate[v] = res.Err
				continue
			}
			s.acked[int64(res.BaseOffset)+int64(i)] = v
		}
	}})
	n.collect()
}

// step does one thing that could happen.
func (s *replicaSim) step() {
	defer func() {
		s.watch = slices.DeleteFunc(s.watch, func(done func() bool) bool { return done() })
	}()
	n := s.nodes[s.rnd.Intn(len(s.nodes))]
	switch p := s.rnd.Intn(1000); {
	case p < 400:
		s.deliver()
	case p < 550 && n.rep != nil:
		n.execute()
	case p < 700 && n.rep != nil:
		n.sync()
	case p < 760 && n.rep != nil:
		s.clock = s.clock.Add(100 * time.Millisecond)
		s.tick(n)
	case p < 940:
		s.produce(n)
	case p < 944:
		n.crash(s.rnd.Intn(2) == 0)
	case p < 945: // everything at once
		for _, n := range s.nodes {
			n.crash(true)
		}
	case p < 970 && n.rep == nil && !n.lost:
		n.open()
	case p < 975 && n.rep != nil:
		n.rep.campaign(true)
		n.collect()
	case p < 980 && n.rep != nil:
		n.rep.handOver(uint64(1 + s.rnd.Intn(len(s.nodes))))
		n.collect()
	case p >= 980 && s.keyed != nil && s.rnd.Intn(3) > 0:
		s.keyed.step(n)
	case p >= 980 && s.plus != nil:
		s.plus.step(n)
	}
}

func (s *replicaSim) tick(n *simReplica) {
	n.rep.tick()
	if s.plus != nil {
		s.plus.tick(n)
	}
	n.collect()
}

// live are the replicas that are not lost for good.
func (s *replicaSim) live() []*simReplica {
	return slices.DeleteFunc(slices.Clone(s.nodes), func(n *simReplica) bool { return n.lost })
}

// settle ends the faults and runs until all replicas agree.
func (s *replicaSim) settle() {
	s.calm = true
	s.net = nil
	for _, n := range s.live() {
		if n.rep == nil {
			n.open()
		}
	}
	if !s.run(3000) {
		s.t.Fatal("the replicas do not agree although nothing fails any more")
	}
}

// run lets everything happen in its order until all replicas agree, at most so
// many rounds.
func (s *replicaSim) run(rounds int) bool {
	for range rounds {
		for _, n := range s.live() {
			if s.keyed != nil {
				s.keyed.work(n)
			}
			for len(n.queue) > 0 {
				n.execute()
			}
			n.sync()
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
				s.tick(n)
			}
		}
	}
	return false
}

func (s *replicaSim) agreed() bool {
	serving := false
	live := s.live()
	for _, n := range live {
		serving = serving || n.rep.leading != nil && n.rep.leading.serving && len(n.rep.leading.rounds) == 0
		if s.plus != nil && !n.rep.settled(s.plus.want) {
			return false
		}
		if _, pending := n.rep.pendingCompaction(); pending || n.rep.held != nil {
			return false
		}
		if n.rep.applied != live[0].rep.applied || n.rep.applied != n.log.LastIndex() || len(n.queue)+len(n.executed) > 0 {
			return false
		}
	}
	return serving
}

// values reads a replica's whole log, as a consumer would. What retention has
// dropped is empty.
func (n *simReplica) values() []string {
	v := n.log.View(n.rep.hw)
	recs, err := v.Read(nil, v.Earliest(), 1<<20, 1<<30)
	require.NoError(n.sim.t, err)
	out := make([]string, v.Earliest(), max(v.Earliest(), v.HighWatermark()))
	for i := range recs {
		require.EqualValues(n.sim.t, len(out), recs[i].Offset, "offsets are dense")
		out = append(out, string(recs[i].Value))
	}
	return out
}

// check is the checker: nothing acknowledged is missing or elsewhere, nothing
// is there twice, nothing definitely refused is there, all replicas agree.
func (s *replicaSim) check() {
	live := s.live()
	want := live[0].values()
	for _, n := range live[1:] {
		require.Equal(s.t, want, n.values(), "replica %d", n.id)
		require.Equal(s.t, live[0].rep.producers.encode(), n.rep.producers.encode(), "replica %d", n.id)
	}
	at := map[string]int64{}
	for off, v := range want {
		if v == "" {
			continue
		}
		_, twice := at[v]
		require.False(s.t, twice, "value %s is there twice", v)
		at[v] = int64(off)
		var perr *protocol.Error
		if err := s.fate[v]; errors.As(err, &perr) {
			require.Equal(s.t, protocol.OutcomeUnknown, perr.Outcome, "value %s was refused with outcome none", v)
		}
	}
	for off, v := range s.acked {
		got, ok := at[v]
		if off < live[0].log.LogStart() {
			require.False(s.t, ok, "value %s was acknowledged at offset %d, below the log start, and is at %d", v, off, got)
			continue
		}
		require.True(s.t, ok, "value %s was acknowledged at offset %d and is lost", v, off)
		require.Equal(s.t, off, got, "value %s moved", v)
	}
}

// TestReplicaSimulation runs many seeds. OTTLA_SIM_SEEDS says how many,
// OTTLA_SIM_FIRST which is the first: a failure names its seed.
func TestReplicaSimulation(t *testing.T) {
	acked := 0
	seeds, first := simEnv("OTTLA_SIM_SEEDS", 60), simEnv("OTTLA_SIM_FIRST", 1)
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			s := newReplicaSim(t, int64(seed))
			s.nodes[0].rep.campaign(false)
			s.nodes[0].collect()
			for range 3000 {
				s.step()
			}
			s.settle()
			s.check()
			acked += len(s.acked)
		})
	}
	require.Greater(t, acked, seeds*20, "the simulation hardly gets anything done, so it proves little")
	t.Logf("%d records acknowledged in %d runs", acked, seeds)
}

func simEnv(name string, def int) int {
	if v, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return v
	}
	return def
}
