package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"ottla/mutate"
)

const sectorSize = 512

// judge decides about the first item that is not valid. It returns nil when
// everything from there on may be cut: it was never synced, and it looks like
// what a crash leaves. Anything else is damage.
func (r *recovery) judge(bad *badItem) error {
	damage := &CorruptError{Path: r.log.active.file.path, Offset: bad.pos, Err: bad.err}
	if mutate.On(mutate.TruncateBadChecksum) {
		r.cutAt = bad.pos
		return nil
	}
	if bad.whole || errors.Is(bad.err, ErrNewerFormat) {
		return damage
	}
	later, err := r.lookBehind(bad)
	if err != nil {
		return err
	}
	due := r.log.active.last + 1
	if proven := max(r.proven, later.proven); due <= proven {
		damage.Err = fmt.Errorf("%w; entry %d was synced, the log proves up to %d", bad.err, due, proven)
		return damage
	}
	end := bad.end
	if end == 0 {
		end = later.firstValid
	}
	if bad.short && later.firstValid < r.fileSize {
		return damage
	}
	boot := r.boot
	if later.boot != "" {
		boot = later.boot
	}
	if boot == r.opt.BootID {
		// No power was lost, so the file is as far as it was written: at most
		// the last write is short.
		if !bad.short {
			return damage
		}
	} else if !bad.short && end < r.fileSize {
		zero, err := r.zeroSector(bad.pos, end)
		if err != nil {
			return err
		}
		if !zero {
			return damage
		}
	}
	r.cutAt = bad.pos
	return nil
}

// behind is what the file says behind the first invalid item.
type behind struct {
	proven     uint64 // highest index that a valid line there says was synced
	firstValid int64  // the first valid line, or the end of the file
	boot       string // of the last vouch there
}

// lookBehind searches for valid lines behind an invalid item.
func (r *recovery) lookBehind(bad *badItem) (behind, error) {
	found := behind{firstValid: r.fileSize}
	sc := r.scanner(bad.pos)
	for pos := bad.pos + 1; pos < r.fileSize; {
		w, err := sc.window(pos-1, sc.chunk)
		if err != nil {
			return found, err
		}
		at := bytes.Index(w, []byte("\n#"))
		if at < 0 {
			if len(w) < 2 {
				break
			}
			pos += int64(len(w)) - 1
			continue
		}
		pos += int64(at)
		if r.validLine(pos, &found) && pos < found.firstValid {
			found.firstValid = pos
		}
		pos++
	}
	return found, nil
}

// validLine tells whether a valid line begins at pos, and notes what it says.
func (r *recovery) validLine(pos int64, found *behind) bool {
	sc := r.scanner(pos)
	sc.chunk = maxHeadLine
	it, err := sc.peek()
	if err != nil {
		return false
	}
	local := r.log.seal.local
	switch it.mark {
	case 'f':
		found.proven = max(found.proven, it.head.synced)
	case 's':
		index, boot, perr := parseVouch(it.line, local)
		if err = perr; err == nil {
			found.proven, found.boot = max(found.proven, index), boot
		}
	case 'h':
		_, _, err = parseHardState(it.line, local)
	case 'c':
		_, _, err = parseCheckpoint(it.line, local)
	default:
		return false
	}
	return err == nil
}

// zeroSector tells whether [from, to) holds a sector that was never written:
// zeros from a sector boundary, or from the beginning of the item, up to a
// sector boundary or the end of the file. Text has no zero bytes.
func (r *recovery) zeroSector(from, to int64) (bool, error) {
	sc := r.scanner(from)
	for pos := from; pos < to; {
		next := min((pos/sectorSize+1)*sectorSize, r.fileSize)
		w, err := sc.window(pos, int(next-pos))
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
