package conn

import (
	"bytes"
	"errors"
	"math"

	"github.com/valyala/fasthttp"
)

// MaxHeaderFields is how many header fields a request may have. A parsed field
// takes some sixty bytes in addition to its text: with thousands of empty fields,
// a header of 4 KiB would take a hundred KiB.
const MaxHeaderFields = 256

// maxMethod is how many bytes may arrive of a method without its end.
const maxMethod = 32

// BadRequest is why bytes are not an HTTP request. Its text is for the client.
type BadRequest string

func (e BadRequest) Error() string { return string(e) }

const (
	errNotHTTP    BadRequest = "it does not begin like a request of HTTP/1.1"
	errVersion    BadRequest = "only HTTP/1.1 and HTTP/1.0 are spoken here"
	errBadTarget  BadRequest = "the target or the host is not valid"
	errLineEnd    BadRequest = "a line of the header must end in CRLF, and have no other CR or LF"
	errField      BadRequest = "a header field must be a name, a colon right after it, and a value without control characters on the same line"
	errHost       BadRequest = "it must have one Host header"
	errLength     BadRequest = "it must have at most one Content-Length, a number of bytes"
	errCoding     BadRequest = "the only transfer encoding is chunked, in HTTP/1.1"
	errTwoLengths BadRequest = "Content-Length and Transfer-Encoding exclude each other"
	errTrailer    BadRequest = "the Trailer header announces a field that must not be a trailer"
)

// Why a request with a valid beginning is refused.
var (
	// ErrManyFields says that there are more than MaxHeaderFields.
	ErrManyFields = errors.New("too many header fields")
	// ErrLargeHeader says that there are more than MaxHeaderBytes.
	ErrLargeHeader = errors.New("request line and headers are too long")
	// ErrNoBytes says that the budget has no bytes left for a large header.
	ErrNoBytes = errors.New("no memory for a large header")
)

// headerParser parses a request line and header fields while they arrive,
// each byte once, into the header that it is given. It refuses what two readers
// of HTTP could cut into requests differently (RFC 9112, 2.2, 5.1, 5.2, 6.1):
// behind a proxy that takes the other side, bytes of a body would be executed as
// a request. fasthttp's own parser takes a bare LF for the end of a line, reads a
// body of "identity" as none, and chunks beside a length as chunks.
type headerParser struct {
	h *fasthttp.RequestHeader

	at     int // the beginning of the first line that has not ended
	seen   int // how many bytes have been searched for its end
	fields int // how many have been parsed; -1 before the request line

	old       bool // the version is HTTP/1.0
	hosts     int  // how many Host fields there are
	hasLength bool // there is a Content-Length
	chunked   bool // there is a Transfer-Encoding
	close     bool // a Connection field has the option "close"
	keepAlive bool // a Connection field has the option "keep-alive"
}

func newHeaderParser(h *fasthttp.RequestHeader) headerParser { return headerParser{h: h, fields: -1} }

// parse goes on with b, which is all bytes that have arrived so far. It returns
// the size of the header, 0 if there is more to come.
func (p *headerParser) parse(b []byte) (size int, err error) {
	for {
		n := bytes.IndexByte(b[p.seen:], '\n')
		if n < 0 {
			p.seen = len(b)
			return 0, p.checkBegun(b[p.at:])
		}
		line := b[p.at : p.seen+n]
		p.at = p.seen + n + 1
		p.seen = p.at
		if len(line) == 0 || bytes.IndexByte(line, '\r') != len(line)-1 {
			return 0, errLineEnd
		}
		line = line[:len(line)-1]
		switch {
		case p.fields < 0 && len(line) == 0: // some clients send an empty line after a body
		case p.fields < 0:
			err = p.requestLine(line)
		case len(line) == 0:
			return p.at, p.finish()
		default:
			err = p.field(line)
		}
		if err != nil {
			return 0, err
		}
	}
}

// checkBegun refuses the beginning of a line that cannot become a request line.
// Without it, the client of a TLS handshake would wait for the read timeout.
func (p *headerParser) checkBegun(line []byte) error {
	if p.fields >= 0 {
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

// versionSize is the size of what follows the target in a request line, in bytes.
const versionSize = len(" HTTP/1.1")

func (p *headerParser) requestLine(line []byte) error {
	if !bytes.HasSuffix(line, []byte(" HTTP/1.1")) && !bytes.HasSuffix(line, []byte(" HTTP/1.0")) {
		return errVersion
	}
	p.fields, p.old = 0, line[len(line)-1] == '0'
	method, target, _ := bytes.Cut(line[:len(line)-versionSize], []byte{' '})
	if !isName(method) {
		return errNotHTTP
	}
	if !validTarget(method, target) {
		return errBadTarget
	}
	p.h.SetMethodBytes(method)
	p.h.SetRequestURIBytes(target)
	p.h.SetProtocolBytes(line[len(line)-versionSize+1:])
	return nil
}

// field parses a header field. Fields that decide how the request is read are
// checked here; Connection and Trailer are not stored. Cookie is dropped, because
// no handler reads it and fasthttp would split it into many small pieces.
func (p *headerParser) field(line []byte) error {
	name, value, ok := cutField(line)
	if !ok || hasControl(value) {
		return errField
	}
	if p.fields++; p.fields > MaxHeaderFields {
		return ErrManyFields
	}
	value = trimSpace(value)
	switch len(name) {
	case len("Host"):
		if bytes.EqualFold(name, []byte("Host")) {
			p.hosts++
			p.h.SetHostBytes(value)
			return nil
		}
	case len("Cookie"):
		if bytes.EqualFold(name, []byte("Cookie")) {
			return nil
		}
	case len("Trailer"):
		if bytes.EqualFold(name, []byte("Trailer")) {
			return checkTrailer(value)
		}
	case len("Connection"): // and User-Agent
		switch {
		case bytes.EqualFold(name, []byte("Connection")):
			p.connection(value)
			return nil
		case bytes.EqualFold(name, []byte("User-Agent")):
			p.h.SetUserAgentBytes(value)
			return nil
		}
	case len("Content-Type"):
		if bytes.EqualFold(name, []byte("Content-Type")) {
			p.h.SetContentTypeBytes(value)
			return nil
		}
	case len("Content-Length"):
		if bytes.EqualFold(name, []byte("Content-Length")) {
			return p.contentLength(value)
		}
	case len("Transfer-Encoding"):
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			return p.transferEncoding(value)
		}
	}
	p.h.AddBytesKV(name, value)
	return nil
}

func (p *headerParser) connection(value []byte) {
	for len(value) > 0 {
		var option []byte
		option, value, _ = bytes.Cut(value, []byte{','})
		option = trimSpace(option)
		p.close = p.close || bytes.EqualFold(option, []byte("close"))
		p.keepAlive = p.keepAlive || bytes.EqualFold(option, []byte("keep-alive"))
	}
}

func (p *headerParser) contentLength(value []byte) error {
	if p.hasLength || len(value) == 0 {
		return errLength
	}
	n := 0
	for _, c := range value {
		d := int(c - '0')
		if c < '0' || c > '9' || n > (math.MaxInt-d)/10 {
			return errLength
		}
		n = n*10 + d
	}
	p.hasLength = true
	if p.chunked {
		return errTwoLengths
	}
	p.h.SetContentLength(n)
	return nil
}

func (p *headerParser) transferEncoding(value []byte) error {
	if p.old || p.chunked || !bytes.EqualFold(value, []byte("chunked")) {
		return errCoding
	}
	p.chunked = true
	if p.hasLength {
		return errTwoLengths
	}
	p.h.SetContentLength(-1)
	return nil
}

// checkTrailer refuses the announcement of a trailer that has a meaning for
// the request as a whole. fasthttp knows which those are. The announcement itself
// is of no use, since trailers are dropped.
func checkTrailer(value []byte) error {
	var h fasthttp.RequestHeader
	for name := range bytes.SplitSeq(value, []byte{','}) { // one by one, as fasthttp compares each with all before it
		h.Reset()
		if h.AddTrailerBytes(name) != nil {
			return errTrailer
		}
	}
	return nil
}

// finish checks the header as a whole.
func (p *headerParser) finish() error {
	if p.hosts > 1 || len(p.h.Host()) == 0 && !p.old {
		return errHost
	}
	if p.close || p.old && !p.keepAlive {
		p.h.SetConnectionClose()
	}
	return nil
}

// cutField splits the line of a field. It returns false for another line, such as
// the continuation of a folded field.
func cutField(line []byte) (name, value []byte, ok bool) {
	name, value, ok = bytes.Cut(line, []byte{':'})
	return name, value, ok && isName(name)
}

// isName reports whether text can be a method or the name of a field.
func isName(text []byte) bool {
	for _, c := range text {
		if !isToken[c] {
			return false
		}
	}
	return len(text) > 0
}

// trimSpace removes white space around a field's value (RFC 9110, 5.6.3).
func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// isToken is the set of characters of methods and field names (RFC 9110, 5.6.2).
var isToken = func() (set [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" {
		set[c] = true
	}
	return set
}()
