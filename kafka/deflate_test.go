package kafka

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// filled is a batch of n records; random ones cannot be compressed.
func filled(n int, random bool) *batchWriter {
	w := &batchWriter{most: 1 << 20}
	w.Expect(1 << 20)
	rng := rand.NewChaCha8([32]byte{1})
	for i := range n {
		value := []byte(`{"text":"the quick brown fox jumps over the lazy dog"}`)
		if random {
			value = make([]byte, 50)
			_, _ = rng.Read(value)
			value = protocol.AppendRawToken(nil, value)
		}
		w.Take(&protocol.Record{Offset: protocol.Offset(7 + i), Timestamp: int64(1000 + i), Key: []byte(`"key"`), Value: value})
	}
	return w
}

// A compressed batch is the same batch in fewer bytes; what would be larger stays as it is.
func TestBatchesAreCompressed(t *testing.T) {
	for name, codec := range codecs {
		s := &Server{codec: codec}
		want := bytes.Clone(filled(500, false).bytes())
		for range 3 { // with buffers that were used before
			w := filled(500, false)
			got := s.deflated(w, zstdFetch)
			if codec == codecNone {
				require.Equal(t, want, got)
				continue
			}
			assert.Less(t, len(got), len(want)/5, name)
			b, code := readBatch(got)
			require.Equal(t, errNone, code, name)
			assert.Equal(t, codec, b.codec)
			assert.Equal(t, 500, b.count)
			to := inflation{limit: 1 << 20, room: func(int) bool { return true }}
			records, err := decompress(b.codec, b.records, &to)
			require.NoError(t, err, name)
			assert.Equal(t, want[batchHeaderBytes:], records)
			assert.Equal(t, want[:batchLengthAt], got[:batchLengthAt], "the first offset")
			assert.Equal(t, want[batchAttributesAt+2:batchHeaderBytes], got[batchAttributesAt+2:batchHeaderBytes], "the rest of the header")
			keepBatch(w.buffer)
		}
		random := bytes.Clone(filled(3, true).bytes())
		assert.Equal(t, random, s.deflated(filled(3, true), zstdFetch), name)
		gap := &batchWriter{}
		gap.empty(5, 9)
		assert.Len(t, s.deflated(gap, zstdFetch), batchHeaderBytes)
		assert.Empty(t, s.deflated(&batchWriter{}, zstdFetch))
	}
	zstd := &Server{codec: codecZstd}
	assert.Equal(t, filled(500, false).bytes(), zstd.deflated(filled(500, false), zstdFetch-1), "its client does not know zstd")
	_, err := codecOf("snappy")
	assert.Error(t, err)
}
