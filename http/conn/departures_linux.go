package conn

import (
	"os"
	"sync"
	"syscall"
)

// departures tells when clients leave whose requests wait. The netpoller does
// not tell, and looking at ten thousand sockets every other second takes a
// tenth of a core. One epoll instance, which the netpoller watches in turn,
// waits for all of them. A connection is added to it when its first request
// waits, and stays there as long as it is open.
type departures struct {
	once sync.Once
	f    *os.File // the epoll instance; nil if there could be none

	mu   sync.Mutex
	last uint64
	left map[uint64]*departure
}

// departure is what is known of one connection's client. It leaves once.
type departure struct {
	d    *departures
	id   uint64
	left chan struct{} // closed when it has left
	told func()        // called after that; nil while nothing waits. Guarded by d.mu
}

// watch implements Conn.Watch.
func (d *departures) watch(c *Conn, told func()) (<-chan struct{}, func()) {
	w := c.departure.Load()
	if w == nil {
		if w = d.add(c); w == nil {
			return nil, func() {}
		}
		c.departure.Store(w)
	}
	w.tell(told)
	return w.left, func() { w.tell(nil) }
}

func (w *departure) tell(told func()) {
	w.d.mu.Lock()
	w.told = told
	w.d.mu.Unlock()
}

// end forgets a connection that is about to be closed. Closing takes it out of
// the epoll instance.
func (w *departure) end() {
	w.d.mu.Lock()
	delete(w.d.left, w.id)
	w.told = nil
	w.d.mu.Unlock()
}

// add begins to watch a connection. It returns nil if that cannot be done.
func (d *departures) add(c *Conn) *departure {
	d.once.Do(d.open)
	if d.f == nil || c.socket == nil {
		return nil
	}
	w := &departure{d: d, left: make(chan struct{})}
	d.mu.Lock()
	d.last++
	w.id = d.last
	d.left[w.id] = w
	d.mu.Unlock()
	event := syscall.EpollEvent{Events: syscall.EPOLLRDHUP | edgeTriggered, Fd: int32(uint32(w.id)), Pad: int32(uint32(w.id >> 32))}
	if !d.control(c.socket, syscall.EPOLL_CTL_ADD, &event) {
		w.end()
		return nil
	}
	return w
}

// edgeTriggered is EPOLLET, which package syscall has as a negative number.
const edgeTriggered = 1 << 31

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
	d.left = map[uint64]*departure{}
	d.f = os.NewFile(uintptr(fd), "epoll")
	go d.run()
}

// run tells of those who leave, until close.
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
				if gone.told != nil {
					gone.told()
				}
			}
		}
		d.mu.Unlock()
	}
}

// close ends the goroutine; nothing is watched from then on.
func (d *departures) close() {
	d.once.Do(func() {})
	if d.f != nil {
		_ = d.f.Close()
	}
}
