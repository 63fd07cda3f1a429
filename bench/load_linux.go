package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// loop drives all connections of a load from one thread. The runtime's poller
// would wake a goroutine for each answer, and the broker, which shares the
// machine, would be measured as much slower.
type loop struct {
	*load
	epoll, timer int
	conns        []*polled
	idle         []*polled // open loop: connections without a request
	timerAt      time.Time
	buf          []byte
}

// polled is a connection of a loop.
type polled struct {
	connection
	fd      int
	writing bool // waits until it can write on
}

// timerKey identifies the timer among epoll events; a connection is identified
// by its index.
const timerKey = -1

// endCheck is how often a loop without events checks whether its context ended.
const endCheck = 50 // ms

// run sends requests until ctx ends.
func (l *load) run(ctx context.Context) error {
	// A blocking epoll_wait would otherwise block a thread that other goroutines use.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p := &loop{load: l, buf: make([]byte, 256<<10), epoll: -1, timer: -1}
	defer p.close()
	if err := p.open(); err != nil {
		return err
	}
	for _, c := range p.conns {
		if l.slots != nil {
			p.idle = append(p.idle, c)
		} else if err := p.start(c, time.Now()); err != nil {
			return err
		}
	}
	events := make([]unix.EpollEvent, 512)
	for ctx.Err() == nil {
		if err := p.startDue(); err != nil {
			return err
		}
		n, err := unix.EpollWait(p.epoll, events, endCheck)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for _, ev := range events[:max(0, n)] {
			if err := p.handle(&ev); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *loop) open() (err error) {
	var to []unix.Sockaddr
	if p.epoll, to, err = openEpoll(p.addrs); err != nil {
		return err
	}
	for id := range p.connections {
		fd, err := connect(to[id%len(to)])
		if err != nil {
			return err
		}
		p.conns = append(p.conns, &polled{connection: connection{id: id}, fd: fd})
		if err := p.watch(unix.EPOLL_CTL_ADD, fd, id, unix.EPOLLIN); err != nil {
			return err
		}
	}
	if p.slots == nil {
		return nil
	}
	if p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return fmt.Errorf("timerfd_create: %w", err)
	}
	return p.watch(unix.EPOLL_CTL_ADD, p.timer, timerKey, unix.EPOLLIN)
}

// openEpoll makes an epoll instance for connections to addresses, host:port. It is -1
// where there is none.
func openEpoll(addresses []string) (epoll int, to []unix.Sockaddr, err error) {
	for _, address := range addresses {
		addr, err := net.ResolveTCPAddr("tcp4", address)
		if err != nil {
			return -1, nil, fmt.Errorf("address: %w", err)
		}
		at := &unix.SockaddrInet4{Port: addr.Port}
		copy(at.Addr[:], addr.IP.To4())
		to = append(to, at)
	}
	if epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return -1, nil, fmt.Errorf("epoll_create: %w", err)
	}
	return epoll, to, nil
}

func connect(to unix.Sockaddr) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	err = unix.Connect(fd, to)
	if err == nil {
		err = errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), unix.SetNonblock(fd, true))
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("connect: %w", err)
	}
	return fd, nil
}

func (p *loop) watch(op, fd, key int, events uint32) error {
	if err := unix.EpollCtl(p.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(key)}); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

func (p *loop) close() {
	for _, c := range p.conns {
		_ = unix.Close(c.fd)
	}
	for _, fd := range []int{p.timer, p.epoll} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// startDue sends the requests of an open loop that are due, as long as there are
// idle connections, and sets the timer for the next one.
func (p *loop) startDue() error {
	for p.slots != nil && len(p.idle) > 0 {
		due, wait := p.slots.take(time.Now())
		if wait > 0 {
			return p.setTimer(due, wait)
		}
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if err := p.start(c, due); err != nil {
			return err
		}
	}
	return nil
}

func (p *loop) setTimer(due time.Time, wait time.Duration) error {
	if due.Equal(p.timerAt) {
		return nil
	}
	p.timerAt = due
	spec := &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(wait))}
	if err := unix.TimerfdSettime(p.timer, 0, spec, nil); err != nil {
		return fmt.Errorf("timerfd_settime: %w", err)
	}
	return nil
}

func (p *loop) handle(ev *unix.EpollEvent) error {
	if ev.Fd == timerKey {
		var expired [8]byte
		_, _ = unix.Read(p.timer, expired[:]) // resets its readiness
		p.timerAt = time.Time{}
		return nil
	}
	c := p.conns[ev.Fd]
	if c.writing && ev.Events&unix.EPOLLOUT != 0 {
		if err := p.write(c); err != nil {
			return err
		}
	}
	if ev.Events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return nil
	}
	return p.read(c)
}

// start sends the connection's next request and starts measuring its latency.
func (p *loop) start(c *polled, then time.Time) error {
	p.prepare(&c.connection, then)
	return p.write(c)
}

func (p *loop) write(c *polled) error {
	for len(c.unsent) > 0 {
		n, err := unix.Write(c.fd, c.unsent)
		switch {
		case errors.Is(err, unix.EAGAIN):
			if c.writing {
				return nil
			}
			c.writing = true
			return p.watch(unix.EPOLL_CTL_MOD, c.fd, c.id, unix.EPOLLIN|unix.EPOLLOUT)
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("send: %w", err)
		default:
			c.unsent = c.unsent[n:]
		}
	}
	if c.writing {
		c.writing = false
		return p.watch(unix.EPOLL_CTL_MOD, c.fd, c.id, unix.EPOLLIN)
	}
	return nil
}

func (p *loop) read(c *polled) error {
	n, err := unix.Read(c.fd, p.buf)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("receive: %w", err)
	case n == 0:
		return errors.New("receive: the server closed a connection")
	}
	done, err := c.answer.feed(p.buf[:n])
	if err != nil || !done {
		return err
	}
	now := time.Now()
	p.finish(&c.connection, now)
	if p.slots == nil {
		return p.start(c, now)
	}
	// A slot that was due while all connections were busy is used now; its
	// latency is measured from the time when it was due.
	due, wait := p.slots.take(now)
	if wait > 0 {
		p.idle = append(p.idle, c)
		return nil
	}
	return p.start(c, due)
}

// nap sleeps with the precision of the kernel's clock, some 50 microseconds. It
// blocks a thread.
func nap(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	for errors.Is(unix.Nanosleep(&ts, &ts), unix.EINTR) {
	}
}
