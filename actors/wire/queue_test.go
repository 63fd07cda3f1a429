package wire

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"ottla/actors/queue"
	"ottla/actors/routing"
	"ottla/protocol"
)

func TestQuestionsAboutQueuesTravel(t *testing.T) {
	wait, order, dead, age, delay := int64(5), protocol.OrderKey, "d", int64(3), int64(0)
	key := protocol.PartitionID{TopicID: "t1", Partition: 2}
	put := &routing.GroupQueue{
		Change: queue.Change{Topics: []queue.Topic{{ID: "t1", Name: "t"}}, AckWaitMs: &wait, BackoffMs: []int64{}, Order: &order, DeadLetters: &dead},
		Secret: []byte{1, 2}, Reply: protocol.NewFuture[routing.GroupQueued](),
	}
	asked(t, &routing.GroupRequest{Group: "g", Msg: put}, func(q routing.Question) {
		m := q.(*routing.GroupRequest).Msg.(*routing.GroupQueue)
		assert.Equal(t, put.Change, m.Change)
		assert.Equal(t, put.Secret, m.Secret)
		m.Reply.Put(routing.GroupQueued{Created: true})
	})
	assert.Equal(t, routing.GroupQueued{Created: true}, come(t, put.Reply))

	say := &routing.GroupSay{
		Word: queue.Word{Verb: queue.Nack, DelayMs: &delay, Dead: true, Reason: "r", WaitMs: 4}, Receipts: []string{"a", "b"}, Reply: protocol.NewFuture[routing.GroupSaid](),
	}
	said := routing.GroupSaid{Verdicts: []queue.Verdict{queue.Done, queue.Stale, queue.Invalid}}
	asked(t, &routing.GroupRequest{Group: "g", Msg: say}, func(q routing.Question) {
		m := q.(*routing.GroupRequest).Msg.(*routing.GroupSay)
		assert.Equal(t, say.Word, m.Word)
		assert.Equal(t, say.Receipts, m.Receipts)
		m.Reply.Put(said)
	})
	assert.Equal(t, said, come(t, say.Reply))

	back := &routing.GroupReturn{Back: []queue.Ref{{ID: key, Offset: 5, Count: 2}}, Gone: []queue.Ref{{ID: key, Offset: 6, Count: 1}}, Reply: protocol.NewFuture[*protocol.Error]()}
	asked(t, &routing.GroupRequest{Group: "g", Msg: back}, func(q routing.Question) {
		m := q.(*routing.GroupRequest).Msg.(*routing.GroupReturn)
		assert.Equal(t, back.Back, m.Back)
		assert.Equal(t, back.Gone, m.Gone)
		m.Reply.Put(nil)
	})
	assert.Nil(t, come(t, back.Reply))

	poll := &routing.GroupPoll{Records: 7, Bytes: 8, Handle: &routing.PollHandle{}, Reply: protocol.NewFuture[routing.GroupShare]()}
	share := routing.GroupShare{Generation: 3, Queue: &routing.QueueShare{Given: []queue.Given{{Topic: "t", ID: key, Offset: 9, Size: 10, Count: 1, Deadline: 11, Receipt: "x"}}}}
	asked(t, &routing.GroupRequest{Group: "g", Msg: poll}, func(q routing.Question) {
		m := q.(*routing.GroupRequest).Msg.(*routing.GroupPoll)
		assert.Equal(t, [2]int{7, 8}, [2]int{m.Records, m.Bytes})
		m.Reply.Put(share)
	})
	assert.Equal(t, share, come(t, poll.Reply))

	read := &routing.GroupRead{Reply: protocol.NewFuture[routing.GroupReading]()}
	reading := routing.GroupReading{Info: protocol.GroupInfo{Group: "g", Mode: protocol.ModeQueue, QueueInfo: &protocol.QueueInfo{
		Topics: []string{"t"}, BackoffMs: []int64{1}, DeadLetterTopic: &dead, Order: protocol.OrderNone,
		Partitions: []protocol.QueuePartition{{Topic: "t", End: 4, OldestReadyMs: &age}},
	}}}
	asked(t, &routing.GroupRequest{Group: "g", Msg: read}, func(q routing.Question) {
		q.(*routing.GroupRequest).Msg.(*routing.GroupRead).Reply.Put(reading)
	})
	got := come(t, read.Reply)
	assert.Equal(t, reading.Info.QueueInfo, got.Info.QueueInfo)
}
