package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"ottla/protocol"
)

// Options say what is copied.
type Options struct {
	Cluster   string        // into
	Topics    []string      // empty: all that are not internal
	Groups    []string      // whose committed offsets are taken over
	AllGroups bool          // instead of Groups
	Follow    bool          // go on at the end, until the context ends
	Patience  time.Duration // how long a request is tried again; 0: a minute

	Progress func(records int64) // told of records that are committed; called by one goroutine at a time; may be nil
	Note     func(text string)   // told what else is worth knowing, likewise; may be nil
}

// Planned is what is to be done with a topic.
type Planned struct {
	Topic      string `json:"topic"`
	Partitions int    `json:"partitions"`
	New        bool   `json:"new"`     // it is made
	Records    int64  `json:"records"` // about: how many offsets of the source are to be copied
}

// Counts are what was done.
type Counts struct {
	Topics  int
	Records int64 // that are committed
	Groups  int   // of which offsets were committed
}

// Mirror copies topics. Make makes it.
type Mirror struct {
	o      Options
	source *Source
	target *target
	id     string // of the source's cluster
	topics []*sourceTopic
	isNew  map[string]bool
	groups []string
	moved  map[string]bool // groups; of one goroutine at a time

	records atomic.Int64
	mu      sync.Mutex // for Progress and Note
	noted   map[string]bool
}

// New looks at both sides, and changes nothing. Errors: those of the source and the
// server; a topic that is not there, or is at the server with another number of
// partitions; a name that Ottla does not allow.
func New(ctx context.Context, source *Source, s Server, o Options) (*Mirror, error) {
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	m := &Mirror{o: o, source: source, target: &target{Server: s, cluster: o.Cluster, patience: o.Patience}, isNew: map[string]bool{}, noted: map[string]bool{}, moved: map[string]bool{}}
	var err error
	if m.id, m.topics, err = source.topics(ctx, slices.Compact(slices.Sorted(slices.Values(o.Topics)))); err != nil {
		return nil, err
	}
	for _, t := range m.topics {
		if err := m.look(ctx, t); err != nil {
			return nil, err
		}
	}
	m.groups = slices.Compact(slices.Sorted(slices.Values(o.Groups)))
	if o.AllGroups {
		if m.groups, err = source.groups(ctx); err != nil {
			return nil, err
		}
	}
	for _, g := range m.groups {
		if !protocol.ValidName(g) {
			return nil, fmt.Errorf("group %q: Ottla's groups have 1 to 200 of letters, digits, '.', '_' and '-'; name the others with --groups", g)
		}
	}
	return m, nil
}

// look asks for what is to be known of a topic before any is copied.
func (m *Mirror) look(ctx context.Context, t *sourceTopic) error {
	if !protocol.ValidName(t.name) || protocol.IsInternalTopic(t.name) {
		return fmt.Errorf("topic %q: Ottla's topics have 1 to 200 of letters, digits, '.', '_' and '-', and do not begin with two '_'", t.name)
	}
	if err := m.source.bounds(ctx, t); err != nil {
		return err
	}
	if err := m.source.configure(ctx, t); err != nil {
		return err
	}
	info, err := m.target.topic(ctx, t.name)
	switch {
	case err != nil:
		return fmt.Errorf("topic %s: %w", t.name, err)
	case info == nil:
		m.isNew[t.name] = true
	case len(info.Partitions) != len(t.leaders):
		return fmt.Errorf("topic %s has %d partitions at the source, and %d here: records would lose their places", t.name, len(t.leaders), len(info.Partitions))
	}
	return nil
}

// Plan says what Run would do.
func (m *Mirror) Plan(ctx context.Context) ([]Planned, []string, error) {
	var plan []Planned
	for _, t := range m.topics {
		p := Planned{Topic: t.name, Partitions: len(t.leaders), New: m.isNew[t.name]}
		for n := range t.leaders {
			from := int64(0)
			if !p.New {
				var err error
				if _, from, err = m.target.position(ctx, t.name, n); err != nil {
					return nil, nil, fmt.Errorf("topic %s, partition %d: %w", t.name, n, err)
				}
			}
			p.Records += max(0, t.ends[n]-max(from, t.starts[n]))
		}
		plan = append(plan, p)
	}
	return plan, m.groups, nil
}

// atOnce is how many partitions are copied at the same time: it bounds the memory.
const atOnce = 8

// groupsEvery is how often offsets of groups are taken over while following.
const groupsEvery = 5 * time.Second

// Run makes the topics that are missing, copies what they had at the source when New
// looked, and then the offsets of groups; with Follow it goes on until ctx ends, which then is
// the error. What was done is returned in any case.
func (m *Mirror) Run(ctx context.Context) (Counts, error) {
	done := Counts{Topics: len(m.topics)}
	for _, t := range m.topics {
		if !m.isNew[t.name] {
			continue
		}
		if err := m.create(ctx, t); err != nil {
			return done, fmt.Errorf("topic %s: %w", t.name, err)
		}
	}
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, atOnce)
	var copying sync.WaitGroup
	for _, t := range m.topics {
		for n := range t.leaders {
			c := &copier{Mirror: m, topic: t, partition: n, producer: m.producer(t.name, n), slots: slots}
			copying.Go(func() {
				if err := c.run(running); err != nil {
					cancel(fmt.Errorf("topic %s, partition %d: %w", t.name, n, err))
				}
			})
		}
	}
	if m.o.Follow {
		copying.Go(func() {
			for wait(running, groupsEvery) == nil {
				if err := m.moveGroups(running); err != nil {
					cancel(err)
				}
			}
		})
	}
	copying.Wait()
	err := context.Cause(running)
	if err == nil {
		err = m.moveGroups(ctx)
	}
	done.Records, done.Groups = m.records.Load(), len(m.moved)
	return done, err
}

// settings are those of Kafka's topics that have a meaning here, with the field of a topic
// that they become, and the smallest number that it takes.
var settings = map[string]struct {
	field string
	least int64
}{
	"cleanup.policy": {"cleanup_policy", 0}, "retention.ms": {"retention_ms", -1}, "retention.bytes": {"retention_bytes", -1},
	"delete.retention.ms": {"delete_retention_ms", 0}, "max.message.bytes": {"max_record_bytes", 1},
}

// kafkaMessageBytes is the size of records that topics of Kafka have unless it is said.
const kafkaMessageBytes = "1048588"

// create makes a topic.
func (m *Mirror) create(ctx context.Context, t *sourceTopic) error {
	body := map[string]any{"name": t.name, "cluster": m.o.Cluster, "partitions": len(t.leaders)}
	for name, value := range t.config {
		s := settings[name]
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case name == "cleanup.policy":
			body[s.field] = value
			if value != "delete" && value != "compact" {
				m.note(fmt.Sprintf("topic %s has cleanup.policy %s, of which Ottla has only one at a time: it becomes compact", t.name, value))
				body[s.field] = "compact"
			}
		case name == "max.message.bytes" && value == kafkaMessageBytes: // ours stands for the same
		case err != nil || n < s.least: // there is no such number here
		case name == "max.message.bytes":
			body[s.field] = min(n, protocol.MaxTopicRecordBytes)
		default:
			body[s.field] = n
		}
	}
	return m.target.post(ctx, "/topic", nil, body, nil)
}

// note tells something, once.
func (m *Mirror) note(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.o.Note != nil && !m.noted[text] {
		m.noted[text] = true
		m.o.Note(text)
	}
}

// copied counts records that are committed.
func (m *Mirror) copied(records int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records.Add(records)
	if m.o.Progress != nil {
		m.o.Progress(records)
	}
}

// errSomebodyElse is a copy that others write to.
var errSomebodyElse = errors.New("somebody else writes to the topic, so nothing more is copied into it")
