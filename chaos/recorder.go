package main

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ottla/chaos/offsetcheck"
)

// recorder collects the history of all clients.
type recorder struct {
	began   time.Time
	acks    atomic.Int64
	offsets *offsetcheck.History
	fence   time.Duration // how old a read may be

	mu    sync.Mutex
	h     history
	seen  map[position]string
	highs map[position]int64      // by partition (offset 0), the greatest offset seen
	ends  map[position][]shownEnd // by partition (offset 0), the ends that acknowledgements have shown
	given map[string]int64        // by group, the newest generation that a member was told
}

// position is an offset of a topic.
type position struct {
	topic string
	at    place
}

func newRecorder() *recorder {
	return &recorder{
		began: time.Now(), offsets: offsetcheck.New(),
		h:    history{churned: map[string]lifetime{}},
		seen: map[position]string{}, highs: map[position]int64{}, ends: map[position][]shownEnd{}, given: map[string]int64{},
	}
}

// now returns the time since the campaign began.
func (r *recorder) now() time.Duration { return time.Since(r.began) }

// violate records a violation that a client noticed.
func (r *recorder) violate(kind, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.violations = append(r.h.violations, violation{kind, fmt.Sprintf(format, args...)})
}

func (r *recorder) produced(batch []produced) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.produced = append(r.h.produced, batch...)
	for _, p := range batch {
		if p.outcome == acked {
			r.acks.Add(1)
			r.high(p.topic, p.at)
			r.mark(p.topic, p.at)
		}
	}
}

func (r *recorder) high(topic string, at place) {
	key := position{topic, place{at.partition, 0}}
	r.highs[key] = max(r.highs[key], at.offset)
}

// shownEnd is the end of a partition that an acknowledgement has shown at some time.
type shownEnd struct {
	time time.Duration
	end  int64
}

func (r *recorder) mark(topic string, at place) {
	if topic == churnTopic {
		return
	}
	key := position{topic, place{at.partition, 0}}
	list := r.ends[key]
	if len(list) == 0 || at.offset >= list[len(list)-1].end {
		r.ends[key] = append(list, shownEnd{r.now(), at.offset + 1})
	}
}

// fresh checks the end that a read has shown, which began at some time: it must not be
// older than what was acknowledged a fence before that.
func (r *recorder) fresh(topic string, partition int, began time.Duration, end *int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.ends[position{topic, place{partition, 0}}]
	n, _ := slices.BinarySearchFunc(list, began-r.fence, func(m shownEnd, t time.Duration) int { return cmp.Compare(m.time, t) })
	if n == 0 {
		return
	}
	if want := list[n-1]; end == nil || *end < want.end {
		shown := "nothing"
		if end != nil {
			shown = fmt.Sprint(*end)
		}
		r.h.violations = append(r.h.violations, violation{"stale read", fmt.Sprintf("a read of %s-%d that began at %s showed the end %s; %d was acknowledged at %s", topic, partition, began, shown, want.end, want.time)})
	}
}

// highest is the greatest offset that anybody has seen of a partition.
func (r *recorder) highest(topic string, partition int) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.highs[position{topic, place{partition, 0}}]
}

// saw records values that a client read. An offset must always have the same
// value. A topic that is deleted and created again has a new log each time, so it
// is left out.
func (r *recorder) saw(topic string, records []consumed) {
	if topic == churnTopic {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range records {
		key, value := position{topic, place{c.Partition, c.Offset}}, text(c.Value)
		if old, ok := r.seen[key]; ok && old != value {
			r.h.violations = append(r.h.violations, violation{"inconsistent", fmt.Sprintf("%s %v gave %s and later %s", topic, key.at, old, value)})
		}
		r.seen[key] = value
		r.high(topic, key.at)
	}
}

// delivered records what a poll returned. moved says that the member's positions
// may have changed, by a new generation or a failed poll before.
func (r *recorder) delivered(m *member, records []consumed, moved bool) {
	r.saw(m.g.topic, records)
	byPartition := map[int][]int64{}
	for _, c := range records {
		byPartition[c.Partition] = append(byPartition[c.Partition], c.Offset)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range partitions {
		if offs := byPartition[p]; len(offs) > 0 || moved {
			r.h.deliveries = append(r.h.deliveries, delivery{
				group: m.g.name, member: m.id, generation: m.generation, partition: p, offsets: offs, moved: moved,
			})
		}
	}
}

// generation returns the newest generation of a group that a member was told.
func (r *recorder) generation(group string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.given[group]
}

// accepted records the generation in a poll's answer. A cursor of a generation
// that had ended before the poll began must not have been accepted.
func (r *recorder) accepted(m *member, generation, cursor, newest int64) {
	if cursor < newest {
		r.violate("stale", "group %s accepted a cursor of generation %d from member %d in generation %d", m.g.name, cursor, m.id, newest)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.given[m.g.name] = max(r.given[m.g.name], generation)
}

// deleting records that the request to delete a topic is about to be sent.
func (r *recorder) deleting(topic string) {
	at := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.h.churned[topic]
	l.deleted, l.created = at, never
	r.h.churned[topic] = l
}

// notDeleted records that nobody has said that a topic is deleted: it may still have all
// its records, or lose them any time.
func (r *recorder) notDeleted(topic string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.churned[topic] = lifetime{created: never}
}

// created records that a topic was created again.
func (r *recorder) created(topic string) {
	at := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.h.churned[topic]
	l.created = at
	r.h.churned[topic] = l
}
