package queue

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/actors/level"
	"ottla/actors/metarecord"
	"ottla/protocol"
)

// sim is a queue in a world where coordinators crash, answers are lost and workers
// are slow. It knows what must not happen and checks it without the queue's help.
type sim struct {
	t    *testing.T
	rng  *rand.Rand
	seed uint64
	now  int64

	ids   []protocol.PartitionID
	logs  map[protocol.PartitionID]*simLog
	state *State
	known map[string]metarecord.Record // newest by key, committed
	order []*simChange                 // not committed yet
	held  []simHeld                    // deliveries that workers have
	every []string                     // receipts that workers have had
	back  []Ref                        // deliveries that are to be returned, whoever coordinates by then

	dead     map[protocol.PartitionID]int64 // number of the newest dead letter that was written
	maxGiven int
	change   Change
	level    int  // of the fleet
	forgets  bool // the queue remembers few endings
}

// simChange is a change whose records are not committed, and what follows when
// they are.
type simChange struct {
	recs []metarecord.Record
	done func()
}

// simLog is the log of one partition, and what became of its records.
type simLog struct {
	records  []simRecord
	earliest int64
	start    int64
}

type simRecord struct {
	missing   bool // compaction has removed it
	key       uint64
	deliverAt int64

	acked    bool  // a worker was told so
	ackSaid  bool  // some ack was applied, perhaps without anybody knowing
	deads    int   // dead letters that were written of it
	free     int64 // until then it is with a worker, or is to wait
	count    int   // deliveries that workers have had
	returned bool
	changes  int // that were decided on; what is known of older ones does not count
	endedBy  int // the delivery whose ack has ended it
}

func (r *simRecord) over() bool { return r.missing || r.ackSaid || r.deads > 0 }

type simHeld struct {
	id     protocol.PartitionID
	offset int64
	token  string
	until  int64
}

var simTopics = []Topic{{ID: "id-a", Name: "a"}, {ID: "id-b", Name: "b"}}

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), now: 1_000_000, logs: map[protocol.PartitionID]*simLog{}, known: map[string]metarecord.Record{}, dead: map[protocol.PartitionID]int64{}}
	for _, topic := range simTopics {
		for p := range 1 + s.rng.IntN(2) {
			first := int64(s.rng.IntN(3)) * 61
			id := protocol.PartitionID{TopicID: topic.ID, Partition: p}
			s.ids = append(s.ids, id)
			s.logs[id] = &simLog{earliest: first, start: first, records: make([]simRecord, first)}
		}
	}
	wait, deliveries, inFlight := int64(50+s.rng.IntN(2000)), 1+s.rng.IntN(4), 1+s.rng.IntN(80)
	s.change = Change{Topics: simTopics, AckWaitMs: &wait, MaxDeliveries: &deliveries, MaxInFlight: &inFlight, BackoffMs: []int64{int64(s.rng.IntN(50)), int64(s.rng.IntN(3000))}}
	if s.rng.IntN(2) == 0 {
		order := protocol.OrderKey
		s.change.Order = &order
	}
	s.maxGiven = inFlight
	s.level, s.forgets = level.Endings.Level-s.rng.IntN(2), s.rng.IntN(2) == 0
	s.state = s.newState()
	_, recs, err := s.state.Put(s.now, &s.change, []byte("secret"))
	require.Nil(t, err)
	s.state.Resume()
	s.propose(recs, nil)
	s.commit(len(s.order))
	return s
}

func (s *sim) newState() *State {
	state := New("q")
	state.Level = func() int { return s.level }
	if s.forgets {
		state.pageEndings, state.maxPages = 3, 2
	}
	return state
}

func (s *sim) byKey() bool { return s.change.Order != nil }

func (s *sim) fail(format string, args ...any) {
	require.FailNow(s.t, fmt.Sprintf("seed %d at %d: ", s.seed, s.now)+fmt.Sprintf(format, args...))
}

// propose has f called when records are committed, in the order of proposals.
func (s *sim) propose(recs []metarecord.Record, f func()) {
	s.order = append(s.order, &simChange{recs, f})
}

func (s *sim) keep(recs []metarecord.Record) {
	for _, r := range recs {
		if s.level < level.Endings.Level && strings.Count(string(r.Key), ",") == 4 {
			s.fail("below the level of pages %s is written", r.Key)
		}
		if r.Value == nil {
			delete(s.known, string(r.Key))
		} else {
			s.known[string(r.Key)] = r
		}
	}
}

func (s *sim) commit(n int) {
	for range n {
		c := s.order[0]
		s.order = s.order[1:]
		s.keep(c.recs)
		if c.done != nil {
			c.done()
		}
	}
}

// replayed is the state that the committed records make, in any order.
func (s *sim) replayed() *State {
	next := s.newState()
	for _, rec := range s.known { // of a map: any order
		require.NoError(s.t, next.Apply(rec))
	}
	return next
}

// crash ends the coordinator. Some of what it has proposed is committed all the same,
// cut off anywhere; nobody is told.
func (s *sim) crash() {
	if len(s.order) == 0 {
		if live, again := s.state.Dump(), s.replayed().Dump(); live != again {
			s.fail("replayed:\n%s\nlive:\n%s", again, live)
		}
	}
	for _, c := range s.order {
		if s.rng.IntN(3) == 0 {
			s.keep(c.recs[:s.rng.IntN(len(c.recs)+1)])
			break
		}
		s.keep(c.recs)
	}
	s.order = nil
	s.state = s.replayed()
	s.state.Resume()
	s.state.Tick(s.now)
	s.propose(s.state.Flush(s.now), nil)
	if s.rng.IntN(2) == 0 {
		s.giveBack() // before the next coordinator has read anything
	}
	for _, id := range s.ids {
		l := s.logs[id]
		p := s.state.parts[id]
		for o := max(l.start, l.earliest); o < int64(len(l.records)); o++ {
			r := &l.records[o]
			ended := p != nil && p.began && p.isEnded(o)
			switch {
			case ended && !r.over():
				s.fail("%v %d is ended after a crash, and nobody has ended it", id, o)
			case !ended && r.acked:
				s.fail("%v %d was acknowledged, and is not ended after a crash", id, o)
			}
			if r.ackSaid = r.ackSaid && ended; !r.ackSaid {
				r.endedBy = 0
			}
		}
	}
}

func (s *sim) step() {
	switch n := s.rng.IntN(100); {
	case n < 15:
		s.write()
	case n < 35:
		s.feed()
	case n < 55:
		s.give()
	case n < 75:
		s.say()
	case n < 83:
		s.commit(s.rng.IntN(len(s.order) + 1))
	case n < 91:
		s.now += int64(s.rng.ExpFloat64() * 200)
		s.tick()
	case n < 93:
		s.bury()
	case n < 94:
		s.giveBack()
	case n < 96:
		s.crash()
	case n < 97:
		s.shorten()
	case n < 98 && s.rng.IntN(3) == 0:
		s.level = level.Endings.Level
	default:
		s.compact()
	}
	s.check()
}

func (s *sim) write() {
	for _, id := range s.ids {
		l := s.logs[id]
		for range s.rng.IntN(30) {
			r := simRecord{}
			if s.rng.IntN(3) > 0 {
				r.key = uint64(1 + s.rng.IntN(6))
			}
			if s.rng.IntN(5) == 0 {
				r.deliverAt = s.now + int64(s.rng.IntN(2000))
			}
			l.records = append(l.records, r)
		}
	}
}

// shorten has retention remove records.
func (s *sim) shorten() {
	for _, id := range s.ids {
		l := s.logs[id]
		if s.rng.IntN(4) == 0 {
			l.earliest += min(int64(s.rng.IntN(40)), int64(len(l.records))-l.earliest)
		}
	}
}

// compact removes records as compaction by key does: never the last.
func (s *sim) compact() {
	for _, id := range s.ids {
		l := s.logs[id]
		for o := l.earliest; o < int64(len(l.records))-1; o++ {
			if s.rng.IntN(200) == 0 {
				l.records[o].missing = true
			}
		}
	}
}

func (s *sim) feed() {
	for _, scan := range s.state.Scans(func(t Topic) int {
		n := 0
		for _, id := range s.ids {
			if id.TopicID == t.ID {
				n++
			}
		}
		return n
	}) {
		l := s.logs[scan.ID]
		r := &Read{Scan: scan, Earliest: l.earliest, End: int64(len(l.records)), Next: scan.From}
		if scan.From >= 0 {
			r.From = max(scan.From, l.earliest)
			r.Next = min(r.From+1+int64(s.rng.IntN(100)), r.End)
			if scan.To > 0 {
				r.Next = min(r.Next, scan.To)
			}
			if r.From > scan.From {
				r.Next = r.From // the queue is told where the log begins, and asks again
			}
		}
		for o := max(r.From, 0); o < r.Next; o++ {
			if rec := &l.records[o]; !rec.missing {
				r.Records = append(r.Records, ReadRecord{Offset: o, Key: rec.key, Size: 100, DeliverAt: rec.deliverAt})
			}
		}
		_, recs := s.state.Feed(s.now, r)
		s.propose(recs, nil)
	}
}

func (s *sim) tick() {
	if at := s.state.NextTick(); at != 0 && at <= s.now {
		s.state.Tick(s.now)
		s.propose(s.state.Flush(s.now), nil)
	}
}

func (s *sim) give() {
	got, recs, err := s.state.Give(s.now, &Ask{ClusterID: "c", Consumer: 1, Topics: []string{"id-a", "id-b"}, MaxRecords: 1 + s.rng.IntN(20), MaxBytes: 1000})
	require.Nil(s.t, err)
	for _, g := range got {
		s.checkGiven(&g)
		s.logs[g.ID].records[g.Offset].changes++
	}
	if n := s.state.inFlight(); len(got) > 0 && n > s.maxGiven {
		s.fail("%d records are with workers, more than %d", n, s.maxGiven)
	}
	lost := s.rng.IntN(8) == 0
	s.propose(recs, func() {
		for _, g := range got {
			l := s.logs[g.ID]
			r := &l.records[g.Offset]
			if s.rng.IntN(20) == 0 {
				s.back = append(s.back, Ref{g.ID, g.Offset, g.Count})
				r.returned = true
				continue
			}
			r.free, r.count = g.Deadline, r.count+1
			s.every = append(s.every, g.Receipt)
			if !lost {
				s.held = append(s.held, simHeld{id: g.ID, offset: g.Offset, token: g.Receipt, until: g.Deadline})
			}
		}
		if s.rng.IntN(2) == 0 {
			s.giveBack()
		}
	})
}

// giveBack returns deliveries that have reached no worker.
func (s *sim) giveBack() {
	if len(s.back) > 0 {
		s.propose(s.state.Return(s.now, s.back, nil), nil)
		s.back = nil
	}
}

// checkGiven checks a delivery at the time of the decision.
func (s *sim) checkGiven(g *Given) {
	l := s.logs[g.ID]
	r := &l.records[g.Offset]
	switch {
	case r.acked:
		s.fail("%v %d was acknowledged, and is given again", g.ID, g.Offset)
	case r.deads > 0:
		s.fail("%v %d is a dead letter, and is given again", g.ID, g.Offset)
	case r.deliverAt > s.now:
		s.fail("%v %d is given %d ms too early", g.ID, g.Offset, r.deliverAt-s.now)
	case r.free > s.now:
		s.fail("%v %d is given while it is with a worker", g.ID, g.Offset)
	case g.Count > *s.change.MaxDeliveries:
		s.fail("%v %d is given for the %dth time", g.ID, g.Offset, g.Count)
	}
	if s.byKey() && r.key != 0 {
		for o := max(l.earliest, l.start); o < g.Offset; o++ {
			if before := &l.records[o]; before.key == r.key && !before.over() && !s.state.parts[g.ID].isEnded(o) {
				s.fail("%v %d is given before %d with the same key", g.ID, g.Offset, o)
			}
		}
	}
}

func (s *sim) say() {
	for range 1 + s.rng.IntN(5) {
		if len(s.held) == 0 {
			return
		}
		i := s.rng.IntN(len(s.held))
		h := s.held[i]
		receipt, err := DecodeReceipt(h.token)
		require.Nil(s.t, err)
		w := &Word{Reason: "no"}
		switch n := s.rng.IntN(10); {
		case n < 6:
			w.Verb = Ack
		case n < 8:
			w.Verb = Nack
			w.Dead = s.rng.IntN(4) == 0
			if s.rng.IntN(2) == 0 {
				delay := int64(s.rng.IntN(500))
				w.DelayMs = &delay
			}
		default:
			w.Verb, w.WaitMs = Extend, int64(s.rng.IntN(1000))
		}
		if s.rng.IntN(5) > 0 && w.Verb != Extend {
			s.held = slices.Delete(s.held, i, i+1) // else it is said again, as after a lost answer
		}
		was := s.state.parts[h.id].isEnded(h.offset)
		verdicts, recs := s.state.Say(s.now, w, []*Receipt{receipt})
		r := &s.logs[h.id].records[h.offset]
		s.checkSaid(r, w, receipt, was, verdicts[0])
		if verdicts[0] == Invalid {
			s.fail("a receipt was refused")
		}
		if verdicts[0] == Done {
			r.ackSaid = r.ackSaid || w.Verb == Ack
			r.free = 0
			r.changes++
		}
		until, change := s.now+w.WaitMs, r.changes
		told := s.rng.IntN(10) > 0
		s.propose(recs, func() {
			if verdicts[0] == Done && w.Verb == Extend && r.changes == change {
				r.free = until
			}
			if verdicts[0] == Done && w.Verb == Ack && told {
				if r.deads > 0 && !r.acked && h.offset >= s.logs[h.id].earliest {
					s.fail("%v %d is a dead letter, and its ack was taken", h.id, h.offset)
				}
				r.acked = true
			}
		})
	}
}

// bury writes dead letters as the broker does: each first to the topic, then the end
// to the queue. What was written may have to be written again.
func (s *sim) bury() {
	if len(s.order) > 0 {
		return // they die when that is committed
	}
	for _, d := range s.state.Dying() {
		r := &s.logs[d.ID].records[d.Offset]
		written := !r.missing && d.Offset >= s.logs[d.ID].earliest
		if written && d.Seq > s.dead[d.ID] {
			s.dead[d.ID] = d.Seq // the producer's number
			if r.deads++; r.deads > 1 || r.acked {
				s.fail("%v %d is a dead letter %d times, acknowledged: %v", d.ID, d.Offset, r.deads, r.acked)
			}
		}
		if s.rng.IntN(3) == 0 {
			s.crash()
			return
		}
		s.propose(s.state.Buried(s.now, d.ID, d.Offset, d.Seq, written), nil)
	}
}

// check checks what holds at any time.
func (s *sim) check() {
	for id, p := range s.state.parts {
		l := s.logs[id]
		if !p.began {
			continue
		}
		for o := max(l.start, l.earliest); o < min(p.position, int64(len(l.records))); o++ {
			if r := &l.records[o]; !r.over() {
				s.fail("the position of %v is %d, and %d is not ended", id, p.position, o)
			}
		}
	}
}

// TestQueuesUnderHarm runs many histories. QUEUE_SEED runs one again, QUEUE_SEEDS says how
// many.
func TestQueuesUnderHarm(t *testing.T) {
	first, seeds := uint64(0), uint64(400)
	if testing.Short() { // under the race detector, which finds nothing in one goroutine
		seeds = 25
	}
	if text := os.Getenv("QUEUE_SEEDS"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
		seeds = n
	}
	if text := os.Getenv("QUEUE_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
		first, seeds = n, 1
	}
	for seed := first; seed < first+seeds; seed++ {
		s := newSim(t, seed)
		for range 300 {
			s.step()
		}
		s.drain()
	}
}
