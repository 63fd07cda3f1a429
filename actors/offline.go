package actors

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/raft/v3/raftpb"
)

// LockOffline takes the data directory that path is, or lies in, so that no
// broker opens it meanwhile. A path that belongs to none, such as a copy of
// one log, needs no lock. Errors: another process has the directory.
func LockOffline(path string) (release func(), err error) {
	dir, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, lockName)); err == nil {
			return lockDataDir(dir)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return func() {}, nil
		}
		dir = parent
	}
}

// VerifyManifests checks the manifests and ledgers in path and below it, and
// reports those that are damaged. It changes nothing. An error means that a
// directory could not be read.
func VerifyManifests(path string, report func(path string, err error)) error {
	return filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		var doc sealable
		switch d.Name() {
		case ledgerName:
			doc = &ledgerFile{}
		case manifestName:
			doc = &brokerManifest{}
			if isRootManifest(path) {
				doc = &rootManifest{}
			}
		default:
			return nil
		}
		err = readSealed(path, doc)
		var damaged *damagedFileError
		if errors.As(err, &damaged) {
			err = damaged.Err
		}
		if err != nil {
			report(path, err)
		}
		return nil
	})
}

// isRootManifest tells the two files of that name apart; damage makes no
// difference, as either reading reports it.
func isRootManifest(path string) bool {
	text, err := readBounded(path, manifestLimit)
	return err == nil && bytes.Contains(text, []byte(`"clusters"`))
}

// SoleVoter tells whether a membership, as checkpoints hold it, has no other
// replica than that one.
func SoleVoter(confState []byte, replica uint64) (bool, error) {
	var cs raftpb.ConfState
	if err := cs.Unmarshal(confState); err != nil {
		return false, fmt.Errorf("membership cannot be read: %w", err)
	}
	others := len(cs.Learners) + len(cs.VotersOutgoing) + len(cs.LearnersNext)
	return others == 0 && len(cs.Voters) == 1 && cs.Voters[0] == replica, nil
}

// BootID identifies the running kernel, as logs note it; empty where the
// system has none.
func BootID() string { return bootID() }
