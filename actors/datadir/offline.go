package datadir

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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
			return Lock(dir)
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
		case ManifestName:
			doc = &BrokerManifest{}
			if isRootManifest(path) {
				doc = &rootManifest{}
			}
		default:
			return nil
		}
		err = readSealed(path, doc)
		var damaged *DamagedFileError
		if errors.As(err, &damaged) {
			err = damaged.Err
		}
		if err != nil {
			report(path, err)
		}
		return nil
	})
}

// isRootManifest tells the two files of that name apart. For a damaged one the
// answer does not matter: reading it as either reports the damage.
func isRootManifest(path string) bool {
	text, err := readBounded(path, manifestLimit)
	return err == nil && bytes.Contains(text, []byte(`"clusters"`))
}
