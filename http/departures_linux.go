package http

import (
	"os"
	"sync"
	"syscall"
)

// departures tells when clients leave whose requests wait. fasthttp and the
// netpoller never do, and looking at ten thousand sockets every other second
// costs a tenth of a core. One epoll instance, itself watched by the
// netpoller, waits for all of them.
type departures struct {
	once sync.Once
	f    *os.File // the epoll instance; nil if there could be none

	mu   sync.Mutex
	last uint64
	left map[uint64]departure
}

// departure is what is done when a client leaves: closed, then told.
type departure struct {
	left chan struct{}
	told func()
}

// watch returns a channel that is closed when the client of c leaves, nil if
// that cannot be told, and what ends the watch. told is called after that, and
// must not block. c must stay open meanwhile.
func (d *departures) watch(c *conn, told func()) (<-chan struct{}, func()) {
	d.once.Do(d.open)
	sc, ok := c.Conn.(syscall.Conn)
	if d.f == nil || !ok {
		return nil, func() {}
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, func() {}
	}
	left := make(chan struct{})
	d.mu.Lock()
	d.last++
	id := d.last
	d.left[id] = departure{left, told}
	d.mu.Unlock()
	event := syscall.EpollEvent{Events: syscall.EPOLLRDHUP | syscall.EPOLLONESHOT, Fd: int32(uint32(id)), Pad: int32(uint32(id >> 32))}
	added := d.control(raw, syscall.EPOLL_CTL_ADD, &event)
	forget := func() {
		if added {
			d.control(raw, syscall.EPOLL_CTL_DEL, &syscall.EpollEvent{})
		}
		d.mu.Lock()
		delete(d.left, id)
		d.mu.Unlock()
	}
	if !added {
		forget()
		return nil, func() {}
	}
	return left, forget
}

func (d *departures) control(raw syscall.RawConn, op int, event *syscall.EpollEvent) bool {
	done := false
	err := raw.Control(func(fd uintptr) {
		done = d.onEpoll(func(epoll int) error { return syscall.EpollCtl(epoll, op, int(fd), event) })
	})
	return done && err == nil
}

func (d *departures) onEpoll(do func(epoll int) error) bool {
	raw, err := d.f.SyscallConn()
	if err != nil {
		return false
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = do(int(fd)) })
	return err == nil && failed == nil
}

func (d *departures) open() {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return
	}
	d.left = map[uint64]departure{}
	d.f = os.NewFile(uintptr(fd), "epoll")
	go d.run()
}

// run closes the channels of those who leave, until close.
func (d *departures) run() {
	raw, err := d.f.SyscallConn()
	if err != nil {
		return
	}
	events := make([]syscall.EpollEvent, 128)
	for err == nil {
		n := 0
		err = raw.Read(func(fd uintptr) bool {
			n, _ = syscall.EpollWait(int(fd), events, 0)
			return n > 0
		})
		d.mu.Lock()
		for _, e := range events[:max(n, 0)] {
			id := uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32
			if gone, ok := d.left[id]; ok {
				delete(d.left, id)
				close(gone.left)
				gone.told()
			}
		}
		d.mu.Unlock()
	}
}

// close ends it; nothing is watched from then on.
func (d *departures) close() {
	d.once.Do(func() {})
	if d.f != nil {
		_ = d.f.Close()
	}
}
