package bench

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"ottla/protocol"
)

// maxTail is the number of bytes at a body's end that are kept, to check whether
// it is the right answer and to show what an error says.
const maxTail = 1024

// maxHead bounds the head of an answer.
const maxHead = 64 << 10

var (
	errNotHTTP  = errors.New("the answer is not HTTP/1.1")
	errNoLength = errors.New("the answer has no Content-Length")
)

// response scans the answers of one connection as their bytes come in.
type response struct {
	status int
	length int    // of the body
	tail   []byte // of the body, maxTail bytes at most

	head []byte // its beginning, if it came in pieces
	left int    // bytes of the body still to come
	body bool   // the head is complete
}

// feed takes bytes of an answer. done is true when the answer is complete; it
// must end where the bytes end, because requests are not pipelined.
func (r *response) feed(b []byte) (done bool, err error) {
	if !r.body {
		if b, err = r.feedHead(b); err != nil || !r.body {
			return false, err
		}
	}
	if len(b) > r.left {
		return false, errors.New("the answer is longer than its Content-Length")
	}
	r.left -= len(b)
	if len(b) >= maxTail {
		r.tail = append(r.tail[:0], b[len(b)-maxTail:]...)
	} else if r.tail = append(r.tail, b...); len(r.tail) > maxTail {
		r.tail = append(r.tail[:0], r.tail[len(r.tail)-maxTail:]...)
	}
	if r.left > 0 {
		return false, nil
	}
	r.body, r.head = false, r.head[:0]
	return true, nil
}

// feedHead returns the part of b that belongs to the body.
func (r *response) feedHead(b []byte) ([]byte, error) {
	if len(r.head) > 0 {
		r.head = append(r.head, b...)
		b = r.head
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxHead {
			return nil, errNotHTTP
		}
		if len(r.head) == 0 {
			r.head = append(r.head, b...)
		}
		return nil, nil
	}
	r.tail = r.tail[:0]
	if err := r.parseHead(b[:end+2]); err != nil {
		return nil, fmt.Errorf("%w: %.200q", err, b)
	}
	r.body, r.left = true, r.length
	return b[end+4:], nil
}

// parseHead parses the head, which includes the line end of its last field.
func (r *response) parseHead(head []byte) error {
	if len(head) < len("HTTP/1.1 200") || string(head[:9]) != "HTTP/1.1 " {
		return errNotHTTP
	}
	status, err := strconv.Atoi(string(head[9:12]))
	if err != nil {
		return errNotHTTP
	}
	if r.status = status; status == 204 {
		r.length = 0
		return nil
	}
	const name, lower = "\r\nContent-Length: ", "\r\ncontent-length: "
	i := bytes.Index(head, []byte(name))
	if i < 0 {
		i = bytes.Index(head, []byte(lower))
	}
	if i < 0 {
		return errNoLength
	}
	digits, _, _ := bytes.Cut(head[i+len(name):], []byte("\r"))
	n, fits, ok := protocol.ParseInteger(digits)
	if !ok || !fits || n < 0 {
		return errNoLength
	}
	r.length = int(n)
	return nil
}

// ok reports whether the status is one of success.
func (r *response) ok() bool { return r.status >= 200 && r.status < 207 }

// right reports whether the answer is the expected one.
func (c *connection) right() bool {
	return c.call.want == nil || bytes.Contains(c.answer.tail, c.call.want)
}
