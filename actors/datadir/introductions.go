package datadir

import (
	"errors"
	"maps"
	"slices"
)

// IntroductionState says where the introduction of newly opened brokers stands.
type IntroductionState int

// The states, in the order in which an introduction goes through them.
const (
	IntroductionIdle      IntroductionState = iota // no broker is new
	IntroductionGathering                          // some are new, and others are still opening
	IntroductionNoting                             // all that run write the counters down
)

// Introductions lets a broker's replicas run only when the peers that run have
// its counter on disk (see ages.go for what that is good for). Brokers that
// open together are introduced together. It is pure: it says whom to ask, is
// told their answers, and says who may run.
type Introductions struct {
	state     IntroductionState
	counts    map[int]uint64 // the newest of each broker, on disk in its own ledger
	newcomers map[int]bool   // opened, and not in this round
	hurry     bool           // the next round waits for no broker that is still opening

	// Of the present round, while noting.
	round    uint64 // 0: none so far
	present  map[int]bool
	asked    map[int]bool // have been told the counts and have not answered
	noted    map[int]bool // have answered well
	failures map[int]error
}

// NewIntroductions begins with no brokers known.
func NewIntroductions() *Introductions {
	return &Introductions{counts: map[int]uint64{}, newcomers: map[int]bool{}}
}

// State is where the introduction stands.
func (i *Introductions) State() IntroductionState { return i.state }

// Round numbers the present round, or the last one.
func (i *Introductions) Round() uint64 { return i.round }

// Count is the greatest counter known of a broker, 0 if none is.
func (i *Introductions) Count(broker int) uint64 { return i.counts[broker] }

// Counts are the greatest counters known, by broker.
func (i *Introductions) Counts() map[int]uint64 { return maps.Clone(i.counts) }

// Note takes a broker's counter, from its own ledger or a peer's.
func (i *Introductions) Note(broker int, count uint64) {
	i.counts[broker] = max(count, i.counts[broker])
}

// Opened adds a broker that has opened its directory, to be introduced in the
// next round.
func (i *Introductions) Opened(broker int) { i.newcomers[broker] = true }

// Begin starts a round for all newcomers and returns whom to tell the counts:
// those that run and the newcomers themselves. It returns nobody when there are
// no newcomers, when a round is under way, or when a broker is still opening
// and may be waited for.
func (i *Introductions) Begin(running []int, opening bool) (ask []int) {
	switch {
	case i.state == IntroductionNoting:
		return nil
	case len(i.newcomers) == 0:
		i.state, i.hurry = IntroductionIdle, false
		return nil
	case opening && !i.hurry:
		i.state = IntroductionGathering
		return nil
	}
	i.state, i.hurry = IntroductionNoting, false
	i.round++
	i.present, i.newcomers = i.newcomers, map[int]bool{}
	i.asked, i.noted, i.failures = map[int]bool{}, map[int]bool{}, map[int]error{}
	for _, b := range running {
		i.asked[b] = true
	}
	for b := range i.present {
		i.asked[b] = true
	}
	return slices.Sorted(maps.Keys(i.asked))
}

// Answered takes a broker's answer; an err says that it could not write. An
// answer of another round counts for nothing.
func (i *Introductions) Answered(round uint64, broker int, err error) {
	if round != i.round || !i.asked[broker] {
		return
	}
	delete(i.asked, broker)
	if err != nil {
		i.failures[broker] = err
	} else {
		i.noted[broker] = true
	}
}

// TimeOut ends the waiting: a round goes on without the brokers that have not
// answered, whose number it returns, and the next one begins without those that
// have not opened.
func (i *Introductions) TimeOut() (unanswered int) {
	i.hurry = i.state == IntroductionGathering
	for b := range i.asked {
		i.failures[b] = errors.New("it did not write its ledger in time")
		unanswered++
	}
	i.asked = nil
	return unanswered
}

// Gone forgets a broker that was closed or failed meanwhile.
func (i *Introductions) Gone(broker int) {
	delete(i.newcomers, broker)
	delete(i.present, broker)
	delete(i.asked, broker)
}

// Complete reports whether a round is under way whose answers are all in.
func (i *Introductions) Complete() bool {
	return i.state == IntroductionNoting && len(i.asked) == 0
}

// Conclude ends a complete round. A broker may run when it has noted its peers,
// and one of them, if any runs, has noted it.
func (i *Introductions) Conclude() (introduced []int, refused map[int]error) {
	refused = map[int]error{}
	others := len(i.noted) + len(i.failures) - 1
	for _, b := range slices.Sorted(maps.Keys(i.present)) {
		witnesses := len(i.noted)
		if i.noted[b] {
			witnesses--
		}
		switch {
		case i.failures[b] != nil:
			refused[b] = i.failures[b]
		case others > 0 && witnesses == 0:
			refused[b] = errors.New("no other broker could note that it was opened")
		default:
			introduced = append(introduced, b)
		}
	}
	i.state, i.present = IntroductionIdle, nil
	return introduced, refused
}
