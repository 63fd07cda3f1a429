package replica

import (
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
)

// storage shows a replica's log file to raft. Entries that were written
// lately stay in memory, because peers and apply want exactly those; older
// ones are read from the file.
//
// Invariant: entries[i].Index == first+i, and everything in it is durable.
type storage struct {
	log      *logfile.Log
	hard     raftpb.HardState
	conf     raftpb.ConfState
	snapshot func() (raftpb.Snapshot, error)

	first   uint64 // index of entries[0]
	entries []raftpb.Entry
	bytes   int
	keep    int // maxCachedBytes, but in tests

	feeds *feeds // nil unless the replica leads: raft may wait for what is to be sent
	own   bool   // raft asks for what it wants itself, and cannot wait
}

// maxCachedBytes bounds the entries a replica keeps in memory after they are
// applied, for followers that are a little behind.
const maxCachedBytes = 1 << 20

// InitialState implements raft.Storage.
func (s *storage) InitialState() (raftpb.HardState, raftpb.ConfState, error) {
	return s.hard, s.conf, nil
}

// FirstIndex implements raft.Storage.
func (s *storage) FirstIndex() (uint64, error) { return s.log.FirstIndex(), nil }

// LastIndex implements raft.Storage.
func (s *storage) LastIndex() (uint64, error) { return s.log.LastIndex(), nil }

// Term implements raft.Storage.
func (s *storage) Term(index uint64) (uint64, error) {
	if index+1 < s.log.FirstIndex() {
		return 0, raft.ErrCompacted
	}
	if index > s.log.LastIndex() {
		return 0, raft.ErrUnavailable
	}
	term, ok := s.log.Term(index)
	if !ok {
		return 0, raft.ErrCompacted
	}
	return term, nil
}

// Entries implements raft.Storage. What a leader is to send and does not have in
// memory is read aside (feed.go). For the rest, a byte that cannot be read is no absence:
// the error is not one that raft takes for "compacted", so raft panics and the
// replica stops, which is what storage failures must do.
func (s *storage) Entries(lo, hi, maxSize uint64) ([]raftpb.Entry, error) {
	if lo < s.log.FirstIndex() {
		return nil, raft.ErrCompacted
	}
	if len(s.entries) > 0 && lo >= s.first {
		return limitEntries(s.entries[lo-s.first:min(hi-s.first, uint64(len(s.entries)))], maxSize), nil
	}
	if s.feeds != nil && !s.own {
		if ents := s.feeds.find(lo, hi, maxSize); ents != nil {
			return ents, nil
		}
		s.feeds.miss(lo, hi)
		return nil, raft.ErrCompacted
	}
	frames, err := s.log.ReadFrames(lo, hi, int(min(maxSize, 16<<20)))
	if err != nil {
		return nil, fmt.Errorf("read entries %d to %d: %w", lo, hi, err)
	}
	out := make([]raftpb.Entry, len(frames))
	for i := range frames {
		if out[i], err = entryOf(&frames[i]); err != nil {
			return nil, err
		}
	}
	return limitEntries(out, maxSize), nil
}

// limitEntries cuts a run of entries at maxSize bytes, but keeps at least one.
// The result's capacity is its length, so that an append copies.
func limitEntries(ents []raftpb.Entry, maxSize uint64) []raftpb.Entry {
	var size uint64
	for i := range ents {
		size += uint64(ents[i].Size())
		if size > maxSize && i > 0 {
			return ents[:i:i]
		}
	}
	return ents[:len(ents):len(ents)]
}

// Snapshot implements raft.Storage.
func (s *storage) Snapshot() (raftpb.Snapshot, error) {
	if s.feeds != nil && s.feeds.silent {
		s.feeds.silent = false
		return raftpb.Snapshot{}, raft.ErrSnapshotTemporarilyUnavailable
	}
	return s.snapshot()
}

// stable takes entries that have just become durable.
func (s *storage) stable(ents []raftpb.Entry) {
	if len(ents) == 0 {
		return
	}
	at := ents[0].Index
	switch {
	case len(s.entries) == 0 || at < s.first || at > s.first+uint64(len(s.entries)):
		s.first, s.entries, s.bytes = at, nil, 0
	case at < s.first+uint64(len(s.entries)):
		keep := at - s.first
		for i := keep; i < uint64(len(s.entries)); i++ {
			s.bytes -= len(s.entries[i].Data)
		}
		s.entries = append([]raftpb.Entry(nil), s.entries[:keep]...) // readers may hold the old tail
	}
	for i := range ents {
		s.bytes += len(ents[i].Data)
	}
	s.entries = append(s.entries, ents...)
}

// trim drops applied entries from memory beyond the byte budget.
func (s *storage) trim(applied uint64) {
	if s.bytes <= s.keep && len(s.entries) <= maxCachedEntries {
		return
	}
	drop := 0
	for drop < len(s.entries) && s.first+uint64(drop) <= applied &&
		(s.bytes > s.keep/2 || len(s.entries)-drop > maxCachedEntries/2) {
		s.bytes -= len(s.entries[drop].Data)
		drop++
	}
	s.entries = append([]raftpb.Entry(nil), s.entries[drop:]...)
	s.first += uint64(drop)
}

// maxCachedEntries bounds the number of cached entries, whose bookkeeping
// outweighs their data when records are small.
const maxCachedEntries = 1024

// reset forgets everything after a snapshot was installed.
func (s *storage) reset() { s.first, s.entries, s.bytes = 0, nil, 0 }
