package replica

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
)

// Create makes a replica's first, empty log in dir; it is durable when Create
// returns. A founder, which is one of founders, begins with all founders as
// voters; a replica that joins later (founders is empty) with no membership at
// all: the leader's snapshot brings it.
//
// The caller creates before it tells the ledger, so dir may hold the result of a
// crash in between. If that is this very replica, it is left as it is. Anything
// else there, a damaged log too, is put aside: as the ledger has no replica
// there, it has never run, or it was given up and a crash came before its
// directory got another name. Refused, it would stand in the way of every
// successor, and new replica ids would be decided on without end.
func Create(fs logfile.FS, dir string, id logfile.Identity, founders []uint64, start int64, opt logfile.Options) error {
	log, _, err := logfile.Open(fs, dir, opt)
	switch {
	case err == nil && log.Identity() == id:
		return log.Close()
	case err == nil:
		if err := errors.Join(log.Close(), PutAside(fs, dir, log.Identity().ReplicaID)); err != nil {
			return err
		}
	case OpenFault(err) == FaultDamage: // whose it was may be what is damaged
		if err := PutAside(fs, dir, id.ReplicaID); err != nil {
			return err
		}
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	cp := logfile.Checkpoint{}
	if len(founders) > 0 {
		conf := raftpb.ConfState{Voters: founders}
		if cp.ConfState, err = conf.Marshal(); err != nil {
			return err
		}
		cp.Index, cp.Term, cp.HardTerm, cp.Applied = firstLogIndex, firstLogTerm, firstLogTerm, firstLogIndex
		cp.NextOffset, cp.LogStart = start, start
	}
	if log, err = logfile.Create(fs, dir, id, cp, opt); err != nil {
		return err
	}
	return log.Close()
}

// PutAside renames the directory of a damaged or outdated replica to
// dir.replaced-ID, or dir.replaced-ID.N where that exists: its files are kept
// for people. A directory that does not exist is no error.
func PutAside(fs logfile.FS, dir string, id uint64) error {
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	to := fmt.Sprintf("%s.replaced-%d", dir, id)
	for n := 2; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, os.ErrNotExist) {
			break
		}
		to = fmt.Sprintf("%s.replaced-%d.%d", dir, id, n)
	}
	if err := os.Rename(dir, to); err != nil {
		return fmt.Errorf("put replica aside: %w", err)
	}
	return fs.SyncDir(filepath.Dir(dir))
}

// confChangeOf decodes a membership entry of either form.
func confChangeOf(e *raftpb.Entry) (raftpb.ConfChangeI, error) {
	if e.Type == raftpb.EntryConfChange {
		var v1 raftpb.ConfChange
		err := v1.Unmarshal(e.Data)
		return v1, err
	}
	var v2 raftpb.ConfChangeV2
	err := v2.Unmarshal(e.Data)
	return v2, err
}

// Position is the last entry of a log: what raft compares to grant a vote.
type Position struct{ Term, Index uint64 }

// Compare orders positions as raft does when it grants votes: by term, then by
// index.
func (a Position) Compare(b Position) int {
	return cmp.Or(cmp.Compare(a.Term, b.Term), cmp.Compare(a.Index, b.Index))
}
