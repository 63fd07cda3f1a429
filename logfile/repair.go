package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Damage is what Diagnose found wrong with one log, and what could be done
// about it offline.
type Damage struct {
	Dir    string
	Path   string // of the damaged file
	Offset int64  // of the first damage in it, in bytes
	Err    error

	// Tail says that everything before the damage is sound and that the damage
	// is in the newest segment: CutTail can make a log of it that opens. The
	// fields below are known only then.
	Tail       bool
	Identity   Identity
	ConfState  []byte // opaque, as in Checkpoint; of the last checkpoint before the damage
	ConfMoved  bool   // a membership entry follows that checkpoint, before or behind the damage
	NextOffset int64  // records below this one are kept
	LostBytes  int64  // from the damage to the end of the file
	LostNext   int64  // valid entries behind the damage reach up to, not including, this offset; 0 if there are none

	bases    []int64
	hardTerm uint64 // the greatest anywhere in the file
}

// Diagnose walks every log in path or below it and reports those that Open
// refuses, or whose sealed segments are damaged. It changes nothing, and is
// for logs that no process has open. The boot id is the running kernel's: a
// tail that Open would cut by itself is no damage.
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

// diagnoseTail reports what Open would refuse the log for.
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

// survey looks at the whole file for what decides about a cut: membership
// entries since the checkpoint in force, terms, and how far valid entries
// behind the damage reach.
func (r *recovery) survey(d *Damage) error {
	local := r.log.seal.local
	return r.scan.sc.eachLineFrom(r.file.headEnd, func(_ *scanner, it *item) bool {
		behind := it.pos >= d.Offset
		switch it.mark {
		case 'f':
			d.hardTerm = max(d.hardTerm, it.head.Term)
			if it.head.Kind == KindConfChange && it.head.Index > r.log.applied {
				d.ConfMoved = true
			}
			if behind {
				d.LostNext = max(d.LostNext, it.head.BaseOffset+int64(it.head.Count))
			}
		case 'h':
			if term, _, err := parseHardState(it.line, local); err == nil {
				d.hardTerm = max(d.hardTerm, term)
			}
		case 'c':
			if cp, _, err := parseCheckpoint(it.line, local); err == nil {
				d.hardTerm = max(d.hardTerm, cp.HardTerm)
				if behind && !bytes.Equal(cp.ConfState, d.ConfState) {
					d.ConfMoved = true
				}
			}
		}
		return true
	})
}

// CutTail cuts a log at its damage, so that it opens again with the records
// below NextOffset. The bytes that go are kept beside the segment, in the file
// whose path is returned. Sound only for a partition's sole replica: to any
// other it would mean forgetting what was acknowledged.
func CutTail(fsys FS, d Damage, bootID string) (brokenCopy string, err error) {
	if !d.Tail {
		return "", fmt.Errorf("%w: %s is not damaged at its tail", ErrRefused, d.Dir)
	}
	r := &recovery{fsys: fsys, dir: d.Dir, opt: Options{BootID: bootID}}
	defer r.closeUnused()
	if err := r.readHeads(d.bases); err != nil {
		return "", err
	}
	var bad *CorruptError
	if err := r.scanActive(); !errors.As(err, &bad) || bad.Offset != d.Offset {
		return "", fmt.Errorf("%w: %s has changed since it was looked at", ErrRefused, d.Path)
	}
	r.cutAt = d.Offset
	if err := r.cut(); err != nil {
		return "", err
	}
	// The term must not go back with the entries: those that are written next
	// would pass for the ones that are gone.
	a := &r.log.active
	if err := a.file.write(appendHardState(nil, d.hardTerm, 0, r.log.seal.local), d.Offset); err != nil {
		return "", err
	}
	if err := a.file.Sync(); err != nil {
		return "", err
	}
	return r.rec.BrokenCopy, fsys.SyncDir(d.Dir)
}

// IsRetired reports whether a directory holds a replica that the broker no longer
// uses and keeps for people.
func IsRetired(dir string) bool {
	name := filepath.Base(dir)
	return strings.Contains(name, ".replaced-") || strings.Contains(name, ".deleted-")
}
