package bench

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"ottla/client"
)

// Parameters of polls.
const (
	pollsOnTopic = 1000
	pollTimeout  = 30 * time.Second // the server's limit
	pollSettle   = 2 * time.Second  // at most: no poll may time out during it
	pollWindow   = 10 * time.Second
	parkPatience = 20 * time.Second
	wakePatience = 10 * time.Second
)

// polls parks reads, then group members. It measures what they cost and how fast
// 1,000 of them are answered.
func (s *scaleRun) polls(ctx context.Context) error {
	for _, kind := range []*parkedKind{
		{name: "reads", want: `"records":[{`, wire: parkedRead},
		{name: "groups of one", want: `"records":[{`, wire: parkedPoll},
	} {
		if err := s.pollsOf(ctx, kind); err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
	}
	return nil
}

// parkedKind is a kind of request that waits.
type parkedKind struct {
	name, want string

	// wire renders the request of a connection that waits for the record at
	// an offset.
	wire func(s *session, topic string, connection, offset int) []byte
}

// parkedRead waits without a group.
func parkedRead(s *session, topic string, _, offset int) []byte {
	return s.get(fmt.Sprintf("/topic/%s/partitions/0/records?timeout_ms=%d&offset=%d", topic, pollTimeout.Milliseconds(), offset))
}

// parkedPoll waits as the only member of its own group, with automatic commits,
// which is the default.
func parkedPoll(s *session, topic string, connection, _ int) []byte {
	return s.get(fmt.Sprintf("/events?topic=%s&group=g%d&consumer_id=%d&from=latest&timeout_ms=%d", topic, connection,
		firstConsumer+connection, pollTimeout.Milliseconds()))
}

const firstConsumer = 1_000_000

// parking is a set of parked requests.
type parking struct {
	kind   *parkedKind
	ses    *session
	topics []string
	offset []int // by connection: of the record it waits for

	mu    sync.Mutex
	sent  time.Time // of the event that is to wake them
	wakes []float64 // ms since then
	all   chan struct{}
	due   int
}

// topicOf spreads connections over topics.
func (p *parking) topicOf(connection int) string { return p.topics[connection%len(p.topics)] }

func (p *parking) next(connection int, _ int64) *call {
	return &call{wire: p.kind.wire(p.ses, p.topicOf(connection), connection, p.offset[connection])}
}

// answered records an answer; one without a record is a timeout.
func (p *parking) answered(c *connection, now time.Time) {
	if !bytes.Contains(c.answer.tail, []byte(p.kind.want)) {
		return
	}
	p.offset[c.id]++
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wakes = append(p.wakes, float64(now.Sub(p.sent))/1e6)
	if len(p.wakes) == p.due {
		close(p.all)
	}
}

func (s *scaleRun) pollsOf(ctx context.Context, kind *parkedKind) error {
	// One more connection is for the events and one for metrics.
	s.Env = append(slices.Clone(s.Env), fmt.Sprintf("OTTLA_LIMITS_CONNECTIONS=%d", s.so.Polls+16),
		fmt.Sprintf("OTTLA_LIMITS_PARKED_POLLS=%d", s.so.Polls))
	ses, broker, err := s.broker(ctx)
	if err != nil {
		return err
	}
	defer broker.stop()
	fresh := usageOf(ses.pids[0])
	p := &parking{kind: kind, ses: ses, offset: make([]int, s.so.Polls)}
	topics := cmp.Or(s.so.PollTopics, max(1, s.so.Polls/pollsOnTopic))
	for range topics {
		topic, _, err := ses.topicOf(ctx, 1)
		if err != nil {
			return err
		}
		p.topics = append(p.topics, topic)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	rec := newRecorder(kind.name)
	load := &load{addrs: ses.targets, connections: s.so.Polls, rec: rec, next: p.next, answered: p.answered}
	ended := make(chan error, 1)
	begin := time.Now()
	go func() {
		err := load.run(ctx)
		cancel(err)
		ended <- err
	}()
	if err := s.waitParked(ctx, broker.url, s.so.Polls, begin); err != nil {
		return err
	}
	name := fmt.Sprintf("%s parked %s", thousands(float64(s.so.Polls)), kind.name)
	s.figure("park "+name, "s", nil, time.Since(begin).Seconds())
	if err := s.restAndWake(ctx, p, name, float64(fresh.rss)/1e6); err != nil {
		return err
	}
	cancel(errEnded)
	if err := <-ended; err != nil {
		return err
	}
	if rec.since.Errors > 0 {
		return fmt.Errorf("%d errors, the first: %s", rec.since.Errors, rec.firstErr)
	}
	return nil
}

// restAndWake measures the parked requests at rest, then wakes those of each
// topic in turn.
func (s *scaleRun) restAndWake(ctx context.Context, p *parking, name string, fresh float64) error {
	settle, window := min(pollSettle, s.so.Settle), min(pollWindow, s.so.Window)
	if !waitUntil(ctx, time.Now().Add(settle)) {
		return context.Cause(ctx)
	}
	s.note("%s: looking for %s ...", p.kind.name, window)
	percent, mb, err := cpuOver(ctx, p.ses.pids[0], window)
	if err != nil {
		return err
	}
	s.figure("RSS before", "MB", nil, fresh)
	s.figure("RSS with "+name, "MB", atMost(250), mb)
	s.figure("idle CPU with "+name, "%", atMost(1), percent)
	var p50, p99, worst []float64
	begun, woken := usageOf(p.ses.pids[0]), 0
	for _, topic := range p.topics {
		s.note("%s: waking those of %s ...", p.kind.name, topic)
		wakes, err := p.wake(ctx, topic)
		if err != nil {
			return err
		}
		woken += len(wakes)
		p50, p99, worst = append(p50, quantile(wakes, 0.5)), append(p99, quantile(wakes, 0.99)), append(worst, wakes[len(wakes)-1])
	}
	spent := usageOf(p.ses.pids[0]).cpu - begun.cpu
	s.figure("CPU of a delivery to "+p.kind.name+", with the next poll", "µs", nil, float64(spent.Microseconds())/float64(woken))
	what := fmt.Sprintf("waking %d %s by one event", p.count(0), p.kind.name)
	s.figure(what+", p50", "ms", nil, p50...)
	s.figure(what+", p99", "ms", atMost(50), p99...)
	s.figure(what+", max", "ms", nil, worst...)
	_, mb, err = cpuOver(ctx, p.ses.pids[0], 100*time.Millisecond)
	s.figure("RSS after waking all "+p.kind.name, "MB", nil, mb)
	return err
}

// count is how many connections wait for topic i.
func (p *parking) count(i int) int {
	return (len(p.offset) - i + len(p.topics) - 1) / len(p.topics)
}

// wake writes one event and returns when each of the requests that wait for it
// was answered, in ms since the event was sent, sorted.
func (p *parking) wake(ctx context.Context, topic string) ([]float64, error) {
	p.mu.Lock()
	p.wakes, p.all = nil, make(chan struct{})
	p.due = p.count(slices.Index(p.topics, topic))
	p.sent = time.Now()
	all := p.all
	p.mu.Unlock()
	if _, err := p.ses.client.ProduceIn(ctx, p.ses.cluster, topic, client.Record{Value: client.StringData("wake up")}); err != nil {
		return nil, err
	}
	timer := time.NewTimer(wakePatience)
	defer timer.Stop()
	var err error
	select {
	case <-all:
	case <-timer.C:
		err = errors.New("they do not all wake")
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("%d of %d have woken: %w", len(p.wakes), p.due, err)
	}
	return slices.Sorted(slices.Values(p.wakes)), nil
}

// waitParked waits until the broker reports so many parked requests.
func (s *scaleRun) waitParked(ctx context.Context, url string, want int, begin time.Time) error {
	for {
		parked, err := parkedAt(ctx, url)
		if err != nil {
			return err
		}
		s.note("%d of %d are parked", parked, want)
		switch {
		case parked >= want:
			return nil
		case time.Since(begin) > parkPatience:
			return fmt.Errorf("%d of %d are parked after %s", parked, want, parkPatience)
		case !waitUntil(ctx, time.Now().Add(100*time.Millisecond)):
			return context.Cause(ctx)
		}
	}
}

// parkedAt reads the broker's metric.
func parkedAt(ctx context.Context, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("metrics: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it has been read
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, fmt.Errorf("metrics: %w", err)
	}
	const name = "\nottla_http_parked_polls "
	at := bytes.Index(text, []byte(name))
	if at < 0 {
		return 0, errors.New("metrics: the broker does not count parked polls")
	}
	value, _, _ := bytes.Cut(text[at+len(name):], []byte("\n"))
	n, err := strconv.ParseFloat(string(value), 64)
	return int(n), err
}
