package webhook

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// laneOf is a lane at the beginning of a partition.
func laneOf(batch int, order protocol.Order, most int, committed protocol.Offset, metadata string) *lane {
	return newLane(&protocol.Subscription{SubscriptionSpec: protocol.SubscriptionSpec{Batch: batch, Order: order, MaxDeliveries: most}},
		protocol.TopicPartition{Topic: "t"}, "id", committed, metadata)
}

// log makes facts of records from to end-1; every keys-th key, 0: without keys.
func logOf(from, end protocol.Offset, keys int) (records []recordFacts) {
	for o := from; o < end; o++ {
		r := recordFacts{offset: o, bytes: 1}
		if keys > 0 {
			r.keyed, r.key = true, uint64(int(o)%keys)
		}
		records = append(records, r)
	}
	return records
}

func spans(units []*unit) (text string) {
	for _, u := range units {
		text += fmt.Sprintf("%d-%d ", u.from, u.to)
	}
	return text
}

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// commitAll commits what a lane has to commit, and returns it as it is kept.
func commitAll(l *lane) (protocol.Offset, string) {
	at, note, due := l.progress()
	if due {
		l.saving(at)()
	}
	return at, metadata(note)
}

func TestOrderOfDeliveries(t *testing.T) {
	for order, want := range map[protocol.Order]string{protocol.OrderPartition: "0-1 ", protocol.OrderKey: "0-1 1-2 2-3 ", protocol.OrderNone: "0-1 1-2 2-3 3-4 4-5 5-6 "} {
		l := laneOf(1, order, 3, 0, "")
		l.plan(logOf(0, 6, 3), 6)
		assert.Equal(t, want, spans(l.ready(noon, 100)), order)
		assert.Len(t, l.ready(noon, 1), 1)
	}
	keyless := laneOf(1, protocol.OrderKey, 3, 0, "")
	keyless.plan(logOf(0, 4, 0), 4)
	assert.Len(t, keyless.ready(noon, 100), 4, "records without a key need not wait for each other")
}

// A record that fails holds back what its order says, and is due again later.
func TestFailuresHoldBackTheirOwn(t *testing.T) {
	l := laneOf(1, protocol.OrderKey, 3, 0, "")
	l.plan(logOf(0, 6, 3), 6)
	poison := l.ready(noon, 1)[0]
	l.settle(poison, attempt{verdict: failed, status: 500, reason: "answered with 500", at: noon, after: time.Minute})
	assert.Equal(t, "1-2 2-3 ", spans(l.ready(noon, 100)))
	assert.Equal(t, "0-1 1-2 2-3 ", spans(l.ready(noon.Add(time.Minute), 100)), "Retry-After is honoured")
	for range 2 {
		for _, u := range l.ready(noon, 100) {
			l.settle(u, attempt{verdict: delivered, status: 200, at: noon})
		}
	}
	assert.Empty(t, l.ready(noon, 100), "3 waits for 0, of the same key")
	assert.Equal(t, noon.Add(time.Minute), l.nextDue())
	at, text := commitAll(l)
	assert.EqualValues(t, 0, at)
	again := laneOf(1, protocol.OrderKey, 3, at, text)
	again.plan(logOf(0, 6, 3), 6)
	assert.Equal(t, "0-1 ", spans(again.ready(noon, 100)), "what is delivered is not delivered again by a successor")
	assert.Equal(t, 1, again.units[0].attempts)
}

// After max_deliveries a unit is no delivery any more, once that is committed.
func TestExhaustedUnitsWaitForTheCommit(t *testing.T) {
	l := laneOf(1, protocol.OrderPartition, 2, 5, "")
	l.plan(logOf(5, 7, 0), 7)
	for i := range 2 {
		u := l.ready(noon.Add(time.Hour), 1)[0]
		require.False(t, l.exhausted(u), i)
		l.settle(u, attempt{verdict: failed, at: noon})
	}
	assert.Empty(t, l.ready(noon.Add(time.Hour), 1), "a successor would deliver it again")
	at, text := commitAll(l)
	u := l.ready(noon.Add(time.Hour), 1)[0]
	assert.True(t, l.exhausted(u))
	again := laneOf(1, protocol.OrderPartition, 2, at, text)
	again.plan(logOf(5, 7, 0), 7)
	assert.True(t, again.exhausted(again.ready(noon, 1)[0]))
	l.buried(u)
	at, _ = commitAll(l)
	assert.EqualValues(t, 6, at)
}

// The end of a delivery of several records is committed before it is sent.
func TestBatchesKeepTheirRecords(t *testing.T) {
	l := laneOf(10, protocol.OrderPartition, 5, 0, "")
	l.plan(logOf(0, 3, 0), 3)
	assert.Empty(t, l.ready(noon, 1))
	at, text := commitAll(l)
	assert.Equal(t, "0-3 ", spans(l.ready(noon, 1)))
	again := laneOf(10, protocol.OrderPartition, 5, at, text)
	_, records := again.room()
	again.plan(logOf(0, protocol.Offset(records), 0), protocol.Offset(records))
	assert.Equal(t, "0-3 ", spans(again.ready(noon, 1)), "with more records in the log it is the same delivery")
	smaller := laneOf(2, protocol.OrderPartition, 5, at, text)
	_, records = smaller.room()
	smaller.plan(logOf(0, protocol.Offset(records), 0), protocol.Offset(records))
	assert.Equal(t, "0-3 ", spans(smaller.ready(noon, 1)), "also when batch was changed meanwhile")
}

// What compaction leaves nothing of is skipped, and so is what retention has removed.
func TestGapsInALog(t *testing.T) {
	l := laneOf(1, protocol.OrderPartition, 5, 0, "")
	l.plan(nil, 7)
	at, _ := commitAll(l)
	assert.EqualValues(t, 7, at)
	l.plan([]recordFacts{{offset: 9}}, 12)
	assert.Equal(t, "7-10 ", spans(l.ready(noon, 1)))
	l.skip(40, noon, "removed")
	at, text := commitAll(l)
	assert.EqualValues(t, 40, at)
	assert.Contains(t, text, "removed")
	cut := laneOf(2, protocol.OrderPartition, 5, 0, `{"units":[[2,1],[4,0]]}`)
	cut.plan(logOf(5, 8, 0), 8)
	cut.progress()
	cut.plan(logOf(5, 8, 0), 8)
	cut.progress()
	cut.plan(logOf(5, 8, 0), 8)
	_, _ = commitAll(cut)
	assert.Equal(t, "4-7 ", spans(cut.ready(noon, 1)))
}

func TestNotesOfOthersAreNone(t *testing.T) {
	for _, text := range []string{"", "checkpoint 7", `[1]`, `{"units":[[1]]}`, `{"units":"x"}`, `{"units":[[1,2,3]]}`} {
		l := laneOf(1, protocol.OrderPartition, 5, 3, text)
		assert.Empty(t, l.cuts, text)
	}
	l := laneOf(1, protocol.OrderPartition, 5, 3, `{"units":[[2,1],[5,1],[4,1],[9,1]]}`)
	assert.Equal(t, []protocol.DeliveryUnit{{End: 5, Attempts: 1}}, l.cuts, "no unit ends before the one in front of it")
}

// TestNoteFitsIntoACommit: whatever a lane has to say, a commit takes it.
func TestNoteFitsIntoACommit(t *testing.T) {
	l := laneOf(1, protocol.OrderNone, 1000000, 1<<60, "")
	l.plan(logOf(1<<60, 1<<60+64, 0), 1<<60+64)
	for _, u := range l.units {
		u.attempts = 999999
	}
	l.note.Error = clip("\x01<>&" + string(make([]byte, 500)))
	l.note.Status, l.note.At, l.note.FailingSince = 500, 1<<60, 1<<60
	_, note, _ := l.progress()
	assert.LessOrEqual(t, len(metadata(note)), 4096)
}

// simulate delivers a log with failures, crashes and commits that come late, and checks
// what a receiver sees.
func simulate(t *testing.T, seed uint64, order protocol.Order, batch int) {
	r := rand.New(rand.NewPCG(seed, 1))
	const records, most, keys = 60, 4, 5
	now := noon
	delivers := map[protocol.Offset]bool{}
	dead := map[protocol.Offset]bool{}
	ends := map[protocol.Offset]protocol.Offset{} // of deliveries of several records, by their first
	highest := map[uint64]protocol.Offset{}
	committed, text := protocol.Offset(0), ""
	l := laneOf(batch, order, most, 0, "")
	for step := 0; committed < records; step++ {
		require.Less(t, step, 100_000, "seed %d: it does not end at %d: %s", seed, committed, text)
		switch r.IntN(12) {
		case 0: // whoever takes over knows what is committed
			if r.IntN(4) == 0 {
				l = laneOf(batch, order, most, committed, text)
			}
		case 1, 2, 3:
			if _, n := l.room(); n > 0 && l.next < records {
				end := min(protocol.Offset(records), l.next+protocol.Offset(1+r.IntN(n)))
				if len(l.cuts) > 0 { // a read that is long enough
					end = max(end, l.cuts[0].End)
				}
				l.plan(logOf(l.next, end, keys), end)
			}
		case 4, 5, 6:
			at, note, due := l.progress()
			if !due {
				continue
			}
			saved := l.saving(at)
			require.GreaterOrEqual(t, at, committed, "seed %d", seed)
			for o := committed; o < at; o++ {
				require.True(t, delivers[o] || dead[o], "seed %d: %d is committed and was not delivered", seed, o)
			}
			committed, text = at, metadata(note)
			if r.IntN(8) == 0 { // the answer is lost
				l.dirty = true
				continue
			}
			saved()
		default:
			now = now.Add(time.Duration(r.IntN(600)) * time.Second)
			ready := l.ready(now, 1+r.IntN(4))
			for _, u := range ready {
				if l.exhausted(u) {
					for o := u.from; o < u.to; o++ {
						dead[o] = true
					}
					l.buried(u)
					continue
				}
				if end, known := ends[u.from]; known && batch > 1 {
					require.Equal(t, end, u.to, "seed %d: a delivery is tried again with other records", seed)
				}
				ends[u.from] = u.to
				if r.IntN(3) == 0 {
					l.settle(u, attempt{verdict: failed, at: now})
					continue
				}
				for o := u.from; o < u.to; o++ {
					checkOrder(t, seed, order, o, uint64(int(o)%keys), delivers, dead, highest)
					delivers[o] = true
				}
				if r.IntN(10) > 0 { // else its answer comes too late for this process
					l.settle(u, attempt{verdict: delivered, at: now})
				} else {
					l.settle(u, attempt{verdict: failed, at: now})
				}
			}
		}
	}
}

// checkOrder requires that nothing is delivered before what has to go in front of it.
func checkOrder(t *testing.T, seed uint64, order protocol.Order, o protocol.Offset, key uint64, delivers, dead map[protocol.Offset]bool, _ map[uint64]protocol.Offset) {
	for before := range o {
		if delivers[before] || dead[before] {
			continue
		}
		switch order {
		case protocol.OrderPartition:
			require.Fail(t, "out of order", "seed %d: %d before %d", seed, o, before)
		case protocol.OrderKey:
			require.NotEqual(t, key, uint64(int(before)%5), "seed %d: %d before %d", seed, o, before)
		}
	}
}

func TestSimulatedDeliveries(t *testing.T) {
	for _, order := range protocol.Orders {
		for _, batch := range []int{1, 7} {
			t.Run(fmt.Sprintf("%s %d", order, batch), func(t *testing.T) {
				t.Parallel()
				for seed := range uint64(400) {
					simulate(t, seed, order, batch)
				}
			})
		}
	}
}

// What is behind records that were removed stays as it was: done, failed so often, divided
// so.
func TestSkippingLeavesTheRestAlone(t *testing.T) {
	l := laneOf(10, protocol.OrderNone, 5, 0, "")
	l.plan(logOf(0, 40, 0), 40)
	_, _ = commitAll(l)
	units := l.ready(noon, 100)
	require.Equal(t, "0-10 10-20 20-30 30-40 ", spans(units))
	l.settle(units[1], attempt{verdict: failed, at: noon})
	l.settle(units[2], attempt{verdict: delivered, at: noon})
	l.skip(15, noon, "removed")
	assert.Equal(t, "15-20 20-30 30-40 ", spans(l.units))
	assert.Equal(t, 1, l.units[0].attempts)
	assert.Equal(t, done, l.units[1].state)
	assert.EqualValues(t, 40, l.next)
	at, text := commitAll(l)
	assert.EqualValues(t, 15, at)
	assert.Contains(t, text, `[[20,1],[30,-1],[40,0]]`)
	l.units[0].state = sending
	l.skip(16, noon, "removed")
	assert.Equal(t, "15-20 20-30 30-40 ", spans(l.units), "what is under way has its records")
	l.skip(100, noon, "removed")
	assert.Empty(t, l.units)
	assert.EqualValues(t, 100, l.next)
}

// A lane that was divided into deliveries of several records, and is to send one at a time
// from now on, sends each of them, as often as is left.
func TestFromSeveralRecordsToOne(t *testing.T) {
	l := laneOf(1, protocol.OrderNone, 5, 0, `{"units":[[3,2],[6,-1],[8,0]]}`)
	_, n := l.room()
	l.plan(logOf(0, protocol.Offset(n), 0), protocol.Offset(n))
	assert.Equal(t, "0-1 1-2 2-3 6-7 7-8 8-9 ", spans(l.ready(noon, 6)))
	assert.Equal(t, 2, l.units[2].attempts)
	assert.Equal(t, 0, l.units[len(l.units)-1].attempts)

	few := laneOf(1, protocol.OrderNone, 5, 0, `{"units":[[3,2],[6,-1],[8,0]]}`)
	few.plan(logOf(0, 2, 0), 2) // the rest does not fit into one read
	_, text := commitAll(few)
	assert.Contains(t, text, `[[1,2],[2,2],[3,2],[6,-1],[8,0]]`)
	few.plan(logOf(2, 9, 0), 9)
	assert.Equal(t, "0-1 1-2 2-3 6-7 7-8 8-9 ", spans(few.ready(noon, 100)))
	assert.Equal(t, 2, few.units[2].attempts)
}

// What is known of units that are not planned yet is not lost with the next commit.
func TestNotesOfUnplannedUnitsStay(t *testing.T) {
	l := laneOf(1, protocol.OrderNone, 5, 0, `{"units":[[1,0],[2,-1],[3,4]]}`)
	l.plan(logOf(0, 1, 0), 1)
	l.dirty = true
	_, text := commitAll(l)
	assert.Contains(t, text, `[[1,0],[2,-1],[3,4]]`)
}
