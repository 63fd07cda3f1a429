package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand"
	"net/http"
	"strings"
	"time"

	"ottla/chaos/offsetcheck"
)

// How a group commits.
type commitMode int

const (
	byAck  commitMode = iota // with ack=, the cursor of the last answer, in the next poll
	byPost                   // with POST /offset, several clients concurrently
	byAuto                   // with auto_commit
)

// group is a consumer group with several members.
type group struct {
	name  string
	topic string
	mode  commitMode
	kafka bool // it has members that speak Kafka's protocol: its offsets are not followed commit by commit
}

// member is one consumer. Now and then it leaves and joins again, or sleeps beyond
// its session timeout, so that its partitions move.
type member struct {
	w          *world
	at         target
	g          *group
	id         int
	rnd        *rand.Rand
	session    time.Duration
	cursor     string
	generation int64
	moved      bool          // the next delivery may begin at another position
	pending    map[int]int64 // by partition, the offset that the next commit covers
	carried    map[int]bool  // pending partitions of an older generation: the cursor covers them only if the member still has them
	posts      chan map[int]int64
}

func newMember(w *world, g *group, id int, seed int64) *member {
	rnd := rand.New(rand.NewSource(seed))
	return &member{
		w: w, at: w.target(), g: g, id: id, rnd: rnd, moved: true, pending: map[int]int64{}, carried: map[int]bool{},
		session: time.Duration(1000+rnd.Intn(2000)) * time.Millisecond, posts: make(chan map[int]int64, 4),
	}
}

// run polls until ctx ends.
func (m *member) run(ctx context.Context) {
	if m.g.mode == byPost {
		done := make(chan struct{})
		defer func() { <-done }()
		go func() {
			defer close(done)
			m.w.together(2, func() { m.postAll(ctx) })
		}()
	}
	for ctx.Err() == nil {
		switch {
		case m.rnd.Intn(m.w.pollsBetweenMoves()) > 0:
			m.poll(ctx)
		case m.rnd.Intn(2) == 0:
			m.leave(ctx)
		default: // sleep, mostly beyond the session timeout, and go on as if nothing had happened
			pause(ctx, time.Duration((0.5+m.rnd.Float64())*float64(m.session)))
		}
	}
}

// leave leaves the group for a while.
func (m *member) leave(ctx context.Context) {
	m.at.call(ctx, http.MethodDelete, fmt.Sprintf("/groups/%s/members/%d", m.g.name, m.id), nil, nil)
	m.forget()
	pause(ctx, time.Duration(m.rnd.Intn(1000))*time.Millisecond)
}

// forget makes the member begin again at the committed offsets.
func (m *member) forget() {
	m.cursor, m.moved, m.pending, m.carried = "", true, map[int]int64{}, map[int]bool{}
}

// poll fetches the next records; with ack= it commits the last ones.
func (m *member) poll(ctx context.Context) {
	url := fmt.Sprintf("/events?topic=%s&group=%s&consumer_id=%d&timeout_ms=%d&session_timeout_ms=%d&max_records=%d&auto_commit=%t",
		m.g.topic, m.g.name, m.id, m.rnd.Intn(600), m.session.Milliseconds(), 1+m.rnd.Intn(400), m.g.mode == byAuto)
	var acks map[int]*offsetcheck.Op
	newest := m.w.rec.generation(m.g.name)
	of := m.generation
	switch {
	case m.cursor == "" || m.g.mode == byAuto:
		of = newest
	case m.g.mode == byAck && m.rnd.Intn(10) > 0:
		url += "&ack=" + m.cursor
		acks = m.commits(m.pending)
	default:
		url += "&after=" + m.cursor
	}
	status, a := m.at.call(ctx, http.MethodGet, url, nil, nil)
	if status != http.StatusOK {
		m.refusedPoll(ctx, status, &a, acks)
		return
	}
	if a.Cursor != "" { // without one a newer poll of this consumer took over, perhaps before the ack was committed
		for p := range m.carried {
			delete(acks, p) // it is not known whether that was committed
		}
		end(acks, (*offsetcheck.Op).Acked)
		m.w.rec.accepted(m, a.Generation, of, newest)
	}
	if a.Generation != m.generation {
		for p := range m.pending {
			m.carried[p] = true
		}
	}
	m.moved = m.moved || a.Generation != m.generation
	m.generation = a.Generation
	m.w.rec.delivered(m, a.Records, m.moved)
	m.cursor, m.moved = a.Cursor, a.Cursor == "" // without one the next poll begins at what is committed
	if acks != nil {
		m.pending, m.carried = map[int]int64{}, map[int]bool{}
	}
	for _, r := range a.Records {
		m.pending[r.Partition] = r.Offset + 1
		delete(m.carried, r.Partition)
	}
	if m.g.mode == byPost && len(m.pending) > 0 {
		select {
		case m.posts <- maps.Clone(m.pending):
		default: // both clients are busy; a later commit covers this one
		}
	}
}

func (m *member) refusedPoll(ctx context.Context, status int, a *answer, acks map[int]*offsetcheck.Op) {
	m.moved = true
	switch {
	case a.none():
		m.note("ack", acks, status, a)
		endRefused(acks, m.g.topic, a)
	case a.Outcome == "applied":
		end(acks, (*offsetcheck.Op).Acked)
	}
	if status >= http.StatusBadRequest && status < http.StatusInternalServerError && status != http.StatusTooManyRequests {
		m.forget() // another generation, term or topic: begin at the committed offsets
	}
	pause(ctx, 5*time.Millisecond)
}

// note writes to the broker's log why a commit was refused.
func (m *member) note(what string, ops map[int]*offsetcheck.Op, status int, a *answer) {
	if len(ops) > 0 && status != 0 {
		fmt.Fprintf(m.w.s.log, "chaos: %s of member %d refused with %d %s: %v\n", what, m.id, status, a.Code, ops)
	}
}

// commits records the beginning of a commit of each partition.
func (m *member) commits(offsets map[int]int64) map[int]*offsetcheck.Op {
	ops := map[int]*offsetcheck.Op{}
	if m.g.topic != mainTopic || m.g.kafka {
		return ops // the topic is deleted and created again, and its offsets start over
	}
	for p, off := range offsets {
		ops[p] = m.w.rec.offsets.Commit(fmt.Sprint(m.id), m.g.register(p), off)
	}
	return ops
}

func (g *group) register(partition int) offsetcheck.Register {
	return offsetcheck.Register{Group: g.name, Topic: g.topic, Partition: partition}
}

func end(ops map[int]*offsetcheck.Op, how func(*offsetcheck.Op)) {
	for _, op := range ops {
		how(op)
	}
}

// endRefused records that commits were refused with outcome none. The answer may
// name one partition whose committed offset is greater already.
func endRefused(ops map[int]*offsetcheck.Op, topic string, a *answer) {
	d := decode[struct {
		Topic     string `json:"topic"`
		Partition int    `json:"partition"`
		Current   int64  `json:"current"`
	}](a.Details)
	for p, op := range ops {
		if a.Code == "offset_regression" && d.Topic == topic && d.Partition == p {
			op.Behind(d.Current)
		} else {
			op.Refused()
		}
	}
}

// postAll is one of the clients that commit with POST /offset for the member.
func (m *member) postAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case offsets := <-m.posts:
			m.post(ctx, offsets)
		}
	}
}

func (m *member) post(ctx context.Context, offsets map[int]int64) {
	var rows []string
	for p, off := range offsets {
		rows = append(rows, fmt.Sprintf(`{"topic":%q,"partition":%d,"offset":%d}`, m.g.topic, p, off))
	}
	body := fmt.Appendf(nil, `{"consumer_id":%d,"group":%q,"offsets":[%s]}`, m.id, m.g.name, strings.Join(rows, ","))
	ops := m.commits(offsets)
	status, a := m.at.call(ctx, http.MethodPost, "/offset", nil, body)
	switch {
	case status == http.StatusOK:
		end(ops, (*offsetcheck.Op).Acked)
	case a.none():
		m.note("post", ops, status, &a)
		endRefused(ops, m.g.topic, &a)
	}
}

// watcher reads the committed offsets of all groups on the main topic.
func watcher(ctx context.Context, w *world, name string, rnd *rand.Rand) {
	at := w.target()
	for ctx.Err() == nil {
		g := w.groups[rnd.Intn(len(w.groups))]
		if g.topic == mainTopic && g.mode != byAuto && !g.kafka {
			readOffsets(ctx, w, at, name, g)
		}
		pause(ctx, time.Duration(rnd.Intn(20))*time.Millisecond)
	}
}

func readOffsets(ctx context.Context, w *world, at target, client string, g *group) []offsetRow {
	var ops []*offsetcheck.Op
	for p := range partitions {
		if !g.kafka {
			ops = append(ops, w.rec.offsets.Read(client, g.register(p)))
		}
	}
	status, a := at.call(ctx, http.MethodGet, "/offset?group="+g.name+"&topic="+g.topic, nil, nil)
	if status != http.StatusOK {
		return nil
	}
	rows := decode[[]offsetRow](a.Offsets)
	committed := map[int]int64{}
	for _, row := range rows {
		if row.Committed != nil {
			committed[row.Partition] = *row.Committed
		}
	}
	for p, op := range ops {
		off, ok := committed[p]
		if !ok { // nothing is committed, or the partition is not listed
			off = offsetcheck.None
		}
		op.Returned(off)
	}
	return rows
}
