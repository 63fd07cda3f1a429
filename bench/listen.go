package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// streams reads answers that do not end, one on each of a number of connections.
type streams struct {
	addrs       []string // connections go to them in turn
	connections int
	request     func(connection int) []byte
	line        func(connection int, line []byte, now time.Time) // without its end
	opened      func()                                           // is called once for each connection that got its headers
}

// endless scans an endless answer: its head, its chunks and their lines.
type endless struct {
	head []byte // as far as it came, until it is complete
	size []byte // of the next chunk, as far as it came
	left int    // of the present chunk, with its line end
	line []byte // as far as it came
	open bool   // the head is complete
}

var errEndlessEnded = errors.New("the answer ended")

// feed takes bytes of the answer and calls line for each complete line of its body.
func (e *endless) feed(b []byte, line func([]byte)) (opened bool, err error) {
	if !e.open {
		e.head = append(e.head, b...)
		end := bytes.Index(e.head, []byte("\r\n\r\n"))
		if end < 0 {
			return false, nil
		}
		if !bytes.HasPrefix(e.head, []byte("HTTP/1.1 200")) {
			return false, fmt.Errorf("no stream: %.300s", e.head)
		}
		b, e.head, e.open, opened = e.head[end+4:], nil, true, true
	}
	for len(b) > 0 {
		if e.left == 0 {
			if b, err = e.feedSize(b); err != nil {
				return opened, err
			}
			continue
		}
		n := min(len(b), e.left)
		body := b[:min(n, max(0, e.left-2))] // without the chunk's line end
		b, e.left = b[n:], e.left-n
		for len(body) > 0 {
			i := bytes.IndexByte(body, '\n')
			if i < 0 {
				e.line = append(e.line, body...)
				break
			}
			if len(e.line) > 0 {
				e.line = append(e.line, body[:i]...)
				line(e.line)
				e.line = e.line[:0]
			} else {
				line(body[:i])
			}
			body = body[i+1:]
		}
	}
	return opened, nil
}

// feedSize reads the line with the size of the next chunk.
func (e *endless) feedSize(b []byte) ([]byte, error) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		e.size = append(e.size, b...)
		return nil, nil
	}
	e.size = append(e.size, b[:i]...)
	n, err := strconv.ParseInt(string(bytes.TrimSpace(e.size)), 16, 31)
	e.size = e.size[:0]
	if err != nil {
		return nil, fmt.Errorf("the answer is not chunked: %w", err)
	}
	if n == 0 {
		return nil, errEndlessEnded
	}
	e.left = int(n) + 2
	return b[i+1:], nil
}

// runPortable reads each connection on a goroutine of its own.
func (l *streams) runPortable(ctx context.Context) error {
	return eachConnection(ctx, l.addrs, l.connections, l.drive)
}

func (l *streams) drive(_ context.Context, conn net.Conn, id int) error {
	if _, err := conn.Write(l.request(id)); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	var e endless
	buf := make([]byte, 16<<10)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		now := time.Now()
		opened, err := e.feed(buf[:n], func(line []byte) { l.line(id, line, now) })
		if err != nil {
			return err
		}
		if opened {
			l.opened()
		}
	}
}
