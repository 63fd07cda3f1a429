package budget

import "time"

// lookInterval is the time between two looks for stalled answers.
const lookInterval = time.Second

// Receiver is a connection by which a client gets answers.
type Receiver interface {
	// Taken is how many bytes the client has taken so far. Where that cannot be
	// known it is always the same.
	Taken() uint64
	// EndStalled ends the connection, whose client takes nothing.
	EndStalled()
}

// pressed reports whether room is scarce: for all, or for the client itself.
func (ac *Account) pressed() bool { return ac.a.all.pressed() || ac.pool.pressed() }

// pressed reports whether more than half is used.
func (p *pool) pressed() bool { return p.used > p.limit/2 }

// watch has stalled answers looked for, until room is not scarce any more; a.mu is held.
func (a *Answers) watch() {
	if !a.watching {
		a.watching = true
		time.AfterFunc(lookInterval, a.look)
	}
}

// look ends the connections whose clients have taken nothing of their answers for too
// long, if room is scarce for all or for the client. As long as there is room, a client
// may take its time.
func (a *Answers) look() {
	type seen struct {
		s     *Share
		to    Receiver
		taken uint64
	}
	var all []seen
	a.mu.Lock()
	a.watching = false
	for s := a.holding; s != nil; s = s.next {
		if s.ac.pressed() {
			if s.sending {
				all = append(all, seen{s: s, to: s.to})
			}
			a.watch()
		}
	}
	if a.all.pressed() {
		a.watch()
	}
	a.mu.Unlock()
	for i := range all {
		all[i].taken = all[i].to.Taken()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for now := time.Now(); len(all) > 0; all = all[1:] {
		s, taken := all[0].s, all[0].taken
		switch {
		case !s.sending || s.to != all[0].to: // it was sent meanwhile
		case s.since.IsZero() || s.taken != taken:
			s.since, s.taken = now, taken
		case now.Sub(s.since) >= a.stall:
			s.to.EndStalled()
		}
	}
}
