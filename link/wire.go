package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// wire is a connection after its handshakes.
type wire interface {
	io.Reader
	io.Writer

	// writeAll writes the buffers; it uses the slice of them up, not the bytes. It
	// fails when nothing of them could be written for WriteStall.
	writeAll(net.Buffers) error

	// sums says whether bodies need checksums: TLS has better ones.
	sums() bool
}

// secure does the TLS handshake, if there is to be one.
func (l *Links) secure(ctx context.Context, nc net.Conn, server bool) (wire, *tls.ConnectionState, error) {
	if l.tls == nil {
		return &plain{Conn: nc, stall: l.cfg.Timings.WriteStall}, nil, nil
	}
	below := &gathering{Conn: nc, stall: l.cfg.Timings.WriteStall, in: bufio.NewReaderSize(nc, tlsBuffer)}
	var t *tls.Conn
	if server {
		t = tls.Server(below, l.tls())
	} else {
		t = tls.Client(below, l.tls())
	}
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, nil, err
	}
	below.on.Store(true)
	state := t.ConnectionState()
	return &secured{t, below}, &state, nil
}

// socketBuffer is what the kernel may hold of a bulk or catch-up connection, each
// way, before it doubles it. More would keep a reader busy that has always something
// to read: Go looks for other readable connections when a processor has nothing to
// do, else every 10 ms, and that is how long votes waited for bulk. It carries
// 250 MB/s over a round trip of 1 ms.
const socketBuffer = 128 << 10

// narrow limits the socket buffers of a lane that has much to carry.
func narrow(nc net.Conn, lane Lane) {
	if t, ok := nc.(interface {
		SetReadBuffer(n int) error
		SetWriteBuffer(n int) error
	}); ok && lane != Control {
		_ = t.SetReadBuffer(socketBuffer) // it works without, too
		_ = t.SetWriteBuffer(socketBuffer)
	}
}

// plain is a connection without TLS.
type plain struct {
	net.Conn
	stall time.Duration
}

func (p *plain) sums() bool { return true }

// writeAll goes on after a time-out as long as anything was written since the last one.
// WriteTo takes what was written off bufs.
func (p *plain) writeAll(bufs net.Buffers) error {
	for len(bufs) > 0 {
		if err := p.SetWriteDeadline(time.Now().Add(p.stall)); err != nil {
			return err
		}
		if n, err := bufs.WriteTo(p.Conn); stalled(n, err) {
			return err
		}
	}
	return nil
}

// stalled says whether a write has failed for good, which it has not when only its
// time was too short for all of it.
func stalled(n int64, err error) bool {
	var netErr net.Error
	return err != nil && (n == 0 || !errors.As(err, &netErr) || !netErr.Timeout())
}

// tlsBuffer is what is read, and written, of TLS with one system call. Its records
// are 16 KiB at most, and the library writes each alone.
const tlsBuffer = 64 << 10

// secured is a connection with TLS.
type secured struct {
	*tls.Conn
	below *gathering
}

func (s *secured) sums() bool { return false }

func (s *secured) writeAll(bufs net.Buffers) error {
	for _, b := range bufs {
		if _, err := s.Write(b); err != nil {
			return err
		}
	}
	return s.below.flush()
}

// gathering is what TLS stands on: it gathers records. As TLS cannot go on after a
// write that has failed, deadlines are for progress.
type gathering struct {
	net.Conn
	stall time.Duration
	in    *bufio.Reader
	on    atomic.Bool // after the handshakes, which have deadlines of their own

	mu  sync.Mutex
	out []byte
}

// Read implements io.Reader.
func (g *gathering) Read(b []byte) (int, error) { return g.in.Read(b) }

// Write implements io.Writer.
func (g *gathering) Write(b []byte) (int, error) {
	// Records of a handshake are waited for one by one.
	if !g.on.Load() {
		return g.Conn.Write(b)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.out = append(g.out, b...)
	if len(g.out) < tlsBuffer {
		return len(b), nil
	}
	return len(b), g.write()
}

func (g *gathering) flush() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.write()
}

// write writes what was gathered. It is called with mu held.
func (g *gathering) write() error {
	for from := 0; from < len(g.out); {
		if err := g.SetWriteDeadline(time.Now().Add(g.stall)); err != nil {
			return err
		}
		n, err := g.Conn.Write(g.out[from:])
		if stalled(int64(n), err) {
			return err
		}
		from += n
	}
	g.out = g.out[:0]
	return nil
}
