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

// The codecs of a batch.
const (
	codecNone = iota
	codecGzip
	codecSnappy
	codecLZ4
	codecZstd
)

var (
	errTooLarge    = errors.New("the batch is larger than the limit when it is decompressed")
	errCompression = errors.New("the batch cannot be decompressed")
)

var gzipReaders, lz4Readers, zstdReaders sync.Pool

// maxZstdWindow bounds the window of a zstd frame, in bytes: what a reader keeps of
// what it has read.
const maxZstdWindow = 16 << 20

// decompress returns the records of a batch in at most limit bytes. Errors:
// errTooLarge, errCompression.
func decompress(codec int, src []byte, limit int) ([]byte, error) {
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
		return readBounded(r, limit)
	case codecSnappy:
		return unsnap(src, limit)
	case codecLZ4:
		r, _ := lz4Readers.Get().(*lz4.Reader)
		if r == nil {
			r = lz4.NewReader(nil)
		}
		defer lz4Readers.Put(r)
		r.Reset(bytes.NewReader(src))
		return readBounded(r, limit)
	case codecZstd:
		r, _ := zstdReaders.Get().(*zstd.Decoder)
		if r == nil {
			var err error
			if r, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow)); err != nil {
				return nil, errCompression
			}
		}
		defer zstdReaders.Put(r)
		if err := r.Reset(bytes.NewReader(src)); err != nil {
			return nil, errCompression
		}
		return readBounded(r, limit)
	}
	return nil, errCompression
}

func readBounded(r io.Reader, limit int) ([]byte, error) {
	var out bytes.Buffer
	n, err := out.ReadFrom(io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		return nil, errCompression
	case n > int64(limit):
		return nil, errTooLarge
	}
	return out.Bytes(), nil
}

// snappyFraming begins what Java's snappy library writes: blocks with their lengths
// in front, behind two versions.
var snappyFraming = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

// unsnap decodes one block, or a sequence of blocks in Java's framing.
func unsnap(src []byte, limit int) ([]byte, error) {
	if !bytes.HasPrefix(src, snappyFraming) {
		return appendSnapped(nil, src, limit)
	}
	const versions = 8
	if len(src) < len(snappyFraming)+versions {
		return nil, errCompression
	}
	var out []byte
	for src = src[len(snappyFraming)+versions:]; len(src) > 0; {
		if len(src) < 4 {
			return nil, errCompression
		}
		n := int64(binary.BigEndian.Uint32(src))
		if src = src[4:]; n > int64(len(src)) {
			return nil, errCompression
		}
		var err error
		if out, err = appendSnapped(out, src[:n], limit); err != nil {
			return nil, err
		}
		src = src[n:]
	}
	return out, nil
}

func appendSnapped(dst, block []byte, limit int) ([]byte, error) {
	n, err := snappy.DecodedLen(block)
	switch {
	case err != nil:
		return nil, errCompression
	case n > limit-len(dst):
		return nil, errTooLarge
	}
	out, err := snappy.Decode(nil, block)
	if err != nil {
		return nil, errCompression
	}
	if dst == nil {
		return out, nil
	}
	return append(dst, out...), nil
}
