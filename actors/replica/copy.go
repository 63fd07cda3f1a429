package replica

import (
	"cmp"
	"fmt"
	"os"

	"go.etcd.io/raft/v3/confchange"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"ottla/logfile"
)

// Copy is what one broker's directory has of a partition, as Inspect found it
// while no process ran.
type Copy struct {
	Broker    int
	ReplicaID uint64
	Dir       string
	Outdated  bool  // the broker's directory is an older copy
	Err       error // why it cannot be used; os.ErrNotExist: it is not there

	LastIndex  uint64 // raft index of the last entry
	LastTerm   uint64 // its term
	HardTerm   uint64 // the greatest term that the replica has seen
	NextOffset int64  // offset after the last record
	// Confs are the memberships that may be in force: that of the last
	// checkpoint, and that after every change in the log, committed or not.
	Confs []raftpb.ConfState
}

// Inspect reads the log of the replica that dir should hold, and changes nothing.
// Whatever keeps the copy from being used is its Err.
func Inspect(dir string, want logfile.Identity, bootID string) Copy {
	c := Copy{Broker: want.Broker, ReplicaID: want.ReplicaID, Dir: dir}
	found, err := logfile.Inspect(logfile.OSFS{}, c.Dir, logfile.Options{BootID: bootID})
	if err != nil {
		c.Err = err
		return c
	}
	if found.Identity != want {
		c.Err = fmt.Errorf("%s holds %+v, not %+v: %w", c.Dir, found.Identity, want, os.ErrNotExist)
		return c
	}
	c.LastIndex, c.LastTerm, c.HardTerm, c.NextOffset = found.LastIndex, found.LastTerm, found.HardTerm, found.NextOffset
	c.Confs, c.Err = confStates(found)
	return c
}

// confStates returns the membership of the checkpoint, and the one after the
// changes that follow it, if there are any.
func confStates(found *logfile.Inspection) ([]raftpb.ConfState, error) {
	var cs raftpb.ConfState
	if err := cs.Unmarshal(found.Checkpoint.ConfState); err != nil {
		return nil, fmt.Errorf("membership in checkpoint: %w", err)
	}
	confs := []raftpb.ConfState{cs}
	for i := range found.Changes {
		e, err := entryOf(&found.Changes[i])
		if err != nil {
			return nil, err
		}
		if cs, err = changeConf(cs, &e); err != nil {
			return nil, fmt.Errorf("membership entry %d: %w", e.Index, err)
		}
		confs = append(confs, cs)
	}
	return confs, nil
}

// changeConf is what raft makes of a membership entry.
func changeConf(cs raftpb.ConfState, e *raftpb.Entry) (raftpb.ConfState, error) {
	change, err := confChangeOf(e)
	if err != nil {
		return cs, err
	}
	changer := confchange.Changer{Tracker: tracker.MakeProgressTracker(raftMaxInflightMsgs, 0), LastIndex: e.Index}
	cfg, progress, err := confchange.Restore(changer, cs)
	if err != nil {
		return cs, err
	}
	changer.Tracker.Config, changer.Tracker.Progress = cfg, progress
	cc := change.AsV2()
	if cc.LeaveJoint() {
		cfg, progress, err = changer.LeaveJoint()
	} else if autoLeave, ok := cc.EnterJoint(); ok {
		cfg, progress, err = changer.EnterJoint(autoLeave, cc.Changes...)
	} else {
		cfg, progress, err = changer.Simple(cc.Changes...)
	}
	if err != nil {
		return cs, err
	}
	changer.Tracker.Config, changer.Tracker.Progress = cfg, progress
	return changer.Tracker.ConfState(), nil
}

// Usable reports whether the copy can be read and has a membership: one that
// has none is a newcomer that no leader has reached yet.
func (c *Copy) Usable() bool {
	return c.Err == nil && len(c.Confs) > 0 && len(c.Confs[0].Voters) > 0
}

// Quorum reports whether the replicas that are present are enough to elect a
// leader under every membership that may be in force.
func (c *Copy) Quorum(present map[uint64]bool) bool {
	for i := range c.Confs {
		if !majority(c.Confs[i].Voters, present) || len(c.Confs[i].VotersOutgoing) > 0 && !majority(c.Confs[i].VotersOutgoing, present) {
			return false
		}
	}
	return len(c.Confs) > 0
}

func majority(voters []uint64, present map[uint64]bool) bool {
	n := 0
	for _, id := range voters {
		if present[id] {
			n++
		}
	}
	return n >= len(voters)/2+1
}

// Longest is the usable copy that raft would elect: the one whose last
// entry has the greatest term, of those the longest. Whatever any of these
// copies knows to be committed, that one has. Nil if there is none.
func Longest(copies []Copy) *Copy {
	var best *Copy
	for i := range copies {
		c := &copies[i]
		if c.Usable() && (best == nil || cmp.Or(
			cmp.Compare(c.LastTerm, best.LastTerm), cmp.Compare(c.LastIndex, best.LastIndex),
		) > 0) {
			best = c
		}
	}
	return best
}
