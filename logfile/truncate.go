package logfile

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
)

// carryName is a file beside the segments that holds the hard state and the
// newest checkpoint during a truncation, which may remove the lines that say
// them. An old one does no harm, since recovery uses whatever is newer.
const carryName = "carry"

// locate returns where an entry begins. It reads the file only for entries that
// are committed or were there at Open.
func (l *Log) locate(index uint64) (framePos, error) {
	if index > l.active.last {
		return framePos{}, fmt.Errorf("entry %d: %w: the last one is %d", index, ErrBeyondEnd, l.active.last)
	}
	if index < l.FirstIndex() {
		return framePos{}, fmt.Errorf("%w: entry %d is below the first one of the log", ErrRefused, index)
	}
	// Where the entries begin that may still be replaced is kept in memory, so the usual
	// truncation reads nothing.
	if index >= l.uncommittedFirst {
		return l.uncommitted[index-l.uncommittedFirst], nil
	}
	s := l.segmentOf(index)
	entries, err := l.entriesOf(s)
	if err != nil {
		return framePos{}, err
	}
	e, ok := byIndex(entries, index)
	if !ok {
		return framePos{}, &CorruptError{Path: s.file.path, Err: errNotIndexed(index)}
	}
	h, err := s.file.open()
	if err != nil {
		return framePos{}, err
	}
	defer s.file.release()
	// The index is sparse: the entry lies within an interval after the place.
	sc := &scanner{h: h, path: s.file.path, sums: l.sums, pos: e.Pos, limit: s.file.end.Load(), chunk: 2 * l.opt.IndexInterval}
	for {
		it, err := sc.peek()
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("entry %d is not written yet: %w", index, ErrBeyondEnd)
		}
		if err != nil {
			return framePos{}, sc.corrupt(err)
		}
		if it.letter == 'f' && it.head.Index == index {
			return framePos{it.pos, it.head.BaseOffset}, nil
		}
		if it.letter == 'f' && it.head.Index > index {
			return framePos{}, &CorruptError{Path: s.file.path, Offset: it.pos, Err: fmt.Errorf("entry %d stands where entry %d was looked for", it.head.Index, index)}
		}
		sc.pos = it.end
	}
}

// segmentOf finds the segment that holds an entry.
func (l *Log) segmentOf(index uint64) *segment {
	if index >= l.active.first {
		return &l.active
	}
	// There is one, since the caller has compared with the first entry of the log.
	i := sort.Search(len(l.sealed), func(i int) bool { return l.sealed[i].last >= index })
	return l.sealed[i]
}

func (l *Log) entriesOf(s *segment) ([]entry, error) {
	if s == &l.active {
		return l.index.entries, nil
	}
	return s.load(l.sums, l.opt.IndexInterval)
}

// truncate stages the removal of every entry from index on; the first of them
// begins at at. The newest segments go first, then the rest, each step durable
// before the next: a crash in between leaves a log that ends earlier, never one
// with a hole. The cut itself is synced before anything is appended, or a power cut
// could leave new bytes in front of old ones that look valid.
func (l *Log) truncate(b *Batch, index uint64, at framePos) error {
	s := l.segmentOf(index)
	entries, err := l.entriesOf(s)
	if err != nil {
		return err
	}
	// The lines that are cut off may be the only ones that say term, vote and the
	// newest checkpoint. A vote that is forgotten could be given twice.
	carry := l.carry(index - 1)
	b.stageStep(l, func() error { return l.writeSmall(carryName, carry) })
	if s != &l.active {
		l.reopen(b, s)
	}
	a := &l.active
	file, path := a.file, a.file.path
	// What is pending for it is synced by the cut.
	b.dropFile(file)
	b.stageStep(l, func() error {
		// The index goes before the entries: it must not point past the cut.
		if err := l.remove(indexPath(path)); err != nil {
			return err
		}
		return file.truncate(at.pos)
	})
	// In memory the log is shorter from here on; the batch does the same on the disk.
	a.size, a.last, a.next = at.pos, index-1, at.offset
	l.index = cutIndex(entries, at.pos, l.opt.IndexInterval, a.maxTime)
	l.cutTerms(index)
	if index >= l.uncommittedFirst {
		l.uncommitted = slices.Clone(l.uncommitted[:index-l.uncommittedFirst])
	} else {
		l.uncommitted, l.uncommittedFirst = nil, index
	}
	// Entries appended at the same indexes from now on are not synced yet.
	l.synced, l.marked = min(l.synced, index-1), min(l.marked, index-1)
	// The carry file is for the time of the cut only; from now on the log says it itself.
	l.StageCheckpoint(b)
	return nil
}

// reopen makes a sealed segment the active one again and stages the removal of
// all segments after it.
func (l *Log) reopen(b *Batch, s *segment) {
	i := slices.Index(l.sealed, s)
	later := append(slices.Clone(l.sealed[i+1:]), new(segment))
	*later[len(later)-1] = l.active
	slices.Reverse(later)
	// They are removed and not synced: what was staged for them need not become durable.
	for _, gone := range later {
		b.dropFile(gone.file)
	}
	b.stageStep(l, func() error {
		for _, gone := range later {
			gone.file.retire()
		}
		return l.unlink(later)
	})
	l.sealed = slices.Clone(l.sealed[:i])
	l.active = *s
	file := s.file
	b.stageStep(l, func() error {
		// From here on readers that have the segment as sealed get ErrStale for what
		// they find wrong with it, see segment.readError.
		file.sealed.Store(false)
		l.opt.Cache.touch(file)
		return nil
	})
}

// carry returns the content of the file of that name: the first two lines of a
// segment, with a checkpoint as of the entry last.
func (l *Log) carry(last uint64) []byte {
	cp := l.checkpoint(false)
	cp.Index = last
	cp.Term, _ = l.Term(last)
	b := appendSegmentHead(nil, &segmentHead{id: l.id, boot: l.opt.BootID, prevBase: -1})
	return appendCheckpoint(b, cp, l.lastAt, l.sums.local)
}
