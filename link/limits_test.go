package link

import (
	"bufio"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// A node that does not take bytes any more is not waited for.
func TestWriteStall(t *testing.T) {
	a, p := handMade(t, 1, nil, 2)
	a.cfg.Timings.WriteStall = 50 * ms
	here, there := net.Pipe()
	defer there.Close()
	w := &plain{Conn: here, stall: a.cfg.Timings.WriteStall}
	c := a.newConn(here, w, bufio.NewReader(w), identity(2), Bulk, p, true)
	got := make(answers, 2)
	served := make(chan struct{})
	go func() { c.serve(); close(served) }()
	c.call(makeFrame(typeCall, 1, [][]byte{make([]byte, 2<<20)}), time.Now().Add(time.Hour), got.done)
	one := make([]byte, 1)
	_, err := there.Read(one) // so the writer has begun; it never gets further
	require.NoError(t, err)
	c.call(makeFrame(typeCall, 2, nil), time.Now().Add(time.Hour), got.done)
	outcomes := map[protocol.Outcome]int{}
	for range 2 {
		_, outcome := got.outcome(t)
		outcomes[outcome]++
	}
	assert.Equal(t, map[protocol.Outcome]int{protocol.OutcomeUnknown: 1, protocol.OutcomeNone: 1}, outcomes)
	<-served
	assert.ErrorContains(t, c.err, "writing: ")
}

// Slow is not stalled: each byte taken gives more time.
func TestSlowIsNotStalled(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) interface{ writeAll(net.Buffers) error }{
		"plain": func(nc net.Conn) interface{ writeAll(net.Buffers) error } { return &plain{nc, 400 * ms} },
		"TLS": func(nc net.Conn) interface{ writeAll(net.Buffers) error } {
			return &flushed{&gathering{Conn: nc, stall: 400 * ms}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				var reader sync.WaitGroup
				reader.Go(func() {
					for range 20 { // 6 s in all
						<-time.After(300 * ms)
						_, _ = there.Read(make([]byte, 1000))
					}
				})
				assert.NoError(t, wrap(here).writeAll(net.Buffers{make([]byte, 20000)}))
				reader.Wait()
				_ = here.Close()
				_ = there.Close()
			})
		})
	}
}

// flushed is what TLS writes, without TLS.
type flushed struct{ below *gathering }

func (f *flushed) writeAll(bufs net.Buffers) error {
	f.below.on.Store(true)
	for _, b := range bufs {
		if _, err := f.below.Write(b); err != nil {
			return err
		}
	}
	return f.below.flush()
}

// lonely is a connection that nobody reads or writes.
func lonely(t testing.TB) (*testNode, *conn) {
	n, p := handMade(t, 1, nil, 2)
	n.cfg.Queues = [Lanes]int{1000, 1000, 1000}
	here, there := net.Pipe()
	t.Cleanup(func() { _ = there.Close() })
	return n, n.newConn(here, nil, nil, identity(2), Bulk, p, false)
}

func TestHeldCallsAreBounded(t *testing.T) {
	n, c := lonely(t)
	asked := 0
	n.answer(func(_ NodeID, _ uint16, _ []byte, _ time.Duration, reply func([]byte, error)) {
		asked++
		reply(nil, nil)
		reply(nil, nil) // the second one is ignored
	})
	c.heldBytes.Store(maxHeldBytes - 10)
	require.NoError(t, c.takeRequest(header{typ: typeCall, call: 1}, make([]byte, 10)))
	require.NoError(t, c.takeRequest(header{typ: typeCall, call: 2}, make([]byte, 11)))
	c.heldCalls.Store(maxHeldCalls)
	require.NoError(t, c.takeRequest(header{typ: typeCall, call: 3}, nil))
	assert.Equal(t, 1, asked)
	frames := c.out.close()
	require.Len(t, frames, 3)
	assert.Equal(t, typeReply, frames[0].typ)
	for i := 1; i < 3; i++ {
		assert.Equal(t, uint32(i+1), frames[i].header.call)
		e := decodeError(frames[i].parts[0])
		assert.Equal(t, protocol.CodeOverloaded, e.Code)
		assert.Equal(t, protocol.OutcomeNone, e.Outcome)
	}
	assert.EqualValues(t, maxHeldBytes-10, c.heldBytes.Load())
}

// An answer for which there is no room is not silence.
func TestAnswersWithoutRoom(t *testing.T) {
	_, c := lonely(t)
	c.reply(1, make([]byte, 900), nil)
	c.reply(2, make([]byte, 900), nil)
	c.reply(3, make([]byte, MaxBody+1), nil)
	frames := c.out.close()
	require.Len(t, frames, 3)
	for i := 1; i < 3; i++ {
		assert.Equal(t, uint32(i+1), frames[i].header.call)
		e := decodeError(frames[i].parts[0])
		assert.Equal(t, protocol.CodeOverloaded, e.Code)
		assert.Equal(t, protocol.OutcomeUnknown, e.Outcome, "the handler has done its work")
	}
}

func TestSendersAreBounded(t *testing.T) {
	n, c := lonely(t)
	p := n.Links.peer(2)
	p.dialed[Bulk].Store(c)
	assert.False(t, n.Send(2, Bulk, 1, make([]byte, MaxBody+1)))
	assert.True(t, n.Send(2, Bulk, 1, make([]byte, 900)))
	assert.False(t, n.Send(2, Bulk, 1, make([]byte, 900)))
	_, err := ask(n.Links, 2, Bulk, 1, time.Minute, make([]byte, 900))
	assert.ErrorIs(t, err, protocol.Errorf(protocol.CodeOverloaded, ""))
	_, err = ask(n.Links, 2, Bulk, 1, time.Minute, make([]byte, MaxBody+1))
	assert.ErrorContains(t, err, "the limit is")
	_, err = ask(n.Links, 2, Bulk, 1, -1)
	assert.ErrorContains(t, err, "in time")
	_, err = ask(n.Links, 2, Control, 1, time.Minute)
	assert.ErrorContains(t, err, "node 2 is not connected")
	_, err = ask(n.Links, 3, Control, 1, time.Minute)
	assert.ErrorContains(t, err, "no member")
	assert.Zero(t, c.calls.pending())
	assert.EqualValues(t, 3, n.Stats()[0].Lanes[Bulk].Dropped)
}

// A ping does not overtake what waits on its lane, and is not sent when there is no
// room: who vouches for it has got what was sent before.
func TestPingsWaitTheirTurn(t *testing.T) {
	n, c := lonely(t)
	c.lane = Control
	p := n.Links.peer(2)
	p.dialed[Control].Store(c)
	assert.True(t, n.Send(2, Control, 1, make([]byte, 900)))
	p.ping()
	batch, _ := c.out.take(nil, 1<<20)
	require.Len(t, batch, 2)
	assert.Equal(t, typePing, batch[1].typ)
	assert.True(t, n.Send(2, Control, 1, make([]byte, 976)))
	p.ping()
	batch, _ = c.out.take(nil, 1<<20)
	assert.Len(t, batch, 1)
}

// Frames that make no sense where they come end the connection.
func TestSenselessFrames(t *testing.T) {
	_, c := lonely(t)
	for _, typ := range []frameType{typeHello, typeRefusal, typeReply, typeFailure, typePong} {
		assert.Error(t, c.takeRequest(header{typ: typ}, nil), typ)
	}
	for _, typ := range []frameType{typeRelay, typeRelayed, typePing} {
		assert.Error(t, c.takeRequest(header{typ: typ}, []byte("short")), typ)
	}
	for _, typ := range []frameType{typeHello, typeMessage, typeCall, typePing, typeBye, typeRelay} {
		assert.Error(t, c.takeAnswer(header{typ: typ}, nil), typ)
	}
	assert.Error(t, c.takeAnswer(header{typ: typePong}, []byte("short")))
	c.peer = nil
	for _, typ := range []frameType{typeMessage, typePing, typeBye, typeRelay, typeRelayed} {
		assert.Error(t, c.takeRequest(header{typ: typ}, make([]byte, 8)), "a guest may only call: %d", typ)
	}
}

// FuzzConversation has a connection take any frames, from either side.
func FuzzConversation(f *testing.F) {
	f.Add([]byte{byte(typeRelay), 9, 9, 0, 0, 0, 0, 0, 0, 0, 1}, uint8(9), true)
	f.Add(append([]byte{byte(typePing)}, ping{sent: 1, hears: true}.encode()...), uint8(11), true)
	f.Add(append([]byte{byte(typePong)}, pong{sent: 1, vouch: true}.encode()...), uint8(11), false)
	f.Fuzz(func(t *testing.T, b []byte, size uint8, member bool) {
		_, c := lonely(t)
		c.other.Incarnation = 1
		if !member {
			c.peer = nil
		}
		for frames := 0; len(b) > 1 && frames < 100; frames++ {
			n := min(len(b), 1+int(size))
			h := header{typ: frameType(b[0]) % typesEnd, kind: uint16(n), call: uint32(frames), length: uint32(n - 1)}
			_ = c.takeAnswer(h, b[1:n])
			_ = c.takeRequest(h, b[1:n])
			b = b[n:]
		}
		c.close(net.ErrClosed)
	})
}

func TestGuestsAreBounded(t *testing.T) {
	member := fleet(t, 2, Config{})[0]
	member.Links.mu.Lock()
	member.guests = maxGuests
	member.Links.mu.Unlock()
	err := knock(t, Config{Self: Identity{UUID: "u", Name: "n", MinFormat: 1, MaxFormat: 1}}, member)
	assert.ErrorIs(t, err, &Refusal{Reason: ReasonBusy})
	member.Links.mu.Lock()
	member.guests = 0
	member.Links.mu.Unlock()
	assert.NoError(t, knock(t, Config{Self: Identity{UUID: "u", Name: "n", MinFormat: 1, MaxFormat: 1}}, member))
	assert.Eventually(t, func() bool {
		member.Links.mu.Lock()
		defer member.Links.mu.Unlock()
		return member.guests == 0
	}, time.Minute, ms)
}

// A connection of a process that has ended may come late: it does not keep the next
// process of that node out.
func TestLateConnectionOfAnEndedProcess(t *testing.T) {
	n, p := handMade(t, 1, nil, 2)
	with := func(incarnation uint64) *conn {
		here, there := net.Pipe()
		t.Cleanup(func() { _ = there.Close() })
		is := identity(2)
		is.Incarnation = incarnation
		return n.newConn(here, nil, nil, is, Control, p, false)
	}
	first := with(7)
	require.NoError(t, p.accepts(first))
	p.pinged(ping{hears: true}, 7)
	assert.ErrorIs(t, p.accepts(with(8)), &Refusal{Reason: ReasonIncarnation}, "the first was heard a moment ago")
	p.leaves(7)
	<-first.done
	second := with(8)
	require.NoError(t, p.accepts(second))
	p.pinged(ping{hears: true}, 8)
	assert.ErrorIs(t, p.accepts(with(7)), &Refusal{Reason: ReasonIncarnation}, "it has said goodbye")
	require.NoError(t, p.accepts(with(8)))
	<-second.done // it was replaced
	assert.Equal(t, pong{sent: 3}, p.pinged(ping{sent: 3, hears: true}, 7), "no answer to what came late")
	p.leaves(7)
	assert.False(t, p.live.silent(n.now()), "a late goodbye is not the second's")
}
