package replica

import (
	"errors"
	"slices"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/actors/level"
	"ottla/logfile"
	"ottla/protocol"
)

// proofs is one in how many messages and acknowledgements are checked against the
// disk: looking is dear, and there are many.
const proofs = 50

// mustBeSilent is what a replica must be whose storage failed: it acknowledges
// nothing, votes for nobody and writes nothing any more.
func (n *simReplica) mustBeSilent(fx *Effects) {
	require.True(n.sim.t, n.doomed, "replica %d: %v", n.id, n.rep.failed)
	require.Empty(n.sim.t, fx.Messages, "replica %d speaks after its storage failed", n.id)
	require.Empty(n.sim.t, fx.Writes, "replica %d writes after its storage failed", n.id)
	require.Empty(n.sim.t, fx.Committed, "replica %d acknowledges after its storage failed", n.id)
	require.Nil(n.sim.t, n.rep.leading, "replica %d leads after its storage failed", n.id)
}

// checkLeader demands one leader for each term.
func (n *simReplica) checkLeader() {
	if n.rep.leading == nil {
		return
	}
	term := n.rep.leading.term
	if other, ok := n.sim.leaders[term]; ok {
		require.Equal(n.sim.t, other, n.id, "two replicas lead in term %d", term)
	}
	n.sim.leaders[term] = n.id
}

// durable is the replica's log as it would be found if its machine lost power
// now and nothing that was not synced survived; nil if nobody can tell.
func (n *simReplica) durable() (*logfile.Log, *logfile.Recovered) {
	disk := n.fs.Clone()
	disk.PowerCut(nil)
	log, rec, err := logfile.Open(disk, simDir, logfile.Options{BootID: "after a power cut"})
	if n.isHalf(err) {
		return nil, nil
	}
	require.NoError(n.sim.t, err, "replica %d, were it to lose power", n.id)
	n.sim.tally["proofs"]++
	return log, rec
}

// prove holds a message against the disk of its sender: what it acknowledges,
// and for whom it votes, must be durable when it leaves.
func (n *simReplica) prove(m raftpb.Message) {
	acks := m.Type == raftpb.MsgAppResp && !m.Reject
	votes := m.Type == raftpb.MsgVoteResp && !m.Reject
	if !acks && !votes || n.sim.rnd.Intn(proofs) != 0 {
		return
	}
	log, rec := n.durable()
	if acks {
		if m.Index > log.LastIndex() {
			// One sync has covered the entry and what took it away again: a leader of a later term.
			// Who is in that term on disk cannot help the earlier leader to lose anything by it: the
			// acknowledgement is as true as one that was sent before, and was long on its way.
			require.Greater(n.sim.t, rec.HardTerm, m.Term, "replica %d acknowledges entry %d, its disk ends with %d", n.id, m.Index, log.LastIndex())
		}
		if want, ok := n.rep.log.Term(m.Index); ok && m.Term == n.rep.rn.BasicStatus().Term { // else it is an old one, held up by a full disk
			got, _ := log.Term(m.Index)
			require.Equal(n.sim.t, want, got, "replica %d acknowledges entry %d, its disk has another one", n.id, m.Index)
		}
		return
	}
	require.True(n.sim.t, rec.HardTerm > m.Term || rec.HardTerm == m.Term && rec.Vote == m.To,
		"replica %d votes for %d in term %d, its disk says term %d, vote %d", n.id, m.To, m.Term, rec.HardTerm, rec.Vote)
}

// proveAck holds an acknowledgement against the disks: a majority of each half
// of the membership must have these records at this place. Where the membership has
// changed behind them in the same step, one of that before will do: majorities of
// memberships that follow each other meet.
func (n *simReplica) proveAck(base int64, values []string) {
	if n.sim.rnd.Intn(proofs/10) != 0 {
		return
	}
	has := map[uint64]bool{}
	for _, m := range n.sim.nodes {
		has[m.id] = m.hasDurably(base, values)
	}
	enough := func(conf raftpb.ConfState) bool {
		return !slices.ContainsFunc([][]uint64{conf.Voters, conf.VotersOutgoing}, func(half []uint64) bool {
			count := 0
			for _, id := range half {
				if has[id] {
					count++
				}
			}
			return len(half) > 0 && count <= len(half)/2
		})
	}
	conf := n.rep.storage.conf
	require.True(n.sim.t, enough(conf) || enough(n.before) && conf.String() != n.before.String(),
		"records %v are acknowledged at %d, of %v only %v have them on disk", values, base, conf, has)
}

func (n *simReplica) hasDurably(base int64, values []string) bool {
	log, _ := n.durable()
	if log == nil {
		return true
	}
	v := log.View(log.NextOffset())
	if v.Earliest() > base {
		return log.NextOffset() >= base+int64(len(values)) // a snapshot stands for them
	}
	recs, err := v.Read(nil, base, len(values), 1<<20)
	require.NoError(n.sim.t, err)
	if n.sim.keyed != nil && log.Compacted().Next > base {
		return true // some may be compacted away
	}
	return slices.EqualFunc(recs, values, func(r logfile.Record, v string) bool { return string(r.Value) == v })
}

// look reads some of the newest committed records, as a consumer would: what
// was seen once stays.
func (n *simReplica) look() {
	v := n.rep.log.View(n.rep.hw)
	from := max(v.Earliest(), n.rep.hw-3)
	if from >= n.rep.hw {
		return
	}
	recs, err := v.Read(nil, from, 3, 1<<20)
	if n.fs.Stopped() || n.doomed && err != nil {
		return
	}
	require.NoError(n.sim.t, err, "replica %d", n.id)
	for i := range recs {
		off, value := recs[i].Offset, string(recs[i].Value)
		if old, ok := n.sim.seen[off]; ok {
			require.Equal(n.sim.t, old, value, "replica %d shows another record at offset %d", n.id, off)
		}
		n.sim.seen[off] = value
	}
}

// values reads a replica's whole log, as a consumer would. What retention has
// dropped is empty.
func (n *simReplica) values() []string {
	v := n.rep.log.View(n.rep.hw)
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
// that was seen is gone, nothing is there twice, nothing definitely refused is
// there, all replicas agree.
func (s *replicaSim) check() {
	live := s.live()
	want := live[0].values()
	for _, n := range live[1:] {
		require.Equal(s.t, want, n.values(), "replica %d", n.id)
		require.Equal(s.t, live[0].rep.producers.encode(level.Newest), n.rep.producers.encode(level.Newest), "replica %d", n.id)
	}
	start := live[0].rep.log.LogStart()
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
		if off < start {
			require.False(s.t, ok, "value %s was acknowledged at offset %d, below the log start, and is at %d", v, off, got)
			continue
		}
		require.True(s.t, ok, "value %s was acknowledged at offset %d and is lost", v, off)
		require.Equal(s.t, off, got, "value %s moved", v)
	}
	for off, v := range s.seen {
		if off >= start {
			require.Less(s.t, off, int64(len(want)), "value %s was seen at offset %d and is gone", v, off)
			require.Equal(s.t, want[off], v, "another value was seen at offset %d", off)
		}
	}
}
