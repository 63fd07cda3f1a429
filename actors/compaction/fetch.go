package compaction

import (
	"context"
	"errors"
	"fmt"

	"ottla/actors/background"
	"ottla/logfile"
)

// Messages between two replicas of a partition, addressed by replica ids.
type (
	// PartsAsked asks for compacted records from an offset on.
	PartsAsked struct {
		From       uint64
		Generation uint64
		Offset     int64
	}
	// PartsChunk answers it with whole record lines.
	PartsChunk struct {
		Generation uint64
		Offset     int64 // as asked
		Next       int64 // where to go on
		Lines      []byte
		Sum        uint32 // CRC32C of Lines
		Err        string // why there are none
	}
)

// fetch is one transfer at its receiver.
type fetch struct {
	info    logfile.CompactedInfo
	from    uint64
	offset  int64 // asked for; -1 while a chunk is being written
	askedAt int   // tick
	tries   int
	chunks  chan *PartsChunk
	cancel  context.CancelFunc
}

// Messages from the goroutine that writes.
type (
	// ChunkWritten says that the next chunk can be asked for.
	ChunkWritten struct {
		fetch *fetch
		next  int64
	}
	// PartsWritten is the end of a transfer.
	PartsWritten struct {
		fetch *fetch
		Set   *logfile.CompactedSet
		Err   error
	}
)

const (
	partsChunkBytes = 1 << 20
	partsAskTicks   = 20 // until a question is asked again
	partsAskTries   = 10
)

// StartFetch begins to fetch the parts that a replica has, unless that is under way;
// false if it is. Told gets a *ChunkWritten or a *PartsWritten, on another goroutine.
// The first question is the next one (Question) if there is any.
func (s *State) StartFetch(from uint64, parts logfile.CompactedInfo, log *logfile.Log, bg *background.Budget, told func(any)) bool {
	if f := s.fetch; f != nil && f.from == from && f.info.Generation == parts.Generation {
		return false
	}
	s.EndFetch()
	work, cancel := context.WithCancel(context.Background())
	f := &fetch{info: parts, from: from, offset: parts.Start, chunks: make(chan *PartsChunk, 1), cancel: cancel}
	s.fetch = f
	w := log.NewPartWriter(f.info, bg.Pace(work))
	go func() {
		set, err := f.write(work, w, func(next int64) { told(&ChunkWritten{f, next}) })
		told(&PartsWritten{f, set, err})
	}()
	return true
}

// write writes chunks as they arrive, until all are there.
func (f *fetch) write(ctx context.Context, w *logfile.PartWriter, written func(next int64)) (*logfile.CompactedSet, error) {
	for next := f.info.Start; next < f.info.Next; {
		select {
		case c := <-f.chunks:
			if err := w.Append(c.Lines); err != nil {
				return nil, w.Abort(err)
			}
			if next = c.Next; next < f.info.Next {
				written(next)
			}
		case <-ctx.Done():
			return nil, w.Abort(ctx.Err())
		}
	}
	set, err := w.Finish()
	if err == nil && set.Records != f.info.Records {
		err = fmt.Errorf("%d records came instead of %d", set.Records, f.info.Records)
	}
	if err != nil {
		return nil, w.Abort(err)
	}
	return set, nil
}

// Question is what to ask now, and whom. Self is the replica that asks. Nil: nothing,
// as no transfer is under way, or all of it has been asked for.
func (s *State) Question(self uint64, tick int) (of uint64, m *PartsAsked) {
	f := s.fetch
	if f == nil || f.offset < 0 || f.info.Start >= f.info.Next {
		return 0, nil
	}
	f.askedAt = tick
	return f.from, &PartsAsked{From: self, Generation: f.info.Generation, Offset: f.offset}
}

// Serve notes that parts are read for another replica, and returns what reads the
// chunk that it has asked for, on any goroutine.
func (s *State) Serve(m *PartsAsked, parts *logfile.CompactedReader, tick int, bg *background.Budget) func() *PartsChunk {
	s.served = tick
	pace := bg.Pace(context.Background())
	return func() *PartsChunk {
		c := &PartsChunk{Generation: m.Generation, Offset: m.Offset}
		err := fmt.Errorf("generation %d of compacted records is not here any more", m.Generation)
		if parts != nil && parts.Generation == m.Generation && m.Offset >= parts.Start {
			if c.Lines, c.Next, err = parts.Lines(m.Offset, partsChunkBytes); err == nil {
				err = pace(len(c.Lines))
			}
		}
		if err != nil {
			c.Lines, c.Err = nil, err.Error()
		}
		c.Sum = logfile.Checksum(c.Lines)
		return c
	}
}

// ErrDamagedChunk refuses a chunk that is not what was sent. It is asked for again.
var ErrDamagedChunk = errors.New("a chunk of compacted records arrived damaged, and is asked for again")

// Take hands a chunk to the goroutine that writes. A chunk that was asked for twice is
// written once. An error says why the chunk is of no use; the transfer ends when the
// other replica has refused it: its leader sends its snapshot again.
func (s *State) Take(m *PartsChunk) error {
	f := s.fetch
	switch {
	case f == nil || m.Generation != f.info.Generation || m.Offset != f.offset:
	case m.Err != "":
		s.EndFetch()
		return fmt.Errorf("compacted records cannot be fetched: %s", m.Err)
	case m.Next <= m.Offset || logfile.Checksum(m.Lines) != m.Sum:
		return fmt.Errorf("offset %d: %w", m.Offset, ErrDamagedChunk)
	default:
		f.offset, f.tries = -1, 0
		f.chunks <- m // it is empty: one chunk is asked for at a time
	}
	return nil
}

// Written notes that a chunk is written; true if the next one is to be asked for.
func (s *State) Written(m *ChunkWritten) bool {
	if s.fetch != m.fetch || m.fetch == nil {
		return false
	}
	m.fetch.offset = m.next
	return true
}

// Fetched takes the end of a transfer; false if it was stopped, and what it has
// brought is not wanted.
func (s *State) Fetched(m *PartsWritten) bool {
	if s.fetch != m.fetch || m.fetch == nil {
		return false
	}
	s.EndFetch()
	return true
}

// Overdue reports whether to ask again for what did not come. A transfer that nobody
// answers is given up.
func (s *State) Overdue(tick int) bool {
	f := s.fetch
	if f == nil || f.offset < 0 || tick-f.askedAt < partsAskTicks {
		return false
	}
	if f.tries++; f.tries > partsAskTries {
		s.EndFetch()
		return false
	}
	return true
}

// EndFetch ends a transfer and lets its goroutine clean up.
func (s *State) EndFetch() {
	if s.fetch != nil {
		s.fetch.cancel()
		s.fetch = nil
	}
}
