package logfile

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Compaction are the parameters of one compaction. The records that it keeps are a
// function of the records below Next and of these numbers alone, so that replicas
// that did other compactions before, or none, end up with the same records.
type Compaction struct {
	Generation uint64 // raft index of the entry that requests it, greater than any before
	To         uint64 // raft index of the last entry to cover; it is committed
	Next       int64  // the offset after that entry
	Start      int64  // the log start: records below it are dropped
	DropBelow  int64  // tombstones below this offset are dropped
	MaxKeys    int    // keys in memory at a time, default 1 Mi; more keys cost further passes over the data
}

const defaultMaxKeys = 1 << 20

// CompactionSource is a log as it was at one moment, for Compact. It is
// immutable and safe to use on any goroutine.
type CompactionSource struct {
	log    *Log // the fields of the log that never change
	old    CompactedInfo
	parts  []*segment
	sealed []*segment
	active segment
}

// Compact writes a new generation of parts under temporary names. It keeps the
// newest record of each key, unless that is a tombstone below DropBelow, and every
// record without a key. The very last record is always kept, so that a reader at
// any offset below the high watermark finds one. pace is called before so many
// bytes are read or written; it may wait, and its error ends the compaction. A
// failure leaves no files. Errors: ErrRefused when the log does not reach exactly
// to To and Next, *CorruptError, errors of the disk.
func (s *CompactionSource) Compact(c Compaction, pace func(bytes int) error) (*CompactedSet, error) {
	if c.MaxKeys <= 0 {
		c.MaxKeys = defaultMaxKeys
	}
	// The log is read twice: which record of a key is the newest is known at the end only,
	// and to keep all of them until then could take more memory than there is.
	keep, info, err := s.choose(&c, pace)
	if err != nil {
		return nil, fmt.Errorf("compact: %w", err)
	}
	w := newPartWriter(s.log, info, pace)
	n := 0
	err = s.each(&c, pace, func(r *Record, line []byte, _ int64) error {
		n++
		// By its offset and no clock, so that all replicas drop the same ones.
		dropped := isTombstone(r) && r.Offset < c.DropBelow && r.Offset != c.Next-1
		if !keep.has(n-1) || dropped {
			return nil
		}
		return w.add(line, r)
	})
	var set *CompactedSet
	if err == nil {
		set, err = w.Finish()
	}
	if err != nil {
		return nil, fmt.Errorf("compact: %w", w.Abort(err))
	}
	return set, nil
}

// bits is a set of small numbers.
type bits []uint64

func (b *bits) set(n int) {
	for n/64 >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

func (b *bits) drop(n int)    { (*b)[n/64] &^= 1 << (n % 64) }
func (b bits) has(n int) bool { return n/64 < len(b) && b[n/64]&(1<<(n%64)) != 0 }

// keyHash identifies a key by 128 bits of SHA-256: nobody finds two keys with the
// same hash, not even on purpose.
type keyHash [16]byte

// choose returns which records are to be kept, by their number in the order of
// offsets. When there are too many keys for the memory, each of several passes
// looks at another share of the keys.
func (s *CompactionSource) choose(c *Compaction, pace func(int) error) (bits, CompactedInfo, error) {
	info := CompactedInfo{Generation: c.Generation, To: c.To, Start: c.Start, Next: c.Next}
	errTooMany := errors.New("too many keys for one pass")
	for shares := uint32(1); ; shares *= 2 {
		var keep bits
		var err error
		// What is kept is of this share; the other passes add what is of theirs.
		for share := uint32(0); share < shares && err == nil; share++ {
			newest := map[keyHash]int{}
			// Its number and not its offset, since offsets may have gaps and the set would
			// be as large as they are.
			n := -1
			err = s.each(c, pace, func(r *Record, _ []byte, appended int64) error {
				n++
				info.AppendTime = max(info.AppendTime, appended)
				// Without a key nothing replaces it.
				if string(r.Key) == string(nullToken) {
					keep.set(n)
					return nil
				}
				sum := sha256.Sum256(r.Key)
				key := keyHash(sum[:16])
				if binary.LittleEndian.Uint32(key[:])%shares != share {
					return nil
				}
				if older, known := newest[key]; known {
					keep.drop(older)
				} else if len(newest) >= c.MaxKeys {
					return errTooMany
				}
				newest[key] = n
				keep.set(n)
				return nil
			})
		}
		if !errors.Is(err, errTooMany) {
			return keep, info, err
		}
	}
}

// each calls fn for every record from Start to the entry To, in order.
func (s *CompactionSource) each(c *Compaction, pace func(int) error, fn func(r *Record, line []byte, appended int64) error) error {
	// What an earlier compaction has kept comes first: all later records lie in segments.
	next := max(c.Start, s.old.Start)
	reached := s.old.To
	for _, p := range s.parts {
		err := s.frames(p, pace, func(f *Frame) (bool, error) {
			return true, eachRecord(f, next, func(r *Record, line []byte) error { return fn(r, line, s.old.AppendTime) })
		})
		if err != nil {
			return err
		}
	}
	next = max(next, s.old.Next)
	for _, seg := range append(s.sealed[:len(s.sealed):len(s.sealed)], &s.active) {
		// A segment may reach below the end of the parts, when these were made while it was
		// the active one.
		if seg.last <= s.old.To && seg.next <= next || seg.first > c.To {
			continue
		}
		err := s.frames(seg, pace, func(f *Frame) (bool, error) {
			// Without these records the result would not be the one of other replicas.
			if f.BaseOffset > next {
				return false, fmt.Errorf("%w: the log has no records from offset %d to %d", ErrRefused, next, f.BaseOffset)
			}
			err := eachRecord(f, next, func(r *Record, line []byte) error { return fn(r, line, f.AppendTime) })
			reached = max(reached, f.Index)
			next = max(next, f.BaseOffset+int64(f.Count))
			return f.Index < c.To, err
		})
		if err != nil {
			return err
		}
	}
	if reached != c.To || next != c.Next {
		return fmt.Errorf("%w: the log reaches to entry %d and offset %d instead of %d and %d", ErrRefused, reached, next, c.To, c.Next)
	}
	return nil
}

// frames reads and verifies one file from its beginning until fn returns false.
func (s *CompactionSource) frames(seg *segment, pace func(int) error, fn func(*Frame) (bool, error)) error {
	h, err := seg.file.open()
	if err != nil {
		return err
	}
	defer seg.file.release()
	sc := &scanner{h: h, path: seg.file.path, sums: s.log.sums, limit: seg.file.end.Load(), chunk: scanChunk}
	w := walker{last: seg.first - 1, term: seg.prev.Term, next: seg.base}
	paced := int64(0) // pace was called for the bytes up to here
	for w.last < seg.last {
		it, err := sc.peek()
		if errors.Is(err, io.EOF) {
			err = &badItem{pos: sc.pos, err: errSegmentEnds}
		}
		var f Frame
		if err == nil && it.letter == 'f' {
			if f, err = sc.frame(&it); err == nil {
				err = seg.follow(&w, &f, it.pos)
			}
		}
		if err != nil {
			return sc.corrupt(err)
		}
		sc.pos = it.end
		// In portions, for a call per entry would cost more than the entry does.
		if n := sc.pos - paced; n >= compactChunk {
			paced = sc.pos
			if err := pace(int(n)); err != nil {
				return err
			}
		}
		if it.letter != 'f' {
			continue
		}
		if more, err := fn(&f); err != nil || !more {
			return err
		}
	}
	return nil
}

// eachRecord calls fn for the records of a frame from an offset on.
func eachRecord(f *Frame, from int64, fn func(r *Record, line []byte) error) error {
	if !f.Kind.hasRecords() {
		return nil
	}
	var err error
	eachLine(f.Body, func(_ int, line []byte) bool {
		var l Line
		if l, err = ParseLine(line); err != nil {
			return false
		}
		if l.Offset >= from {
			err = fn(&l.Record, line)
		}
		return err == nil
	})
	return err
}
