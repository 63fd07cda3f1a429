package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// producer sends one request after another under a producer id of its own. A
// request without an answer is sent again with the same sequence number until there
// is one; the log must then have its records exactly once.
type producer struct {
	s     target
	rec   *recorder
	rnd   *rand.Rand
	id    string
	topic string
	most  int // records in a request at most; 1: no batches
	keys  int // number of keys, of this producer alone, that records have; 0: some records have a key that all producers use
	every time.Duration
	seq   int
}

// run produces until ctx ends. Now and then it cancels its own request, as if the
// answer was lost, and reads its own write.
func (p *producer) run(ctx context.Context) {
	for ctx.Err() == nil {
		p.seq++
		batch := p.batch()
		p.send(ctx, batch)
		p.rec.produced(batch)
		if p.rnd.Intn(50) == 0 && batch[0].outcome == acked {
			pause(ctx, p.rec.fence)
			p.readBack(ctx, batch[0])
		}
		pause(ctx, p.every)
	}
}

func (p *producer) batch() []produced {
	batch := make([]produced, 1+p.rnd.Intn(p.most))
	for i := range batch {
		batch[i] = produced{topic: p.topic, value: fmt.Sprintf(`"%s-%d.%d"`, p.id, p.seq, i), outcome: refused, began: p.rec.now()}
		switch {
		case p.keys > 0:
			batch[i].key = fmt.Sprintf("%s-%d", p.id, p.rnd.Intn(p.keys))
		case p.rnd.Intn(3) > 0:
			batch[i].key = fmt.Sprintf("k%d", p.rnd.Intn(97))
		}
	}
	return batch
}

// send repeats the request until it is acknowledged. Sometimes it gives up after
// answers that all had outcome none: then none of its records may be in the log.
func (p *producer) send(ctx context.Context, batch []produced) {
	path, body := p.request(batch)
	header := http.Header{"Producer-Id": {p.id}, "Producer-Epoch": {"0"}, "Producer-Seq": {strconv.Itoa(p.seq)}}
	giveUp := p.rnd.Intn(3) == 0
	for {
		try, cancel := ctx, func() {}
		if p.rnd.Intn(100) == 0 {
			try, cancel = context.WithTimeout(ctx, time.Duration(p.rnd.Intn(5000))*time.Microsecond)
		}
		status, a := p.s.call(try, http.MethodPost, path, header, body)
		cancel()
		switch {
		case status == http.StatusOK:
			p.acked(batch, &a)
			return
		case !a.none():
			mark(batch, unknown) // it stays unknown, whatever the next tries are answered
		}
		if ctx.Err() != nil {
			mark(batch, unknown) // the last try was canceled here
			return
		}
		if giveUp && batch[0].outcome == refused {
			p.finish(batch)
			return
		}
		if !a.none() && p.rnd.Intn(4) == 0 { // what was written may be old, sealed and checkpointed by then
			pause(ctx, time.Duration(p.rnd.Intn(2000))*time.Millisecond)
		}
		pause(ctx, time.Duration(1+p.rnd.Intn(10))*time.Millisecond)
	}
}

func mark(batch []produced, o outcome) {
	for i := range batch {
		batch[i].outcome = o
	}
}

func (p *producer) finish(batch []produced) {
	for i := range batch {
		batch[i].ended = p.rec.now()
	}
}

// request encodes a single record or a batch. A retry of records without a key
// goes to the same partition because of the producer id.
func (p *producer) request(batch []produced) (path string, body []byte) {
	var records []string
	for i := range batch {
		key := ""
		if batch[i].key != "" {
			key = fmt.Sprintf(`"key":%q,`, batch[i].key)
		}
		records = append(records, fmt.Sprintf(`%s"value":%s`, key, batch[i].value))
	}
	if p.most == 1 {
		return "/events", fmt.Appendf(nil, `{"topic":%q,%s}`, p.topic, records[0])
	}
	return "/events?offsets=true", fmt.Appendf(nil, `{"topic":%q,"records":[{%s}]}`, p.topic, strings.Join(records, "},{"))
}

// acked stores the places at which the records were acknowledged.
func (p *producer) acked(batch []produced, a *answer) {
	defer p.finish(batch)
	if p.most == 1 {
		batch[0].outcome, batch[0].at = acked, place{a.Partition, a.Offset}
		return
	}
	places := decode[[]struct {
		Partition int   `json:"partition"`
		Offset    int64 `json:"offset"`
	}](a.Offsets)
	if len(places) != len(batch) {
		p.rec.violate("answer", "%s-%d was acknowledged with %d offsets for %d records", p.id, p.seq, len(places), len(batch))
		mark(batch, unknown)
		return
	}
	for i, at := range places {
		batch[i].outcome, batch[i].at = acked, place{at.Partition, at.Offset}
	}
}

// readBack checks that an acknowledged record can be read.
func (p *producer) readBack(ctx context.Context, r produced) {
	began := p.rec.now()
	status, a := p.s.call(ctx, http.MethodGet, recordsPath(p.topic, r.at.partition, r.at.offset, 1), nil, nil)
	if status == http.StatusOK {
		p.rec.fresh(p.topic, r.at.partition, began, a.High)
	}
	switch {
	case began < r.ended+p.rec.fence: // it may be too early to see it
	case status != http.StatusOK:
	case len(a.Records) == 0:
		if p.topic == mainTopic { // the other topics lose records by design
			p.rec.violate("stale read", "%s, acknowledged at %v, could not be read afterwards", r.value, r.at)
		}
	default:
		p.rec.saw(p.topic, a.Records)
	}
}

func recordsPath(topic string, partition int, offset int64, most int) string {
	return fmt.Sprintf("/topic/%s/partitions/%d/records?offset=%d&max_records=%d", topic, partition, offset, most)
}

// browser reads partitions without a group, from random offsets. The value at an
// offset must never change, and a read must begin at the offset that was asked for
// or be answered that retention has removed it.
func browser(ctx context.Context, s target, rec *recorder, rnd *rand.Rand, topic string) {
	for ctx.Err() == nil {
		p := rnd.Intn(partitions)
		began := rec.now()
		status, ends := s.call(ctx, http.MethodGet, fmt.Sprintf("/topic/%s/partitions/%d/offsets", topic, p), nil, nil)
		if status == http.StatusOK {
			rec.fresh(topic, p, began, ends.Latest)
			browse(ctx, s, rec, rnd, topic, p, ends.Earliest)
		}
		pause(ctx, time.Duration(rnd.Intn(100))*time.Millisecond)
	}
}

func browse(ctx context.Context, s target, rec *recorder, rnd *rand.Rand, topic string, p int, earliest int64) {
	from := earliest + rnd.Int63n(1+max(0, rec.highest(topic, p)-earliest))
	began := rec.now()
	status, a := s.call(ctx, http.MethodGet, recordsPath(topic, p, from, 100), nil, nil)
	if status == http.StatusRequestedRangeNotSatisfiable {
		d := decode[struct {
			Earliest int64 `json:"earliest"`
		}](a.Details)
		if d.Earliest <= from {
			rec.violate("answer", "offset %d of %s-%d was refused as being below %d", from, topic, p, d.Earliest)
		}
		return
	}
	if status != http.StatusOK {
		return
	}
	rec.fresh(topic, p, began, a.High)
	rec.saw(topic, a.Records)
	for i, r := range a.Records {
		if r.Offset != from+int64(i) {
			rec.violate("skipped", "a read of %s-%d from %d has %d at place %d", topic, p, from, r.Offset, i)
			return
		}
	}
}

// text returns a value as it stands in the history.
func text(v json.RawMessage) string { return string(v) }
