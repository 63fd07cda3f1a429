package coordinator

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/level"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// recordsOf are a proposal's records.
func recordsOf(t *testing.T, made *ProposeRecords) (recs []metarecord.Record) {
	t.Helper()
	for line := range strings.Lines(string(made.Lines.Buf)) {
		f := strings.Fields(line) // date, time, topic, partition, key, value, action
		rec, err := metarecord.Parse([]byte(f[4]), []byte(f[5]), []byte(f[6]))
		require.NoError(t, err)
		recs = append(recs, rec)
	}
	return recs
}

// logged commits a proposal and returns its records.
func (p *groupProbe) logged() []metarecord.Record {
	p.t.Helper()
	made := p.proposal()
	recs := recordsOf(p.t, made)
	made.Done(protocol.ProduceResult{})
	return recs
}

// deliver is the delivery of a stream that has read one record of each partition from 0 on.
func (p *groupProbe) deliver(share routing.GroupShare, name uint64) *protocol.Error {
	h := &routing.PollHandle{}
	h.Waiter = protocol.NewWaiter(func() { p.woken <- h })
	reply := protocol.NewFuture[routing.GroupCursor]()
	p.system.Root.Send(p.group, &routing.GroupDelivered{
		Consumer: 1, Generation: share.Generation, Positions: p.positions(1), From: []protocol.Offset{0, 0},
		Commit: true, Poll: name, Stay: true, Number: share.Number, Handle: h, Reply: reply,
	})
	a, ok := reply.Wait(time.Now().Add(patience))
	require.True(p.t, ok, "no answer")
	return a.Err
}

// The log says which poll has made a commit. A poll whose coordinator failed between the commit
// and its answer is given by the next one what it has read; a node whose memory of the
// consumer is out of date, and has read the same, is not.
func TestANewCoordinatorKnowsWhoHasCommitted(t *testing.T) {
	const its, another = 5, 6
	for name, c := range map[string]struct {
		level int
		taken bool
	}{
		"commits name their poll":                   {level.Newest, true},
		"commits name no poll: it may be anybody's": {level.PollNames.Level - 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			before := newGroupProbe(t)
			before.level.Store(int64(c.level))
			_, reply := before.poll(1, 0)
			log := before.logged()
			share := before.answer(reply)
			start := protocol.NewFuture[routing.GroupOffsets]()
			before.system.Root.Send(before.group, &routing.GroupStart{Consumer: 1, Generation: share.Generation, Starts: before.positions(0), Reply: start})
			log = append(log, before.logged()...)
			<-start.C()
			before.askAhead(1, share.Generation, its, false)
			log = append(log, before.logged()...)

			next := func() *groupProbe {
				p := newGroupProbe(t, log...)
				p.level.Store(int64(c.level))
				return p
			}
			p := next()
			answer := p.answer(p.askAhead(1, share.Generation, its, true))
			require.Nil(t, answer.Err)
			require.Equal(t, c.taken, answer.Cursor != nil)
			p = next()
			answer = p.answer(p.askAhead(1, share.Generation, another, true))
			require.Nil(t, answer.Err)
			require.Nil(t, answer.Cursor, "another poll may have delivered it")
			require.EqualValues(t, 1, *answer.Assigned[0].Committed)
			require.Equal(t, protocol.CodeStaleGeneration, next().deliver(share, another).Code)
			if err := next().deliver(share, its); c.taken {
				require.Nil(t, err)
			} else {
				require.Equal(t, protocol.CodeStaleGeneration, err.Code)
			}
			assert.Empty(t, p.asked)
		})
	}
}

// The coordinator that has made the commit knows also below that level whose it is.
func TestADeliveryThatIsAskedForAgain(t *testing.T) {
	for _, at := range []int{level.Newest, level.PollNames.Level - 1} {
		p := newGroupProbe(t)
		p.level.Store(int64(at))
		_, share := p.joined(1)
		start := protocol.NewFuture[routing.GroupOffsets]()
		p.system.Root.Send(p.group, &routing.GroupStart{Consumer: 1, Generation: share.Generation, Starts: p.positions(0), Reply: start})
		p.proposal().Done(protocol.ProduceResult{})
		<-start.C()
		go func() { (<-p.asked).(*ProposeRecords).Done(protocol.ProduceResult{}) }()
		require.Nil(t, p.deliver(share, 5))
		require.Nil(t, p.deliver(share, 5), "its answer was lost on the way")
	}
}
