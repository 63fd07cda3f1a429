package actors

import (
	"sync/atomic"

	"ottla/actors/datadir"
	"ottla/actors/disk"
	"ottla/actors/metric"
)

// nodeStats is what a node counts as it goes; the zero value is ready. The
// hot path pays an atomic addition or two per request or entry.
type nodeStats struct {
	disk           disk.Stats
	elections      atomic.Uint64
	damageNotFound atomic.Uint64 // mends in which no damaged bytes were found
	lostDirs       atomic.Uint64 // directories of brokers that were replaced, by reason
	outdatedDirs   atomic.Uint64
	batchRecords   metric.Histogram
	batchBytes     metric.Histogram
}

func (s *nodeStats) directoryReplaced(reason string) {
	if reason == datadir.DirectoryOutdated {
		s.outdatedDirs.Add(1)
		return
	}
	s.lostDirs.Add(1)
}

// entry counts one entry that a leader of a topic has proposed.
func (s *nodeStats) entry(records, bytes int) {
	s.batchRecords.Observe(uint64(records))
	s.batchBytes.Observe(uint64(bytes))
}
