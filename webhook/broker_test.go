package webhook

import (
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// fakeBroker is a Backend with one group of one member, and topics of one partition. Tests
// change it under mu.
type fakeBroker struct {
	Backend

	mu         sync.Mutex
	sub        *protocol.Subscription
	topics     map[string]*fakeTopic
	generation protocol.Generation
	members    int
	queue      bool                    // the group is one
	refused    int                     // heartbeats, because it is
	joined     bool                    // once
	commits    []protocol.OffsetCommit // that were taken
	joining    func()                  // called in each poll, without mu
	changed    chan struct{}
}

type fakeTopic struct {
	id        string
	records   []protocol.Record // those that are left, ascending
	earliest  protocol.Offset
	end       protocol.Offset
	committed *protocol.Offset
	metadata  string
}

// write appends a record. Its value is its offset.
func (t *fakeTopic) write(n int) {
	for range n {
		value := strconv.FormatInt(int64(t.end), 10)
		t.records = append(t.records, protocol.Record{Offset: t.end, Value: []byte(value)})
		t.end++
	}
}

// remove removes the records before an offset, as retention does.
func (t *fakeTopic) remove(before protocol.Offset) {
	t.earliest = before
	t.compact(before)
}

// compact removes records before an offset and leaves a gap.
func (t *fakeTopic) compact(before protocol.Offset) {
	t.records = slices.DeleteFunc(t.records, func(r protocol.Record) bool { return r.Offset < before })
}

// fakeBrokerOf has empty topics, and a subscription to them.
func fakeBrokerOf(spec protocol.SubscriptionSpec, topics ...string) *fakeBroker {
	spec.Name, spec.Group, spec.Topics, spec.TimeoutMs = "s", "g", topics, 10_000
	if spec.MaxDeliveries == 0 {
		spec.MaxDeliveries = 1000
	}
	b := &fakeBroker{
		sub: &protocol.Subscription{SubscriptionSpec: spec, ConsumerID: 1}, topics: map[string]*fakeTopic{}, generation: 1,
		changed: make(chan struct{}),
	}
	for _, name := range topics {
		b.topics[name] = &fakeTopic{id: "id-of-" + name, committed: new(protocol.Offset)}
	}
	return b
}

// change changes what is there, and wakes who waits for that.
func (b *fakeBroker) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *fakeBroker) LookupTopic(_, topic string, _ bool, _ time.Time) (*protocol.Topic, *protocol.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[topic]
	if t == nil {
		return nil, protocol.Errorf(protocol.CodeTopicNotFound, "no %s", topic)
	}
	return &protocol.Topic{ID: t.id, Name: topic, Partitions: 1}, nil
}

func (b *fakeBroker) Subscription(name string) (*protocol.Subscription, *protocol.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sub == nil {
		return nil, protocol.Errorf(protocol.CodeSubscriptionNotFound, "no %s", name)
	}
	return b.sub, nil
}

func (b *fakeBroker) Poll(req *protocol.PollRequest, _ <-chan struct{}) (*protocol.PollReply, *protocol.Error) {
	b.mu.Lock()
	joining := b.joining
	b.mu.Unlock()
	if joining != nil {
		joining()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range req.Topics {
		if b.topics[name] == nil {
			return nil, protocol.Errorf(protocol.CodeTopicNotFound, "no %s", name)
		}
	}
	b.members, b.joined = 1, true
	return &protocol.PollReply{Generation: b.generation}, nil
}

func (b *fakeBroker) Heartbeat(*protocol.HeartbeatRequest) (*protocol.HeartbeatReply, *protocol.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queue {
		b.refused++
		return nil, protocol.Errorf(protocol.CodeNotAllowed, "it is a queue")
	}
	reply := &protocol.HeartbeatReply{Generation: b.generation}
	for _, name := range slices.Sorted(maps.Keys(b.topics)) {
		reply.Assignment = append(reply.Assignment, protocol.TopicPartition{Topic: name})
	}
	return reply, nil
}

func (b *fakeBroker) Offsets(*protocol.OffsetsRequest) (rows []protocol.OffsetInfo, _ *protocol.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, t := range b.topics {
		row := protocol.OffsetInfo{Topic: name, Metadata: t.metadata}
		if t.committed != nil {
			at := *t.committed
			row.Committed = &at
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (b *fakeBroker) Commit(req *protocol.CommitRequest) (*protocol.CommitReply, *protocol.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if *req.Generation != b.generation {
		return nil, protocol.Errorf(protocol.CodeStaleGeneration, "it is %d", b.generation)
	}
	for _, o := range req.Offsets {
		t := b.topics[o.Topic]
		switch {
		case t == nil, o.TopicID != "" && o.TopicID != t.id:
			return nil, protocol.Errorf(protocol.CodeTopicNotFound, "no %s", o.Topic)
		case t.committed != nil && o.Offset < *t.committed:
			return nil, protocol.Errorf(protocol.CodeOffsetRegression, "it is %d", *t.committed)
		}
	}
	for _, o := range req.Offsets {
		at := o.Offset
		b.topics[o.Topic].committed, b.topics[o.Topic].metadata = &at, o.Metadata
	}
	b.commits = append(b.commits, req.Offsets...)
	return &protocol.CommitReply{}, nil
}

func (b *fakeBroker) LeaveGroup(string, string, protocol.ConsumerID) *protocol.Error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.members = 0
	return nil
}

func (b *fakeBroker) StartFetch(req *protocol.FetchRequest) protocol.PendingFetch {
	return &fakeFetch{b: b, req: req, until: time.Now().Add(req.Timeout), nudged: make(chan struct{}, 1)}
}

type fakeFetch struct {
	b       *fakeBroker
	req     *protocol.FetchRequest
	until   time.Time
	changed chan struct{}
	nudged  chan struct{}
}

func (f *fakeFetch) Advance() (*protocol.FetchReply, bool, *protocol.Error) {
	f.b.mu.Lock()
	defer f.b.mu.Unlock()
	t := f.b.topics[f.req.Topic.Name]
	switch {
	case t == nil || t.id != f.req.Topic.ID:
		return nil, false, protocol.Errorf(protocol.CodeTopicNotFound, "no %s", f.req.Topic.Name)
	case f.req.Offset < t.earliest:
		return nil, false, protocol.Errorf(protocol.CodeOffsetOutOfRange, "gone").With("earliest", int64(t.earliest))
	}
	reply := &protocol.FetchReply{NextOffset: f.req.Offset}
	for _, r := range t.records {
		if r.Offset >= f.req.Offset && len(reply.Records) < f.req.MaxRecords {
			reply.Records = append(reply.Records, r)
			reply.NextOffset = r.Offset + 1
		}
	}
	if len(reply.Records) == 0 {
		reply.NextOffset = max(f.req.Offset, t.end)
		f.changed = f.b.changed
		if time.Now().Before(f.until) {
			return nil, true, nil
		}
	}
	return reply, false, nil
}

func (f *fakeFetch) Park(resume func()) {
	go func() {
		select {
		case <-f.changed:
		case <-f.nudged:
		case <-time.After(time.Until(f.until)):
		}
		resume()
	}()
}

func (f *fakeFetch) Nudge() {
	select {
	case f.nudged <- struct{}{}:
	default:
	}
}

// deliver starts a worker that delivers to a receiver, which answers as told.
func deliver(t *testing.T, b *fakeBroker, answer func(id, body string) (status int)) *worker {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		w.WriteHeader(answer(r.Header.Get(headerID), string(text)))
	}))
	b.sub.URL = server.URL
	d := New(idle{b}, Options{
		Targets: parsed(t, "127.0.0.1"), Render: func(dst []byte, r *protocol.Record) []byte { return append(dst, r.Value...) },
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	w := d.begin(b.sub)
	t.Cleanup(func() {
		w.end()
		<-w.ended
		d.Close()
		server.Close()
	})
	return w
}

// idle is a broker none of whose subscriptions a Deliverer starts by itself.
type idle struct{ *fakeBroker }

func (idle) Delivering() []*protocol.Subscription { return nil }

// eventually waits until a condition holds under mu.
func (b *fakeBroker) eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return holds()
	}, 20*time.Second, 5*time.Millisecond, what)
}

// deliveries are what a receiver has taken, and had before.
type deliveries struct {
	mu    sync.Mutex
	ids   []string
	taken []string
}

func (d *deliveries) take(id, body string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ids, d.taken = append(d.ids, id), append(d.taken, body)
	return http.StatusOK
}

func (d *deliveries) bodies() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.taken)
}

func (d *deliveries) allIDs() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.ids)
}
