package link

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

// upLiveness is a peer that is up at 0.
func upLiveness() liveness {
	l := newLiveness(Timings{}.withDefaults())
	l.lanesStand(0, true)
	l.pinged(0, ping{hears: true})
	return l
}

func TestLiveness(t *testing.T) {
	heard := func(l *liveness, now time.Duration) { l.pinged(now, ping{hears: true}) }
	for _, c := range []struct {
		name string
		do   func(l *liveness)
		up   map[time.Duration]bool // verdicts at some moments
	}{
		{"silence", func(*liveness) {}, map[time.Duration]bool{0: true, 999 * ms: true, 1000 * ms: false}},
		{"pings", func(l *liveness) { heard(l, 900*ms) }, map[time.Duration]bool{1899 * ms: true, 1900 * ms: false}},
		{"answers count, too", func(l *liveness) { l.answered(900*ms, pong{sent: 899 * ms, hears: true}) }, map[time.Duration]bool{1899 * ms: true}},
		{"answers to what was never asked", func(l *liveness) { l.answered(900*ms, pong{sent: 901 * ms, hears: true}) }, map[time.Duration]bool{1000 * ms: false}},
		{"it does not hear us", func(l *liveness) { l.pinged(100*ms, ping{}) }, map[time.Duration]bool{599 * ms: true, 600 * ms: false}},
		{"it says so in answers", func(l *liveness) { l.answered(100*ms, pong{}) }, map[time.Duration]bool{599 * ms: true, 600 * ms: false}},
		{"it hears us again", func(l *liveness) { l.pinged(100*ms, ping{}); heard(l, 500*ms) }, map[time.Duration]bool{1400 * ms: true}},
		{"a lane is lost", func(l *liveness) { l.lanesStand(100*ms, false); heard(l, 400*ms) }, map[time.Duration]bool{599 * ms: true, 600 * ms: false}},
		{"a lane is back", func(l *liveness) { l.lanesStand(100*ms, false); l.lanesStand(500*ms, true) }, map[time.Duration]bool{900 * ms: true}},
		{"goodbye", func(l *liveness) { l.leaves() }, map[time.Duration]bool{0: false}},
		{"back after silence", func(l *liveness) { l.verdict(2000 * ms); heard(l, 3000*ms) }, map[time.Duration]bool{3000 * ms: true}},
		{"back, and does not hear us", func(l *liveness) { l.verdict(2000 * ms); l.pinged(3000*ms, ping{}) }, map[time.Duration]bool{3000 * ms: false}},
	} {
		for at, want := range c.up {
			l := upLiveness()
			require.True(t, l.verdict(0))
			c.do(&l)
			assert.Equal(t, want, l.verdict(at), "%s: at %s", c.name, at)
		}
	}
}

func TestVouchers(t *testing.T) {
	l := upLiveness()
	assert.Equal(t, never, l.echoAge(0))
	assert.Equal(t, pong{sent: 7, vouch: true, hears: true}, l.pinged(1*ms, ping{sent: 7, hears: true}))
	assert.Equal(t, pong{sent: 8, vouch: false, hears: true}, l.pinged(2*ms, ping{sent: 8, hears: false}), "it does not hear us: no voucher")
	l = upLiveness()
	l.lanesStand(1*ms, false)
	assert.Equal(t, pong{sent: 9, vouch: false, hears: true}, l.pinged(2*ms, ping{sent: 9, hears: true}), "a lane is missing: no voucher")

	l = upLiveness()
	l.answered(50*ms, pong{sent: 40 * ms, vouch: true, hears: true})
	l.answered(60*ms, pong{sent: 55 * ms, vouch: false, hears: true})
	l.answered(70*ms, pong{sent: 30 * ms, vouch: true, hears: true}) // late
	assert.Equal(t, 60*ms, l.echoAge(100*ms), "the age of the ping, not of the answer")
}

func TestPingCodec(t *testing.T) {
	p := ping{sent: 5 * time.Second, hears: true, up: []NodeID{2, 1 << 60}}
	got, err := parsePing(p.encode())
	require.NoError(t, err)
	assert.Equal(t, p, got)
	many := ping{up: make([]NodeID, 2*maxReported)}
	got, err = parsePing(many.encode())
	require.NoError(t, err)
	assert.Len(t, got.up, maxReported)
	q := pong{sent: 1, vouch: true}
	back, err := parsePong(q.encode())
	require.NoError(t, err)
	assert.Equal(t, q, back)
	for n := range len(p.encode()) {
		_, err := parsePing(p.encode()[:n])
		assert.Error(t, err)
	}
}

// letter is a ping or an answer on its way.
type letter struct {
	at     time.Duration // when it arrives, by nobody's clock
	to     int
	ping   *ping
	answer *pong
}

// wires simulates two nodes whose clocks have different origins and run at slightly
// different rates, with letters that are lost, delayed and cut one way.
type wires struct {
	rng     *rand.Rand
	nodes   [2]liveness
	origin  [2]time.Duration
	rate    [2]float64
	letters []letter
	cut     [2]bool // to
	wasUp   [2]bool
	vouched [2]time.Duration // when the newest ping was sent, by its sender's clock, that the node has vouched for
}

func (w *wires) clock(i int, now time.Duration) time.Duration {
	return w.origin[i] + time.Duration(float64(now)*w.rate[i])
}

func (w *wires) post(now time.Duration, l letter) {
	delay := time.Duration(w.rng.IntN(3)) * ms
	if w.rng.IntN(10) == 0 {
		delay = time.Duration(w.rng.IntN(1500)) * ms // it was held up
	}
	l.at = now + delay
	if !w.cut[l.to] {
		w.letters = append(w.letters, l)
	}
}

// deliver hands over what is due.
func (w *wires) deliver(now time.Duration) {
	letters := w.letters
	w.letters = nil
	for _, l := range letters {
		switch me := &w.nodes[l.to]; {
		case l.at > now:
			w.letters = append(w.letters, l)
		case l.ping != nil:
			answer := me.pinged(w.clock(l.to, now), *l.ping)
			if answer.vouch {
				w.vouched[l.to] = max(w.vouched[l.to], answer.sent)
			}
			w.post(now, letter{to: 1 - l.to, answer: &answer})
		default:
			me.answered(w.clock(l.to, now), *l.answer)
		}
	}
}

// step has the nodes ping, and returns those that have called the other one down.
func (w *wires) step(now time.Duration) (down []int) {
	if w.rng.IntN(700) == 0 {
		w.cut[w.rng.IntN(2)] = w.rng.IntN(3) == 0
	}
	if i := w.rng.IntN(2); w.rng.IntN(900) == 0 {
		w.nodes[i].lanesStand(w.clock(i, now), w.rng.IntN(3) > 0)
	}
	w.deliver(now)
	for i := range w.nodes {
		me := w.clock(i, now)
		if now%(100*ms) == time.Duration(i)*37*ms {
			w.post(now, letter{to: 1 - i, ping: &ping{sent: me, hears: w.nodes[i].hears(me)}})
		}
		up := w.nodes[i].verdict(me)
		if w.wasUp[i] && !up {
			down = append(down, i)
		}
		w.wasUp[i] = up
	}
	return down
}

// Whatever the network does: nobody is called down while a voucher for it is good,
// wherever that one is now.
func TestVouchersHoldInEveryNetwork(t *testing.T) {
	timings := Timings{}.withDefaults()
	seeds := 300
	if testing.Short() {
		seeds = 50
	}
	vouchers, downs, takenBack, soonest := 0, 0, 0, never
	for seed := range uint64(seeds) {
		w := &wires{rng: rand.New(rand.NewPCG(seed, 1))}
		var wasDown [2]time.Duration // by who has called the other one down: when last, by the other one's clock
		for i := range w.nodes {
			w.nodes[i] = newLiveness(timings)
			w.origin[i] = time.Duration(w.rng.IntN(1e9))
			w.rate[i] = 1 + float64(w.rng.IntN(40)-20)/1000
			w.nodes[i].lanesStand(w.clock(i, 0), true)
		}
		for now := time.Duration(0); now < 60*time.Second; now += ms {
			for _, i := range w.step(now) {
				age := w.clock(1-i, now) - w.vouched[i]
				require.Greater(t, age, timings.Fence, "seed %d at %s: node %d calls the other one down", seed, now, i)
				soonest = min(soonest, age)
				downs++
				wasDown[i] = w.clock(1-i, now)
			}
			for i := range w.nodes {
				if n := &w.nodes[i]; n.echoAge(w.clock(i, now)) <= timings.Fence {
					vouchers++
					require.LessOrEqual(t, wasDown[1-i], n.vouched, "seed %d at %s: node %d was called down after it says that the other one has vouched", seed, now, i)
					if taken := wasDown[1-i] > 0 && n.vouched < w.clock(i, now); taken {
						takenBack++
					}
				}
			}
		}
	}
	assert.Greater(t, vouchers, seeds*5000)
	assert.Greater(t, downs, seeds*5)
	assert.Greater(t, takenBack, seeds*5000)
	assert.Less(t, soonest, 2*timings.Fence, "the limit was never near")
}

// When the network is whole again, both call each other up soon; when it is cut one
// way, both call each other down.
func TestVerdictsAgreeInTheEnd(t *testing.T) {
	for seed := range uint64(100) {
		w := &wires{rng: rand.New(rand.NewPCG(seed, 2)), rate: [2]float64{1, 1}}
		for i := range w.nodes {
			w.nodes[i] = newLiveness(Timings{}.withDefaults())
		}
		now := time.Duration(0)
		for ; now < 20*time.Second; now += ms {
			w.step(now)
		}
		settle := func(cut [2]bool, want bool) {
			t.Helper()
			w.letters = nil
			for end := now + 3*time.Second; now < end; now += ms {
				w.cut = cut
				for i := range w.nodes {
					w.nodes[i].lanesStand(now, true)
				}
				w.deliver(now)
				for i := range w.nodes {
					if now%(100*ms) == 0 {
						w.post(now, letter{to: 1 - i, ping: &ping{sent: now, hears: w.nodes[i].hears(now)}})
					}
					w.nodes[i].verdict(now)
				}
			}
			assert.Equal(t, [2]bool{want, want}, [2]bool{w.nodes[0].verdict(now), w.nodes[1].verdict(now)}, "seed %d, cut %v", seed, cut)
		}
		settle([2]bool{}, true)
		settle([2]bool{true, false}, false)
		settle([2]bool{}, true)
		settle([2]bool{false, true}, false)
	}
}
