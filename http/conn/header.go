package conn

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/valyala/fasthttp"
)

// MaxHeaderFields is how many header fields a request may have. A parsed field
// takes some sixty bytes beside its text: thousands of empty ones would make a
// header of 4 KiB hold a hundred.
const MaxHeaderFields = 256

// maxMethod is the longest method that is waited for, in bytes.
const maxMethod = 32

// BadRequest is why bytes are no HTTP request; its text is for the client.
type BadRequest string

func (e BadRequest) Error() string { return string(e) }

const (
	errNotHTTP    BadRequest = "it begins like nothing of HTTP/1.1"
	errVersion    BadRequest = "only HTTP/1.1 and HTTP/1.0 are spoken here"
	errLineEnd    BadRequest = "a line of the header must end in CRLF, and have no other CR or LF"
	errField      BadRequest = "a header field must be a name, a colon right after it, and a value on the same line"
	errCoding     BadRequest = "the only transfer encoding is chunked"
	errTwoLengths BadRequest = "a length and a transfer encoding exclude each other"
	errHost       BadRequest = "it must have one Host header"
	errBadTarget  BadRequest = "the target or the host is not valid"
)

// Why a request with a valid beginning is refused.
var (
	// ErrManyFields says that there are more than MaxHeaderFields.
	ErrManyFields = errors.New("too many header fields")
	// ErrLargeHeader says that there are more than MaxHeaderBytes.
	ErrLargeHeader = errors.New("request line and headers are too long")
	// ErrNoBytes says that the budget has no bytes left for a large header.
	ErrNoBytes = errors.New("too many request bytes in flight")
)

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
	if s.fields++; s.fields > MaxHeaderFields {
		return ErrManyFields
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
func (s *Session) readHeader() error {
	if err := s.awaitHeader(); err != nil {
		return err
	}
	r := &s.b.ctx.Request
	if err := r.Header.Read(s.reader()); err != nil {
		return err
	}
	if len(r.Header.Host()) == 0 {
		// HTTP/1.0. Without a host fasthttp takes //a/b for the path b at host a.
		r.Header.SetHost("none")
	}
	return checkTarget(r)
}

// awaitHeader returns when a whole header is in the buffer.
func (s *Session) awaitHeader() error {
	scan := newHeaderScan()
	for n := 1; ; n = s.reader().Buffered() + 1 {
		_, err := s.reader().Peek(n)
		if errors.Is(err, bufio.ErrBufferFull) && s.large == nil && s.srv.o.MaxHeaderBytes > readBuffer {
			if err := s.enlarge(); err != nil {
				return err
			}
			_, err = s.large.Peek(n)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			return ErrLargeHeader
		}
		if err != nil {
			return err
		}
		b, _ := s.reader().Peek(s.reader().Buffered())
		if size, err := scan.scan(b); size > 0 || err != nil {
			return err
		}
	}
}

// enlarge goes on with a buffer for the largest header that is allowed.
func (s *Session) enlarge() error {
	size := s.srv.o.MaxHeaderBytes
	if !s.srv.o.Bytes.TakeOpen(0, int64(size)) {
		return ErrNoBytes
	}
	begun, _ := s.b.br.Peek(s.b.br.Buffered())
	s.large = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(bytes.Clone(begun)), &s.w), size)
	s.b.br.Reset(&s.w)
	return nil
}

func (s *Session) releaseLarge() {
	if s.large != nil {
		s.srv.o.Bytes.Give(int64(s.large.Size()))
		s.large = nil
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
