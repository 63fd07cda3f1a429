package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// listener reads all connections of a streams from one thread, as loop does.
type listener struct {
	*streams
	epoll int
	fds   []int
	heard []endless // by connection
	buf   []byte
}

// run reads until ctx ends.
func (l *streams) run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p := &listener{streams: l, epoll: -1, heard: make([]endless, l.connections), buf: make([]byte, 256<<10)}
	defer p.close()
	var (
		to  []unix.Sockaddr
		err error
	)
	if p.epoll, to, err = openEpoll(l.addrs); err != nil {
		return err
	}
	for id := range l.connections {
		if err := p.connect(id, to[id%len(to)]); err != nil {
			return err
		}
		if id%64 == 63 { // what has come until now: the server must not be flooded
			if err := p.poll(0); err != nil {
				return err
			}
		}
	}
	for ctx.Err() == nil {
		if err := p.poll(endCheck); err != nil {
			return err
		}
	}
	return nil
}

func (p *listener) connect(id int, to unix.Sockaddr) error {
	fd, err := connect(to)
	if err != nil {
		return err
	}
	p.fds = append(p.fds, fd)
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(id)}); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	if _, err := unix.Write(fd, p.request(id)); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// poll reads what comes within some milliseconds.
func (p *listener) poll(within int) error {
	var events [512]unix.EpollEvent
	n, err := unix.EpollWait(p.epoll, events[:], within)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("epoll_wait: %w", err)
	}
	for _, ev := range events[:max(0, n)] {
		if err := p.read(int(ev.Fd)); err != nil {
			return err
		}
	}
	return nil
}

func (p *listener) read(id int) error {
	n, err := unix.Read(p.fds[id], p.buf)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("receive: %w", err)
	case n == 0:
		return errEndlessEnded
	}
	now := time.Now()
	opened, err := p.heard[id].feed(p.buf[:n], func(line []byte) { p.line(id, line, now) })
	if opened {
		p.opened()
	}
	return err
}

func (p *listener) close() {
	for _, fd := range append(p.fds, p.epoll) {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
