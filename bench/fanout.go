package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"ottla/client"
)

// Default rates, in events per second: each event is delivered once to each
// connection.
const (
	fanoutRate       = 60
	fanoutGroupsRate = 10
)

// fanout sends single events at a rate to subscribers that all get each of them.
type fanout struct {
	*session
	rate       float64 // events per second
	slots      *schedule
	ack, heard *recorder

	publish func(ctx context.Context, n int) error     // sends event n, and returns when it is acknowledged
	events  func(line []byte, yield func(event int64)) // the events of a line of a stream; a negative one: it is not understood

	due  [1 << 16]atomic.Int64 // when an event was due, by its number, in nanoseconds since began
	last []int64               // by connection: the number of the last event it got, -1 before the first
	open atomic.Int64          // connections that have their stream
}

func newFanout(s *session, name string, rate float64) *fanout {
	if s.Rate > 0 {
		rate = s.Rate
	}
	f := &fanout{
		session: s, rate: rate, slots: newSchedule(rate, time.Now()), last: make([]int64, s.connections),
		ack: newRecorder(name + "/ack"), heard: newRecorder(name + "/delivery"),
	}
	for i := range f.last {
		f.last[i] = -1
	}
	f.ack.slots = f.slots
	return f
}

// runFanout measures streams without a group.
func runFanout(ctx context.Context, s *session) ([]Measurement, error) {
	return fanOut(ctx, s, fanoutRate, func(topic string, _ int) string { return "/topic/" + topic + "/stream?from=latest" })
}

// runFanoutGroups measures streams of which each has a group, which commits
// automatically.
func runFanoutGroups(ctx context.Context, s *session) ([]Measurement, error) {
	return fanOut(ctx, s, fanoutGroupsRate, func(topic string, connection int) string {
		return fmt.Sprintf("/events?topic=%s&from=latest&group=%s-%d", topic, topic, connection)
	})
}

func fanOut(ctx context.Context, s *session, rate float64, path func(topic string, connection int) string) ([]Measurement, error) {
	topic, remove, err := s.createTopic(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	f := newFanout(s, s.workload.name, rate)
	f.events = valueOfEvent
	f.publish = func(ctx context.Context, n int) error {
		_, err := s.client.ProduceIn(ctx, s.cluster, topic, client.Record{Value: client.JSONData([]byte(strconv.Itoa(n)))})
		return err
	}
	return f.run(ctx, func(connection int) string { return path(topic, connection) })
}

// valueOfEvent finds the event of a line of Ottla's streams.
func valueOfEvent(line []byte, yield func(int64)) {
	if !bytes.HasPrefix(line, []byte("data: ")) {
		return
	}
	_, value, found := bytes.Cut(line, []byte(`"value":`))
	digits, _, _ := bytes.Cut(value, []byte(","))
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if !found || err != nil {
		n = -1
	}
	yield(n)
}

// run opens a stream on each connection, with what path gives for it, and sends events.
func (f *fanout) run(ctx context.Context, path func(connection int) string) ([]Measurement, error) {
	s := f.session
	began, all := time.Now(), make(chan struct{})
	l := &streams{
		addrs: s.targets, connections: s.connections,
		request: func(connection int) []byte {
			return []byte("GET " + path(connection) + " HTTP/1.1\r\nHost: " + s.targets[0] + s.authorization() + "\r\nAccept: text/event-stream\r\n\r\n")
		},
		line: func(connection int, line []byte, now time.Time) { f.hear(connection, line, now.Sub(began)) },
		opened: func() {
			if f.open.Add(1) == int64(s.connections) {
				close(all)
			}
		},
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() {
		err := l.run(ctx)
		cancel(err)
		ended <- err
	}()
	list, err := f.measureOpened(ctx, all, began)
	for i := range list {
		list[i].OpenRate = f.rate
	}
	cancel(errEnded)
	if listenErr := <-ended; err == nil || errors.Is(err, context.Canceled) {
		err = errors.Join(err, listenErr)
	}
	return list, err
}

// openPatience is how long the subscribers may take to get their streams.
const openPatience = 2 * time.Minute

// measureOpened waits until all subscribers have their streams, then sends events.
func (f *fanout) measureOpened(ctx context.Context, all chan struct{}, began time.Time) ([]Measurement, error) {
	select {
	case <-all:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(openPatience):
		return nil, fmt.Errorf("%d of %d subscribers have a stream after %s", f.open.Load(), f.connections, openPatience)
	}
	f.slots.restart(time.Now())
	produce := func(ctx context.Context) error { return f.produce(ctx, began) }
	return f.measure(ctx, []*recorder{f.heard, f.ack}, jobs{produce})
}

func (f *fanout) produce(ctx context.Context, began time.Time) error {
	for n := 0; ; n++ {
		due := f.slots.reserve()
		if !waitDue(ctx, due) {
			return nil
		}
		f.due[n%len(f.due)].Store(int64(due.Sub(began)))
		err := f.publish(ctx, n)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			f.ack.failed(err.Error())
		default:
			f.ack.done(time.Since(due), 1, 0)
		}
	}
}

// hear takes a line of a subscriber's stream. With one partition, no event may be
// missing.
func (f *fanout) hear(connection int, line []byte, now time.Duration) {
	f.events(line, func(n int64) {
		if n < 0 {
			f.heard.failed(fmt.Sprintf("no event: %.200s", line))
			return
		}
		if f.Partitions == 1 && n != f.last[connection]+1 && f.last[connection] >= 0 {
			f.heard.failed(fmt.Sprintf("event %d after %d", n, f.last[connection]))
		}
		f.last[connection] = n
		f.heard.done(now-time.Duration(f.due[n%int64(len(f.due))].Load()), 1, len(line))
	})
}
