package http

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/valyala/fasthttp"
)

// maxHeaderFields is how many header fields a request may have. A parsed field
// takes some sixty bytes beside its text: thousands of empty ones would make a
// header of 4 KiB hold a hundred.
const maxHeaderFields = 256

// maxMethod is the longest method that is waited for, in bytes.
const maxMethod = 32

// badRequest is why bytes are no HTTP request; its text is for the client.
type badRequest string

func (e badRequest) Error() string { return string(e) }

const (
	errNotHTTP     badRequest = "it begins like nothing of HTTP/1.1"
	errVersion     badRequest = "only HTTP/1.1 and HTTP/1.0 are spoken here"
	errLineEnd     badRequest = "a line of the header must end in CRLF, and have no other CR or LF"
	errField       badRequest = "a header field must be a name, a colon right after it, and a value on the same line"
	errCoding      badRequest = "the only transfer encoding is chunked"
	errTwoLengths  badRequest = "a length and a transfer encoding exclude each other"
	errHost        badRequest = "it must have one Host header"
	errBadTarget   badRequest = "the target or the host is not valid"
	errManyFields             = tooLarge("too many header fields")
	errLargeHeader            = tooLarge("request line and headers are too long")
)

// tooLarge is a header beyond one of the limits.
type tooLarge string

func (e tooLarge) Error() string { return string(e) }

// headerScan looks for the end of a request's header while it arrives, and
// refuses what two readers of HTTP could cut into requests differently (RFC
// 9112, 2.2, 5.1, 5.2, 6.1): a proxy before us that takes the other side would
// have us execute bytes of a body. fasthttp takes a bare LF for the end of a
// line, reads a body of "identity" as none, and chunks beside a length as
// chunks.
type headerScan struct {
	at     int  // where the line begins that has not ended
	seen   int  // bytes that were searched for its end
	fields int  // -1: the request line has not come
	length bool // there is a Content-Length
	coded  bool // there is a Transfer-Encoding
	hosts  int  // Host headers that say something
	older  bool // HTTP/1.0, which needs none
}

func newHeaderScan() headerScan { return headerScan{fields: -1} }

// scan goes on with b, all bytes so far. It returns the header's size, 0 if
// there is more to come.
func (s *headerScan) scan(b []byte) (size int, err error) {
	for {
		n := bytes.IndexByte(b[s.seen:], '\n')
		if n < 0 {
			s.seen = len(b)
			return 0, s.begun(b[s.at:])
		}
		line := b[s.at : s.seen+n]
		s.at = s.seen + n + 1
		s.seen = s.at
		if len(line) == 0 || bytes.IndexByte(line, '\r') != len(line)-1 {
			return 0, errLineEnd
		}
		line = line[:len(line)-1]
		switch {
		case s.fields < 0 && len(line) == 0: // some clients send one after a body
		case s.fields < 0:
			if !bytes.HasSuffix(line, []byte(" HTTP/1.1")) && !bytes.HasSuffix(line, []byte(" HTTP/1.0")) {
				return 0, errVersion
			}
			s.fields, s.older = 0, line[len(line)-1] == '0'
		case len(line) == 0 && (s.hosts == 1 || s.older && s.hosts == 0):
			return s.at, nil
		case len(line) == 0:
			return 0, errHost
		default:
			if err := s.field(line); err != nil {
				return 0, err
			}
		}
	}
}

// begun refuses a request line that cannot become one, before the client has
// waited for an answer in vain: a TLS handshake, say.
func (s *headerScan) begun(line []byte) error {
	if s.fields >= 0 {
		return nil
	}
	for i, c := range line {
		switch {
		case c == ' ' && i > 0:
			return nil
		case i == maxMethod, !isToken[c] && (c != '\r' || i > 0):
			return errNotHTTP
		}
	}
	return nil
}

func (s *headerScan) field(line []byte) error {
	name, value, ok := cutField(line)
	if !ok {
		return errField
	}
	if s.fields++; s.fields > maxHeaderFields {
		return errManyFields
	}
	switch len(name) {
	case len("Host"):
		if bytes.EqualFold(name, []byte("Host")) && len(bytes.Trim(value, " \t")) > 0 {
			s.hosts++
		}
	case len("Content-Length"):
		s.length = s.length || bytes.EqualFold(name, []byte("Content-Length"))
	case len("Transfer-Encoding"):
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			s.coded = true
			if !bytes.EqualFold(bytes.Trim(value, " \t"), []byte("chunked")) {
				return errCoding
			}
		}
	}
	if s.length && s.coded {
		return errTwoLengths
	}
	return nil
}

// cutField splits a field's line; false when it is none, a folded one say.
func cutField(line []byte) (name, value []byte, ok bool) {
	name, value, ok = bytes.Cut(line, []byte{':'})
	for _, c := range name {
		ok = ok && isToken[c]
	}
	return name, value, ok && len(name) > 0
}

// isToken has the characters of methods and field names (RFC 9110, 5.6.2).
var isToken = func() (set [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" {
		set[c] = true
	}
	return set
}()

// readHeader reads the request line and the headers.
func (k *connection) readHeader() error {
	if err := k.awaitHeader(); err != nil {
		return err
	}
	r := &k.g.ctx.Request
	if err := r.Header.Read(k.reader()); err != nil {
		return err
	}
	if len(r.Header.Host()) == 0 {
		// HTTP/1.0. Without any, fasthttp takes //a/b for the path b at host a.
		r.Header.SetHost("none")
	}
	return checkTarget(r)
}

// awaitHeader returns when a whole header is in the buffer.
func (k *connection) awaitHeader() error {
	s := newHeaderScan()
	for n := 1; ; n = k.reader().Buffered() + 1 {
		_, err := k.reader().Peek(n)
		if errors.Is(err, bufio.ErrBufferFull) && k.big == nil && k.srv.o.MaxHeaderBytes > readBuffer {
			if err := k.enlarge(); err != nil {
				return err
			}
			_, err = k.big.Peek(n)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			return errLargeHeader
		}
		if err != nil {
			return err
		}
		b, _ := k.reader().Peek(k.reader().Buffered())
		if size, err := s.scan(b); size > 0 || err != nil {
			return err
		}
	}
}

// errNoRoom: there is no room for a large header.
var errNoRoom = errors.New("too many request bytes in flight")

// enlarge goes on with a buffer for the largest header that is allowed.
func (k *connection) enlarge() error {
	size := k.srv.o.MaxHeaderBytes
	if !k.srv.bytes.takeOpen(0, int64(size)) {
		return errNoRoom
	}
	begun, _ := k.g.br.Peek(k.g.br.Buffered())
	k.big = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(bytes.Clone(begun)), &k.w), size)
	k.g.br.Reset(&k.w)
	return nil
}

func (k *connection) releaseBig() {
	if k.big != nil {
		k.srv.bytes.give(int64(k.big.Size()))
		k.big = nil
	}
}

// checkTarget reports a target or a Host header that is not valid. What is
// let pass without being parsed cannot be wrong.
func checkTarget(r *fasthttp.Request) error {
	target, host := r.Header.RequestURI(), r.Header.Host()
	if plainTarget(target) && plainHost(host) {
		return nil
	}
	if bytes.IndexByte(target, '#') >= 0 {
		return errBadTarget // some cut it off, and some do not
	}
	var u fasthttp.URI
	if u.Parse(host, target) != nil {
		return errBadTarget
	}
	return nil
}

func plainTarget(t []byte) bool {
	if len(t) == 0 || t[0] != '/' || len(t) > 1 && t[1] == '/' {
		return false
	}
	for _, b := range t {
		if b <= ' ' || b >= 0x7f || b == '#' {
			return false
		}
	}
	return true
}

// plainHost knows names and IPv4 addresses, with a port or without.
func plainHost(h []byte) bool {
	name, port, _ := bytes.Cut(h, []byte{':'})
	for _, b := range port {
		if b < '0' || b > '9' {
			return false
		}
	}
	for _, b := range name {
		if (b|0x20 < 'a' || b|0x20 > 'z') && (b < '0' || b > '9') && b != '.' && b != '-' {
			return false
		}
	}
	return len(name) > 0
}
