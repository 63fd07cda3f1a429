package actors

import (
	"sync/atomic"
	"time"
)

// diskStats counts what a Disk has done; safe to read at any time.
type diskStats struct {
	rounds   atomic.Uint64
	syncs    atomic.Uint64 // single files
	syncfs   atomic.Uint64 // whole filesystem
	files    atomic.Uint64 // made durable
	bytes    atomic.Uint64 // executed
	stalls   atomic.Uint64
	failures atomic.Uint64 // rounds in which something failed
	busy     atomic.Int64  // nanoseconds spent in rounds
	lastErr  atomic.Pointer[string]
}

// diskSnapshot is one reading of diskStats.
type diskSnapshot struct {
	Rounds, Syncs, Syncfs, Files, Bytes, Stalls, Failures uint64
	Busy                                                  time.Duration
	LastError                                             string // empty if there never was one
}

func (s *diskStats) snapshot() diskSnapshot {
	out := diskSnapshot{
		Rounds: s.rounds.Load(), Syncs: s.syncs.Load(), Syncfs: s.syncfs.Load(), Files: s.files.Load(),
		Bytes: s.bytes.Load(), Stalls: s.stalls.Load(), Failures: s.failures.Load(),
		Busy: time.Duration(s.busy.Load()),
	}
	if e := s.lastErr.Load(); e != nil {
		out.LastError = *e
	}
	return out
}

func (s *diskStats) round(r *diskRound, took time.Duration) {
	s.rounds.Add(1)
	s.files.Add(uint64(r.files))
	s.bytes.Add(uint64(r.bytes))
	s.busy.Add(int64(took))
	if r.err != nil {
		s.failures.Add(1)
		text := r.err.Error()
		s.lastErr.Store(&text)
	}
}
