package replica

import (
	"bytes"
	"errors"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/actors/level"
	"ottla/logfile"
	"ottla/protocol"
)

// simKeyed adds keys, tombstones and compaction to replicaSim. It remembers
// every record that any replica applied, so that it can tell what compaction
// has to leave.
type simKeyed struct {
	s        *replicaSim
	internal bool // the log has a state machine, which replays it
	history  map[int64]logfile.Record
}

// simJob is a compaction between its beginning and its end.
type simJob struct {
	source *logfile.CompactionSource
	spec   logfile.Compaction
}

// tombstoneMs is the simulated delete_retention_ms.
const tombstoneMs = 500

func (k *simKeyed) configure(n *simReplica, cfg *Config) {
	cfg.Internal = k.internal
	n.state = map[string]string{}
	cfg.ApplyState = func(records []logfile.Record) {
		for _, r := range records {
			r = cloneRecord(r)
			if old, known := k.history[r.Offset]; known {
				require.Equal(k.s.t, old, r, "replica %d applies another record at an offset", n.id)
			}
			k.history[r.Offset] = r
			n.follow(r)
		}
	}
	cfg.RestoreState = func(records []logfile.Record, _ int64) {
		clear(n.state)
		for _, r := range records {
			n.follow(r)
		}
	}
}

func cloneRecord(r logfile.Record) logfile.Record {
	return logfile.Record{
		Offset: r.Offset, Timestamp: r.Timestamp, Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value), Action: bytes.Clone(r.Action),
	}
}

func (n *simReplica) follow(r logfile.Record) {
	if string(r.Value) == protocol.NullToken {
		delete(n.state, string(r.Key))
		return
	}
	n.state[string(r.Key)] = string(r.Value)
}

// record makes up a key, and now and then a tombstone.
func (k *simKeyed) record(value string) (key []byte, token string) {
	switch k.s.rnd.Intn(10) {
	case 0:
		return []byte("-"), value
	case 1, 2:
		value = protocol.NullToken
	}
	return strconv.AppendInt(nil, k.s.rnd.Int63n(40), 10), value
}

func (k *simKeyed) step(n *simReplica) {
	switch p := k.s.rnd.Intn(20); {
	case p < 2:
		k.s.plus.replace(n)
	case n.rep == nil || n.rep.failed != nil:
	case p < 5:
		k.ask(n)
	case p < 10:
		k.begin(n)
	case p < 15:
		k.finish(n)
	case p < 17:
		k.copyParts(n)
	default:
		n.do(func() { n.rep.DropCompacted() })
	}
}

// work does everything that is due.
func (k *simKeyed) work(n *simReplica) {
	k.ask(n)
	k.begin(n)
	k.finish(n)
	k.copyParts(n)
	n.do(func() { n.rep.DropCompacted() })
}

func (k *simKeyed) ask(n *simReplica) {
	plan, due := n.rep.PlanCompaction(n.now().UnixMilli(), tombstoneMs)
	if due {
		n.do(func() { n.rep.ProposeCompaction(plan) })
	}
}

func (k *simKeyed) begin(n *simReplica) {
	if spec, due := n.rep.PendingCompaction(); due && n.job == nil {
		spec.MaxKeys = 4
		n.job = &simJob{source: n.rep.log.CompactionSource(), spec: spec}
	}
}

func noPace(int) error { return nil }

// survives reports whether background work went well. If the disk was told to
// fail it may not: then it is tried again, or the replica is gone.
func (n *simReplica) survives(err error) bool {
	switch {
	case n.fs.Stopped():
		n.sim.tally["interrupted compactions"]++
		n.crash(n.sim.rnd.Intn(2) == 0)
		return false
	case err != nil && (n.doomed || errors.Is(err, syscall.ENOSPC)):
		n.fs.SetSpace(-1)
		return false
	}
	require.NoError(n.sim.t, err, "replica %d", n.id)
	return true
}

func (k *simKeyed) finish(n *simReplica) {
	if n.job == nil {
		return
	}
	set, err := n.job.source.Compact(n.job.spec, noPace)
	n.job = nil
	if errors.Is(err, logfile.ErrBelowStart) {
		return // a snapshot replaced what was to be compacted
	}
	if !n.survives(err) || !n.survives(n.rep.InstallParts(set)) {
		return
	}
	n.do(func() {})
	k.s.tally["compactions"]++
}

// copyParts brings the compacted records that a deferred snapshot waits for.
func (k *simKeyed) copyParts(n *simReplica) {
	if !n.fetch || n.rep.deferred == nil {
		return
	}
	n.fetch = false
	info, from := n.rep.deferred.parts, k.s.nodes[n.rep.deferred.message.From-1]
	if from.rep == nil || from.rep.log.Compacted().Generation != info.Generation {
		return // the snapshot comes again
	}
	set, err := copyCompacted(from, n, info)
	if !n.survives(err) || !n.survives(n.rep.InstallParts(set)) {
		return
	}
	n.do(func() {})
	k.s.tally["copies"]++
}

func copyCompacted(from, to *simReplica, info logfile.CompactedInfo) (*logfile.CompactedSet, error) {
	parts := from.rep.log.CompactedReader()
	w := to.rep.log.NewPartWriter(info, noPace)
	for at := info.Start; at < info.Next; {
		lines, next, err := parts.Lines(at, 200)
		if err != nil {
			return nil, err
		}
		if err := w.Append(lines); err != nil {
			return nil, err
		}
		at = next
	}
	return w.Finish()
}

// check compares what every replica has left with what history and the last
// compaction ask for, and its state with all of history.
func (k *simKeyed) check() {
	live := k.s.live()
	c := live[0].rep.compaction
	end := live[0].rep.hw
	state, newest := map[string]string{}, map[string]int64{}
	for off := range end {
		r, known := k.history[off]
		require.True(k.s.t, known, "nobody applied offset %d", off)
		if off < c.Next {
			newest[string(r.Key)] = off
		}
		(&simReplica{state: state}).follow(r)
	}
	want := []logfile.Record{}
	for off := range end {
		r := k.history[off]
		nullKey, tombstone := string(r.Key) == "-", string(r.Value) == "-"
		if off < c.Next && !nullKey && newest[string(r.Key)] != off {
			continue
		}
		if tombstone && off < c.DropBelow && off != c.Next-1 {
			k.s.tally["tombstones dropped"]++
			continue
		}
		want = append(want, r)
	}
	for _, n := range live {
		require.Equal(k.s.t, c, n.rep.compaction, "replica %d", n.id)
		v := n.rep.log.View(n.rep.hw)
		require.Zero(k.s.t, v.Earliest())
		recs, err := v.Read(nil, 0, 1<<20, 1<<30)
		require.NoError(k.s.t, err)
		got := make([]logfile.Record, len(recs))
		for i := range recs {
			got[i] = cloneRecord(recs[i])
		}
		if len(want) > 0 || len(got) > 0 { // nil or empty is all the same
			require.Equal(k.s.t, want, got, "replica %d", n.id)
		}
		if k.internal {
			require.Equal(k.s.t, state, n.state, "replica %d", n.id)
		}
		require.Equal(k.s.t, live[0].rep.producers.encode(level.Newest), n.rep.producers.encode(level.Newest), "replica %d", n.id)
		require.NoError(k.s.t, logfile.Verify(n.fs, simDir, func(path string, at int64, err error) {
			k.s.t.Errorf("replica %d: %s at %d: %v", n.id, path, at, err)
		}))
	}
	for off, v := range k.s.acked {
		require.Equal(k.s.t, v, string(k.history[off].Value), "offset %d", off)
	}
}

var compactionSimulation = simulation{
	seeds: 80, meets: append([]string{"compactions", "copies", "tombstones dropped"}, commonly...),
	history: func(s *replicaSim) {
		s.plus = newSimChanges(s)
		s.keyed = &simKeyed{s: s, internal: s.rnd.Intn(2) == 0, history: map[int64]logfile.Record{}}
		s.begin()
		for range 12000 {
			s.step()
		}
		s.converge()
		s.keyed.check()
	},
}

// TestReplicaSimulationCompaction is TestReplicaSimulation with compaction and
// with replicas that are lost and come back by snapshot and compacted records.
func TestReplicaSimulationCompaction(t *testing.T) { compactionSimulation.test(t) }
