package front

import (
	"time"

	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// What tests outside of this package, which may start a node, look at.

// Subscribe runs the first step of a poll.
func Subscribe(s protocol.PendingPoll) *protocol.Error {
	p := s.(*poll)
	p.state = p.onResolve()
	return p.err
}

// Asks reports whether a poll waits for an answer of its group.
func Asks(s protocol.PendingPoll) bool { return s.(*poll).question.under != nil }

// HandleOf is how the group reaches a poll.
func HandleOf(s protocol.PendingPoll) *routing.PollHandle { return s.(*poll).share.handle }

// UseWake takes away a wake that has come.
func UseWake(s protocol.PendingPoll) { s.(*poll).unpark() }

// Delivered is the group's answer to a poll's delivery.
func Delivered(s protocol.PendingPoll, err *protocol.Error) (reply *protocol.PollReply, again bool, failed *protocol.Error) {
	p := s.(*poll)
	p.reply, p.err = nil, nil
	next := p.delivered(routing.GroupCursor{}, err)
	return p.reply, next == stateShare, p.err
}

// Expire puts a poll's deadline into the past.
func Expire(s protocol.PendingPoll) { s.(*poll).deadline = time.Now().Add(-time.Hour) }

// MaxTailBytes is the most that is kept of a partition's end.
const MaxTailBytes = maxTailBytes

// Tail is what is shared at the leader that a read has seen.
func Tail(s protocol.PendingFetch) (from int64, records int, ok bool) {
	return TailAt(s.(*fetch).leader)
}

// TailAt is what is shared at a leader.
func TailAt(l *routing.Leadership) (from int64, records int, ok bool) {
	t := tailAt(l)
	if t == nil {
		return 0, 0, false
	}
	return t.from, len(t.records), true
}

// ViewOf is the newest view of a partition, and its leader.
func (fr *Front) ViewOf(t *protocol.Topic, partition int) (*logfile.View, *routing.Leadership, *protocol.Error) {
	return fr.view(t, partition, time.Second)
}

// ReadTail reads as one who was woken at a leader.
func ReadTail(sink protocol.RecordSink, l *routing.Leadership, v *logfile.View, topic string, offset int64) (records int, err *protocol.Error) {
	got := gathered{sink: sink, waited: l}
	err = got.read(v, topic, 0, offset, 100, 1<<20)
	return got.count, err
}
