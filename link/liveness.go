package link

import (
	"encoding/binary"
	"errors"
	"time"
)

// liveness is what a node thinks of one peer. It is a pure function of what it is
// told; now is the time since some moment of this process, monotonic.
//
// Each node pings the other one over the connection that it has dialed itself, and
// the other one answers each ping at once. A ping says whether its sender hears
// the other one, so that both come to the same verdict: a peer is up while it was
// heard within suspect and says that it hears us, and all lanes to it stand.
//
// An answer vouches for its ping when the peer has no doubt: it is up there, says
// that it hears us, and all lanes stand. Reads are fenced by these answers: a
// voucher is good for Fence after its ping was *sent*. Whoever has vouched does not
// say down sooner than grace, which is at least Fence, after the voucher:
//
//   - by silence: suspect after the ping, which is more;
//   - by the peer's doubt or by a lost lane: from the first moment of either there
//     are no vouchers, and down is said grace later;
//   - by its goodbye: who says it has stopped to serve.
//
// A voucher says nothing of the time before it: the peer may have given this node up, and
// taken it back. It did not while each came before the last had lapsed; vouched is since
// when that is so.
type liveness struct {
	suspect, grace, fence time.Duration

	heard   time.Duration // when a ping or an answer came last
	doubted time.Duration // since when its pings say that it does not hear us
	broken  time.Duration // since when a lane to it is missing
	echoed  time.Duration // when the newest ping that it has vouched for was sent
	vouched time.Duration // when the first voucher came of those without a gap up to the newest
	trip    time.Duration // of the last answered ping

	everHeard, everEchoed bool
	inDoubt, isBroken     bool
	up                    bool
}

// never is the age of what has not happened.
const never = time.Duration(1<<63 - 1)

func newLiveness(t Timings) liveness {
	return liveness{suspect: t.Suspect, grace: t.Suspect / 2, fence: t.Fence, inDoubt: true, isBroken: true}
}

// hears says whether the node would tell the peer that it hears it.
func (l *liveness) hears(now time.Duration) bool {
	// With a lane missing it still says that it hears for a while, as long as it has not
	// said down: a lane that is made again at once is to be no event.
	return l.everHeard && now-l.heard < l.suspect && (!l.isBroken || now-l.broken < l.grace && l.up)
}

// verdict says whether the peer is up, and remembers it.
func (l *liveness) verdict(now time.Duration) bool {
	switch {
	case !l.everHeard || now-l.heard >= l.suspect:
		l.up = false
	// What is up stays up through doubt and broken lanes for grace; what is down comes up
	// only with neither. So a link that flickers does not make the verdict flicker.
	case l.up:
		l.up = (!l.inDoubt || now-l.doubted < l.grace) && (!l.isBroken || now-l.broken < l.grace)
	default:
		l.up = !l.inDoubt && !l.isBroken
	}
	return l.up
}

// vouches says whether an answer to a ping that comes now vouches for it.
func (l *liveness) vouches(now time.Duration) bool {
	return l.verdict(now) && !l.inDoubt && !l.isBroken
}

// pinged takes a ping of the peer and makes the answer.
func (l *liveness) pinged(now time.Duration, p ping) pong {
	l.hear(now, p.hears)
	return pong{sent: p.sent, vouch: l.vouches(now), hears: l.hears(now)}
}

// answered takes the answer to a ping of this process.
func (l *liveness) answered(now time.Duration, p pong) {
	// A ping from the future would count as fresher than any: it is of a process before this
	// one, or made up.
	if p.sent > now {
		return // no ping of ours
	}
	l.hear(now, p.hears)
	l.trip = now - p.sent
	if p.vouch && (!l.everEchoed || p.sent > l.echoed) {
		// The one before had lapsed: in between the peer may have given this node up.
		if l.echoAge(now) > l.fence {
			l.vouched = now
		}
		l.echoed, l.everEchoed = p.sent, true
	}
}

// hear takes a sign of life. The verdict goes before it: the silence may have been
// too long.
func (l *liveness) hear(now time.Duration, hearsUs bool) {
	l.verdict(now)
	l.heard, l.everHeard = now, true
	if hearsUs {
		l.inDoubt = false
	} else if !l.inDoubt {
		l.inDoubt, l.doubted = true, now
	}
}

// lanesStand says whether all lanes to the peer are connected.
func (l *liveness) lanesStand(now time.Duration, stand bool) {
	l.verdict(now)
	if stand {
		l.isBroken = false
	} else if !l.isBroken {
		l.isBroken, l.broken = true, now
	}
}

// leaves takes the goodbye of the peer.
func (l *liveness) leaves() {
	l.up, l.everHeard, l.everEchoed, l.inDoubt = false, false, false, true
}

// echoAge is how long ago the newest ping was sent that the peer has vouched for.
func (l *liveness) echoAge(now time.Duration) time.Duration {
	if !l.everEchoed {
		return never
	}
	return now - l.echoed
}

// silent says whether an earlier process of the peer can be forgotten.
func (l *liveness) silent(now time.Duration) bool { return !l.everHeard || now-l.heard >= l.suspect }

// ping is the body of a ping: when it was sent, by the sender's clock, whether the
// sender hears the other one, and which nodes are up for it.
type ping struct {
	sent  time.Duration
	hears bool
	up    []NodeID
}

// maxReported is how many nodes a ping names at most.
const maxReported = 64

var errPing = errors.New("link: malformed ping")

func (p ping) encode() []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, 10+8*len(p.up)), uint64(p.sent))
	b = append(b, truth(p.hears), byte(min(len(p.up), maxReported)))
	for _, id := range p.up[:min(len(p.up), maxReported)] {
		b = binary.LittleEndian.AppendUint64(b, uint64(id))
	}
	return b
}

func parsePing(b []byte) (ping, error) {
	if len(b) < 10 || b[8] > 1 || b[9] > maxReported || len(b) != 10+8*int(b[9]) {
		return ping{}, errPing
	}
	p := ping{sent: time.Duration(binary.LittleEndian.Uint64(b)), hears: b[8] == 1}
	for rest := b[10:]; len(rest) > 0; rest = rest[8:] {
		p.up = append(p.up, NodeID(binary.LittleEndian.Uint64(rest)))
	}
	return p, nil
}

// pong is the answer to a ping, with the ping's time.
type pong struct {
	sent  time.Duration
	vouch bool
	hears bool // as in a ping: the sender may be unable to dial
}

func (p pong) encode() []byte {
	return append(binary.LittleEndian.AppendUint64(make([]byte, 0, 10), uint64(p.sent)), truth(p.vouch), truth(p.hears))
}

func parsePong(b []byte) (pong, error) {
	if len(b) != 10 || b[8] > 1 || b[9] > 1 {
		return pong{}, errPing
	}
	return pong{time.Duration(binary.LittleEndian.Uint64(b)), b[8] == 1, b[9] == 1}, nil
}

func truth(b bool) byte {
	if b {
		return 1
	}
	return 0
}
