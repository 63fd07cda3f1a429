package disk

import (
	"sync/atomic"
	"time"

	"ottla/actors/metric"
	"ottla/protocol"
)

// Stats counts what a Disk has done since it was made. The zero value is ready;
// it is safe for concurrent use.
type Stats struct {
	rounds   atomic.Uint64
	syncs    atomic.Uint64 // single files
	syncfs   atomic.Uint64 // whole filesystem
	files    atomic.Uint64 // made durable
	bytes    atomic.Uint64 // executed
	stalls   atomic.Uint64
	failures atomic.Uint64 // rounds in which something failed
	busy     atomic.Int64  // nanoseconds spent in rounds
	lastErr  atomic.Pointer[string]

	roundTime metric.Histogram // microseconds
	syncTime  metric.Histogram // the same, of the sync alone
}

// counts is one reading of Stats.
type counts struct {
	Rounds, Syncs, Syncfs, Files, Bytes, Stalls, Failures uint64
	Busy                                                  time.Duration
	LastError                                             string // empty if there never was one
}

func (s *Stats) snapshot() counts {
	out := counts{
		Rounds: s.rounds.Load(), Syncs: s.syncs.Load(), Syncfs: s.syncfs.Load(), Files: s.files.Load(),
		Bytes: s.bytes.Load(), Stalls: s.stalls.Load(), Failures: s.failures.Load(),
		Busy: time.Duration(s.busy.Load()),
	}
	if e := s.lastErr.Load(); e != nil {
		out.LastError = *e
	}
	return out
}

func (s *Stats) round(r *round, took time.Duration) {
	s.rounds.Add(1)
	s.files.Add(uint64(r.files))
	s.bytes.Add(uint64(r.bytes))
	s.busy.Add(int64(took))
	s.roundTime.ObserveTime(took)
	if r.err != nil {
		s.failures.Add(1)
		text := r.err.Error()
		s.lastErr.Store(&text)
	}
}

// Metrics is one reading for monitoring; its histograms go from 32 microseconds to
// 8 seconds.
func (s *Stats) Metrics() protocol.DiskMetrics {
	d := s.snapshot()
	const first, last, microsecond = 5, 23, 1e-6
	return protocol.DiskMetrics{
		Rounds: d.Rounds, FileSyncs: d.Syncs, FilesystemSyncs: d.Syncfs, Files: d.Files, Bytes: d.Bytes,
		Stalls: d.Stalls, Failures: d.Failures,
		RoundSeconds: s.roundTime.Snapshot(first, last, microsecond),
		SyncSeconds:  s.syncTime.Snapshot(first, last, microsecond),
	}
}
