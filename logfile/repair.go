package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Damage is what Diagnose found wrong with one log, and what is needed to decide
// about a repair while no process has it open.
type Damage struct {
	Dir    string
	Path   string // of the damaged file
	Offset int64  // of the first damage in it, in bytes
	Err    error

	// Tail says that the damage is in the newest segment and that everything before
	// it is sound: CutTail makes a log of it that opens. The fields below are set
	// only then.
	Tail       bool
	Identity   Identity
	ConfState  []byte // opaque, as in Checkpoint; of the last checkpoint before the damage
	ConfMoved  bool   // a membership entry follows that checkpoint, before or after the damage
	NextOffset int64  // CutTail keeps the records below this offset
	LostBytes  int64  // from the damage to the end of the file
	LostNext   int64  // the offset after the last record of valid entries after the damage, 0 if there are none

	bases    []int64
	hardTerm uint64 // the greatest term anywhere in the file
}

// Diagnose reads every log in path or below it and calls report for those that
// Open refuses, or whose sealed segments are damaged. It changes nothing. No
// process may have the logs open. bootID is the running kernel's: a tail that Open
// would cut by itself is no damage.
func Diagnose(fsys FS, path, bootID string, report func(Damage)) error {
	return walkLogs(fsys, path, func(dir string, _ []int64) error {
		found, err := listDir(fsys, dir)
		if err != nil {
			return err
		}
		newest := segmentPath(dir, found.bases[len(found.bases)-1])
		sound := true
		err = verifyDir(fsys, dir, found.bases, func(path string, offset int64, err error) {
			if path != newest {
				sound = false
				report(Damage{Dir: dir, Path: path, Offset: offset, Err: err})
			}
		})
		if err != nil {
			return err
		}
		return diagnoseTail(fsys, dir, found.bases, bootID, func(d Damage) {
			d.Tail = d.Tail && sound
			report(d)
		})
	})
}

// diagnoseTail reports the damage for which Open would refuse the log.
func diagnoseTail(fsys FS, dir string, bases []int64, bootID string, report func(Damage)) error {
	r := &recovery{fsys: fsys, dir: dir, opt: Options{BootID: bootID}}
	defer r.closeUnused()
	var bad *CorruptError
	if err := r.readHeads(bases); errors.As(err, &bad) {
		report(Damage{Dir: dir, Path: bad.Path, Offset: bad.Offset, Err: bad.Err})
		return nil
	} else if err != nil {
		return err
	}
	err := r.scanActive()
	if err == nil || !errors.As(err, &bad) {
		return err
	}
	d := Damage{
		Dir: dir, Path: bad.Path, Offset: bad.Offset, Err: bad.Err, Tail: true, bases: bases,
		Identity: r.log.id, ConfState: r.log.confState, NextOffset: r.scan.w.next, LostBytes: r.file.size - bad.Offset,
		hardTerm: max(r.log.hardTerm, r.scan.w.term),
	}
	if err := r.survey(&d); err != nil {
		return err
	}
	report(d)
	return nil
}

// survey searches the whole file for what decides about a cut: membership entries
// since the newest checkpoint before the damage, terms, and how far valid entries
// after the damage reach.
func (r *recovery) survey(d *Damage) error {
	local := r.log.sums.local
	return r.scan.sc.eachLineFrom(r.file.headEnd, func(_ *scanner, it *item) bool {
		after := it.pos >= d.Offset
		switch it.letter {
		case 'f':
			d.hardTerm = max(d.hardTerm, it.head.Term)
			if it.head.Kind == KindConfChange && it.head.Index > r.log.applied {
				d.ConfMoved = true
			}
			if after {
				d.LostNext = max(d.LostNext, it.head.BaseOffset+int64(it.head.Count))
			}
		case 'h':
			if term, _, err := parseHardState(it.line, local); err == nil {
				d.hardTerm = max(d.hardTerm, term)
			}
		case 'c':
			if cp, _, err := parseCheckpoint(it.line, local); err == nil {
				d.hardTerm = max(d.hardTerm, cp.HardTerm)
				if after && !bytes.Equal(cp.ConfState, d.ConfState) {
					d.ConfMoved = true
				}
			}
		}
		return true
	})
}

// CutTail cuts a log at its damage, so that it opens again with the records below
// NextOffset. The bytes that are cut off are kept beside the segment, in the file
// whose path is returned. This is right only for the sole replica of a partition:
// any other one would forget what it has acknowledged to its leader. Errors:
// ErrRefused when the damage is not at the tail, or the log has changed since
// Diagnose; errors of the disk.
func CutTail(fsys FS, d Damage, bootID string) (brokenCopy string, err error) {
	if !d.Tail {
		return "", fmt.Errorf("cut tail: %w: the damage of %s is not at its tail", ErrRefused, d.Dir)
	}
	r := &recovery{fsys: fsys, dir: d.Dir, opt: Options{BootID: bootID}}
	defer r.closeUnused()
	if err := r.readHeads(d.bases); err != nil {
		return "", err
	}
	var bad *CorruptError
	if err := r.scanActive(); !errors.As(err, &bad) || bad.Offset != d.Offset {
		return "", fmt.Errorf("cut tail: %w: %s has changed since it was examined", ErrRefused, d.Path)
	}
	r.cutAt = d.Offset
	if err := r.cut(); err != nil {
		return "", err
	}
	// The term must not go back with the entries: new entries of an old term would
	// pass for the ones that were cut off.
	a := &r.log.active
	if err := a.file.write([][]byte{appendHardState(nil, d.hardTerm, 0, r.log.sums.local)}, d.Offset); err != nil {
		return "", err
	}
	if err := a.file.Sync(); err != nil {
		return "", err
	}
	return r.rec.BrokenCopy, fsys.SyncDir(d.Dir)
}

// IsRetired reports whether a directory holds a replica that the broker no longer
// uses and keeps for people to look at.
func IsRetired(dir string) bool {
	name := filepath.Base(dir)
	return strings.Contains(name, ".replaced-") || strings.Contains(name, ".deleted-")
}
