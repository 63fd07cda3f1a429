package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// zstdFetch is the first version of Fetch whose clients know zstd (KIP-110). Older ones get
// batches as they are; Kafka refuses them.
const zstdFetch = 10

// codecs are the codecs of answers by their names in the configuration.
var codecs = map[string]int{"": codecNone, "none": codecNone, "gzip": codecGzip, "lz4": codecLZ4, "zstd": codecZstd}

// codecOf finds a codec by its name.
func codecOf(name string) (int, error) {
	codec, ok := codecs[name]
	if !ok {
		return 0, fmt.Errorf("kafka.compression: there is no codec %q", name)
	}
	return codec, nil
}

// Compressors hold hundreds of kilobytes of state, so they are used again.
var gzipWriters, lz4Writers sync.Pool

// zstdWriter compresses for all connections, at the same time; what it needs for one batch it
// uses again. It is made when the first batch needs it.
var zstdWriter = sync.OnceValue(func() *zstd.Encoder {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(fmt.Sprintf("BUG: options of zstd: %v", err))
	}
	return w
})

// compress appends a batch to dst with its records compressed, and reports whether it is
// smaller so. The header stays uncompressed: clients see by its attributes, batch by batch,
// whether there is anything to decompress.
func compress(codec int, dst, batch []byte) (out []byte, smaller bool) {
	start := len(dst)
	dst = append(dst, batch[:batchHeaderBytes]...)
	records := batch[batchHeaderBytes:]
	switch codec {
	case codecGzip:
		w, _ := gzipWriters.Get().(*gzip.Writer)
		if w == nil {
			w, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is one
		}
		dst = written(dst, w, records)
		gzipWriters.Put(w)
	case codecLZ4:
		w, _ := lz4Writers.Get().(*lz4.Writer)
		if w == nil {
			w = lz4.NewWriter(nil)
		}
		dst = written(dst, w, records)
		lz4Writers.Put(w)
	case codecZstd:
		dst = zstdWriter().EncodeAll(records, dst)
	}
	h := dst[start:]
	if len(h) >= len(batch) {
		return dst, false
	}
	binary.BigEndian.PutUint32(h[batchLengthAt:], uint32(len(h)-batchPrefix))
	binary.BigEndian.PutUint16(h[batchAttributesAt:], uint16(codec))
	binary.BigEndian.PutUint32(h[batchCRCAt:], crc32.Checksum(h[batchAttributesAt:], castagnoli))
	return dst, true
}

// written appends what a compressor makes of src. It writes to memory, which does not fail. Close
// ends the stream; a compressor that was closed is as good as new after Reset.
func written[W interface {
	io.WriteCloser
	Reset(io.Writer)
}](dst []byte, w W, src []byte) []byte {
	buf := bytes.NewBuffer(dst)
	w.Reset(buf)
	_, _ = w.Write(src)
	_ = w.Close()
	w.Reset(io.Discard) // so that it does not keep the buffer
	return buf.Bytes()
}

// deflated is the batch as a client gets it by that version of Fetch: compressed if the
// server is to, and it is smaller so. Of the two buffers one goes back to the pool; the answer
// stays counted with the size that it had before.
func (s *Server) deflated(w *batchWriter, version int16) []byte {
	b := w.bytes()
	if s.codec == codecNone || w.count == 0 || s.codec == codecZstd && version < zstdFetch {
		return b
	}
	buffer := batchBuffers.Get().(*[]byte)
	out, smaller := compress(s.codec, (*buffer)[:0], b)
	if *buffer = out; !smaller {
		keepBatch(buffer)
		return b
	}
	if w.buffer != nil {
		*w.buffer = w.b
		keepBatch(w.buffer)
	}
	w.buffer, w.b = buffer, out
	return out
}

// keepBatch lets a buffer of a batch be used again, if it is not too large.
func keepBatch(b *[]byte) {
	if cap(*b) <= keptBatch {
		batchBuffers.Put(b)
	}
}
