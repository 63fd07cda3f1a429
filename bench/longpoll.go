package bench

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"ottla/client"
)

// longPollRate is the default rate of longpoll: low, because it measures
// latency.
const longPollRate = 200

// moments are the times of an event. It was sent when it was due.
type moments struct{ sent, acked, seen time.Time }

// longPoll has one producer and one waiting poll, and combines what each knows
// of an event.
type longPoll struct {
	*session
	topic                  string
	slots                  *schedule
	ack, delivered, beyond *recorder

	mu     sync.Mutex
	events map[int]*moments // whose acknowledgement or delivery is still missing
}

// note updates an event, and records it once it is complete.
func (l *longPoll) note(n int, change func(*moments)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.events[n]
	if m == nil {
		m = &moments{}
		l.events[n] = m
	}
	change(m)
	if !m.acked.IsZero() && !m.seen.IsZero() {
		delete(l.events, n)
		l.delivered.done(m.seen.Sub(m.sent), 1, 0)
		l.beyond.done(m.seen.Sub(m.acked), 1, 0)
	}
}

// runLongPoll sends single events one after the other at a rate while one group
// member waits for them.
func runLongPoll(ctx context.Context, s *session) ([]Measurement, error) {
	return runLongPolls(ctx, s, false)
}

// runLongPollCommit is the same with automatic commits, which come before the
// deliveries.
func runLongPollCommit(ctx context.Context, s *session) ([]Measurement, error) {
	return runLongPolls(ctx, s, true)
}

func runLongPolls(ctx context.Context, s *session, autoCommit bool) ([]Measurement, error) {
	topic, remove, err := s.createTopic(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	rate := s.Rate
	if rate == 0 {
		rate = longPollRate
	}
	l := &longPoll{
		session: s, topic: topic, slots: newSchedule(rate, time.Now()), events: map[int]*moments{},
		ack: newRecorder(s.workload.name + "/ack"), delivered: newRecorder(s.workload.name + "/delivery"), beyond: newRecorder(s.workload.name + "/beyond-ack"),
	}
	l.ack.slots = l.slots
	// The consumer joins before the first event, so that a poll waits for it.
	poll := client.PollRequest{Cluster: s.cluster, Group: topic, Topics: []string{topic}, AutoCommit: autoCommit, Wait: time.Millisecond}
	reply, err := s.client.Poll(ctx, poll)
	if err != nil {
		return nil, fmt.Errorf("join group: %w", err)
	}
	poll.ConsumerID, poll.Wait = reply.ConsumerID, 5*time.Second
	consume := func(ctx context.Context) error { return l.consume(ctx, poll) }
	list, err := s.measure(ctx, []*recorder{l.ack, l.delivered, l.beyond}, jobs{l.produce, consume})
	for i := range list {
		list[i].OpenRate = rate
	}
	return list, err
}

func (l *longPoll) produce(ctx context.Context) error {
	for n := 0; ; n++ {
		due := l.slots.reserve()
		if !waitDue(ctx, due) {
			return nil
		}
		l.note(n, func(m *moments) { m.sent = due })
		_, err := l.client.ProduceIn(ctx, l.cluster, l.topic, client.Record{Value: client.JSONData([]byte(strconv.Itoa(n)))})
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			l.ack.failed(err.Error())
		default:
			l.ack.done(now.Sub(due), 1, 0)
			l.note(n, func(m *moments) { m.acked = now })
		}
	}
}

func (l *longPoll) consume(ctx context.Context, poll client.PollRequest) error {
	for {
		reply, err := l.client.Poll(ctx, poll)
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		}
		if !poll.AutoCommit {
			poll.After = reply.Cursor
		}
		for _, msg := range reply.Messages {
			n, err := strconv.Atoi(msg.Value.String())
			if err != nil {
				return fmt.Errorf("a record of somebody else: %s", msg.Value)
			}
			l.note(n, func(m *moments) { m.seen = now })
		}
	}
}
