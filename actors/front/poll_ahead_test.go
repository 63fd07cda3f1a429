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

// one is a poll for one record.
func one(r *protocol.PollRequest) { r.MaxRecords, r.Timeout = 1, 0 }

func oneUncommitted(r *protocol.PollRequest) { r.MaxRecords, r.Timeout, r.AutoCommit = 1, 0, false }

// A consumer that goes on where it was costs its group one question a poll.
func TestAConsumerThatIsKnownAsksOnce(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	leaders[0].append("1", "2", "3")
	for i, want := range []string{"1", "2", "3"} {
		reply := w.pollOf(one).answered()
		assert.Equal(t, []string{want}, values(reply.Records))
		assert.NotEmpty(t, reply.Cursor)
		assert.Equal(t, protocol.Offset(i+1), w.groups.committed("g", q.ID, 0))
	}
	assert.Len(t, messages[*routing.GroupPoll](w.groups), 3)
	assert.Len(t, messages[*routing.GroupDelivered](w.groups), 1, "of the first poll")

	reply := w.pollOf(one).answered()
	assert.Empty(t, reply.Records)
	assert.True(t, reply.TimedOut)
	p := w.pollOf(nil)
	p.until(stateWait)
	leaders[0].append("4")
	assert.Equal(t, []string{"4"}, values(p.answered().Records))
}

func TestAConsumerThatAcknowledgesAsksOnce(t *testing.T) {
	for name, ack := range map[string]func(w *world, q *protocol.Topic, r *protocol.PollRequest, last *protocol.PollReply){
		"ack": func(_ *world, _ *protocol.Topic, r *protocol.PollRequest, last *protocol.PollReply) {
			r.Ack = last.Cursor
		},
		"after": func(_ *world, _ *protocol.Topic, r *protocol.PollRequest, last *protocol.PollReply) {
			r.After = last.Cursor
		},
		"commit": func(w *world, q *protocol.Topic, _ *protocol.PollRequest, last *protocol.PollReply) {
			_, err := w.Commit(&protocol.CommitRequest{
				Group: "g", ConsumerID: 7, Offsets: []protocol.OffsetCommit{{Topic: q.Name, Offset: last.Records[0].Offset + 1}},
			})
			require.Nil(w.t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			q, leaders := w.withTopic("q", 1)
			leaders[0].append("1", "2", "3", "4")
			last := w.pollOf(oneUncommitted).answered()
			for i := 2; i <= 4; i++ {
				last = w.pollOf(func(r *protocol.PollRequest) {
					oneUncommitted(r)
					ack(w, q, r, last)
				}).answered()
				require.Equal(t, []string{fmt.Sprint(i)}, values(last.Records))
			}
			assert.Len(t, messages[*routing.GroupDelivered](w.groups), 1)
			assert.Len(t, messages[*routing.GroupPoll](w.groups), 4)
		})
	}
}

func TestAPollWithoutAckComesAgain(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	leaders[0].append("1", "2")
	for range 3 {
		assert.Equal(t, []string{"1"}, values(w.pollOf(oneUncommitted).answered().Records))
	}
	assert.Len(t, messages[*routing.GroupDelivered](w.groups), 1)
}

// What has changed at the group since decides, whatever is remembered here.
func TestAPlaceThatIsOld(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(w *world, q *protocol.Topic)
		want      []string
	}{
		"committed elsewhere": {func(w *world, q *protocol.Topic) {
			w.groups.tell("g", &routing.GroupCommit{Consumer: 7, Offsets: []group.PartitionOffset{{Topic: "q", TopicID: q.ID, Offset: 3}}, Reply: protocol.NewFuture[routing.GroupOffsets]()})
		}, []string{"4"}},
		"seek": {func(w *world, q *protocol.Topic) {
			w.groups.tell("g", &routing.GroupChange{Seek: []group.PartitionOffset{{Topic: "q", TopicID: q.ID}}, Reply: protocol.NewFuture[*protocol.Error]()})
		}, []string{"1"}},
		"another member has it": {func(w *world, q *protocol.Topic) {
			w.groups.join("g", 8, q)
			w.groups.tell("g", &routing.GroupChange{Leave: 7, Reply: protocol.NewFuture[*protocol.Error]()})
		}, []string{}},
		"removed": {func(w *world, q *protocol.Topic) {
			routing.Of(q).Partitions[0].Leader().Leader.(*fakeLeader).startAt(2)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			q, leaders := w.withTopic("q", 1)
			leaders[0].append("1")
			leaders[0].append("2")
			leaders[0].append("3")
			leaders[0].append("4")
			w.pollOf(one).answered()
			c.meanwhile(w, q)
			reply, err := w.pollOf(one).finish()
			if c.want == nil {
				requireCode(t, protocol.CodeOffsetOutOfRange, err)
				return
			}
			require.Nil(t, err)
			assert.Equal(t, c.want, values(reply.Records))
		})
	}
}

// Who is never where he was expected to be is not read for in vain each time.
func TestAConsumerThatSurprisesAgainAndAgain(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	leaders[0].append("1", "2", "3", "4", "5", "6")
	elsewhere := func(at protocol.Offset) {
		w.groups.tell("g", &routing.GroupCommit{Consumer: 7, Offsets: []group.PartitionOffset{{Topic: "q", TopicID: q.ID, Offset: at}}, Reply: protocol.NewFuture[routing.GroupOffsets]()})
	}
	for i := range 4 {
		assert.Equal(t, []string{fmt.Sprint(i + 1)}, values(w.pollOf(oneUncommitted).answered().Records))
		elsewhere(protocol.Offset(i + 1))
	}
	ahead := 0
	for _, m := range messages[*routing.GroupPoll](w.groups) {
		if m.Ahead != nil {
			ahead++
		}
	}
	assert.Equal(t, 1, ahead)
	for range 3 {
		assert.Equal(t, []string{"5"}, values(w.pollOf(oneUncommitted).answered().Records))
	}
	polls := messages[*routing.GroupPoll](w.groups)
	assert.NotNil(t, polls[len(polls)-1].Ahead, "it stays where it is, so it is expected there again")
}

// The coordinator may go away with the question, and what was read ahead may be committed
// or not: the poll asks the next one, and returns it either way.
func TestReadAheadOverAFailover(t *testing.T) {
	for name, committed := range map[string]bool{"committed": true, "not committed": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			q, leaders := w.withTopic("q", 1)
			leaders[0].append("1", "2", "3")
			w.pollOf(one).answered()
			asked := 0
			w.groups.intercept(func(m routing.Question) bool {
				poll, is := m.(*routing.GroupPoll)
				if !is || asked > 0 {
					return false
				}
				asked++
				assert.False(t, poll.Ahead.Again)
				if committed {
					first := *poll
					first.Reply = protocol.NewFuture[routing.GroupShare]()
					w.groups.group("g").answer(t, &first)
					g := w.groups.group("g")
					g.newest, g.polls = map[protocol.ConsumerID]uint64{}, map[protocol.ConsumerID]*routing.PollHandle{} // the next coordinator knows of none
				}
				m.Refuse(protocol.Unknownf("the coordinator changed"))
				return true
			})
			reply := w.pollOf(one).answered()
			assert.Equal(t, []string{"2"}, values(reply.Records))
			assert.Equal(t, protocol.Offset(2), w.groups.committed("g", q.ID, 0))
			polls := messages[*routing.GroupPoll](w.groups)
			assert.True(t, polls[len(polls)-1].Ahead.Again)
			assert.Equal(t, []string{"3"}, values(w.pollOf(one).answered().Records))
		})
	}
}

func TestReadAheadGivesItsRoomBack(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	leaders[0].append("1", "2")
	w.pollOf(one).answered()
	w.groups.tell("g", &routing.GroupCommit{Consumer: 7, Offsets: []group.PartitionOffset{{Topic: "q", TopicID: q.ID, Offset: 2}}, Reply: protocol.NewFuture[routing.GroupOffsets]()})
	room := &countedRoom{}
	p := w.pollOf(func(r *protocol.PollRequest) { r.Room, r.Timeout = room, time.Hour })
	p.until(stateWait)
	assert.Positive(t, room.taken)
	assert.Zero(t, room.held)
}

// countedRoom has room for everything.
type countedRoom struct{ taken, held int }

func (r *countedRoom) Take(want int) (int, *protocol.Error) {
	r.taken++
	r.held = want
	return want, nil
}

func (r *countedRoom) Keep(n int) *protocol.Error {
	r.held = n
	return nil
}

func TestPlacesAreBounded(t *testing.T) {
	var s placeBook
	at := make([]group.PartitionOffset, sharePositions)
	for i := range 4 * placeShards * placePositions / sharePositions {
		s.put(placeKey{"c", "g", protocol.ConsumerID(i + 1)}, 1, at, true)
	}
	sum := 0
	for i := range s.shards {
		positions := 0
		for _, p := range s.shards[i].all {
			positions += len(p.at)
		}
		require.Equal(t, positions, s.shards[i].positions)
		require.LessOrEqual(t, positions, placePositions)
		sum += positions
	}
	require.Positive(t, sum)
	last := placeKey{"c", "g", protocol.ConsumerID(4 * placeShards * placePositions / sharePositions)}
	got, generation, sure := s.get(nil, last)
	require.Len(t, got, sharePositions)
	require.EqualValues(t, 1, generation)
	require.True(t, sure)
	s.put(last, 2, append(at, at...), true)
	got, _, _ = s.get(nil, last)
	require.Empty(t, got, "so large a share is not remembered")
}
