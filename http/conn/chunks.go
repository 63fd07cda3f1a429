package conn

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

const (
	// maxChunkExcess is by how many bytes the framing of a chunked body may exceed
	// its allowance, which is 16 bytes for each chunk and two for each byte of data.
	// Chunks of one byte are within it, endless extensions are not.
	maxChunkExcess = 16 << 10
	// maxTrailer is the largest trailer section, in bytes. Trailers are dropped.
	maxTrailer = 4 << 10
	// maxChunkDigits is how many hexadecimal digits the size of a chunk may have, so
	// that it fits 60 bits.
	maxChunkDigits = 15
)

const (
	errChunk        BadRequest = "the body is not chunked correctly"
	errChunkExcess  BadRequest = "the chunks of the body have too much framing for their data"
	errLargeTrailer BadRequest = "the trailer section is too long"
)

// chunkReader reads a chunked body (RFC 9112, 7.1) up to its very end, so that
// the next byte is that of another request. It is stricter than fasthttp's,
// which takes extensions of any length and a body that breaks off in its
// trailer.
type chunkReader struct {
	br     *bufio.Reader
	left   int   // bytes of the present chunk that are still to come
	inside bool  // the CRLF that ends the present chunk is still to come
	excess int   // bytes of framing beyond the allowance, see maxChunkExcess
	err    error // io.EOF when the end was reached
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

// next reads up to the data of the next chunk. It returns io.EOF after the last
// one.
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

// trailer reads the trailer section and drops it.
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

// line returns the next line without its CRLF. Nothing else may end a line.
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

// chunkSize parses the first line of a chunk: its size, possibly with extensions,
// which are dropped.
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
	extensions := bytes.TrimRight(line[digits:], " \t")
	if digits == 0 || len(extensions) > 0 && extensions[0] != ';' || hasControl(extensions) {
		return 0, false
	}
	return size, true
}

// hasControl reports whether text has a control character other than a tab.
func hasControl(text []byte) bool {
	for _, c := range text {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// hexDigit is the value of a hexadecimal digit, -1 for another character.
func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// unexpected returns err, or io.ErrUnexpectedEOF for io.EOF: the end is in the
// middle of something.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
