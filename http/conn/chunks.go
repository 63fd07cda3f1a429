package conn

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

const (
	// maxChunkExcess is how many bytes of a chunked body's framing may come
	// beyond a fair share, 16 bytes for each chunk and two for each of data.
	// A byte a chunk is fair, extensions without end are not.
	maxChunkExcess = 16 << 10
	// maxTrailer bounds the trailer section, in bytes. Nobody looks at it.
	maxTrailer = 4 << 10
	// maxChunkDigits keeps a chunk's size within 60 bits.
	maxChunkDigits = 15
)

const (
	errChunk        BadRequest = "the body is not well chunked"
	errChunkExcess  BadRequest = "the chunked body has more framing than data"
	errLargeTrailer BadRequest = "the trailer section is too long"
)

// chunkReader reads a chunked body (RFC 9112, 7.1) up to its very end, so that
// the next byte is that of another request. It is stricter than fasthttp's,
// which takes extensions of any length and a body that breaks off in its
// trailer.
type chunkReader struct {
	br     *bufio.Reader
	left   int // of the present chunk
	inside bool
	excess int
	err    error // io.EOF: the end was reached
}

func (r *chunkReader) Read(p []byte) (int, error) {
	for r.err == nil && r.left == 0 {
		r.err = r.next()
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.br.Read(p[:min(len(p), r.left)])
	r.left -= n
	if err != nil {
		r.err = unexpected(err)
	}
	return n, r.err
}

// AtLeast implements Body.
func (r *chunkReader) AtLeast() int { return r.left }

// ended reports whether the body was read to its end.
func (r *chunkReader) ended() bool { return errors.Is(r.err, io.EOF) }

// next reads up to the next chunk's data; io.EOF when there is none.
func (r *chunkReader) next() error {
	if r.inside {
		r.inside = false
		if line, err := r.line(); err != nil {
			return err
		} else if len(line) > 0 {
			return errChunk
		}
	}
	line, err := r.line()
	if err != nil {
		return err
	}
	r.excess += len(line) + len("\r\n\r\n")
	size, ok := chunkSize(line)
	if !ok {
		return errChunk
	}
	r.excess = max(0, r.excess-16-2*min(size, maxChunkExcess))
	if r.excess > maxChunkExcess {
		return errChunkExcess
	}
	if size == 0 {
		return r.trailer()
	}
	r.left, r.inside = size, true
	return nil
}

// trailer reads the fields after the last chunk and drops them.
func (r *chunkReader) trailer() error {
	for size := 0; ; {
		line, err := r.line()
		switch {
		case err != nil:
			return err
		case len(line) == 0:
			return io.EOF
		}
		if _, value, ok := cutField(line); !ok || hasControl(value) {
			return errChunk
		}
		if size += len(line); size > maxTrailer {
			return errLargeTrailer
		}
	}
}

// line is the next line without its CRLF, which nothing else may end it.
func (r *chunkReader) line() ([]byte, error) {
	line, err := r.br.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errChunkExcess
	case err != nil:
		return nil, unexpected(err)
	case len(line) < 2 || bytes.IndexByte(line, '\r') != len(line)-2:
		return nil, errChunk
	}
	return line[:len(line)-2], nil
}

// chunkSize parses a chunk's first line: a size, and maybe extensions.
func chunkSize(line []byte) (size int, ok bool) {
	digits := 0
	for ; digits < len(line); digits++ {
		d := hexDigit(line[digits])
		if d < 0 {
			break
		}
		if digits == maxChunkDigits {
			return 0, false
		}
		size = size<<4 | d
	}
	rest := bytes.TrimRight(line[digits:], " \t")
	if digits == 0 || len(rest) > 0 && rest[0] != ';' || hasControl(rest) {
		return 0, false
	}
	return size, true
}

// hasControl reports control characters other than a tab.
func hasControl(text []byte) bool {
	for _, c := range text {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// unexpected is err, but for an end in the middle.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
