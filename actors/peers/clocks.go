package peers

import (
	"encoding/binary"
	"time"

	"ottla/actors/clock"
	"ottla/actors/wire"
	"ottla/link"
)

// clockPause is the pause before the clocks of other nodes are asked again.
const clockPause = 500 * time.Millisecond

// WrongClock is why this node's clock is not to be trusted, "" if it may be. It may be called
// for each tick of each replica.
func (p *Peers) WrongClock() string {
	if why := p.wrongClock.Load(); why != nil {
		return *why
	}
	return ""
}

// clockPatience is how long a node waits for others to say whether its clock is right before
// it takes it for that.
const clockPatience = 3 * time.Second

// ClockUnknown reports whether the node has just been started, and has not heard enough of
// others' clocks yet: leaders should be elsewhere until then.
func (p *Peers) ClockUnknown() bool { return !p.clockKnown.Load() }

// CompareClocks asks the clocks of the other nodes again and again, and at once when a node
// comes up, until stopped is closed. Changed is called when WrongClock is another one. While
// the clock is wrong, other nodes lead where they can; what has to be done here all the same
// goes by the others' clocks.
func (p *Peers) CompareClocks(stopped <-chan struct{}, changed func()) {
	again := time.NewTicker(clockPause)
	defer again.Stop()
	doubted, began := uint64(0), time.Now()
	for ask := true; ; {
		if ask {
			for _, id := range p.alive() {
				p.askClock(id)
			}
		}
		ask = true
		select {
		case <-again.C:
		case <-p.cameUp:
		case <-p.clockSaid:
			ask = false
		case <-stopped:
			return
		}
		// After every answer as well as after a pause: at the start leaders wait for it.
		turned := p.judgeClock()
		if p.ClockUnknown() && (p.clock.Decided() || time.Since(began) > clockPatience) {
			p.clockKnown.Store(true)
			turned = true
		}
		if turned {
			changed()
		}
		doubted = p.doubtClock(doubted)
	}
}

// judgeClock reports whether the clock is wrong or right and was not before.
func (p *Peers) judgeClock() bool {
	why, was := p.clock.Wrong(), p.WrongClock() != ""
	p.wrongClock.Store(&why)
	switch {
	case why != "" && !was:
		p.log.Error("the clock is wrong: leadership is given to other nodes that can take it, and this one goes by their clocks", "reason", why)
	case why == "" && was:
		p.log.Info("the clock agrees with those of most nodes again")
	}
	return was != (why != "")
}

// doubtClock says that the clock of another node differs, unless that was said already.
func (p *Peers) doubtClock(last uint64) uint64 {
	node, ahead := p.clock.Doubt()
	if node != 0 && node != last {
		p.log.Warn("the clocks of this node and another one differ, and too few others are heard to say which is right: set the one that is wrong",
			"node", node, "ahead", ahead.Round(10*time.Millisecond))
	}
	return node
}

// alive are the members that are heard of.
func (p *Peers) alive() (ids []link.NodeID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range p.members {
		if n := p.nodes[id]; n != nil && n.up {
			ids = append(ids, id)
		}
	}
	return ids
}

// askClock asks a node's clock. Programs that do not know the question are not compared with.
func (p *Peers) askClock(id link.NodeID) {
	asked := p.clock.Steady()
	p.link.Call(id, link.Control, wire.Clock, time.Now().Add(CallPatience), func(answer []byte, err error) {
		if err == nil && len(answer) == 8 {
			p.clock.Heard(uint64(id), int64(binary.LittleEndian.Uint64(answer)), asked, p.clock.Steady())
			if p.ClockUnknown() {
				notify(p.clockSaid)
			}
		}
	})
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// clockSays answers such a question.
func clockSays(c *clock.Clock) []byte {
	return binary.LittleEndian.AppendUint64(nil, uint64(c.Wall()))
}
