package bench

import (
	"context"
	"fmt"
)

// members are the only members of their groups, one a connection.
type members struct {
	*session
	topic string
}

// poll is the request of a connection for one record.
func (m *members) poll(connection int, autoCommit bool) []byte {
	return m.get(fmt.Sprintf("/events?topic=%s&group=%s-%d&consumer_id=%d&max_records=1&auto_commit=%t", m.topic, m.topic, connection,
		firstConsumer+connection, autoCommit))
}

// runPoll polls for one record that is there already, and comes again with each poll.
func runPoll(ctx context.Context, s *session) ([]Measurement, error) {
	return runMembers(ctx, s, func(m *members, connection int, _ int64) []byte { return m.poll(connection, false) }, `"timed_out":false`)
}

// runPollCommit polls for one record after the other, of which each is committed
// before it is returned.
func runPollCommit(ctx context.Context, s *session) ([]Measurement, error) {
	return runMembers(ctx, s, func(m *members, connection int, _ int64) []byte { return m.poll(connection, true) }, `"timed_out":false`)
}

// runCommit joins a group with the first request, and commits a higher offset with
// each further one.
func runCommit(ctx context.Context, s *session) ([]Measurement, error) {
	return runMembers(ctx, s, func(m *members, connection int, n int64) []byte {
		if n == 0 {
			return m.poll(connection, false)
		}
		return m.post("/offset", "application/json", fmt.Appendf(nil, `{"consumer_id":%d,"group":"%s-%d","offsets":[{"topic":"%s","partition":0,"offset":%d}]}`,
			firstConsumer+connection, m.topic, connection, m.topic, min(n, preloaded/int64(m.Partitions)/2)))
	}, `]`)
}

func runMembers(ctx context.Context, s *session, wire func(m *members, connection int, n int64) []byte, want string) ([]Measurement, error) {
	topic, remove, err := s.createTopic(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	if err := s.preload(ctx, topic, preloaded); err != nil {
		return nil, err
	}
	m := &members{session: s, topic: topic}
	rec := newRecorder(s.workload.name)
	rec.slots = s.schedule()
	l := &load{addrs: s.targets, connections: s.connections, rec: rec, slots: rec.slots, next: func(connection int, n int64) *call {
		return &call{wire: wire(m, connection, n), records: 1, want: []byte(want)}
	}}
	return s.measure(ctx, []*recorder{rec}, jobs{l.run})
}
