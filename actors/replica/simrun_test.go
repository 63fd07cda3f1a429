package replica

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/cryptotest"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// fewer is how often a history or a step is repeated where one goroutine does all: n times,
// and a part of them in short tests. Those run under the race detector, which costs most of
// their time and finds nothing there.
func fewer(n, part int) int {
	if testing.Short() {
		return n / part
	}
	return n
}

// simulation is one of the kinds of history that are simulated.
type simulation struct {
	seeds   int                 // how many make up an ordinary test run
	history func(s *replicaSim) // plays and checks one
	meets   []string            // of replicaSim.tally: what more than a tenth of the seeds must have met
}

// run plays one seed. Raft draws its election timeouts from crypto/rand, which
// follows the seed too.
func (k *simulation) run(t *testing.T, seed int64, trace io.Writer) *replicaSim {
	cryptotest.SetGlobalRandom(t, uint64(seed))
	s := newReplicaSim(t, seed, trace)
	k.history(s)
	return s
}

// test plays many seeds. OTTLA_SIM_SEEDS says how many, OTTLA_SIM_FIRST which
// is the first: a failure says how it is repeated. OTTLA_SIM_TRACE names a file
// that gets everything that happens.
func (k *simulation) test(t *testing.T) {
	seeds, first := simEnv("OTTLA_SIM_SEEDS", fewer(k.seeds, 8)), simEnv("OTTLA_SIM_FIRST", 1)
	tally := map[string]int{}
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			defer func() {
				if p := recover(); p != nil || t.Failed() {
					t.Logf("repeat it: OTTLA_SIM_FIRST=%d OTTLA_SIM_SEEDS=1 go test -count=1 -run '^%s$' ./actors/replica", seed, testName(t))
					if p != nil {
						panic(p)
					}
				}
			}()
			for what, n := range k.run(t, int64(seed), traceFile(t)).tally {
				tally[what] += n
			}
		})
		if t.Failed() {
			return // one is enough to begin with
		}
	}
	for _, what := range slices.Sorted(maps.Keys(tally)) {
		t.Logf("%8d %s in %d seeds", tally[what], what, seeds)
	}
	if seeds >= 20 && !testing.Short() { // what is rare is not met by a part of the seeds
		for _, what := range k.meets {
			// The rarest is met once in six seeds.
			require.Greater(t, tally[what], seeds/20, "the simulation hardly meets what it is for: %s", what)
		}
	}
}

// testName is the name of the test that a seed's subtest belongs to.
func testName(t *testing.T) string {
	name := t.Name()
	for i := range name {
		if name[i] == '/' {
			return name[:i]
		}
	}
	return name
}

// traceFile is where the history goes, if anybody wants to read it.
func traceFile(t *testing.T) io.Writer {
	path := os.Getenv("OTTLA_SIM_TRACE")
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func simEnv(name string, def int) int {
	if v, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return v
	}
	return def
}

// note adds to the trace.
func (s *replicaSim) note(format string, args ...any) {
	if s.trace != nil {
		fmt.Fprintf(s.trace, format+"\n", args...)
	}
}

func (s *replicaSim) noteMessage(what string, m raftpb.Message) {
	if s.trace == nil {
		return
	}
	s.note("%s %s", what, raft.DescribeMessage(m, func(data []byte) string { return fmt.Sprintf("%x", data) }))
}

// noteDisks adds what is on the disks to the trace.
func (s *replicaSim) noteDisks() {
	for _, n := range s.nodes {
		list, err := n.fs.ReadDir(simDir)
		require.NoError(s.t, err)
		for _, e := range list {
			data, err := n.fs.ReadFile(simDir + "/" + e.Name())
			require.NoError(s.t, err)
			s.note("%d %s %x", n.id, e.Name(), data)
		}
	}
}

// commonly is what every simulation meets.
var commonly = []string{
	"acked", "reads", "kills", "power cuts", "clean stops", "interrupted writes", "interrupted recoveries",
	"full disks", "failed sync", "poisoned replicas", "clock jumps", "splits", "proofs", "pieces", "fed",
}

var replicaSimulation = simulation{
	seeds: 60, meets: commonly,
	history: func(s *replicaSim) {
		s.begin()
		for range 3000 {
			s.step()
		}
		s.converge()
		s.check()
	},
}

// TestReplicaSimulation has clients produce and read through everything that
// can happen to replicas, their disks, clocks and messages.
func TestReplicaSimulation(t *testing.T) { replicaSimulation.test(t) }

// A seed is worth something only if it always gives the same history: the same
// messages, the same bytes on the same disks.
func TestSimulationRepeatsItself(t *testing.T) {
	for name, k := range map[string]*simulation{
		"plain": &replicaSimulation, "changes": &changesSimulation, "compaction": &compactionSimulation, "producers": &producersSimulation,
	} {
		t.Run(name, func(t *testing.T) {
			different := map[string]bool{}
			seeds := fewer(4, 2)
			for seed := int64(1); seed <= int64(seeds); seed++ {
				var sums []string
				for range 3 {
					trace := sha256.New()
					s := k.run(t, seed, trace)
					s.noteDisks()
					sums = append(sums, fmt.Sprintf("%x", trace.Sum(nil)))
				}
				require.Equal(t, sums[0], sums[1], "seed %d", seed)
				require.Equal(t, sums[0], sums[2], "seed %d", seed)
				different[sums[0]] = true
			}
			require.Len(t, different, seeds, "every seed gives its own history")
		})
	}
}
