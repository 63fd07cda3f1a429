package logfile

import (
	"errors"
	"fmt"
)

// Batch is a list of physical steps of one log, in order. The owner stages
// them by passing the batch to methods of Log; the disk goroutine executes
// it, then syncs its Files. The zero value is empty. Batches of a log must be
// executed in the order in which something was first staged in them, and none
// may be left out.
type Batch struct {
	st    *state
	seq   uint64
	data  []byte // bytes of all writes
	steps []step
	done  int // steps executed
	files []*File
}

// step is either a write of data[from:to] to file at off, or run.
type step struct {
	file     *File
	off      int64
	from, to int
	run      func() error
}

// Empty reports whether there is nothing to execute.
func (b *Batch) Empty() bool { return len(b.steps) == 0 }

// Bytes is how much the batch writes to segments.
func (b *Batch) Bytes() int { return len(b.data) }

// Files lists the files that need a sync after Execute, usually exactly one.
func (b *Batch) Files() []*File { return b.files }

// Reset empties the batch for another use, keeping its buffers. Only after it
// was executed.
func (b *Batch) Reset() {
	clear(b.steps)
	clear(b.files)
	*b = Batch{data: b.data[:0], steps: b.steps[:0], files: b.files[:0]}
}

// ErrOrder says that an earlier batch of the same log is not executed. It comes
// with the reason why that one failed, if it did.
var ErrOrder = errors.New("an earlier batch is not executed")

// Execute does what was staged, contiguous appends with one write per file.
// It does not sync what it appends, except where the order of steps on disk
// demands it. An error that does not match ErrPoisoned (a full disk) leaves
// nothing half done in sight: the same batch may be executed again and goes on
// where it stopped; later batches of the log fail with ErrOrder until then.
func (b *Batch) Execute() error {
	if b.Empty() {
		return nil
	}
	st := b.st
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return ErrClosed // steps that create files by their path among them
	}
	if err := st.poisoned(); err != nil {
		return err
	}
	if b.seq != st.next {
		if b.seq < st.next {
			return nil // done before
		}
		if st.err != nil {
			return fmt.Errorf("%w: %w", ErrOrder, st.err)
		}
		return ErrOrder
	}
	for b.done < len(b.steps) {
		s := &b.steps[b.done]
		var err error
		if s.run != nil {
			err = s.run()
		} else {
			err = s.file.write(b.data[s.from:s.to], s.off)
		}
		if err != nil {
			st.err = err
			return err
		}
		b.done++
	}
	st.next, st.err = b.seq+1, nil
	return nil
}

// begin ties the batch to a log at the first thing staged.
func (b *Batch) begin(l *Log) {
	if b.st == nil {
		l.batches++
		b.st, b.seq = l.st, l.batches
	} else if b.st != l.st {
		panic("BUG: one batch for two logs")
	}
}

// runs stages a step that is not a write.
func (b *Batch) runs(l *Log, fn func() error) {
	b.begin(l)
	b.steps = append(b.steps, step{run: fn})
}

// opens stages a write at the end of a file: the caller appends its bytes to
// b.data and then calls closes.
func (b *Batch) opens(l *Log, f *File, off int64) {
	b.begin(l)
	if n := len(b.steps); n > 0 && b.steps[n-1].file == f {
		return // goes on where the last one ends
	}
	b.steps = append(b.steps, step{file: f, off: off, from: len(b.data)})
	b.needsSync(f)
}

func (b *Batch) closes() { b.steps[len(b.steps)-1].to = len(b.data) }

func (b *Batch) needsSync(f *File) {
	for _, have := range b.files {
		if have == f {
			return
		}
	}
	b.files = append(b.files, f)
}

// synced takes a file off the list: a step syncs it, or it goes away.
func (b *Batch) synced(f *File) {
	for i, have := range b.files {
		if have == f {
			b.files = append(b.files[:i], b.files[i+1:]...)
			return
		}
	}
}
