package follow

import (
	"context"
	"time"

	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// Reader is that reading.
type Reader struct {
	route *routing.Partition
	here  func() bool  // whether a replica of it runs here
	has   func() int64 // up to where this node has it
	apply func(records []logfile.Record, restore int64)
	next  int64
}

// Start begins to read, on a goroutine, for as long as here says that no replica runs
// here, or that one does not get on. Has is up to where the node has it. Apply gets the records in order; where restore is not 0 they are all that there
// is below that offset, and replace what was there. The result ends the reading.
func Start(route *routing.Partition, here func() bool, has func() int64, apply func(records []logfile.Record, restore int64)) (stop func()) {
	work, cancel := context.WithCancel(context.Background())
	r := &Reader{route: route, here: here, has: has, apply: apply}
	go r.run(work)
	return cancel
}

// pause is the pause after a read that failed, and the longest time for which a
// wake that was lost is missed.
const pause = time.Second

func (r *Reader) run(ctx context.Context) {
	woken := make(chan struct{}, 1)
	w := protocol.NewWaiter(func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	for ctx.Err() == nil {
		if r.here() && !r.stuck(ctx) {
			continue
		}
		leader := r.route.Await(nil, time.Now().Add(pause))
		if leader == nil {
			continue
		}
		if !r.read(leader) {
			rest(ctx, pause/10)
			continue
		}
		leader.Register(w, protocol.Offset(r.next))
		select {
		case <-woken:
		case <-time.After(pause):
		case <-ctx.Done():
		}
		leader.Unregister(w)
	}
}

// stuck waits, and reports whether the replica here has not got what was committed when
// the wait began.
func (r *Reader) stuck(ctx context.Context) bool {
	committed := int64(0)
	if leader := r.route.Leader(); leader != nil && leader.Away {
		if v, err := leader.View(); err == nil {
			committed = v.HighWatermark()
		}
	}
	rest(ctx, pause)
	if r.has() >= committed {
		return false
	}
	r.next = r.has()
	return true
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// page is how many records are read at a time.
const page = 1000

// read hands over all records from next on. The first time, and where compaction has
// removed some of those, they are all that there is up to an offset, and replace what
// was there.
func (r *Reader) read(leader *routing.Leadership) bool {
	v, err := leader.View()
	if err != nil {
		return false
	}
	end := v.HighWatermark()
	whole := r.next == 0
	records, ok := readAll(v, r.next, end)
	if !ok {
		return false
	}
	if !whole && len(records) > 0 && int64(len(records)) != end-r.next {
		whole = true
		if records, ok = readAll(v, v.Earliest(), end); !ok {
			return false
		}
	}
	switch {
	case end <= r.next:
		return true
	case whole:
		r.apply(records, end)
	default:
		r.apply(records, 0)
	}
	r.next = end
	return true
}

func readAll(v routing.LogView, from, end int64) (all []logfile.Record, ok bool) {
	from = max(from, v.Earliest())
	for from < end {
		some, err := v.Read(nil, from, page, 1<<20)
		if err != nil {
			return nil, false
		}
		if len(some) == 0 {
			break // compaction has left nothing up to the end
		}
		all = append(all, some...)
		from = some[len(some)-1].Offset + 1
	}
	return all, true
}
