package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sort"
)

// checkpointLender looks for the newest checkpoint of a segment that is wanted.
type checkpointLender struct {
	want  Want
	terms []TermStart // of the entries up to last, as far as sound lines say them, ascending
	last  uint64
	found *Checkpoint
}

// lendCheckpoint reads the sound checkpoints of a log, of its newest segments first, and
// no more segments than it has to: the answer is waited for. What it lends is of use to
// any copy that has the entry Applied: until there the two are the same.
func lendCheckpoint(fsys FS, dir string, id Identity, bases []int64, w Want) (Loan, error) {
	for _, base := range slices.Backward(bases) {
		l := &checkpointLender{want: w}
		if err := l.segment(fsys, segmentPath(dir, base), id); err != nil {
			return Loan{}, err
		}
		if l.found == nil || l.found.Applied > l.last { // after a snapshot a checkpoint may be ahead of the log
			continue
		}
		i := sort.Search(len(l.terms), func(i int) bool { return l.terms[i].Index > l.found.Applied })
		if i > 0 {
			return Loan{Checkpoint: l.found, Term: l.terms[i-1].Term}, nil
		}
	}
	return Loan{}, nil
}

// segment reads one segment up to the first damage in it. Its beginning says the terms of
// all entries before it.
func (l *checkpointLender) segment(fsys FS, path string, id Identity) error {
	s, err := openSegment(fsys, path, openRead)
	if bad := (*CorruptError)(nil); errors.As(err, &bad) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closeQuietly(s.h)
	if s.head.id.ClusterID != id.ClusterID || s.head.id.TopicID != id.TopicID || s.head.id.Partition != id.Partition {
		return fmt.Errorf("%s is of the log of another partition: %w", path, fs.ErrNotExist)
	}
	l.terms = append(l.terms[:0:0], s.cp.Terms...)
	if len(l.terms) == 0 {
		l.terms = []TermStart{{s.cp.Index, s.cp.Term}}
	}
	l.last = s.cp.Index
	l.saw(&s.cp)
	scan := s.scan(4 * scanChunk)
	err = scan.run(&scanEvents{
		frame: func(_ *item, f *Frame) error {
			if l.terms[len(l.terms)-1].Term != f.Term {
				l.terms = append(l.terms, TermStart{f.Index, f.Term})
			}
			l.last = f.Index
			return nil
		},
		checkpoint: func(cp Checkpoint, _ int64) { l.saw(&cp) },
	})
	if bad := (*badItem)(nil); errors.As(err, &bad) || errors.Is(err, io.EOF) {
		return nil // what stands before the damage is sound
	}
	return err
}

func (l *checkpointLender) saw(cp *Checkpoint) {
	if cp.Applied < l.want.First || cp.Applied > l.want.Last || l.found != nil && cp.Applied < l.found.Applied {
		return
	}
	c := *cp
	c.Terms = nil
	l.found = &c
}
