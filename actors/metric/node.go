package metric

import (
	"sync/atomic"

	"ottla/protocol"
)

// Node is what a node counts as it goes. The zero value is ready; it is safe for concurrent
// use.
type Node struct {
	Elections      atomic.Uint64
	DamageNotFound atomic.Uint64 // mends in which no damaged bytes were found
	LostDirs       atomic.Uint64 // directories of brokers that were replaced because they were lost
	OutdatedDirs   atomic.Uint64 // likewise, because they were older copies
	batchRecords   Histogram
	batchBytes     Histogram
}

// Entry counts one entry that a leader of a topic has proposed. It is on the path of every
// produce.
func (n *Node) Entry(records, bytes int) {
	n.batchRecords.Observe(uint64(records))
	n.batchBytes.Observe(uint64(bytes))
}

// Into puts the counts into what is told: batches of 1 to 16,384 records, and of 128 bytes to
// 16 MiB, in powers of two.
func (n *Node) Into(m *protocol.Metrics) {
	m.Elections, m.DamageNotFound = n.Elections.Load(), n.DamageNotFound.Load()
	m.BatchRecords, m.BatchBytes = n.batchRecords.Snapshot(0, 14, 1), n.batchBytes.Snapshot(7, 24, 1)
}
