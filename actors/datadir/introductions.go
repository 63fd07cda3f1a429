package datadir

import (
	"errors"
	"maps"
	"slices"
)

// IntroductionState says how far the introduction of newly opened brokers is.
type IntroductionState int

// The states, in the order in which an introduction goes through them.
const (
	IntroductionIdle      IntroductionState = iota // no broker is new
	IntroductionGathering                          // some are new, and others are still opening
	IntroductionNoting                             // all brokers that run write the counts to their ledgers
)

// Introductions lets a broker's replicas run only when the peers that run have
// its count on disk (ages.go says why). Brokers that open together are introduced
// together, by one introduction. It is pure: it says which brokers to ask, is told
// their answers, and says which may run. Brokers are named by their numbers.
type Introductions struct {
	state     IntroductionState
	counts    map[int]uint64 // the greatest known of each broker, on disk in its own ledger
	newcomers map[int]bool   // opened, and not part of the present introduction
	hurry     bool           // the next introduction waits for no broker that is still opening
	last      uint64         // number of the present introduction, or the last one; 0: none so far
	present   introduction   // while noting
}

// introduction is one pass of having the counts noted.
type introduction struct {
	opened   map[int]bool  // the brokers to be introduced
	asked    map[int]bool  // have been told the counts and have not answered
	noted    map[int]bool  // have the counts on disk
	failures map[int]error // could not write them, or did not in time
}

// NewIntroductions begins with no brokers known.
func NewIntroductions() *Introductions {
	return &Introductions{counts: map[int]uint64{}, newcomers: map[int]bool{}}
}

// State says how far the present introduction is.
func (i *Introductions) State() IntroductionState { return i.state }

// Number numbers the present introduction, or the last one, from 1.
func (i *Introductions) Number() uint64 { return i.last }

// Count is the greatest count known of a broker, 0 if none is.
func (i *Introductions) Count(broker int) uint64 { return i.counts[broker] }

// Counts are the greatest counts known, by broker.
func (i *Introductions) Counts() map[int]uint64 { return maps.Clone(i.counts) }

// Note enters a broker's count, from its own ledger or a peer's.
func (i *Introductions) Note(broker int, count uint64) {
	i.counts[broker] = max(count, i.counts[broker])
}

// Opened adds a broker that has opened its directory, for the next introduction.
func (i *Introductions) Opened(broker int) { i.newcomers[broker] = true }

// Begin starts the introduction of all newcomers and returns the brokers to tell
// the counts to: those that run and the newcomers themselves. It returns none when
// there are no newcomers, when an introduction is under way, or when a broker is
// still opening and may be waited for.
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
	i.last++
	i.present = introduction{opened: i.newcomers, asked: map[int]bool{}, noted: map[int]bool{}, failures: map[int]error{}}
	i.newcomers = map[int]bool{}
	for _, b := range running {
		i.present.asked[b] = true
	}
	for b := range i.present.opened {
		i.present.asked[b] = true
	}
	return slices.Sorted(maps.Keys(i.present.asked))
}

// Answered takes a broker's answer to the introduction with that number: it has the
// counts on disk, or err says why not. An answer to another introduction is
// ignored.
func (i *Introductions) Answered(number uint64, broker int, err error) {
	p := &i.present
	if number != i.last || !p.asked[broker] {
		return
	}
	delete(p.asked, broker)
	if err != nil {
		p.failures[broker] = err
	} else {
		p.noted[broker] = true
	}
}

// TimeOut ends the waiting: the present introduction goes on without the brokers
// that have not answered, which it counts, and the next one begins without those
// that are still opening.
func (i *Introductions) TimeOut() (unanswered int) {
	i.hurry = i.state == IntroductionGathering
	for b := range i.present.asked {
		i.present.failures[b] = errors.New("it did not write its ledger in time")
		unanswered++
	}
	i.present.asked = nil
	return unanswered
}

// Gone forgets a broker that was closed or failed meanwhile.
func (i *Introductions) Gone(broker int) {
	delete(i.newcomers, broker)
	delete(i.present.opened, broker)
	delete(i.present.asked, broker)
}

// Complete reports whether all answers to the present introduction are in.
func (i *Introductions) Complete() bool {
	return i.state == IntroductionNoting && len(i.present.asked) == 0
}

// Noted are the brokers that have the counts of the present introduction on disk.
func (i *Introductions) Noted() []int { return slices.Sorted(maps.Keys(i.present.noted)) }

// Conclude ends a complete introduction. A broker is introduced, and may run, when
// it has its peers' counts on disk, and at least one peer, if any runs, has its.
// Refused says why the others may not.
func (i *Introductions) Conclude() (introduced []int, refused map[int]error) {
	refused = map[int]error{}
	p := i.present
	others := len(p.noted) + len(p.failures) - 1
	for _, b := range slices.Sorted(maps.Keys(p.opened)) {
		witnesses := len(p.noted)
		if p.noted[b] {
			witnesses--
		}
		switch {
		case p.failures[b] != nil:
			refused[b] = p.failures[b]
		case others > 0 && witnesses == 0:
			refused[b] = errors.New("no other broker could note that it was opened")
		default:
			introduced = append(introduced, b)
		}
	}
	i.state, i.present = IntroductionIdle, introduction{}
	return introduced, refused
}
