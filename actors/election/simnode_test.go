package election

import (
	"log/slog"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/actors/replica"
	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// simNode is a node with one replica, and does what the partition's actor does.
type simNode struct {
	sim     *sim
	id      uint64
	fs      *faultfs.FS
	log     *logfile.Log
	rep     *replica.Replica // nil while the node is down
	member  Member
	reaches map[uint64]bool // what it believes of the others
	writes  []*replica.Write
	reads   []*replica.Read // for followers that are far behind
	ticks   int
	boots   int
}

// start has a node begin. What it knows of the others is the truth, for a moment.
func (n *simNode) start() {
	log, rec, err := logfile.Open(n.fs, simDir, n.options())
	require.NoError(n.sim.t, err)
	n.log = log
	n.rep, err = replica.New(replica.Config{
		ElectionTicks: 10, HeartbeatTicks: 1, MaxBatchBytes: 400,
		Now: func() time.Time { return n.sim.clock }, Logger: slog.New(slog.DiscardHandler),
	}, log, rec)
	require.NoError(n.sim.t, err)
	n.member, n.writes, n.reads, n.ticks = Member{ID: n.id}, nil, nil, 0
	n.reaches = map[uint64]bool{n.id: true}
	for _, o := range n.sim.nodes {
		n.reaches[o.id] = n.sim.hears(n, o)
	}
	n.electing(n.member.Seek)
}

// kill ends a node; a power cut takes what was not synced. Nobody is told.
func (n *simNode) kill(power bool) {
	n.rep.Close()
	n.rep = nil
	if power {
		n.fs.PowerCut(n.sim.rnd)
		n.boots++
	} else {
		n.fs.Restart()
	}
	n.sim.tally["kills"]++
}

// believe tells a node something of another one. A node hears of changes only.
func (n *simNode) believe(other uint64, runs bool) {
	if n.rep != nil && other != n.id && n.reaches[other] != runs {
		n.reaches[other] = runs
		n.electing(n.member.Changed)
	}
}

func (n *simNode) view() View {
	return View{Replica: n.rep, Want: n.sim.want, Reaches: func(id uint64) bool { return n.reaches[id] }}
}

func (n *simNode) electing(part func(View) *Leaderless) {
	n.do(func() { n.tell(part(n.view())) })
}

func (n *simNode) tell(said *Leaderless) {
	if said != nil {
		n.tellOthers(said)
	}
}

func (n *simNode) tellOthers(message any) {
	for _, o := range n.sim.nodes {
		if o != n && n.reaches[o.id] {
			n.sim.send(lane{n.id, o.id, laneControl}, message)
		}
	}
}

// do runs a step and carries out what the replica asks for.
func (n *simNode) do(step func()) {
	step()
	for i := 0; ; i++ {
		require.Less(n.sim.t, i, 1000, "a replica does not come to rest")
		if n.member.Seeking() {
			n.tell(n.member.Learned(n.view()))
		}
		fx := n.rep.Take()
		for i := range fx.Messages {
			m := fx.Messages[i]
			l := lane{n.id, m.To, laneControl}
			if m.Type == raftpb.MsgApp && n.sim.rnd.Intn(2) == 0 {
				l.kind = laneBulk
			}
			if n.reaches[m.To] {
				n.sim.send(l, m)
			}
		}
		for _, m := range fx.Old {
			if n.reaches[m.To] {
				n.sim.send(lane{n.id, m.To, laneCatchUp}, m)
			}
		}
		n.reads = append(n.reads, fx.Reads...)
		n.writes = append(n.writes, fx.Writes...)
		for i := range fx.Committed {
			fx.Committed[i].Answer()
		}
		if fx.Flush {
			n.rep.Flush()
		}
		if term, ok := n.rep.Serving(); ok {
			if other, known := n.sim.leaders[term]; known {
				require.Equal(n.sim.t, other, n.id, "two replicas lead in term %d", term)
			}
			n.sim.leaders[term] = n.id
		}
		require.NoError(n.sim.t, n.rep.Err())
		if !n.rep.HasEffects() && !fx.Flush {
			return
		}
	}
}

// disk makes durable what was written, and reads what is asked for.
func (n *simNode) disk() {
	if n.rep == nil {
		return
	}
	reads := n.reads
	n.reads = nil
	for _, rd := range reads {
		rd.Do()
		n.do(func() { n.rep.Fed(rd) })
	}
	if len(n.writes) == 0 {
		return
	}
	for _, w := range n.writes {
		require.NoError(n.sim.t, w.Batch.Execute())
		for _, f := range w.Batch.Files() {
			require.NoError(n.sim.t, f.Sync())
		}
	}
	last := n.writes[len(n.writes)-1].Seq
	n.writes = nil
	n.do(func() { n.rep.DiskDone(last, nil) })
}

// tick is a tick of the partition's actor.
func (n *simNode) tick() {
	if n.rep == nil {
		return
	}
	n.ticks++
	if n.member.Quiet() {
		return
	}
	n.do(func() {
		n.rep.Tick()
		n.tell(n.member.Tick(n.view()))
		first := n.sim.want[0].ReplicaID
		if n.ticks%30 == 0 && n.rep.Leads() && first != n.id && n.reaches[first] && n.rep.CaughtUp(first) {
			n.rep.HandOver(first)
		}
	})
	term, serving := n.rep.Serving()
	idle := serving && n.sim.want[0].ReplicaID == n.id && n.rep.Quiescent(n.view().Reaches)
	if n.member.Idle(idle) {
		n.sim.tally["quiet"]++
		n.tellOthers(&FallQuiet{Leader: n.id, Term: term, Index: n.rep.AppliedIndex()})
	}
}
