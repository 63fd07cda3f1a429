package replica

import (
	"errors"
	"slices"
	"strconv"
	"syscall"

	"github.com/stretchr/testify/require"

	"ottla/actors/disk"
	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// create makes the replica's first log. Founders are the group's first voters,
// none when it joins later.
func (n *simReplica) create(founders []uint64) error {
	return Create(n.fs, simDir, n.identity(), founders, 0, simLogOptions(0))
}

func (n *simReplica) identity() logfile.Identity {
	return logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "sim", Broker: int(n.id), ReplicaID: n.id}
}

// simRecent has room for a few logs, so that each of them reads now from memory, now from
// its files.
var simRecent = logfile.NewRecent(8 << 10)

// simLogOptions are those of every log of the simulation in its n-th boot.
func simLogOptions(boots int) logfile.Options {
	large := []int{0, 1, 100}[boots%3] // bodies are copied into batches, are not, or some are
	return logfile.Options{SegmentBytes: 2000, LargeBody: large, BootID: strconv.Itoa(boots), Recent: simRecent}
}

// open starts the replica from what its disk has. What was synced is never
// damaged in this simulation, so a log that is is a failure; but for one case,
// see half. Now and then the process or the machine dies in the middle of it.
func (n *simReplica) open() {
	interrupted := n.sim.chance(10)
	if interrupted {
		n.fs.StopAfter(n.sim.rnd.Intn(12))
	}
	log, rec, err := logfile.Open(n.fs, simDir, simLogOptions(n.boots))
	if interrupted && n.fs.Stopped() {
		n.sim.tally["interrupted recoveries"]++
		n.reboot(n.sim.rnd.Intn(2) == 0)
		return
	}
	n.fs.StopAfter(-1)
	if n.isHalf(err) {
		n.sim.giveUp(n)
		return
	}
	n.half = false
	require.NoError(n.sim.t, err, "replica %d", n.id)
	n.sim.note("open %d: last %d cut %d", n.id, rec.LastIndex, rec.CutBytes)
	cfg := n.config()
	n.job, n.fetch, n.full, n.doomed = nil, false, false, false
	if n.sim.keyed != nil {
		n.sim.keyed.configure(n, &cfg)
	}
	rep, err := New(cfg, log, rec)
	require.NoError(n.sim.t, err)
	n.rep, n.queue, n.executed, n.top = rep, nil, nil, rec.LastIndex
	n.reads, n.held = nil, map[*Read]bool{}
	n.do(func() {})
}

// isHalf reports whether err is what a power cut in the middle of a truncation
// may leave: zeros where the end was to be and, behind them, what was to be cut
// off. Nothing tells that from damage, so the replica is rebuilt by its peers,
// as a damaged one is.
func (n *simReplica) isHalf(err error) bool {
	var damage *logfile.CorruptError
	return n.half && errors.As(err, &damage)
}

// giveUp loses a replica for good.
func (s *replicaSim) giveUp(n *simReplica) {
	s.tally["half truncations"]++
	n.lost = true
	if s.plus != nil {
		s.plus.substitute(n)
	} else if len(s.live()) <= len(s.nodes)/2 {
		s.t.Skip("a majority was hit by a power cut while it truncated")
	}
}

// crash ends the replica: a kill keeps what was written, a power cut only what
// was synced, and anything of the rest.
func (n *simReplica) crash(power bool) {
	if n.rep == nil {
		return
	}
	n.rep.Close()
	n.rep = nil
	n.reboot(power)
}

func (n *simReplica) reboot(power bool) {
	n.sim.note("crash %d %v", n.id, power)
	n.queue, n.executed = nil, nil
	if power {
		n.fs.PowerCut(n.sim.rnd)
		n.boots++
		n.sim.tally["power cuts"]++
	} else {
		n.fs.Restart()
		n.sim.tally["kills"]++
	}
}

// stop ends the replica in order, as the partition's actor does: its last
// writes and a checkpoint are on disk.
func (n *simReplica) stop() {
	if n.rep == nil || n.doomed || n.full {
		return
	}
	n.do(func() { n.rep.Close() })
	for final := false; n.rep != nil && (!final || len(n.queue) > 0); {
		for n.rep != nil && len(n.queue) > 0 && !n.full {
			n.execute()
		}
		if n.rep == nil || n.full {
			n.crash(false)
			return
		}
		n.sync()
		if n.rep != nil && !final && len(n.queue) == 0 {
			final = true
			n.do(func() { n.rep.StageFinal() })
		}
	}
	if n.rep == nil {
		return
	}
	if len(n.executed) > 0 {
		n.sync()
	}
	require.NoError(n.sim.t, n.rep.log.Close())
	n.rep = nil
	n.sim.tally["clean stops"]++
	n.reboot(n.sim.rnd.Intn(2) == 0)
}

// trouble prepares the disk to fail: it is full, dies in the middle of
// something, or reports an error that is final for the replica.
func (n *simReplica) trouble() {
	if n.rep == nil || n.doomed {
		return
	}
	switch n.sim.rnd.Intn(4) {
	case 0:
		n.fs.SetSpace(int64(n.sim.rnd.Intn(600)))
	case 1:
		n.fs.StopAfter(n.sim.rnd.Intn(8))
	default:
		n.doomed = true
		kinds := []string{"sync", "sync", "sync", "syncdir", "write", "create", "rename", "truncate"}
		kind := kinds[n.sim.rnd.Intn(len(kinds))]
		failed := false
		n.fs.Fault = func(op faultfs.Op) error {
			if failed || op.Kind != kind {
				return nil
			}
			failed = true // once: after a failed sync the next one succeeds, and lies
			n.sim.tally["failed "+kind]++
			n.sim.note("fail %d %s", n.id, kind)
			return syscall.EIO
		}
	}
}

// execute lets the disk execute the oldest write. What happens to it when that
// fails is what Disk and the partition's actor do.
func (n *simReplica) execute() {
	if len(n.queue) == 0 || n.full {
		return
	}
	w := n.queue[0]
	err := w.Batch.Execute()
	n.sim.note("execute %d %d: %v", n.id, w.Seq, err)
	switch {
	case n.fs.Stopped():
		n.sim.tally["interrupted writes"]++
		power := n.sim.rnd.Intn(2) == 0
		n.half = power && len(w.entries) > 0 && w.entries[0].Index <= n.top
		n.crash(power)
	case err == nil:
		n.top = max(n.top, w.LastIndex())
		n.queue = n.queue[1:]
		n.executed = append(n.executed, w)
	case n.rep.failed != nil:
		n.queue = n.queue[1:]
	case disk.Retriable(err):
		n.full = true
		n.sim.tally["full disks"]++
		if n.sim.rnd.Intn(2) == 0 {
			n.fs.SetSpace(-1)
		}
	default:
		require.True(n.sim.t, n.doomed, "replica %d: %v", n.id, err)
		n.queue = n.queue[1:]
		n.answer(w.Seq, err)
	}
}

func (n *simReplica) sync() {
	if len(n.executed) == 0 {
		return
	}
	var errs []error
	for _, w := range n.executed {
		for _, f := range w.Batch.Files() {
			if err := f.Sync(); err != nil {
				errs = append(errs, &disk.SyncError{Cause: err})
			}
		}
	}
	err := errors.Join(errs...)
	n.sim.note("sync %d: %v", n.id, err)
	if n.fs.Stopped() {
		n.sim.tally["interrupted writes"]++
		n.crash(n.sim.rnd.Intn(2) == 0)
		return
	}
	require.True(n.sim.t, err == nil || n.doomed, "replica %d: %v", n.id, err)
	last := n.executed[len(n.executed)-1].Seq
	n.executed = nil
	n.answer(last, err)
}

// answer is the disk's answer to a write. A failed replica ignores it, and says
// nothing any more.
func (n *simReplica) answer(seq uint64, err error) {
	if err != nil && n.rep.failed == nil {
		n.sim.tally["poisoned replicas"]++
	}
	n.do(func() { n.rep.DiskDone(seq, err) })
}

// read does one of the reads for followers that are far behind, any of them.
func (n *simReplica) read() {
	i := 0
	if !n.sim.calm {
		i = n.sim.rnd.Intn(len(n.reads))
	}
	rd := n.reads[i]
	n.reads = slices.Delete(n.reads, i, i+1)
	if rd.Context.Err() != nil {
		return
	}
	bytes := rd.Do()
	n.sim.note("read %d %d to %d: %d bytes, %v", n.id, rd.first, rd.limit, bytes, rd.err)
	n.sim.tally["pieces"]++
	n.held[rd] = true
	rd.Release = func() { delete(n.held, rd) }
	n.do(func() { n.rep.Fed(rd) })
}
