package datadir

import (
	"maps"
	"slices"
	"time"
)

// Witnesses are what brokers at other nodes know of one that has opened its directory.
// It first asks all other nodes what they know of it, for WitnessPatience at most: the
// first that knows more than the directory says recognizes an older copy. Then it has its
// count noted, by a majority of the cluster's brokers, itself included, and runs its
// replicas. A majority alone would not recognize all: of three brokers, another one may
// have noted the last count. What is left is an older copy that starts while all are away
// that know of it. For them to be more than those who were there when the count was noted,
// a broker learns from the others what they know of each other, too, before it runs: its
// directory may be new, in the place of one that had noted it. Pure, like Introductions.
type Witnesses struct {
	Opens    uint64 // the count that is to be noted
	Older    uint64 // not 0: the directory is an older copy, and that is what is known of it; nothing is to be noted then
	before   uint64 // what it was before this start, 0 of a new directory
	wiped    bool   // the directory takes the place of one that was lost
	since    time.Time
	answered map[uint64]bool // nodes that have said what they know
	noted    map[int]bool    // brokers that have noted the count, itself included
	learned  map[int]uint64  // counts of other brokers that its ledger does not have yet
}

// WitnessPatience is how long a broker waits for nodes that do not say what they know of
// it: longer than they take a process for alive that was killed a moment ago, and refuse its
// successor.
const WitnessPatience = 2 * time.Second

// NewWitnesses begins with those that have noted the count in this process.
func NewWitnesses(broker int, opens, before uint64, wiped bool, noted []int, now time.Time) *Witnesses {
	w := &Witnesses{Opens: opens, before: before, wiped: wiped, since: now, answered: map[uint64]bool{}, noted: map[int]bool{broker: true}}
	for _, n := range noted {
		w.noted[n] = true
	}
	return w
}

// AllHaveSaid reports whether all other nodes have said what they know of the broker, or
// have had the time. Of a broker whose first directory this is, none knows anything.
func (w *Witnesses) AllHaveSaid(others []uint64, now time.Time) bool {
	if w.before == 0 && !w.wiped || now.Sub(w.since) >= WitnessPatience {
		return true
	}
	return !slices.ContainsFunc(others, func(n uint64) bool { return !w.answered[n] })
}

// HasSaid reports whether a node has said what it knows of the broker.
func (w *Witnesses) HasSaid(node uint64) bool { return w.answered[node] }

// Wiped reports whether the directory is new, in the place of one that was lost.
func (w *Witnesses) Wiped() bool { return w.wiped }

// Enough reports whether a majority of so many brokers has noted the count.
func (w *Witnesses) Enough(brokers int) bool { return len(w.noted) > brokers/2 }

// Learn notes that another broker's count is to get into the broker's ledger.
func (w *Witnesses) Learn(broker int, count uint64) {
	if w.learned == nil {
		w.learned = map[int]uint64{}
	}
	w.learned[broker] = max(count, w.learned[broker])
}

// LearnAll notes it for all brokers that have witnesses.
func LearnAll(all map[int]*Witnesses, broker int, count uint64) {
	for _, w := range all {
		w.Learn(broker, count)
	}
}

// Learned are the counts that the broker's ledger must have before it runs, nil if there
// are none.
func (w *Witnesses) Learned() map[int]uint64 { return maps.Clone(w.learned) }

// HasLearned says that its ledger has these.
func (w *Witnesses) HasLearned(counts map[int]uint64) {
	for b, count := range counts {
		if w.learned[b] <= count {
			delete(w.learned, b)
		}
	}
}

// Witness is the answer of another node. Known is the greatest count of the broker that
// a broker there knew before, and Asked says that it was only asked for that. All is what
// it knows of all brokers.
type Witness struct {
	Broker int
	Node   uint64
	Opens  uint64
	Asked  bool
	Noted  []int
	Known  uint64
	All    map[int]uint64
}

// Heard takes an answer. Floor is not 0 if the directory is an older copy: it is to be
// opened again, with this as what is known of it, and a new one takes its place.
//
// Brokers elsewhere note a count only when it is on disk here: what they know before
// they are asked to note this one cannot exceed what the ledger said before this start,
// unless that is an older copy. A directory that is new has to get beyond it. The older
// copy has counted this start, so only a greater count tells it.
func (w *Witnesses) Heard(m *Witness) (floor uint64) {
	if m.Known > m.Opens || m.Asked && (m.Known == m.Opens || m.Known > w.before && !w.wiped) {
		return max(m.Known, m.Opens+1)
	}
	if m.Asked {
		w.answered[m.Node] = true
		return 0
	}
	for _, n := range m.Noted {
		w.noted[n] = true
	}
	return 0
}
