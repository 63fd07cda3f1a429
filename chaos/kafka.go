package main

import (
	"context"
	"fmt"
	"math/rand"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// With -kafka clients of franz-go write to and read from the same topics, in groups of
// their own and in one that consumers of HTTP want, too. What they are answered is
// part of the same history: an acknowledged record is in the log once and where it
// was acknowledged, whoever wrote it, and a group is given every record, whoever was
// its member.

const (
	kafkaProducerPrefix = "kafka-"

	kafkaGroup  = "kafka"       // of Kafka clients alone
	sharedGroup = "kafka-or-ui" // whose members are Kafka clients or consumers of HTTP, in turn
	kafkaFlying = 200           // records of a producer that wait for their acknowledgement
)

// kafkaOnFleets are the campaigns on a fleet that -kafka is for.
var kafkaOnFleets = []string{"nodes", "split", "roll"}

// freeInARow are addresses whose ports follow each other, as the brokers of a process
// have them.
func freeInARow(n int) ([]string, error) {
	for range 100 {
		first := 10000 + rand.Intn(22000)
		var free []string
		for len(free) < n {
			at := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+len(free)))
			ln, err := net.Listen("tcp", at)
			if err != nil {
				break
			}
			_ = ln.Close()
			free = append(free, at)
		}
		if len(free) == n {
			return free, nil
		}
	}
	return nil, fmt.Errorf("there are no %d free ports in a row", n)
}

// kafkaLoad is what clients of Kafka's protocol do.
type kafkaLoad struct{ *world }

func (w kafkaLoad) kafkaClient(opts ...kgo.Opt) *kgo.Client {
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(w.kafka...), kgo.MetadataMinAge(100 * time.Millisecond), kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
	}, opts...)...)
	if err != nil {
		panic("BUG: options of a client: " + err.Error())
	}
	return cl
}

// kafkaClients starts the clients of Kafka's protocol; they end with ctx.
func (w kafkaLoad) kafkaClients(ctx context.Context, wg *sync.WaitGroup, random func() *rand.Rand) {
	for n, topic := range []string{mainTopic, mainTopic, mainTopic, shortTopic, keyTopic} {
		p := &kafkaProducer{w: w, rnd: random(), id: fmt.Sprintf("%s%d", kafkaProducerPrefix, n+1), topic: topic}
		wg.Go(func() { p.run(ctx) })
	}
	for i, g := range []string{kafkaGroup, kafkaGroup, kafkaGroup, sharedGroup, sharedGroup} {
		m := &kafkaMember{w: w, rnd: random(), id: 50_000 + i, group: g}
		if i == 0 {
			m.instance = "static"
		}
		wg.Go(func() { m.run(ctx) })
	}
	rnd := random()
	wg.Go(func() { w.kafkaReader(ctx, rnd) })
}

// kafkaProducer is an idempotent producer, whose client sends requests ahead.
type kafkaProducer struct {
	w     kafkaLoad
	rnd   *rand.Rand
	id    string
	topic string
	seq   int
}

// run produces until ctx ends. Now and then it begins anew under another producer's id.
func (p *kafkaProducer) run(ctx context.Context) {
	for ctx.Err() == nil {
		p.life(ctx, time.Now().Add(time.Duration(2+p.rnd.Intn(20))*time.Second))
	}
}

// life produces until a time, and waits for all answers. What has none when ctx ends is
// not known.
func (p *kafkaProducer) life(ctx context.Context, until time.Time) {
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.ZstdCompression(), kgo.Lz4Compression(), kgo.SnappyCompression(), kgo.GzipCompression()}
	cl := p.w.kafkaClient(kgo.ProducerLinger(time.Duration(p.rnd.Intn(5))*time.Millisecond),
		kgo.ProducerBatchCompression(codecs[p.rnd.Intn(len(codecs))]), kgo.ProducerBatchMaxBytes(16<<10))
	defer cl.Close()
	flying := make(chan struct{}, kafkaFlying)
	var wg sync.WaitGroup
	for ctx.Err() == nil && time.Now().Before(until) {
		for range 1 + p.rnd.Intn(20) {
			flying <- struct{}{}
			wg.Add(1)
			rec, mine := p.record()
			cl.Produce(ctx, rec, func(r *kgo.Record, err error) {
				if err == nil {
					mine.outcome, mine.at = acked, place{int(r.Partition), r.Offset}
				}
				mine.ended = p.w.rec.now()
				p.w.rec.produced([]produced{mine})
				<-flying
				wg.Done()
			})
		}
		pause(ctx, time.Duration(p.rnd.Intn(20))*time.Millisecond)
	}
	wg.Wait()
}

func (p *kafkaProducer) record() (*kgo.Record, produced) {
	p.seq++
	mine := produced{topic: p.topic, value: fmt.Sprintf(`"%s-%d"`, p.id, p.seq), outcome: unknown, began: p.w.rec.now()}
	rec := &kgo.Record{Topic: p.topic, Value: []byte(mine.value)}
	switch {
	case p.topic == keyTopic:
		mine.key = fmt.Sprintf("%s-%d", p.id, p.rnd.Intn(10))
	case p.rnd.Intn(3) > 0:
		mine.key = fmt.Sprintf("k%d", p.rnd.Intn(97))
	}
	if mine.key != "" {
		rec.Key = []byte(mine.key)
	}
	return rec, mine
}

// kafkaMember is a member of a group that leaves and comes back now and then. It commits
// what it was given once that is noted.
type kafkaMember struct {
	w        kafkaLoad
	rnd      *rand.Rand
	id       int
	group    string
	instance string // of a static member
}

// kafkaSessions numbers the assignments of all members, below zero: none of them is a
// generation of HTTP's.
var kafkaSessions atomic.Int64

func (m *kafkaMember) run(ctx context.Context) {
	for ctx.Err() == nil {
		m.life(ctx, time.Now().Add(time.Duration(1000+m.rnd.Intn(6000))*time.Millisecond))
		away := 1 + m.rnd.Intn(500)
		if m.group == sharedGroup { // long enough for the consumers of HTTP to come in
			away += 2000 + m.rnd.Intn(3000)
		}
		pause(ctx, time.Duration(away)*time.Millisecond)
	}
}

func (m *kafkaMember) life(ctx context.Context, until time.Time) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	var session atomic.Int64
	var moved atomic.Bool
	assigned := func(context.Context, *kgo.Client, map[string][]int32) {
		session.Store(kafkaSessions.Add(-1))
		moved.Store(true)
	}
	opts := []kgo.Opt{
		kgo.ConsumerGroup(m.group), kgo.ConsumeTopics(mainTopic), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(time.Duration(1500+m.rnd.Intn(1500)) * time.Millisecond),
		kgo.HeartbeatInterval(300 * time.Millisecond), kgo.RebalanceTimeout(3 * time.Second), kgo.OnPartitionsAssigned(assigned),
		kgo.OnPartitionsRevoked(func(context.Context, *kgo.Client, map[string][]int32) { moved.Store(true) }),
		kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) { moved.Store(true) }),
		kgo.Balancers(kgo.CooperativeStickyBalancer(), kgo.RangeBalancer()),
	}
	if m.instance != "" {
		opts = append(opts, kgo.InstanceID(m.instance))
	}
	cl := m.w.kafkaClient(opts...)
	defer cl.CloseAllowingRebalance()
	for ctx.Err() == nil {
		fs := cl.PollRecords(ctx, 1+m.rnd.Intn(400))
		m.took(cl, fs, session.Load(), moved.Swap(false))
		if m.rnd.Intn(5) > 0 {
			commit, done := context.WithTimeout(ctx, 3*time.Second)
			_ = cl.CommitUncommittedOffsets(commit) // what is not committed is given again
			done()
		}
		cl.AllowRebalance()
	}
}

// took notes what a poll has brought.
func (m *kafkaMember) took(cl *kgo.Client, fs kgo.Fetches, session int64, moved bool) {
	var records []consumed
	fs.EachRecord(func(r *kgo.Record) {
		records = append(records, consumed{Partition: int(r.Partition), Offset: r.Offset, Value: r.Value})
	})
	if len(records) > 0 || moved {
		m.w.rec.delivered(&member{g: &group{name: m.group, topic: mainTopic}, id: m.id, generation: session}, records, moved)
	}
}

// countKafka counts what the clients of Kafka's protocol have done. A campaign in which
// they did nothing has shown nothing.
func (w kafkaLoad) countKafka(res *result) {
	res.Campaign += "+kafka"
	for _, p := range w.rec.h.produced {
		if p.outcome == acked && strings.HasPrefix(p.value, `"`+kafkaProducerPrefix) {
			res.KafkaAcked++
		}
	}
	for _, d := range w.rec.h.deliveries {
		switch {
		case d.generation < 0:
			res.KafkaGiven += len(d.offsets)
		case d.group == sharedGroup:
			res.SharedGiven += len(d.offsets)
		}
	}
	if res.KafkaAcked == 0 || res.KafkaGiven == 0 {
		res.Violations = append(res.Violations, violation{"stuck", "no Kafka client has written and read anything"})
	}
}

// kafkaReader reads the main topic without a group, from its beginning again and again. An
// offset always has the same value, and none is passed over.
func (w kafkaLoad) kafkaReader(ctx context.Context, rnd *rand.Rand) {
	for ctx.Err() == nil {
		life, cancel := context.WithTimeout(ctx, time.Duration(2000+rnd.Intn(8000))*time.Millisecond)
		cl := w.kafkaClient(kgo.ConsumeTopics(mainTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		next := map[int]int64{}
		for life.Err() == nil {
			var records []consumed
			cl.PollFetches(life).EachRecord(func(r *kgo.Record) {
				p := int(r.Partition)
				if r.Offset != next[p] {
					w.rec.violate("skipped", "a Kafka client that reads partition %d was given offset %d instead of %d", p, r.Offset, next[p])
				}
				next[p] = r.Offset + 1
				records = append(records, consumed{Partition: p, Offset: r.Offset, Value: r.Value})
			})
			w.rec.saw(mainTopic, records)
		}
		cl.Close()
		cancel()
	}
}
