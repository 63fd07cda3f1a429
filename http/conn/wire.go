package conn

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

// readBuffer is the size of the buffer that a request is read through, in
// bytes. A request whose line and headers need more gets one of MaxHeaderBytes.
const readBuffer = 4 << 10

// writeBuffer is the size of the buffer that gathers the answers to pipelined
// requests, in bytes.
const writeBuffer = 4 << 10

// buffers is what a session needs only while it has a request or part of one.
// They come from a pool that all sessions share, so that idle connections and
// waiting requests hold none.
type buffers struct {
	br  *bufio.Reader
	bw  *bufio.Writer
	ctx fasthttp.RequestCtx
}

// PoisonByte is what Spoil writes. It is part of no name, number or JSON text.
const PoisonByte = 0xdb

var bufferPool = sync.Pool{New: func() any {
	return &buffers{br: bufio.NewReaderSize(nil, readBuffer), bw: bufio.NewWriterSize(nil, writeBuffer)}
}}

// clockStart is an arbitrary moment, see after.
var clockStart = time.Now()

// after is the moment in d, for deadlines. Only its monotonic clock is right,
// which saves reading the wall clock: every request sets two deadlines.
func after(d time.Duration) time.Time { return clockStart.Add(time.Since(clockStart) + d) }

// wire reads from and writes to a connection under deadlines. It moves them
// only when it matters: setting a deadline costs more than the system call that
// it bounds.
type wire struct {
	c            *Conn
	readTimeout  time.Duration // for a request to arrive
	writeTimeout time.Duration // for an answer to be taken
	pending      *bufio.Writer // answers that go out before anything is waited for

	fd   uintptr // while peek is set: read from it without waiting
	peek bool

	armed bool // the read deadline is that of the present request

	first [1]byte // of a request, read by readAhead
	ahead bool    // first is the next byte
}

// errNothingYet says that no byte of the next request has arrived.
var errNothingYet = errors.New("nothing to read yet")

// Read fills the buffer of a request.
func (w *wire) Read(p []byte) (int, error) {
	if w.peek {
		return w.readNow(p)
	}
	if w.ahead && len(p) > 0 {
		w.ahead = false
		return copy(p, w.first[:]), nil
	}
	if w.pending != nil && w.pending.Buffered() > 0 {
		if err := w.pending.Flush(); err != nil {
			return 0, err
		}
	}
	if !w.armed {
		w.armed = true
		if err := w.c.SetReadDeadline(after(w.readTimeout)); err != nil {
			return 0, err
		}
	}
	return w.c.Read(p)
}

// readAhead waits for one byte, under the deadline of awaitWithin. The next Read
// returns it.
func (w *wire) readAhead() error {
	n, err := w.c.Read(w.first[:])
	w.ahead = n > 0
	if w.ahead {
		return nil
	}
	return err
}

// readNow reads what has arrived, on the netpoller's file descriptor.
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
	return w.c.SetReadDeadline(after(d))
}

// untilDeadline calls read, which goes around Conn.Read, until it fails for
// another reason than a lazy deadline that fired early.
func (w *wire) untilDeadline(read func() error) error {
	for {
		if err := read(); !w.c.reading.early(err, w.c.Conn.SetReadDeadline) {
			return err
		}
	}
}

// Write sends answers. The client has the write timeout to take each.
func (w *wire) Write(p []byte) (int, error) {
	if err := w.c.SetWriteDeadline(after(w.writeTimeout)); err != nil {
		return 0, err
	}
	return w.c.Write(p)
}

// writeAll sends pieces, in one system call if the connection is a socket.
func (w *wire) writeAll(pieces ...[]byte) error {
	if err := w.c.SetWriteDeadline(after(w.writeTimeout)); err != nil {
		return err
	}
	for pieces := net.Buffers(pieces); ; {
		if _, err := pieces.WriteTo(w.c.Conn); !w.c.writing.early(err, w.c.Conn.SetWriteDeadline) {
			return err
		}
	}
}

// Body is what a session's RequestBodyStream is, so that a handler can tell how
// much is coming.
type Body interface {
	io.Reader
	// AtLeast is how many bytes are still to come, at least.
	AtLeast() int
}

// lengthReader reads a body of known length.
type lengthReader struct {
	br   *bufio.Reader
	left int
}

func (b *lengthReader) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.br.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, unexpected(err)
}

// AtLeast implements Body.
func (b *lengthReader) AtLeast() int { return b.left }
