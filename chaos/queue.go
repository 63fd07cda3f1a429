package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	jobTopic  = "chaos-jobs" // is given out by two queues
	deadNone  = "chaos-dead-none"
	deadKey   = "chaos-dead-key"
	ackWait   = 2000 // of both, in milliseconds
	jobKeys   = 8    // of each producer of jobs
	crewSize  = 3    // workers of each queue
	deadLimit = 20   // deliveries, of which most come of kills

	clockSlack = 250 // milliseconds by which nodes may be wrong that know their clocks to be
)

// queue is a work queue, and what its workers were told.
type queue struct {
	name  string
	order string
	dead  string // topic of its dead letters
	slack int64  // milliseconds by which the clocks of coordinators may differ

	mu    sync.Mutex
	acked map[place]time.Duration // when the answer came
	tried map[place]bool          // an ack was sent, and perhaps taken
	given map[place][]given       // deliveries, as their answers came
}

// given is one delivery. Times are in milliseconds since 1970, by the broker's clock:
// answers may come in another order.
type given struct {
	count    int
	deadline int64
	key      string // with the partition; "" without
	returned bool   // a worker has given it back
}

// began is when it was given.
func (g *given) began() int64 { return g.deadline - ackWait }

func newQueues() []*queue {
	var list []*queue
	for order, dead := range map[string]string{"none": deadNone, "key": deadKey} {
		list = append(list, &queue{
			name: "jobs-" + order, order: order, dead: dead,
			acked: map[place]time.Duration{}, tried: map[place]bool{}, given: map[place][]given{},
		})
	}
	return list
}

func (w *world) createQueues() error {
	for _, q := range w.queues {
		body := fmt.Appendf(nil, `{"mode":"queue","topics":[%q],"order":%q,"dead_letter_topic":%q,"ack_wait_ms":%d,"max_deliveries":%d,"backoff_ms":[10,100,500]}`,
			jobTopic, q.order, q.dead, ackWait, deadLimit)
		var status int
		var a answer
		if !until(func() bool {
			status, a = w.s.call(context.Background(), http.MethodPut, "/groups/"+q.name, nil, body)
			return status == http.StatusOK || status == http.StatusCreated
		}) {
			return fmt.Errorf("create queue %s: status %d %s", q.name, status, a.Code)
		}
	}
	return nil
}

// worker is one worker of a queue. It ends most of its records, forgets some, gives
// some back, and has few of them die.
type worker struct {
	s    target
	rec  *recorder
	q    *queue
	rnd  *rand.Rand
	id   int
	good bool // it ends everything
}

func (k *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		k.work(ctx)
		pause(ctx, time.Duration(k.rnd.Intn(20))*time.Millisecond)
	}
}

func (k *worker) work(ctx context.Context) {
	asked, wall := k.rec.now(), time.Now().UnixMilli()
	path := fmt.Sprintf("/events?group=%s&topic=%s&consumer_id=%d&max_records=%d&timeout_ms=200", k.q.name, jobTopic, k.id, 1+k.rnd.Intn(20))
	status, a := k.s.call(ctx, http.MethodGet, path, nil, nil)
	if status != http.StatusOK {
		pause(ctx, 10*time.Millisecond)
		return
	}
	var acks []consumed
	for _, r := range a.Records {
		k.took(&r, asked)
		k.timed(&r, wall)
		switch n := k.rnd.Intn(40); {
		case k.good || n > 4:
			acks = append(acks, r)
		case n == 0: // it dies
		case n == 1:
			k.giveBack(ctx, &r, `,"dead":true,"reason":"chaos"`)
		case n == 2:
			k.say(ctx, "extend", fmt.Sprintf(`,"ack_wait_ms":%d`, ackWait), r)
			acks = append(acks, r)
		default:
			k.giveBack(ctx, &r, `,"delay_ms":50`)
		}
		if len(acks) > k.rnd.Intn(6) {
			k.ack(ctx, acks)
			acks = nil
		}
	}
	k.ack(ctx, acks)
}

// took checks a delivery against all that was said before the poll was sent.
func (k *worker) took(r *consumed, asked time.Duration) {
	q, at := k.q, place{r.Partition, r.Offset}
	q.mu.Lock()
	defer q.mu.Unlock()
	if when, done := q.acked[at]; done && when < asked {
		k.rec.violate("given again", "%v was acknowledged at %s, and given to a worker of %s by a poll that was sent at %s", at, when, q.name, asked)
	}
	g := given{count: r.Delivery.Count, deadline: r.Delivery.Deadline}
	if len(r.Key) > 0 && string(r.Key) != "null" {
		g.key = fmt.Sprintf("%d %s", r.Partition, r.Key)
	}
	q.given[at] = append(q.given[at], g)
}

// timed checks a deadline against the right time: whatever a node's clock says, a record is
// with its worker for as long as was said. Asked is when the poll was sent, in milliseconds
// since 1970.
func (k *worker) timed(r *consumed, asked int64) {
	if began := r.Delivery.Deadline - ackWait; began < asked-clockSlack || began > time.Now().UnixMilli()+clockSlack {
		k.rec.violate("clock", "%d/%d was given to a worker of %s with a deadline %d ms after the poll was sent, instead of %d",
			r.Partition, r.Offset, k.q.name, r.Delivery.Deadline-asked, ackWait)
	}
}

func (k *worker) giveBack(ctx context.Context, r *consumed, more string) {
	k.q.mu.Lock()
	list := k.q.given[place{r.Partition, r.Offset}]
	for i := range list {
		list[i].returned = list[i].returned || list[i].count == r.Delivery.Count
	}
	k.q.mu.Unlock()
	k.say(ctx, "nack", more, *r)
}

// say says something of deliveries; ok that it was taken of all of them.
func (k *worker) say(ctx context.Context, verb, more string, records ...consumed) (ok bool) {
	var receipts []string
	for i := range records {
		receipts = append(receipts, records[i].Delivery.Receipt)
	}
	list, err := json.Marshal(receipts)
	if err != nil {
		return false
	}
	status, a := k.s.call(ctx, http.MethodPost, "/events/"+verb, nil, fmt.Appendf(nil, `{"receipts":%s%s}`, list, more))
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
		k.rec.violate("answer", "%s of %d receipts of %s: %d %s", verb, len(receipts), k.q.name, status, a.Code)
	}
	return status == http.StatusOK
}

func (k *worker) ack(ctx context.Context, records []consumed) {
	if len(records) == 0 {
		return
	}
	q := k.q
	q.mu.Lock()
	for i := range records {
		q.tried[place{records[i].Partition, records[i].Offset}] = true
	}
	q.mu.Unlock()
	if !k.say(ctx, "ack", "", records...) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range records {
		q.acked[place{records[i].Partition, records[i].Offset}] = k.rec.now()
	}
}

// drainQueue lets a worker end everything that is left.
func (w *world) drainQueue(ctx context.Context, q *queue, id int) {
	k := &worker{s: w.target(), rec: w.rec, q: q, rnd: rand.New(rand.NewSource(w.o.seed)), id: id, good: true}
	for {
		left := w.leftOf(q)
		if left == "" {
			return
		}
		if ctx.Err() != nil {
			w.rec.violate("stuck", "queue %s has not ended all its records after %s: %s", q.name, drainLimit, left)
			return
		}
		k.work(ctx)
	}
}

// leftOf says where a queue is, "" if all its records are ended.
func (w *world) leftOf(q *queue) string {
	status, body := w.s.get("/groups/" + q.name)
	var info struct {
		Partitions []struct {
			Partition     int   `json:"partition"`
			End, Position int64 `json:",omitempty"`
		} `json:"partitions"`
	}
	if status != http.StatusOK || json.Unmarshal(body, &info) != nil || len(info.Partitions) != partitions {
		return fmt.Sprintf("%d %.300s", status, body)
	}
	for _, p := range info.Partitions {
		if p.Position != p.End {
			return fmt.Sprintf("%.1000s", body)
		}
	}
	return ""
}

// checkQueue checks where the records of a queue have gone: each was acknowledged, or
// is a dead letter, once.
func checkQueue(q *queue, jobs, dead *finalLog) []violation {
	letters := map[string]int{}
	for _, r := range dead.records {
		letters[r.value]++
	}
	var out []violation
	for _, r := range jobs.records {
		n := letters[r.value]
		delete(letters, r.value)
		_, acked := q.acked[r.at]
		switch {
		case n > 1:
			out = append(out, violation{"duplicate", fmt.Sprintf("%s at %v is %d times among the dead letters of %s", r.value, r.at, n, q.name)})
		case acked && n > 0:
			out = append(out, violation{"given again", fmt.Sprintf("%s at %v was acknowledged, and is a dead letter of %s", r.value, r.at, q.name)})
		case !q.tried[r.at] && n == 0:
			out = append(out, violation{"skipped", fmt.Sprintf("%s at %v was ended by nobody in %s; given %d times", r.value, r.at, q.name, len(q.given[r.at]))})
		}
	}
	for value := range letters {
		out = append(out, violation{"phantom", fmt.Sprintf("%s is a dead letter of %s, and no record", value, q.name)})
	}
	out = append(out, checkDeadlines(q)...)
	if q.order == "key" {
		out = append(out, checkKeys(q)...)
	}
	slices.SortFunc(out, func(a, b violation) int { return strings.Compare(a.Text, b.Text) })
	return out
}

// checkDeadlines checks that a record was given again no earlier than the deadline of
// the delivery before, unless that was given back.
func checkDeadlines(q *queue) []violation {
	var out []violation
	for at, list := range q.given {
		slices.SortFunc(list, func(a, b given) int { return a.count - b.count })
		for i := 1; i < len(list); i++ {
			a, b := &list[i-1], &list[i]
			switch {
			case a.count == b.count:
				out = append(out, violation{"two workers", fmt.Sprintf("two workers of %s got %v for the %dth time", q.name, at, a.count)})
			case !a.returned && b.began() < a.deadline-q.slack:
				out = append(out, violation{"two workers", fmt.Sprintf("%v of %s was given %d ms before the deadline of another delivery", at, q.name, a.deadline-b.began())})
			}
		}
	}
	return out
}

// checkKeys checks that records of a key were given for the first time in their order.
func checkKeys(q *queue) []violation {
	type first struct{ offset, began int64 }
	firsts := map[string][]first{}
	for at, list := range q.given {
		if g := &list[0]; g.count == 1 && g.key != "" {
			firsts[g.key] = append(firsts[g.key], first{at.offset, g.began()})
		}
	}
	var out []violation
	for key, list := range firsts {
		slices.SortFunc(list, func(a, b first) int { return int(a.offset - b.offset) })
		for i := 1; i < len(list); i++ {
			if list[i].began < list[i-1].began-q.slack {
				out = append(out, violation{"order", fmt.Sprintf("%s gave offset %d of %s before %d", q.name, list[i].offset, key, list[i-1].offset)})
			}
		}
	}
	return out
}
