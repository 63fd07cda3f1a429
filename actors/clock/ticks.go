package clock

import "sync/atomic"

// Ticks stands between one who sends ticks to an actor and that actor: a tick is not sent
// while the last one waits in the mailbox. An actor that has fallen behind, or that opens
// its files, would only find more of them before the messages that matter. A tick may say
// which one it is, so that its taker knows of those that were not sent. Whoever only counts
// what it takes has a slow clock while it is behind: times in ticks are at least that long.
// The zero value is ready for use, by one who sends and one who takes.
type Ticks struct {
	// Rests is true while the clock of an idle replica stands still.
	Rests atomic.Bool
	sent  atomic.Bool // and not taken yet
}

// Send reports whether a tick is to be sent, and takes it as sent.
func (t *Ticks) Send() bool { return t.sent.CompareAndSwap(false, true) }

// Take says that the tick has arrived. On nil it does nothing: whoever ticks does not ask.
func (t *Ticks) Take() {
	if t != nil {
		t.sent.Store(false)
	}
}
