package front

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/group"
	"ottla/actors/routing"
	"ottla/protocol"
)

// streamPolls are the polls of a stream, each on the seat of the last one.
type streamPolls struct {
	*world
	req protocol.PollRequest
}

func (w *world) stream() *streamPolls {
	return &streamPolls{w, protocol.PollRequest{
		Topics: []string{"q"}, ConsumerID: 7, Group: "g", MaxRecords: 10, MaxBytes: 1 << 20, Timeout: time.Hour,
		SessionTimeout: 30 * time.Second, AutoCommit: true, SkipGaps: true, Continue: true, Announce: true, Stay: true,
	}}
}

// next begins the next poll.
func (s *streamPolls) next() *testPoll {
	req := s.req
	done := make(chan struct{})
	return &testPoll{w: s.world, poll: s.startPoll(&req, done), t: s.t, done: done}
}

// took remembers an answer, as a stream does.
func (s *streamPolls) took(reply *protocol.PollReply) *protocol.PollReply {
	s.req.Seat, s.req.Number = reply.Seat, reply.Number
	return reply
}

// A stream asks its group once for each delivery, and not before it waits.
func TestAStreamStaysAtItsGroup(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 2)
	s := w.stream()
	for i := range 5 {
		p := s.next()
		p.until(stateWait)
		leaders[i%2].append(fmt.Sprint(i))
		reply := s.took(p.answered())
		require.Equal(t, []string{fmt.Sprint(i)}, values(reply.Records))
		require.NotNil(t, reply.Seat)
		assert.EqualValues(t, i/2+1, w.groups.committed("g", q.ID, i%2))
	}
	leaders[0].append("between")
	assert.Equal(t, []string{"between"}, values(s.took(s.next().answered()).Records), "it looks before it waits")
	assert.Len(t, messages[*routing.GroupPoll](w.groups), 1)
	assert.Len(t, messages[*routing.GroupDelivered](w.groups), 6)

	p := s.next()
	p.until(stateWait)
	p.deadline = time.Now()
	p.Nudge()
	reply := s.took(p.answered())
	assert.True(t, reply.TimedOut)
	require.NotNil(t, reply.Seat, "nothing came, and it stays")

	reply.Seat.Leave(true)
	ended := messages[*routing.GroupPollEnded](w.groups)
	require.Len(t, ended, 1)
	assert.True(t, ended[0].Left)
	for _, l := range leaders {
		assert.Zero(t, l.registered())
	}
	reply.Seat.Leave(false)
	assert.Len(t, messages[*routing.GroupPollEnded](w.groups), 1, "once")
}

// What happens between two polls of a stream is not missed.
func TestBetweenTwoPollsOfAStream(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(w *world, q *protocol.Topic)
		want    []string
		check   func(t *testing.T, reply *protocol.PollReply)
	}{
		"nothing": {func(*world, *protocol.Topic) {}, []string{"2"}, nil},
		"another member": {func(w *world, q *protocol.Topic) { w.groups.join("g", 8, q) }, nil, func(t *testing.T, r *protocol.PollReply) {
			assert.EqualValues(t, 2, r.Generation)
		}},
		"a newer poll": {func(w *world, q *protocol.Topic) { w.groups.join("g", 7, q) }, []string{}, func(t *testing.T, r *protocol.PollReply) {
			assert.True(t, r.Superseded)
			assert.Nil(t, r.Seat)
		}},
		"it is made to leave": {func(w *world, _ *protocol.Topic) {
			w.groups.tell("g", &routing.GroupChange{Leave: 7, Reply: protocol.NewFuture[*protocol.Error]()})
		}, []string{}, func(t *testing.T, r *protocol.PollReply) { assert.Nil(t, r.Seat) }},
		"seek": {func(w *world, q *protocol.Topic) {
			w.groups.tell("g", &routing.GroupChange{Seek: []group.PartitionOffset{{Topic: "q", TopicID: q.ID}}, Reply: protocol.NewFuture[*protocol.Error]()})
		}, []string{"1", "2"}, nil},
		"committed further": {func(w *world, q *protocol.Topic) {
			w.groups.tell("g", &routing.GroupCommit{Consumer: 7, Offsets: []group.PartitionOffset{{Topic: "q", TopicID: q.ID, Offset: 2}}, Reply: protocol.NewFuture[routing.GroupOffsets]()})
		}, []string{}, nil}, // to where the delivery would commit, and the stream has not done that
		"committed back": {func(w *world, q *protocol.Topic) {
			w.groups.tell("g", &routing.GroupCommit{Consumer: 7, Force: true, Offsets: []group.PartitionOffset{{Topic: "q", TopicID: q.ID}}, Reply: protocol.NewFuture[routing.GroupOffsets]()})
		}, []string{"1", "2"}, nil},
		"the topic has another partition": {func(w *world, q *protocol.Topic) {
			more := *q
			more.Partitions = 2
			route := *routing.Of(q)
			route.Partitions = append(route.Partitions[:1:1], routing.NewPartition(protocol.PartitionID{TopicID: q.ID, Partition: 1}, &w.replicas, 1))
			more.Route = &route
			w.lead(&more, 1).append("new")
			w.publish(&more)
		}, []string{"2", "new"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			q, leaders := w.withTopic("q", 1)
			leaders[0].append("1")
			s := w.stream()
			require.Equal(t, []string{"1"}, values(s.took(s.next().answered()).Records))
			c.happens(w, q)
			leaders[0].append("2")
			reply := s.took(s.next().answered())
			if c.want != nil {
				assert.ElementsMatch(t, c.want, values(reply.Records))
			}
			if c.check != nil {
				c.check(t, reply)
			}
		})
	}
}

// Rights may have changed with the Front: the poll is made anew.
func TestASeatIsOfOneFront(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	leaders[0].append("1")
	s := w.stream()
	s.took(s.next().answered())
	leaders[0].append("2")
	other := w.For(protocol.Access{})
	req := s.req
	reply, err := other.Poll(&req, nil)
	require.Nil(t, err)
	assert.Equal(t, []string{"2"}, values(reply.Records))
	assert.Len(t, messages[*routing.GroupPoll](w.groups), 2)
	assert.Len(t, messages[*routing.GroupPollEnded](w.groups), 1)
}

// A delivery that a new coordinator takes makes the stream known there.
func TestAStreamStaysOverAFailover(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	leaders[0].append("1")
	s := w.stream()
	s.took(s.next().answered())
	w.groups.group("g").polls = map[protocol.ConsumerID]*routing.PollHandle{}
	w.groups.group("g").newest = map[protocol.ConsumerID]uint64{}
	leaders[0].append("2")
	s.took(s.next().answered())
	p := s.next()
	p.until(stateWait)
	w.groups.join("g", 8, q)
	p.resumed()
	assert.EqualValues(t, 2, p.answered().Generation)
}

// An answer that was given is not kept by the seat: who sends it counts what it holds.
func TestASeatKeepsNoRecords(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	leaders[0].append("1")
	s := w.stream()
	p := s.next()
	s.took(p.answered())
	assert.Nil(t, p.reply)
	assert.Empty(t, p.look.got.records)
}

// Routes that were made anew, after a failure of the cluster's actor, are those that a
// stream goes on with.
func TestAStreamTakesNewRoutes(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	leaders[0].append("1")
	s := w.stream()
	s.took(s.next().answered())
	again := *q
	route := *routing.Of(q)
	route.Partitions = []*routing.Partition{routing.NewPartition(protocol.PartitionID{TopicID: q.ID}, &w.replicas, 1)}
	again.Route = &route
	before := routing.Of(q).Partitions[0]
	leadership := before.Leader()
	route.Partitions[0].Set(leadership)
	before.Clear(leadership) // whoever looks there finds nobody any more
	w.publish(&again)
	leaders[0].append("new")
	assert.Equal(t, []string{"new"}, values(s.took(s.next().answered()).Records))
}
