package budget

import "slices"

// Account is what one client holds of Answers, over all of its connections: who does
// not read answers runs out of room for himself first.
type Account struct {
	a *Answers
	pool

	who         string
	connections int
	queue       []*waiter // in turn
}

// Account opens the account of a client, for one of its connections. Close must follow.
// who is what tells clients apart: a token's name, or an address.
func (a *Answers) Account(who string) *Account {
	a.mu.Lock()
	defer a.mu.Unlock()
	ac := a.accounts[who]
	if ac == nil {
		ac = &Account{a: a, who: who, pool: pool{limit: a.perClient, vain: -1}}
		a.accounts[who] = ac
	}
	ac.connections++
	return ac
}

// Close closes the account for one connection. What its shares still hold stays
// counted until they give it back. Closing nil does nothing.
func (ac *Account) Close() {
	if ac == nil {
		return
	}
	ac.a.mu.Lock()
	defer ac.a.mu.Unlock()
	if ac.connections--; ac.connections == 0 {
		delete(ac.a.accounts, ac.who)
	}
}

// enqueue has w wait for its turn.
func (ac *Account) enqueue(w *waiter) {
	if ac.queue = append(ac.queue, w); len(ac.queue) == 1 {
		ac.a.turns = append(ac.a.turns, ac)
	}
	if ac.fitsItself(ac.queue[0].n, false) {
		ac.a.scarce = true
	}
}

// dequeue takes w out of those that wait.
func (ac *Account) dequeue(w *waiter) {
	ac.queue = slices.DeleteFunc(ac.queue, func(q *waiter) bool { return q == w })
	if len(ac.queue) == 0 {
		ac.a.turns = slices.DeleteFunc(ac.a.turns, func(t *Account) bool { return t == ac })
	}
}
