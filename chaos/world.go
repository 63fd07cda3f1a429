package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	mainTopic  = "chaos"      // keeps everything
	shortTopic = "chaos-keep" // retention removes its oldest records all the time
	churnTopic = "chaos-new"  // is deleted and created again all the time
	keyTopic   = "chaos-keys" // is compacted
	wideTopic  = "chaos-wide" // has many partitions, in campaigns that want it
	partitions = 3            // of each but the last
	brokers    = 3

	progressLimit = 60 * time.Second // from the end of a fault to the next progressAcks acknowledgements
	progressAcks  = 20
)

// world is the broker under test, its disk and its clients.
type world struct {
	o      *options
	out    io.Writer
	rnd    *rand.Rand
	s      *server   // the process, or the first of a fleet
	nodes  []*server // all of them
	net    *network  // between the nodes of a fleet
	spaces *spaces   // of the nodes, in place of net; nil: they have none
	imaged int       // the node of a fleet whose directory is on disk
	disk   *volume   // nil: the data is in an ordinary directory
	rec    *recorder
	groups []*group
	queues []*queue
	victim int    // the broker whose files are damaged: one of three, so a minority of every partition
	harmed int    // the broker, or anyBroker, whose copies may not be complete: they are being rebuilt; 0: none
	backup string // an older copy of the victim's directory, "" if there is none

	wide         bool           // there is wideTopic
	storm        atomic.Bool    // members leave and join all the time
	injected     map[string]int // how often, by name of the fault
	slowest      time.Duration  // the longest time from the end of a fault, or the start after it, to new acknowledgements
	restarts     int
	foundVersion string
	restored     int      // clusters that a backup was restored into
	grown        bool     // the cluster has more brokers than at first
	targets      int      // how many clients talk to a fleet
	kafka        []string // addresses for Kafka clients; there are none without any
}

// pollsBetweenMoves is the mean number of polls until a member leaves or sleeps.
func (w *world) pollsBetweenMoves() int {
	if w.storm.Load() {
		return 4
	}
	return 150
}

// together runs f n times concurrently and waits for all.
func (w *world) together(n int, f func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(f)
	}
	wg.Wait()
}

// between returns a random duration.
func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rnd.Int63n(int64(most-least)+1))
}

func (w *world) createTopics() error {
	for _, topic := range w.topics() {
		settings := topicSettings[topic]
		status, a := w.s.call(context.Background(), http.MethodPost, "/topic", nil, topicBody(topic, settings))
		if status == http.StatusCreated {
			continue
		}
		w.rec.violate("admin", "create topic %s: status %d %s", topic, status, a.Code)
		until(func() bool {
			status, a = w.s.call(context.Background(), http.MethodPost, "/topic", nil, topicBody(topic, settings))
			return status == http.StatusOK || status == http.StatusCreated
		})
		if status >= http.StatusMultipleChoices {
			return fmt.Errorf("create topic %s: still status %d %s", topic, status, a.Code)
		}
	}
	return nil
}

var topicSettings = map[string]string{
	mainTopic:  `"segment_bytes":262144`,
	shortTopic: `"segment_bytes":65536,"retention_bytes":262144`,
	churnTopic: `"segment_bytes":65536`,
	keyTopic:   `"segment_bytes":65536,"cleanup_policy":"compact"`,
	jobTopic:   `"segment_bytes":262144`,
	deadNone:   `"segment_bytes":262144`,
	deadKey:    `"segment_bytes":262144`,
	wideTopic:  `"segment_bytes":65536`,
}

// topics are those that there are in the end.
func (w *world) topics() []string {
	if w.wide {
		return append(slices.Clone(allTopics), wideTopic)
	}
	return allTopics
}

func partitionsOf(topic string) int {
	if topic == wideTopic {
		return widePartitions
	}
	return partitions
}

func topicBody(topic, settings string) []byte {
	return fmt.Appendf(nil, `{"name":%q,"partitions":%d,%s}`, topic, partitionsOf(topic), settings)
}

// clients starts all clients; they end with ctx.
func (w *world) clients(ctx context.Context, wg *sync.WaitGroup) {
	seed := w.o.seed
	random := func() *rand.Rand { seed++; return rand.New(rand.NewSource(seed)) }
	producers := 0
	produce := func(topic string, most, keys int, every time.Duration) {
		producers++
		p := &producer{s: w.target(), rec: w.rec, rnd: random(), id: fmt.Sprintf("p%d", producers), topic: topic, most: most, keys: keys, every: every}
		wg.Go(func() { p.run(ctx) })
	}
	for n := range w.o.producers {
		produce(mainTopic, 1+9*(n%2), 0, time.Duration(1+4*(n%2))*time.Millisecond)
	}
	produce(shortTopic, 40, 0, 5*time.Millisecond)
	produce(churnTopic, 1, 0, 2*time.Millisecond)
	produce(churnTopic, 10, 0, 5*time.Millisecond)
	produce(keyTopic, 20, 10, 5*time.Millisecond)
	produce(jobTopic, 5, jobKeys, 10*time.Millisecond)
	if w.wide {
		produce(wideTopic, 20, 2*widePartitions, 5*time.Millisecond)
		produce(wideTopic, 1, 0, 5*time.Millisecond)
	}

	w.groups = []*group{
		{"acks", mainTopic, byAck, false},
		{"more-acks", mainTopic, byAck, false},
		{"posts", mainTopic, byPost, false},
		{"auto", mainTopic, byAuto, false},
		{"churn", churnTopic, byAck, false},
	}
	if len(w.kafka) > 0 {
		w.groups = append(w.groups, &group{sharedGroup, mainTopic, byAck, true}, &group{kafkaGroup, mainTopic, byAck, true})
		kafkaLoad{w}.kafkaClients(ctx, wg, random)
	}
	for i, g := range w.groups {
		if g.name == kafkaGroup {
			continue // its members speak Kafka's protocol
		}
		for p := range partitions { // when a group joins, the broker commits where it starts
			if g.kafka {
				break
			}
			w.rec.offsets.Commit("the broker", g.register(p), 0)
		}
		for n := range 2 + i%2 {
			seed++
			m := newMember(w, g, 100*(i+1)+n, seed)
			wg.Go(func() { m.run(ctx) })
		}
	}
	for i, q := range w.queues {
		for n := range crewSize {
			k := &worker{s: w.target(), rec: w.rec, q: q, rnd: random(), id: 10_000 + 100*i + n}
			wg.Go(func() { k.run(ctx) })
		}
	}
	for n := range 2 {
		wg.Go(func() { watcher(ctx, w, fmt.Sprintf("watcher %d", n), random()) })
	}
	for _, topic := range []string{mainTopic, shortTopic} {
		wg.Go(func() { browser(ctx, w.target(), w.rec, random(), topic) })
	}
	wg.Go(func() { churner(ctx, w.target(), w.rec, random()) })
}

// churner deletes a topic and creates it again, whatever happens meanwhile.
func churner(ctx context.Context, s target, rec *recorder, rnd *rand.Rand) {
	for {
		pause(ctx, time.Duration(500+rnd.Intn(2500))*time.Millisecond)
		if ctx.Err() != nil {
			return
		}
		rec.deleting(churnTopic)
		deleted := until(func() bool {
			status, _ := s.call(context.Background(), http.MethodDelete, "/topic/"+churnTopic, nil, nil)
			return status == http.StatusNoContent || status == http.StatusNotFound
		})
		if !deleted {
			fmt.Println(churnTopic, "could not be deleted for a minute")
			rec.notDeleted(churnTopic)
			continue
		}
		pause(ctx, time.Duration(rnd.Intn(200))*time.Millisecond)
		created := until(func() bool {
			status, _ := s.call(context.Background(), http.MethodPost, "/topic", nil, topicBody(churnTopic, topicSettings[churnTopic]))
			return status == http.StatusCreated || status == http.StatusOK
		})
		if created {
			rec.created(churnTopic)
		}
	}
}

// until repeats a request for a minute at most, so that a broken broker does not
// keep the campaign from ending. It reports whether the request succeeded.
func until(done func() bool) bool {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); pause(context.Background(), 20*time.Millisecond) {
		if done() {
			return true
		}
	}
	return false
}

// waitServing waits until the broker acknowledges records again after a fault, and
// notes how long that took: from now, or from the last start of the process if
// there was one since the fault was injected.
func (w *world) waitServing(what string, injected time.Time) error {
	began, from, launched := time.Now(), w.rec.acks.Load(), false
	for _, s := range w.nodes {
		if s.launched.After(injected) && (began.Before(s.launched) || !launched) {
			launched = true
			began = s.launched
		}
	}
	err := w.waitReady(progressLimit)
	for err == nil && w.rec.acks.Load() < from+progressAcks {
		if err = w.ended(); err == nil {
			pause(context.Background(), 2*time.Millisecond)
		}
		if time.Since(began) > progressLimit {
			status, body := w.s.get("/readyz")
			err = fmt.Errorf("nothing is acknowledged any more; readyz says %d %.500s", status, body)
		}
	}
	w.slowest = max(w.slowest, time.Since(began))
	fmt.Fprintf(w.s.log, "chaos: it served again %s after %s\n", time.Since(began), what)
	if err == nil {
		return nil
	}
	w.rec.violate("stuck", "after %s: %v", what, err)
	w.endAll()
	w.restarts++
	if err := w.startAll(); err != nil {
		return fmt.Errorf("stuck after %s, and not ready after a restart: %w", what, err)
	}
	return nil
}

// target is what a client talks to.
func (w *world) target() target {
	if len(w.nodes) <= 1 {
		return w.s
	}
	w.targets++
	return &anyNode{nodes: w.nodes, at: w.targets % len(w.nodes), rnd: rand.New(rand.NewSource(w.o.seed + int64(w.targets)))}
}

// startAll starts all processes and waits until every partition has a leader.
func (w *world) startAll() error {
	for _, s := range w.nodes {
		if err := s.launch(); err != nil {
			return err
		}
	}
	return w.waitReady(startLimit)
}

func (w *world) waitReady(limit time.Duration) error {
	for i, s := range w.nodes {
		if err := s.waitReady(limit); err != nil {
			return fmt.Errorf("node %d: %w", i+1, err)
		}
	}
	return nil
}

// ended says which process has ended by itself.
func (w *world) ended() error {
	for _, s := range w.nodes {
		select {
		case <-s.exited:
			return fmt.Errorf("the broker ended by itself (%s), see %s", s.cmd.ProcessState, s.log.Name())
		default:
		}
	}
	return nil
}

// stopAll ends all processes in order, all at once.
func (w *world) stopAll() error {
	errs := make([]error, len(w.nodes))
	var wg sync.WaitGroup
	for i, s := range w.nodes {
		wg.Go(func() { errs[i] = s.stop() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// endAll makes sure that nothing is left running.
func (w *world) endAll() {
	for _, s := range w.nodes {
		s.end()
	}
}
