package http

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// readBuffer is the size of the buffer that a request is read through. A
// request whose line and headers need more gets one of MaxHeaderBytes.
const readBuffer = 4 << 10

// writeBuffer gathers the answers to pipelined requests.
const writeBuffer = 4 << 10

// gear is what a connection needs only while it has a request, or part of
// one: it is shared by all connections, so that idle ones and parked polls
// hold none.
type gear struct {
	br  *bufio.Reader
	bw  *bufio.Writer
	ctx fasthttp.RequestCtx
}

// poisonByte is what builds that poison write over what is given back: it is
// part of no name, number or JSON text. See poison_on.go.
const poisonByte = 0xdb

var gears = sync.Pool{New: func() any {
	return &gear{br: bufio.NewReaderSize(nil, readBuffer), bw: bufio.NewWriterSize(nil, writeBuffer)}
}}

// clockStart is any moment, see soon.
var clockStart = time.Now()

// soon is the moment in d, for deadlines: its wall clock is that of the start,
// which saves the look at it. A request sets two.
func soon(d time.Duration) time.Time { return clockStart.Add(time.Since(clockStart) + d) }

// wire reads from and writes to a connection under deadlines. They are moved
// only when it matters: a deadline costs more than the system call it bounds.
type wire struct {
	c       *conn
	readIn  time.Duration // for a request to arrive
	writeIn time.Duration // for an answer to be taken
	pending *bufio.Writer // answers that go out before anything is waited for

	raw  syscall.RawConn // nil when c is not a socket
	fd   uintptr         // while peeking: read from it, without waiting
	peek bool

	armed bool // the read deadline is that of the present request
}

// errNothingYet: no byte of the next request has arrived.
var errNothingYet = errors.New("nothing to read yet")

// Read fills the buffer of a request.
func (w *wire) Read(p []byte) (int, error) {
	if w.peek {
		return w.readNow(p)
	}
	if w.pending != nil && w.pending.Buffered() > 0 {
		if err := w.pending.Flush(); err != nil {
			return 0, err
		}
	}
	if !w.armed {
		w.armed = true
		if err := w.c.SetReadDeadline(soon(w.readIn)); err != nil {
			return 0, err
		}
	}
	return w.c.Read(p)
}

// readNow reads what is there, on the netpoller's file descriptor.
func (w *wire) readNow(p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(w.fd), p)
		switch {
		case n > 0:
			return n, nil
		case err == nil:
			return 0, io.EOF
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return 0, errNothingYet
		default:
			return 0, err
		}
	}
}

// awaitWithin sets the deadline for the first byte of the next request.
func (w *wire) awaitWithin(d time.Duration) error {
	w.armed = false
	return w.c.SetReadDeadline(soon(d))
}

// untilDeadline reads around conn.Read, which knows of deadlines that fire
// early.
func (w *wire) untilDeadline(read func() error) error {
	for {
		if err := read(); !w.c.reading.early(err, w.c.Conn.SetReadDeadline) {
			return err
		}
	}
}

// Write sends answers; each has the write timeout to be taken.
func (w *wire) Write(p []byte) (int, error) {
	if err := w.c.SetWriteDeadline(soon(w.writeIn)); err != nil {
		return 0, err
	}
	return w.c.Write(p)
}

// writeBoth sends a header and its body in one system call where that can be.
func (w *wire) writeBoth(header, body []byte) error {
	if err := w.c.SetWriteDeadline(soon(w.writeIn)); err != nil {
		return err
	}
	for pieces := (net.Buffers{header, body}); ; {
		if _, err := pieces.WriteTo(w.c.Conn); !w.c.writing.early(err, w.c.Conn.SetWriteDeadline) {
			return err
		}
	}
}

// bodyReader reads a body of known length.
type bodyReader struct {
	br   *bufio.Reader
	left int
}

func (b *bodyReader) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.br.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, unexpected(err)
}

// atLeast is how many bytes are still to come, at least.
func (b *bodyReader) atLeast() int { return b.left }
