package front

import (
	"sync"
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// How long the answer of one leader is waited for before the question is put
// again. After the leader was withdrawn, the question goes to whoever leads
// next. Otherwise it goes to the same leader again, because an actor below it
// may have died with the question. Whatever is asked in this way may be asked
// twice.
const (
	withdrawnPatience = 50 * time.Millisecond
	unansweredLeader  = 3 * time.Second
)

// follow puts one request to the leader of a partition and, until there is a
// final answer, to the leaders after it:
//
//	ask ---> await ---> final: the answer, or its error
//	 ^         |
//	 |         | refused, unclear
//	 |         v
//	 +------ next ----> nobody leads: unknown if an attempt was unclear, else leaderless
//
// A caller that must not block asks first, looks with due from time to time, and calls run
// once that returns true.
//
// It never blocks an actor: it runs on the goroutine of a request. Of each attempt exactly
// one of three things is known: its answer, that it was refused without effect, or nothing.
// Only the last makes later errors unclear, and it does so for good.
type follow[T any] struct {
	*locator
	topic     *protocol.Topic
	partition int
	deadline  time.Time
	attempt   time.Duration // how long one leader is waited for; 0: until the deadline, whoever leads by then
	put       func(*routing.Leadership, protocol.Future[T])
	failed    func(T) *protocol.Error // takes the error out of an answer
	judge     func(come bool, err *protocol.Error) verdict

	// The attempt that is under way.
	leader *routing.Leadership // who was asked; nil: nobody has led yet
	slot   protocol.Future[T]
	asked  time.Time

	patience time.Time // when the search for a next leader is given up; zero: no leader has refused since the last unclear attempt
	unclear  bool      // the outcome of an attempt is unknown, so it is of any later error
}

// verdict says what an answer, or its absence, means for a request.
type verdict int

const (
	verdictFinal   verdict = iota // the request is answered, or may not be put again
	verdictRefused                // nothing happened: the next leader is asked
	verdictUnclear                // nobody knows what happened: the next leader is asked, with new patience
)

// judgeOnce judges answers to what must not happen twice: only a refusal by somebody who
// does not lead proves that nothing happened. No answer may mean that it was done.
func judgeOnce(come bool, err *protocol.Error) verdict {
	if come && err != nil && err.Code == protocol.CodeNoLeader {
		return verdictRefused
	}
	return verdictFinal
}

// judgeRepeatable judges answers to what may be put again.
func judgeRepeatable(come bool, err *protocol.Error) verdict {
	switch {
	case !come, err != nil && err.Outcome == protocol.OutcomeUnknown:
		return verdictUnclear
	case err != nil && err.Code == protocol.CodeNoLeader:
		return verdictRefused
	}
	return verdictFinal
}

// judgeReading judges answers to what changes nothing: it never has an unknown
// outcome, and every failure is a reason to ask again.
func judgeReading(come bool, err *protocol.Error) verdict {
	if come && err == nil {
		return verdictFinal
	}
	return verdictRefused
}

// errUnanswered is what run returns for a request that nobody answered and
// that may not be put again.
var errUnanswered = protocol.Unknownf("nobody confirmed it in time")

// route is where the partition's leaders are published. It is the same for as long as the
// topic exists, whichever table it was found in.
func (f *follow[T]) route() *routing.Partition {
	return routing.Of(f.topic).Partitions[f.partition]
}

// begin asks the leader of the moment; false if nobody leads.
func (f *follow[T]) begin(slot protocol.Future[T]) bool {
	// Read once and kept: what is asked later on is about this leadership, and not about
	// whichever leads by then.
	if f.leader = f.route().Leader(); f.leader == nil {
		return false
	}
	f.ask(slot)
	return true
}

// ask puts the question to the leader that was found last. The answer of an earlier attempt
// goes to an earlier slot, which nobody looks into any more.
func (f *follow[T]) ask(slot protocol.Future[T]) {
	f.slot, f.asked = slot, time.Now()
	f.put(f.leader, slot)
}

// due reports whether run has something to do other than to wait for the
// leader that was asked.
func (f *follow[T]) due() bool {
	return len(f.slot.C()) > 0 || f.leader == nil || f.route().Leader() != f.leader || time.Since(f.asked) >= f.attempt
}

// run waits for the answer, and asks the next leader where need be.
func (f *follow[T]) run() (T, *protocol.Error) {
	for {
		if f.leader != nil {
			answer, come := f.await()
			err := f.failed(answer)
			switch f.judge(come, err) {
			// New patience: whoever leads next may need as long as the first to be elected.
			case verdictUnclear:
				f.unclear, f.patience = true, time.Time{}
			case verdictFinal:
				if !come {
					return answer, errUnanswered
				}
				return answer, f.unclearly(err)
			}
		}
		if !f.next() {
			var none T
			if f.unclear {
				return none, protocol.Unknownf("nobody confirmed it in time")
			}
			return none, f.leaderless(f.topic, f.partition)
		}
		f.ask(protocol.NewFuture[T]())
	}
}

// await waits for the answer of the leader that was asked, as long as it is
// worth it; false if there is none.
func (f *follow[T]) await() (T, bool) {
	if f.attempt == 0 {
		return f.slot.Wait(f.deadline)
	}
	select {
	case answer := <-f.slot.C():
		return answer, true
	default:
	}
	until := minTime(f.deadline, f.asked.Add(f.attempt))
	t := timers.Get().(*time.Timer)
	t.Reset(time.Until(until))
	defer func() {
		t.Stop() // nothing of this wait is left in its channel then
		timers.Put(t)
	}()
	route := f.route()
	for {
		// Both at once, or a change between two looks would be missed.
		leader, changed := route.Current()
		if leader != f.leader {
			// A leader that ends in order answers everybody first.
			return f.slot.Wait(minTime(until, time.Now().Add(withdrawnPatience)))
		}
		select {
		case answer := <-f.slot.C():
			return answer, true
		// It may be the same leader in a new term, or none; the loop looks.
		case <-changed:
		case <-t.C:
			return f.slot.Wait(time.Now())
		}
	}
}

// timers are for await, which every commit waits in: their memory is used again.
var timers = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}}

// next waits for the leader to ask next; false if there was none in time.
func (f *follow[T]) next() bool {
	if f.patience.IsZero() {
		f.patience = minTime(f.deadline, time.Now().Add(routing.FailoverPatience))
	}
	f.leader = f.nextLeader(f.topic, f.route(), f.leader, f.patience)
	return f.leader != nil
}

// unclearly is a final error: after an attempt whose outcome is unknown, its
// outcome is unknown as well.
func (f *follow[T]) unclearly(err *protocol.Error) *protocol.Error {
	if err == nil || !f.unclear {
		return err
	}
	return err.WithOutcome(protocol.OutcomeUnknown)
}

// nextLeader waits for a leader other than the one that refused. One that
// refused because it was about to hand over, and then did not, is asked again. Nobody
// is waited for once the topic is gone: replicas elsewhere may seem to run on.
func (lc *locator) nextLeader(t *protocol.Topic, route *routing.Partition, not *routing.Leadership, deadline time.Time) *routing.Leadership {
	for time.Now().Before(deadline) && lc.gone(t) == nil {
		// With too few replicas there is nobody to wait for.
		if leader := route.Leader(); route.Hopeless() && (leader == nil || leader != not) {
			return leader
		}
		// In short waits, because neither the topic's end nor the process' wakes it.
		if ref := route.Await(not, minTime(deadline, time.Now().Add(50*time.Millisecond))); ref != nil {
			return ref
		}
		select {
		case <-lc.stopped:
			return nil
		default:
		}
	}
	return nil
}

// leaderless is the error for a partition that nobody leads.
func (lc *locator) leaderless(t *protocol.Topic, partition int) *protocol.Error {
	select {
	case <-lc.stopped:
		return protocol.Errorf(protocol.CodeShuttingDown, "the broker is shutting down")
	default:
	}
	route := routing.Of(t).Partitions[partition]
	if err := lc.gone(t); err != nil {
		return err
	}
	if route.LacksMajority() {
		return protocol.Errorf(protocol.CodeNotEnoughReplicas,
			"partition %d of topic %q has %d of %d replicas running, no majority%s",
			partition, t.Name, route.Running(), route.Placed, lc.replicaProblem(t, route.ID))
	}
	return protocol.Errorf(protocol.CodeNoLeader, "partition %d of topic %q has no leader at the moment", partition, t.Name)
}

// replicaProblem is the end of an error that says what is wrong with a
// partition's replicas, "" if that is not known.
func (lc *locator) replicaProblem(t *protocol.Topic, key protocol.PartitionID) string {
	view := routing.Of(t).Cluster.View()
	if view == nil || view.Problems[key] == "" {
		return ""
	}
	return ": " + view.Problems[key]
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
