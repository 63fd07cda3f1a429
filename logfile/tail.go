package logfile

import (
	"bytes"
	"fmt"
	"io"

	"ottla/mutate"
)

const sectorSize = 512

// tailFacts is all that decides whether a segment may be cut at the first item
// that is not valid.
type tailFacts struct {
	bad       *badItem
	due       uint64 // the lowest index that the entry in the bad bytes can have
	proven    uint64 // valid lines before and after bad prove that entries up to here were synced
	nextValid int64  // where the next valid line after bad begins; size when there is none
	size      int64  // of the file
	restarted bool   // the machine was restarted since the end of the segment was written
	unwritten bool   // bad holds a sector of zeros, which was never written back
}

// judge returns nil when everything from the invalid item on may be cut: it was
// never synced, and it looks like what a crash leaves. Anything else is damage,
// and judge returns what is wrong.
func judge(f *tailFacts) error {
	bad := f.bad
	// A fault that tests put in on purpose.
	if mutate.On(mutate.TruncateBadChecksum) {
		return nil
	}
	if bad.intact() {
		return bad.err // no crash makes a valid checksum
	}
	// It was acknowledged, so it may be the only copy of what a client was told is safe.
	if f.due <= f.proven {
		return fmt.Errorf("%w; entry %d was synced, the log proves it for all up to %d", bad.err, f.due, f.proven)
	}
	if bad.short && f.nextValid < f.size {
		return bad.err // it is short of the file's end, yet something valid follows
	}
	// Without a valid header nobody knows how long the item was: at the most up to what is
	// valid next.
	end := bad.end
	if end == 0 {
		end = f.nextValid
	}
	switch {
	case bad.short:
		return nil // the last write, or its beginning
	case !f.restarted:
		// No power was lost, so the file is as it was written, and the last write
		// can only be short.
		return bad.err
	case end < f.size && !f.unwritten:
		// Something follows, so all of the item was written, though not necessarily
		// written back. A sector that was not is zero.
		return bad.err
	}
	return nil
}

// judgeTail gathers the facts about the first invalid item of a segment, which
// is read through sc, and judges them: nil, or a *CorruptError. bootID is the
// running kernel's; proof is what the lines before bad prove.
func judgeTail(sc *scanner, bad *badItem, due uint64, proof syncProof, bootID string) error {
	f := tailFacts{bad: bad, due: due, proven: proof.index, nextValid: sc.limit, size: sc.limit}
	// For one that is intact the verdict does not depend on the rest of the file, which is
	// then not read.
	if !bad.intact() {
		boot, err := f.readAfter(sc, proof.boot)
		if err != nil {
			return err
		}
		// The newest line says under which boot the file was written last; after a restart
		// pages may be missing that were never written back.
		f.restarted = boot != bootID
		if f.unwritten, err = f.zeroSector(sc); err != nil {
			return err
		}
	}
	if err := judge(&f); err != nil {
		return &CorruptError{Path: sc.path, Offset: bad.pos, Err: err}
	}
	return nil
}

// readAfter notes what valid lines after the invalid item say, and returns the
// boot under which the last of them was written.
func (f *tailFacts) readAfter(sc *scanner, boot string) (string, error) {
	err := sc.eachLineFrom(f.bad.pos+1, func(sc *scanner, it *item) bool {
		// What only looks like a line in the middle of a record proves nothing.
		if checkLine(sc, it) != nil {
			return true
		}
		f.nextValid = min(f.nextValid, it.pos)
		switch it.letter {
		// An entry says in its header what was synced when it was written.
		case 'f':
			f.proven = max(f.proven, it.head.synced)
		case 's':
			index, at, _ := parseSyncMark(it.line, sc.sums.local)
			f.proven = max(f.proven, index)
			if at != "" {
				boot = at
			}
		}
		return true
	})
	return boot, err
}

// zeroSector reports whether the invalid item holds a sector that was never
// written: zeros from a sector boundary, or from the beginning of the item, up
// to a sector boundary or the end of the file. Text has no zero bytes.
func (f *tailFacts) zeroSector(sc *scanner) (bool, error) {
	to := f.bad.end
	if to == 0 {
		to = f.nextValid
	}
	if f.bad.short || !f.restarted || to >= f.size {
		return false, nil // it does not matter, see judge
	}
	sectors := &scanner{h: sc.h, path: sc.path, limit: sc.limit, chunk: scanChunk}
	for pos := f.bad.pos; pos < to; {
		// The first stretch may be shorter, from the item's beginning to the next boundary.
		next := min((pos/sectorSize+1)*sectorSize, f.size)
		w, err := sectors.window(pos, int(next-pos))
		if err != nil {
			return false, err
		}
		if len(w) == 0 {
			return false, io.ErrUnexpectedEOF
		}
		if len(bytes.Trim(w, "\x00")) == 0 {
			return true, nil
		}
		pos = next
	}
	return false, nil
}
