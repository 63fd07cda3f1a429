package budget

import (
	"time"

	"ottla/protocol"
)

// Share is what one answer holds of Answers: from the read that makes it until
// it was sent. It implements protocol.Room. It must not be copied while it holds
// something.
type Share struct {
	ac   *Account
	to   Receiver // nil: never ended
	held int64
	cut  bool // Take reserved less than was wanted

	sending    bool // the answer is made; see Set
	next, prev *Share
	taken      uint64    // by the client, at the last look
	since      time.Time // the client has taken nothing; zero: nobody has looked yet
}

// Share returns a share that holds nothing, of who is no client.
func (a *Answers) Share() Share { return Share{ac: a.others} }

// ShareOf returns a share of a client that holds nothing. to is the connection by
// which the answer is sent; nil where it cannot be ended.
func ShareOf(ac *Account, to Receiver) Share { return Share{ac: ac, to: to} }

// MoveTo makes a share that holds nothing one of another client.
func (s *Share) MoveTo(ac *Account) { s.ac = ac }

// Take implements protocol.Room.
func (s *Share) Take(want int) (int, *protocol.Error) {
	s.Release()
	a := s.ac.a
	a.mu.Lock()
	n := s.ac.take(int64(want))
	s.hold(n)
	itself := !s.ac.fitsItself(min(int64(want), SmallAnswer), true)
	a.mu.Unlock()
	if n == 0 {
		return 0, s.overloaded(itself)
	}
	s.cut = n < int64(want)
	return int(n), nil
}

// TakeSpare reserves up to want bytes, and an ordinary answer at most, for what nobody
// waits for: without waiting, and only while less than half of the room is used with them.
// It returns how many. Error: overloaded.
func (s *Share) TakeSpare(want int) (int, *protocol.Error) {
	s.Release()
	a := s.ac.a
	a.mu.Lock()
	n := min(int64(want), s.ac.ordinary())
	itself := s.ac.used+n > s.ac.limit/2
	fits := !itself && a.all.used+n <= a.all.limit/2
	if fits {
		s.ac.add(n)
		s.hold(n)
	}
	a.mu.Unlock()
	if !fits {
		return 0, s.overloaded(itself)
	}
	s.cut = n < int64(want)
	return int(n), nil
}

// Keep implements protocol.Room.
func (s *Share) Keep(n int) *protocol.Error {
	small := int64(SmallAnswer)
	if !s.cut {
		small = max(small, min(maxUnderestimate, s.ac.limit/reserveShare/8))
	}
	more := int64(n) - s.held
	a := s.ac.a
	a.mu.Lock()
	fits := more <= 0 || s.ac.grow(s.held, more, small)
	itself := !fits && !s.ac.growsItself(s.held, more, small)
	switch {
	case !fits:
		s.ac.give(s.held)
		s.hold(0)
	case more > 0:
		s.hold(int64(n))
	case more < 0:
		s.ac.give(-more)
		s.hold(int64(n))
	}
	a.mu.Unlock()
	if !fits {
		return s.overloaded(itself)
	}
	return nil
}

// Set makes the share hold n bytes, whether they fit or not: they are in memory
// already, and are sent next.
func (s *Share) Set(n int64) {
	if n == s.held && (s.sending || n == 0) {
		return
	}
	a := s.ac.a
	a.mu.Lock()
	defer a.mu.Unlock()
	if n != s.held {
		s.ac.give(s.held - n)
	}
	s.hold(n)
	s.sending = n > 0
}

// SendBy says that what the share holds is on its way to the client by that connection. It
// is for a share whose connection is not ended while the answer is made, which may take
// long: the share has been made with nil. It is called once. A share that holds nothing is
// left alone.
func (s *Share) SendBy(to Receiver) {
	if s.held == 0 {
		return
	}
	a := s.ac.a
	a.mu.Lock()
	defer a.mu.Unlock()
	n := s.held
	s.held, s.to = 0, to
	s.hold(n)
	s.sending = true
}

// SetIfFree makes a share that holds nothing hold n bytes if they fit.
func (s *Share) SetIfFree(n int64) *protocol.Error {
	a := s.ac.a
	a.mu.Lock()
	itself := !s.ac.fitsItself(n, true)
	fits := s.ac.takeWithin(n, true)
	if fits {
		s.hold(n)
		s.sending = n > 0
	}
	a.mu.Unlock()
	if !fits {
		return s.overloaded(itself)
	}
	return nil
}

// Held is how many bytes the share holds.
func (s *Share) Held() int64 { return s.held }

// Release returns everything.
func (s *Share) Release() { s.Set(0) }

// hold says that n bytes are held, which are counted already; a.mu is held.
func (s *Share) hold(n int64) {
	was := s.held
	s.held = n
	if s.to == nil || (was > 0) == (n > 0) {
		return
	}
	a := s.ac.a
	if n > 0 {
		s.sending, s.since = false, time.Time{}
		if s.next = a.holding; s.next != nil {
			s.next.prev = s
		}
		a.holding = s
		return
	}
	if s.sending = false; s.prev != nil {
		s.prev.next = s.next
	} else {
		a.holding = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.next, s.prev = nil, nil
}

// overloaded is the error of what was refused: by what the client itself may hold, or by
// what all may.
func (s *Share) overloaded(itself bool) *protocol.Error {
	a := s.ac.a
	if itself && s.ac != a.others {
		return protocol.Errorf(protocol.CodeOverloaded, "too many bytes of answers wait for this client to read them").
			With("limit", s.ac.limit)
	}
	return protocol.Errorf(protocol.CodeOverloaded, "too many bytes of answers wait for their clients to read them").
		With("limit", a.all.limit)
}
