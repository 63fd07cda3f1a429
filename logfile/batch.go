package logfile

import (
	"errors"
	"fmt"
)

// Batch is an ordered list of steps on the files of one log. The owner stages
// steps by passing the batch to methods of Log; the disk goroutine executes the
// batch and then syncs its Files. The zero value is empty. The batches of a log
// must be executed in the order in which something was first staged in them, and
// none may be left out.
type Batch struct {
	st     *state
	seq    uint64
	data   []byte // bytes of all writes, without large bodies
	pieces []piece
	large  int      // bytes of large bodies
	parts  [][]byte // of the write that is under way
	steps  []step
	done   int // number of steps that are executed
	files  []*File
}

// step is a write of pieces[from:to] to file at off, or a call of run.
type step struct {
	file     *File
	off      int64
	from, to int
	run      func() error
}

// piece is a part of a write: data[from:to], or a large body, which is written from
// where it is.
type piece struct {
	from, to int
	body     []byte
}

// LargeBody is the size in bytes from which a body is not copied into a batch by default: from
// about there on copying costs more than another piece of a write.
const LargeBody = 16 << 10

// NewBatch returns an empty batch with room for a number of bytes.
func NewBatch(bytes int) *Batch { return &Batch{data: make([]byte, 0, bytes)} }

// Room is how many bytes the batch can hold without growing.
func (b *Batch) Room() int { return cap(b.data) }

// Empty reports whether there is nothing to execute.
func (b *Batch) Empty() bool { return len(b.steps) == 0 }

// Bytes is the number of bytes that the batch writes to segments.
func (b *Batch) Bytes() int { return len(b.data) + b.large }

// Files are the files that need a sync after Execute, usually exactly one.
func (b *Batch) Files() []*File { return b.files }

// Reset empties the batch for another use and keeps its buffers. It may only be
// called once the batch is executed, and nobody executes it again.
func (b *Batch) Reset() {
	poison(b.data)
	clear(b.pieces)
	clear(b.parts[:cap(b.parts)])
	clear(b.steps)
	clear(b.files)
	*b = Batch{data: b.data[:0], pieces: b.pieces[:0], parts: b.parts[:0], steps: b.steps[:0], files: b.files[:0]}
}

// ErrOrder says that an earlier batch of the same log is not executed. It wraps
// the reason why that one failed, if it did.
var ErrOrder = errors.New("an earlier batch of the log is not executed")

// Execute does what was staged, with one write for contiguous appends to a file.
// It does not sync what it appends, except where the order of steps on disk
// demands it. After an error that does not match ErrPoisoned, as of a full disk,
// no step is half done: the same batch may be executed again and goes on with the
// step that failed. Until then later batches of the log fail with ErrOrder.
func (b *Batch) Execute() error {
	if b.Empty() {
		return nil
	}
	st := b.st
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return ErrClosed // a step might create a file where another log stands by now
	}
	if err := st.poisoned(); err != nil {
		return err
	}
	if b.seq != st.next {
		if b.seq < st.next {
			return nil // the batch is executed already
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
			err = s.file.write(b.partsOf(s), s.off)
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

// partsOf is what a step writes.
func (b *Batch) partsOf(s *step) [][]byte {
	b.parts = b.parts[:0]
	for _, p := range b.pieces[s.from:s.to] {
		if p.body == nil {
			p.body = b.data[p.from:p.to]
		}
		b.parts = append(b.parts, p.body)
	}
	return b.parts
}

// bind ties the batch to a log when the first step is staged.
func (b *Batch) bind(l *Log) {
	if b.st == nil {
		l.batches++
		b.st, b.seq = l.st, l.batches
	} else if b.st != l.st {
		panic("BUG: one batch for two logs")
	}
}

// stageStep stages a step that is not a write.
func (b *Batch) stageStep(l *Log, fn func() error) {
	b.bind(l)
	b.steps = append(b.steps, step{run: fn})
}

// beginWrite stages a write at off, the end of a file. The caller appends the
// bytes to b.data and then calls endWrite.
func (b *Batch) beginWrite(l *Log, f *File, off int64) {
	b.bind(l)
	if n := len(b.steps); n > 0 && b.steps[n-1].file == f {
		return // the write goes on where the one before ends
	}
	b.steps = append(b.steps, step{file: f, off: off, from: len(b.pieces), to: len(b.pieces)})
	b.needsSync(f)
}

// endWrite ends the write of b.data[from:].
func (b *Batch) endWrite(from int) {
	s := &b.steps[len(b.steps)-1]
	if n := len(b.pieces); n > s.from && b.pieces[n-1].body == nil {
		b.pieces[n-1].to = len(b.data) // what precedes it in the step precedes it in b.data
		return
	}
	b.pieces = append(b.pieces, piece{from: from, to: len(b.data)})
	s.to++
}

// writeBody appends a large body to the write that was ended last. It must not change
// before the batch is executed.
func (b *Batch) writeBody(body []byte) {
	b.pieces = append(b.pieces, piece{body: body})
	b.steps[len(b.steps)-1].to++
	b.large += len(body)
}

func (b *Batch) needsSync(f *File) {
	for _, have := range b.files {
		if have == f {
			return
		}
	}
	b.files = append(b.files, f)
}

// dropFile takes a file off Files, because a step syncs or unlinks it.
func (b *Batch) dropFile(f *File) {
	for i, have := range b.files {
		if have == f {
			b.files = append(b.files[:i], b.files[i+1:]...)
			return
		}
	}
}
