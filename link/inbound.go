package link

import (
	"errors"
	"net"
	"time"
)

// acceptAll takes inbound connections until the listener is closed.
func (l *Links) acceptAll() {
	for {
		nc, err := l.listener.Accept()
		if err != nil {
			if l.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			l.log.Warn("a connection of another node cannot be accepted", "error", err)
			// Without a pause this loop would take a processor for itself.
			select { // such as too many open files
			case <-l.ctx.Done():
				return
			case <-time.After(l.cfg.Timings.Ping):
			}
			continue
		}
		l.mu.Lock()
		// Bounded before anything is read: whoever can reach the port may connect.
		room := !l.closed && len(l.inbound) < maxGreetings+Lanes*len(*l.peers.Load())+maxGuests
		if room {
			l.inbound[nc] = true
		}
		l.mu.Unlock()
		if !room {
			_ = nc.Close()
			continue
		}
		l.running.Go(func() {
			l.accept(nc)
			l.mu.Lock()
			delete(l.inbound, nc)
			l.mu.Unlock()
		})
	}
}

func (l *Links) guestRoom() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.guests >= maxGuests {
		return false
	}
	l.guests++
	return true
}

func (l *Links) guestGone() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.guests--
}

// release forgets an inbound connection that has ended.
func (l *Links) release(c *conn) {
	if c.peer == nil {
		l.guestGone()
		return
	}
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	if c.peer.accepted[c.lane] == c {
		c.peer.accepted[c.lane] = nil
	}
}

// noteRefusal logs why somebody was not let in, the same at most once a minute.
func (l *Links) noteRefusal(from net.Addr, err error) {
	text := err.Error()
	l.mu.Lock()
	last, seen := l.refused[text]
	if len(l.refused) > 1000 {
		clear(l.refused)
	}
	fresh := !seen || time.Since(last) > time.Minute
	if fresh {
		l.refused[text] = time.Now()
	}
	l.mu.Unlock()
	if fresh {
		l.log.Warn("a node was refused", "from", from.String(), "error", err)
	}
}
