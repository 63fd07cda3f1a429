package e2e

import (
	"context"
	"fmt"
	"math/rand"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// place names a record.
type place struct {
	partition int
	offset    int64
}

// ackWait is how long workers have, in milliseconds.
const ackWait = 1500

// workforce is a number of workers of one queue, at any of its nodes. Some of what
// they do fails, and they keep what must not come again.
type workforce struct {
	t     *testing.T
	f     *nodeSet
	queue string
	topic string
	parts int

	mu      sync.Mutex
	written map[place]string
	acked   map[place]time.Time // when the answer came
	given   map[place]int
	until   map[place]map[int]int64 // deadlines by the count of the delivery, milliseconds since 1970
	back    map[place]map[int]bool  // likewise, which were given back, perhaps without an answer
	wrong   []string
}

func (f *nodeSet) workforce(queue, topic string, parts int) *workforce {
	w := &workforce{t: f.t, f: f, queue: queue, topic: topic, parts: parts, written: map[place]string{}, acked: map[place]time.Time{}, given: map[place]int{}, until: map[place]map[int]int64{}, back: map[place]map[int]bool{}}
	f.nodes[0].topic(topic, parts)
	f.nodes[0].queue(queue, topic, object{"ack_wait_ms": ackWait, "max_deliveries": 4, "backoff_ms": []int{10, 100}})
	return w
}

// write writes records until ctx ends, some of them poison, some for later.
func (w *workforce) write(ctx context.Context, producer int) {
	c := &nodeClient{f: w.f, at: producer % len(w.f.nodes)}
	for i := 0; ctx.Err() == nil; i++ {
		value := fmt.Sprintf("%d-%d", producer, i)
		if i%25 == 7 {
			value = "poison-" + value
		}
		body := object{"topic": w.topic, "value": value}
		if i%10 == 3 {
			body["delay_ms"] = 200
		}
		a := c.ask(http.MethodPost, "/events", body, "Idempotency-Key", value)
		if a == nil || a.status != http.StatusOK {
			continue
		}
		var p produced
		a.as(&p)
		w.mu.Lock()
		w.written[place{p.Partition, p.Offset}] = value
		w.mu.Unlock()
		<-time.After(time.Duration(rand.Intn(8)) * time.Millisecond) // the pace of the load
	}
}

// work works until ctx ends.
func (w *workforce) work(ctx context.Context, worker int) {
	c := &nodeClient{f: w.f, at: worker % len(w.f.nodes)}
	rng := rand.New(rand.NewSource(int64(worker)))
	for ctx.Err() == nil {
		asked := time.Now()
		a := c.ask(http.MethodGet, fmt.Sprintf("/events?group=%s&topic=%s&max_records=%d&timeout_ms=300&consumer_id=%d", w.queue, w.topic, 1+rng.Intn(8), 100+worker), nil)
		if a == nil || a.status != http.StatusOK {
			continue
		}
		var p polled
		a.as(&p)
		for i := range p.Records {
			w.handle(c, rng, &p.Records[i], asked)
		}
	}
}

// handle does with a record what workers do: most acknowledge it, some forget it,
// some give it back. Poison is always given back.
func (w *workforce) handle(c *nodeClient, rng *rand.Rand, r *record, asked time.Time) {
	at := place{r.Partition, r.Offset}
	w.mu.Lock()
	w.given[at]++
	if when, done := w.acked[at]; done && when.Before(asked) {
		w.wrong = append(w.wrong, fmt.Sprintf("%v was acknowledged at %v, and is given again", at, when))
	}
	w.deliver(at, r.Delivery)
	w.mu.Unlock()
	now := time.Now().UnixMilli()
	if r.DeliverAt > now {
		w.note("%v is given %d ms too early", at, r.DeliverAt-now)
	}
	receipt := object{"receipts": []string{r.Delivery.Receipt}}
	poison := string(r.Value[1:7]) == "poison"
	switch n := rng.Intn(30); {
	case poison, n == 0:
		w.mu.Lock()
		w.back[at][r.Delivery.Count] = true
		w.mu.Unlock()
		c.ask(http.MethodPost, "/events/nack", receipt)
	case n == 1: // it dies
	default:
		a := c.ask(http.MethodPost, "/events/ack", receipt)
		switch {
		case a == nil:
		case a.status == http.StatusOK:
			w.mu.Lock()
			w.acked[at] = time.Now()
			w.mu.Unlock()
		case a.status != http.StatusConflict:
			w.note("ack of %v: %d %s", at, a.status, a.body)
		}
	}
}

// deliver notes a delivery, and checks it against the others of its record by their counts:
// workers need not come to theirs in the order in which they were given. Locked.
func (w *workforce) deliver(at place, d *delivery) {
	if w.until[at] == nil {
		w.until[at], w.back[at] = map[int]int64{}, map[int]bool{}
	}
	if _, twice := w.until[at][d.Count]; twice {
		w.wrong = append(w.wrong, fmt.Sprintf("%v: delivery %d is there twice", at, d.Count))
	}
	w.until[at][d.Count] = d.Deadline
	for count := range w.until[at] {
		before, after := min(count, d.Count), max(count, d.Count)
		if early := w.until[at][before] - (w.until[at][after] - ackWait); before != after && early > 0 && !w.back[at][before] {
			w.wrong = append(w.wrong, fmt.Sprintf("%v: delivery %d is given %d ms before the deadline of delivery %d", at, after, early, before))
		}
	}
}

func (w *workforce) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// progress waits until n more records were acknowledged.
func (w *workforce) progress(n int) {
	w.t.Helper()
	count := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.acked)
	}
	goal := count() + n
	w.f.nodes[0].eventually(waitTimeout, "records are acknowledged", func() error {
		if c := count(); c < goal {
			return fmt.Errorf("%d of %d", c, goal)
		}
		return nil
	})
}

// check waits until all is ended, and looks where each record is.
func (w *workforce) check() {
	w.t.Helper()
	s := w.f.nodes[0]
	s.eventually(2*waitTimeout, "all records are ended", func() error {
		a := s.get("/groups/" + w.queue)
		if a.status != http.StatusOK { // a node that was killed is not back yet
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		var q queueInfo
		a.as(&q)
		for _, p := range q.Partitions {
			if p.Position != p.End {
				return fmt.Errorf("%+v", p)
			}
		}
		return nil
	})
	dead := map[place]int{}
	for p := range w.parts {
		for from := int64(0); ; {
			got := s.fetch(w.topic+".dead", p, from, "&max_records=1000").Records
			if len(got) == 0 {
				break
			}
			for _, r := range got {
				var at place
				_, err := fmt.Sscan(r.Headers["ottla-dead-partition"]+" "+r.Headers["ottla-dead-offset"], &at.partition, &at.offset)
				require.NoError(w.t, err)
				dead[at]++
				from = r.Offset + 1
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	assert.Empty(w.t, w.wrong)
	poison := 0
	for at, value := range w.written {
		_, acked := w.acked[at]
		isPoison := len(value) > 6 && value[:6] == "poison"
		if isPoison {
			poison++
		}
		if dead[at] > 1 || isPoison && dead[at] != 1 || acked && dead[at] > 0 {
			assert.Fail(w.t, "a record is in the wrong place", "%v %s: acknowledged %v, dead letters %d, given %d", at, value, acked, dead[at], w.given[at])
		}
		if !acked && dead[at] == 0 && w.given[at] == 0 {
			assert.Fail(w.t, "a record was never given", "%v %s", at, value)
		}
	}
	require.Greater(w.t, len(w.acked), 100)
	w.t.Logf("%d written, %d poison, %d acknowledged, %d dead letters", len(w.written), poison, len(w.acked), len(dead))
}

// run has producers and workers at work while harm is done.
func (w *workforce) run(harm func()) {
	var working, writing sync.WaitGroup
	writes, stopWrites := context.WithCancel(context.Background())
	works, stopWorks := context.WithCancel(context.Background())
	defer stopWorks()
	defer stopWrites()
	for i := range 4 {
		writing.Go(func() { w.write(writes, i) })
		working.Go(func() { w.work(works, i) })
	}
	harm()
	stopWrites()
	writing.Wait()
	w.check()
	stopWorks()
	working.Wait()
}

// Killed processes lose no record of a queue, give none again that was acknowledged,
// and write each dead letter once.
func TestQueueOutlivesKilledProcesses(t *testing.T) {
	t.Parallel()
	s := start(t)
	f := &nodeSet{t: t, nodes: []*server{s}}
	w := f.workforce("w", "jobs", 3)
	w.run(func() {
		for range 4 {
			w.progress(60)
			s.kill()
			s.again()
		}
		w.progress(60)
	})
}

// The same in a fleet, where the coordinator moves.
func TestQueueOutlivesKilledNodes(t *testing.T) {
	t.Parallel()
	f := startNodes(t, 3)
	w := f.workforce("w", "jobs", 3)
	w.run(func() {
		for _, s := range f.nodes {
			w.progress(60)
			s.kill()
			w.progress(40)
			s.again()
			f.waitReady()
		}
		w.progress(60)
	})
}
