package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"ottla/chaos/offsetcheck"
)

var allTopics = []string{mainTopic, shortTopic, churnTopic, keyTopic, jobTopic, deadNone, deadKey}

const (
	drainLimit  = 60 * time.Second // for all groups to reach the end
	inSyncLimit = 60 * time.Second // for all replicas to have everything
	orderLimit  = 30 * time.Second // for the check of one committed offset
)

// verdict checks, after a campaign, what is left of it.
type verdict struct{ *world }

// finish lets all groups consume to the end, reads the logs through the API and
// from every broker's files, and checks.
func (w verdict) finish(rounds int) (*result, error) {
	// Requests that were canceled may still be executed; they end with a clean stop.
	// The start verifies the newest file of every copy.
	w.s.scrubs = w.damagedFiles()
	if err := w.restart(w.stopAll); err != nil {
		return nil, fmt.Errorf("clean stop: %w", err)
	}
	res := &result{
		Campaign: w.o.campaign, Seed: w.o.seed, Rounds: rounds, Strikes: w.injected, Version: w.version(),
		Acked: int(w.rec.acks.Load()), SlowestMS: w.slowest.Milliseconds(), Date: w.rec.began.UTC().Format(time.DateTime),
	}
	w.drain()
	w.waitInSync()
	if w.s.scrubs {
		res.Scrubbed = w.waitScrubbed()
		w.waitInSync()
	}
	logs := map[string]*finalLog{}
	for _, topic := range w.topics() {
		f, err := w.s.readLog(topic)
		if err != nil {
			w.rec.violate("unreadable", "%v", err)
		}
		logs[topic] = f
		res.Log += len(f.records)
	}
	if err := w.stopAll(); err != nil {
		return nil, fmt.Errorf("clean stop: %w", err)
	}
	damage, err := w.verify()
	if err != nil {
		return nil, err
	}
	h := &w.rec.h
	res.Violations = append(h.violations, damage...)
	for _, topic := range w.topics() {
		f := logs[topic]
		f.compacted = topic == keyTopic
		for b := 1; b <= brokers && !f.compacted; b++ { // each replica compacts for itself, at its own time
			var err error
			if f.copies[b], err = w.holder(b).readFiles(b, topic); err != nil {
				res.Violations = append(res.Violations, violation{"unreadable", err.Error()})
			}
		}
		res.Violations = append(res.Violations, checkLog(h, f)...)
	}
	res.Violations = append(res.Violations, checkGroups(h.deliveries, w.groups, logs[mainTopic].ends())...)
	for _, q := range w.queues {
		res.Violations = append(res.Violations, checkQueue(q, logs[jobTopic], logs[q.dead])...)
	}
	res.Violations = append(res.Violations, checkOffsets(w.rec.offsets)...)
	if err := w.checkTerms(res); err != nil {
		return nil, err
	}
	for _, d := range h.deliveries {
		res.Delivered += len(d.offsets)
	}
	for _, q := range w.queues {
		res.Jobs += len(q.acked)
	}
	res.OffsetCalls, res.OffsetUnknown = w.rec.offsets.Size()
	res.Seconds = int(w.rec.now().Seconds())
	if w.o.kafka {
		kafkaLoad(w).countKafka(res)
		defer res.printKafka(w.out)
	}
	res.print(w.out)
	return res, res.append(w.o.results)
}

// checkOffsets checks that every committed offset behaved like a register.
func checkOffsets(h *offsetcheck.History) []violation {
	err := h.Check(orderLimit)
	if err == nil {
		return nil
	}
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		var out []violation
		for _, e := range list.Unwrap() {
			out = append(out, violation{"offset", e.Error()})
		}
		return out
	}
	return []violation{{"offset", err.Error()}}
}

// drain lets a new member of each group on the main topic read and commit to the
// end. Whether everything was delivered is checked afterwards.
func (w verdict) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	var wg sync.WaitGroup
	for i, g := range w.groups {
		if g.topic == mainTopic {
			wg.Go(func() { w.drainGroup(ctx, g, 100*(i+1)+99) })
		}
	}
	for i, q := range w.queues {
		for n := range crewSize {
			wg.Go(func() { w.drainQueue(ctx, q, 20_000+100*i+n) })
		}
	}
	wg.Wait()
}

func (w verdict) drainGroup(ctx context.Context, g *group, id int) {
	if g.mode == byPost {
		g = &group{g.name, g.topic, byAck, g.kafka}
	}
	m := newMember(w.world, g, id, w.o.seed)
	for !w.atEnd(ctx, g) {
		if ctx.Err() != nil {
			w.rec.violate("stuck", "group %s has not reached the end after %s: %v", g.name, drainLimit, w.lag(g))
			return
		}
		m.poll(ctx)
	}
}

func (w verdict) atEnd(ctx context.Context, g *group) bool {
	if g.mode == byAuto {
		return len(w.lag(g)) == 0
	}
	rows := readOffsets(ctx, w.world, w.target(), "drain", g)
	return len(rows) == partitions && !slices.ContainsFunc(rows, behind)
}

// behind reports whether a group has not reached the end of a partition, as far as that
// is known.
func behind(r offsetRow) bool {
	return r.End == nil || *r.End > 0 && (r.Committed == nil || *r.Committed < *r.End)
}

// lag lists the partitions whose end a group has not reached.
func (w verdict) lag(g *group) []string {
	status, body := w.s.get("/offset?group=" + g.name + "&topic=" + g.topic)
	if status != http.StatusOK {
		return []string{fmt.Sprintf("%d %s", status, body)}
	}
	var list []string
	rows := decode[[]offsetRow](decode[answer](body).Offsets)
	for _, r := range slices.DeleteFunc(rows, func(r offsetRow) bool { return !behind(r) }) {
		at := "nothing"
		if r.Committed != nil {
			at = fmt.Sprint(*r.Committed)
		}
		end := "an unknown end"
		if r.End != nil {
			end = fmt.Sprint(*r.End)
		}
		list = append(list, fmt.Sprintf("partition %d: %s of %s", r.Partition, at, end))
	}
	return list
}

// waitInSync waits until all replicas are in sync.
func (w verdict) waitInSync() {
	deadline := time.Now().Add(inSyncLimit)
	for _, topic := range w.topics() {
		for {
			err := w.inSync(topic)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				w.rec.violate("stuck", "not all replicas are in sync after %s: %v", inSyncLimit, err)
				return
			}
			pause(context.Background(), 20*time.Millisecond)
		}
	}
}

func (w verdict) inSync(topic string) error {
	status, body := w.s.get("/topic/" + topic)
	var info struct {
		Partitions []struct {
			InSync []int `json:"in_sync"`
		} `json:"partitions"`
	}
	if status != http.StatusOK {
		return fmt.Errorf("topic %s: %d %.300s", topic, status, body)
	}
	if err := json.Unmarshal(body, &info); err != nil {
		return err
	}
	for p, row := range info.Partitions {
		if len(row.InSync) != brokers {
			return fmt.Errorf("%s-%d is in sync on %v only", topic, p, row.InSync)
		}
	}
	if len(info.Partitions) != partitionsOf(topic) {
		return errors.New("partitions of " + topic + " are missing")
	}
	return nil
}

// version returns the version that the broker reports.
func (w verdict) version() string {
	_, body := w.s.get("/healthz")
	return decode[struct {
		Version string `json:"version"`
	}](body).Version
}

// holder is the node that has a broker's files.
func (w verdict) holder(broker int) *server {
	for _, s := range w.nodes {
		if _, err := os.Stat(s.brokerDir(broker)); err == nil {
			return s
		}
	}
	return w.s
}
