package bench

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
)

// members are the only members of their groups, one a connection. Their requests are
// rendered ahead, as those of other workloads are.
type members struct {
	*session
	topic string
	polls []call // by connection
}

func (m *members) poll(connection int, _ int64) *call { return &m.polls[connection] }

// commits are the commits of a connection. Each has a higher offset than the one before.
type commits struct {
	call
	digits []byte // of the offset, in call.wire
}

// commit joins a group with the first request of a connection, and commits a higher
// offset with each further one.
func (m *members) commit(next []commits, connection int, n int64) *call {
	if n == 0 {
		return &m.polls[connection]
	}
	c := &next[connection]
	offset := strconv.AppendInt(make([]byte, 0, 20), min(n, preloaded/int64(m.Partitions)/2), 10)
	if len(offset) != len(c.digits) { // so has the body another length
		body := fmt.Appendf(nil, `{"consumer_id":%d,"group":"%s-%d","offsets":[{"topic":"%s","partition":0,"offset":%s}]}`,
			firstConsumer+connection, m.topic, connection, m.topic, offset)
		c.call = call{wire: m.post("/offset", "application/json", body), records: 1, want: []byte(`]`)}
		at := bytes.LastIndexByte(c.wire, ':') + 1
		c.digits = c.wire[at : at+len(offset)]
	}
	copy(c.digits, offset)
	return &c.call
}

// runPoll polls for one record that is there already, and comes again with each poll.
func runPoll(ctx context.Context, s *session) ([]Measurement, error) {
	return runMembers(ctx, s, false, func(m *members) nextCall { return m.poll })
}

// runPollCommit polls for one record after the other, of which each is committed
// before it is returned.
func runPollCommit(ctx context.Context, s *session) ([]Measurement, error) {
	return runMembers(ctx, s, true, func(m *members) nextCall { return m.poll })
}

func runCommit(ctx context.Context, s *session) ([]Measurement, error) {
	return runMembers(ctx, s, false, func(m *members) nextCall {
		next := make([]commits, m.connections)
		return func(connection int, n int64) *call { return m.commit(next, connection, n) }
	})
}

func runMembers(ctx context.Context, s *session, autoCommit bool, next func(m *members) nextCall) ([]Measurement, error) {
	topic, remove, err := s.createTopic(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	if err := s.preload(ctx, topic, preloaded); err != nil {
		return nil, err
	}
	m := &members{session: s, topic: topic, polls: make([]call, s.connections)}
	for i := range m.polls {
		m.polls[i] = call{records: 1, want: []byte(`"timed_out":false`), wire: m.get(fmt.Sprintf(
			"/events?topic=%s&group=%s-%d&consumer_id=%d&max_records=1&auto_commit=%t", topic, topic, i, firstConsumer+i, autoCommit))}
	}
	rec := newRecorder(s.workload.name)
	rec.slots = s.schedule()
	l := &load{addrs: s.targets, connections: s.connections, rec: rec, slots: rec.slots, next: next(m)}
	return s.measure(ctx, []*recorder{rec}, jobs{l.run})
}
