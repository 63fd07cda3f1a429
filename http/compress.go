package http

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"ottla/protocol"
)

const (
	compressFrom = 1 << 10 // bytes; answers up to this size are not compressed
	zstdWindow   = 8 << 20 // bytes; every decoder must support it, and more is refused
	// zstdSmallWindow is enough for nearly all frames, in bytes. A decoder allocates
	// the window that a frame asks for, however little comes in it, and keeps it.
	zstdSmallWindow = 1 << 20
)

// zstdReadersFor is a pool of decoders for windows of up to so many bytes.
func zstdReadersFor(window int) *sync.Pool {
	return &sync.Pool{New: func() any {
		r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(uint64(window)),
			zstd.WithDecoderLowmem(true))
		if err != nil {
			panic("BUG: zstd decoder: " + err.Error())
		}
		return r
	}}
}

var (
	gzipReaders sync.Pool
	gzipWriters = sync.Pool{New: func() any {
		w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		if err != nil {
			panic("BUG: gzip level: " + err.Error())
		}
		return w
	}}
	zstdReaders      = zstdReadersFor(zstdSmallWindow)
	zstdLargeReaders = zstdReadersFor(zstdWindow)
	zstdWriters      = sync.Pool{New: func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithWindowSize(1<<20))
		if err != nil {
			panic("BUG: zstd encoder: " + err.Error())
		}
		return w
	}}
)

// decompress undoes the body's Content-Encoding. The size limit and the byte
// budget apply while it grows, so a bomb costs no more than any other body.
func (q *request) decompress() *protocol.Error {
	encoding := bytes.TrimSpace(q.ctx.Request.Header.PeekCanonical(contentEncodingKey))
	if q.body == nil || len(encoding) == 0 || bytes.EqualFold(encoding, []byte("identity")) {
		return nil
	}
	var (
		plain []byte
		err   *protocol.Error
	)
	switch {
	case len(q.ctx.Request.Header.PeekAll("Content-Encoding")) > 1:
		err = protocol.Errorf(protocol.CodeUnsupportedMediaType, "more than one content encoding")
	case bytes.EqualFold(encoding, []byte("gzip")), bytes.EqualFold(encoding, []byte("x-gzip")): // the same, RFC 9110 8.4.1.3
		plain, err = q.gunzip()
	case bytes.EqualFold(encoding, []byte("zstd")):
		plain, err = q.unzstd()
	default:
		err = protocol.Errorf(protocol.CodeUnsupportedMediaType, "content encoding %.40q is not supported: gzip and zstd are", encoding)
	}
	q.body = plain
	return err
}

func (q *request) gunzip() ([]byte, *protocol.Error) {
	r, ok := gzipReaders.Get().(*gzip.Reader)
	if !ok {
		r = new(gzip.Reader)
	}
	m := gzipMembers{r: r, packed: bytes.NewReader(q.body)}
	if err := m.next(); err != nil {
		return nil, protocol.Errorf(protocol.CodeMalformed, "the body is not valid gzip: %v", err)
	}
	defer gzipReaders.Put(r)
	return q.readAll(nil, corruptReader{&m, "gzip"}, -1)
}

// gzipMembers reads the members of a gzip file one by one. Left to itself,
// gzip.Reader takes a header that is cut off behind its first ten bytes for the
// clean end of the member before it.
type gzipMembers struct {
	r      *gzip.Reader
	packed *bytes.Reader
}

func (m *gzipMembers) next() error {
	err := m.r.Reset(m.packed)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	m.r.Multistream(false)
	return err
}

// Read implements io.Reader.
func (m *gzipMembers) Read(p []byte) (int, error) {
	for {
		n, err := m.r.Read(p)
		if !errors.Is(err, io.EOF) || m.packed.Len() == 0 {
			return n, err
		}
		if err := m.next(); err != nil || n > 0 {
			return n, err
		}
	}
}

// unzstd takes the window from the byte budget while it decodes. The first frame
// says which class of decoder is needed, and no other frame may need a larger
// one.
func (q *request) unzstd() ([]byte, *protocol.Error) {
	readers, window := zstdReaders, zstdSmallWindow
	var first zstd.Header
	if first.Decode(q.body) == nil && first.WindowSize > zstdSmallWindow {
		readers, window = zstdLargeReaders, zstdWindow
	}
	if first.WindowSize > zstdWindow {
		return nil, protocol.Errorf(protocol.CodeMalformed, "the body is not valid zstd: it needs a window above %d bytes", zstdWindow)
	}
	if err := q.hold(window, window); err != nil {
		return nil, err
	}
	defer func() {
		q.held -= int64(window)
		q.intake.bytes.Give(int64(window))
	}()
	r := readers.Get().(*zstd.Decoder)
	defer readers.Put(r)
	if err := r.Reset(bytes.NewReader(q.body)); err != nil {
		return nil, protocol.Errorf(protocol.CodeMalformed, "the body is not valid zstd: %v", err)
	}
	return q.readAll(nil, corruptReader{r, "zstd"}, -1)
}

// corruptReader is a decoder whose errors name its encoding.
type corruptReader struct {
	io.Reader
	name string
}

func (r corruptReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = errors.New("not valid " + r.name + ": " + err.Error())
	}
	return n, err
}

func writeAll(w io.WriteCloser, b []byte) error {
	if _, err := w.Write(b); err != nil {
		return err
	}
	return w.Close()
}
