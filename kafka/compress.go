package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// The codecs of a batch, by their numbers in its attributes.
const (
	codecNone = iota
	codecGzip
	codecSnappy
	codecLZ4
	codecZstd
)

// What may be wrong with a compressed batch. Only errNoRoom may pass: the client sends it again.
var (
	errTooLarge    = errors.New("the batch is larger than the limit when it is decompressed")
	errCompression = errors.New("the batch cannot be decompressed")
	errNoRoom      = errors.New("there is no memory for the batch")
	errWindow      = errors.New("what reads the batch would have to keep too much of it")
)

// Decompressors hold up to megabytes of state, so they are used again, by all connections.
var gzipReaders, lz4Readers, zstdReaders sync.Pool

// maxZstdWindow bounds the window of a zstd frame, in bytes: what a reader keeps of
// what it has read, as the frame itself demands. It is in no budget, and a client could ask for
// gigabytes. Levels up to 19 need 8 MiB at most, those above up to 128 MiB: batches of them are
// refused for good (errWindow).
const maxZstdWindow = 16 << 20

// inflation is where a batch is decompressed. Taken is never more than dst has room for: dst
// grows only after the memory was taken.
type inflation struct {
	dst   []byte               // whose capacity is used
	limit int                  // bytes that the batch may have
	room  func(bytes int) bool // takes memory, before it is allocated
	taken int                  // bytes that are taken already, for earlier batches of the request, too
}

// grow makes room for n bytes more behind those that dst has. What was taken for the batch
// before is used first.
func (i *inflation) grow(n int) error {
	need := len(i.dst) + n
	if need > i.taken {
		if !i.room(need - i.taken) {
			return errNoRoom
		}
		i.taken = need
	}
	if need > cap(i.dst) {
		i.dst = append(make([]byte, 0, i.taken), i.dst...)
	}
	return nil
}

// decompress returns the records of a batch. Errors: errTooLarge, errCompression,
// errNoRoom, errWindow. Nothing is believed of what the compressed form says of its size: it is read
// until it ends, or goes beyond the limit.
func decompress(codec int, src []byte, to *inflation) ([]byte, error) {
	to.dst = to.dst[:0]
	switch codec {
	case codecGzip:
		r, _ := gzipReaders.Get().(*gzip.Reader)
		if r == nil {
			r = new(gzip.Reader)
		}
		defer gzipReaders.Put(r)
		if err := r.Reset(bytes.NewReader(src)); err != nil {
			return nil, errCompression
		}
		return to.read(r, len(src))
	case codecSnappy:
		return to.unsnap(src)
	case codecLZ4:
		r, _ := lz4Readers.Get().(*lz4.Reader)
		if r == nil {
			r = lz4.NewReader(nil)
		}
		defer lz4Readers.Put(r)
		r.Reset(bytes.NewReader(src))
		return to.read(r, len(src))
	case codecZstd:
		r, _ := zstdReaders.Get().(*zstd.Decoder)
		if r == nil {
			var err error
			// One at a time, which needs no goroutines that would outlive a reader nobody uses.
			if r, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow)); err != nil {
				return nil, errCompression
			}
		}
		defer zstdReaders.Put(r)
		if err := r.Reset(bytes.NewReader(src)); err != nil {
			return nil, errCompression
		}
		return to.read(r, len(src))
	}
	return nil, errCompression
}

// read reads everything, of which the compressed form has n bytes. The room is doubled each
// time that it is full; one byte beyond the limit shows that there would be more.
func (i *inflation) read(r io.Reader, n int) ([]byte, error) {
	for next := max(2*n, 4<<10, i.taken); ; next = len(i.dst) {
		if err := i.grow(min(next, i.limit+1-len(i.dst))); err != nil {
			return nil, err
		}
		// No reader is given more room than was taken, whatever the capacity of a used buffer.
		for until := min(i.taken, i.limit+1); len(i.dst) < until; {
			n, err := r.Read(i.dst[len(i.dst):until])
			i.dst = i.dst[:len(i.dst)+n]
			switch {
			case len(i.dst) > i.limit:
				return nil, errTooLarge
			case errors.Is(err, io.EOF):
				return i.dst, nil
			case errors.Is(err, zstd.ErrWindowSizeExceeded):
				return nil, errWindow
			case err != nil:
				return nil, errCompression
			}
		}
	}
}

// snappyFraming begins what Java's snappy library writes: blocks with their lengths
// in front, behind two versions. Most other clients write a single block without it; the number
// of the codec is the same.
var snappyFraming = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

// unsnap decodes one block, or a sequence of blocks in Java's framing. The two versions in front,
// which have always been 1, are not looked at.
func (i *inflation) unsnap(src []byte) ([]byte, error) {
	if !bytes.HasPrefix(src, snappyFraming) {
		if err := i.snapped(src); err != nil {
			return nil, err
		}
		return i.dst, nil
	}
	const versions = 8
	if len(src) < len(snappyFraming)+versions {
		return nil, errCompression
	}
	for src = src[len(snappyFraming)+versions:]; len(src) > 0; {
		if len(src) < 4 {
			return nil, errCompression
		}
		n := int64(binary.BigEndian.Uint32(src))
		if src = src[4:]; n > int64(len(src)) {
			return nil, errCompression
		}
		if err := i.snapped(src[:n]); err != nil {
			return nil, err
		}
		src = src[n:]
	}
	return i.dst, nil
}

// snapped decodes one block behind what is there. A block says how large it becomes; that is
// compared with the limit, and taken, before it is decoded.
func (i *inflation) snapped(block []byte) error {
	n, err := snappy.DecodedLen(block)
	switch {
	case err != nil:
		return errCompression
	case n > i.limit-len(i.dst):
		return errTooLarge
	}
	if err := i.grow(n); err != nil {
		return err
	}
	start := len(i.dst)
	if _, err := snappy.Decode(i.dst[start:start+n], block); err != nil {
		return errCompression
	}
	i.dst = i.dst[:start+n]
	return nil
}
