package datadir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// Formats. A file has the lowest version that can express it. A program that does
// not know the counts of the peers refuses a ledger that has them, as it should: it
// would drop them. The same goes for the root's list that says why it is empty.
const (
	manifestVersion        = 1 // of cluster.json, and of a ledger without peers
	manifestSettledVersion = 2 // of the root's cluster.json when the last cluster was deleted
	manifestNodesVersion   = 3 // of one of a cluster whose brokers are at several nodes
	manifestLevelVersion   = 4 // of the root's cluster.json from level 2 on: older programs refuse it, and so do not read what they cannot
	ledgerPeersVersion     = 2 // of a ledger that knows its peers
)

// manifestLimit bounds what is read of one such file, in bytes.
const manifestLimit = 64 << 20

// seal heads every small JSON file: its format and a CRC32C of its content
// (the compact form with an empty checksum), because a flipped digit is still
// JSON and would pass for another broker.
type seal struct {
	FormatVersion int    `json:"format_version"`
	Checksum      string `json:"checksum"`
}

func (s *seal) sealed() *seal { return s }
func (s *seal) version() int  { return manifestVersion }
func (s *seal) newest() int   { return manifestVersion }

// sealable is a JSON document that embeds seal.
type sealable interface {
	sealed() *seal
	version() int // the format to write it in
	newest() int  // the newest format of it that this program reads
}

// DamagedFileError says that a manifest or ledger is there, but is not what was
// written. It is never overwritten.
type DamagedFileError struct {
	Path string
	Err  error
}

func (e *DamagedFileError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.Path, e.Err) }
func (e *DamagedFileError) Unwrap() error { return e.Err }

// NewerFormatError says that a newer program wrote a file; it is not touched.
type NewerFormatError struct {
	Path    string
	Version int // of the file
	Newest  int // the newest version that this program reads
}

func (e *NewerFormatError) Error() string {
	return fmt.Sprintf("%s has format version %d, this program reads up to %d: a newer ottla wrote it, use that one",
		e.Path, e.Version, e.Newest)
}

// readSealed reads path into v. Errors: fs.ErrNotExist, *DamagedFileError,
// *NewerFormatError, or that of the read.
func readSealed(path string, v sealable) error {
	data, err := readBounded(path, manifestLimit)
	if err != nil {
		return err
	}
	var head seal
	if err := json.Unmarshal(data, &head); err != nil {
		return &DamagedFileError{Path: path, Err: err}
	}
	if head.FormatVersion > v.newest() {
		return &NewerFormatError{Path: path, Version: head.FormatVersion, Newest: v.newest()}
	}
	if head.FormatVersion < 1 {
		return &DamagedFileError{Path: path, Err: fmt.Errorf("format_version %d", head.FormatVersion)}
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return &DamagedFileError{Path: path, Err: err}
	}
	sum, err := checksum(v)
	if err != nil {
		return err
	}
	if sum != head.Checksum {
		return &DamagedFileError{Path: path, Err: fmt.Errorf("checksum %q, content has %q", head.Checksum, sum)}
	}
	return nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, &DamagedFileError{Path: path, Err: errors.New("too large")}
	}
	return data, nil
}

func checksum(v sealable) (string, error) {
	s := v.sealed()
	kept := s.Checksum
	s.Checksum = ""
	data, err := json.Marshal(v)
	s.Checksum = kept
	if err != nil {
		return "", fmt.Errorf("encode: %w", err)
	}
	return fmt.Sprintf("%08x", crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))), nil
}

// encodeSealed is the file that readSealed reads.
func encodeSealed(v sealable) ([]byte, error) {
	v.sealed().FormatVersion = v.version()
	sum, err := checksum(v)
	if err != nil {
		return nil, err
	}
	v.sealed().Checksum = sum
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return append(data, '\n'), nil
}

// durable makes changes to directories that are on disk when a method returns.
type durable struct {
	hook func(step string) error // in tests: called before each step, which its error prevents, as a crash would
}

func (d durable) step(format string, args ...any) error {
	if d.hook == nil {
		return nil
	}
	return d.hook(fmt.Sprintf(format, args...))
}

// writeSealed replaces path whole or not at all: it writes and syncs a temporary
// file, renames it, and syncs the directory.
func (d durable) writeSealed(path string, v sealable) error {
	data, err := encodeSealed(v)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := d.step("write %s.tmp", path); err != nil {
		return err
	}
	if err := writeSynced(path+".tmp", data); err != nil {
		return err
	}
	return d.rename(path+".tmp", path)
}

func writeSynced(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// mkdirAll creates dir and what is missing above it, below root.
func (d durable) mkdirAll(root, dir string) error {
	if err := d.step("mkdir %s", dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	for p := dir; p != root; {
		parent := filepath.Dir(p)
		if parent == p {
			return fmt.Errorf("%s is not below %s", dir, root)
		}
		if err := syncDir(parent); err != nil {
			return err
		}
		p = parent
	}
	return nil
}

func (d durable) rename(from, to string) error {
	if err := d.step("rename %s", to); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// removeAll removes a directory and syncs its parent; absence is fine.
func (d durable) removeAll(dir string) error {
	if err := d.step("remove %s", dir); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	err := syncDir(filepath.Dir(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (d durable) sync(dir string) error {
	if err := d.step("sync %s", dir); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) (err error) {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// RemoveDir removes a directory and all in it. When it returns, a power cut does
// not bring its name back. A directory that does not exist is no error.
func RemoveDir(dir string) error { return durable{}.removeAll(dir) }
