package e2e

import (
	wire "encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// recordBatch makes a batch of n records.
func recordBatch(id int64, epoch int16, seq, n int32) []byte {
	b := kmsg.NewRecordBatch()
	b.Magic, b.FirstTimestamp, b.MaxTimestamp = 2, 1000, 1000
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = id, epoch, seq
	b.NumRecords, b.LastOffsetDelta = n, n-1
	for i := range n {
		r := kmsg.NewRecord()
		r.Value, r.OffsetDelta = []byte(fmt.Sprint(seq+i)), i
		r.Length = int32(len(r.AppendTo(nil)) - 1)
		b.Records = r.AppendTo(b.Records)
	}
	return checked(&b)
}

// checked is a batch with its length and its checksum.
func checked(b *kmsg.RecordBatch) []byte {
	raw := b.AppendTo(nil)
	wire.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	wire.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// frame is a request with its header and length.
func frame(key, version int16, body []byte) []byte {
	b := wire.BigEndian.AppendUint32(nil, uint32(10+len(body)))
	b = wire.BigEndian.AppendUint16(b, uint16(key))
	b = wire.BigEndian.AppendUint16(b, uint16(version))
	b = append(b, 0, 0, 0, 7) // correlation
	b = append(b, 0xff, 0xff) // no client id
	return append(b, body...)
}

// What is no request closes the connection, without harm to anybody else and without
// memory for what is only claimed.
func TestKafkaFramesThatAreNone(t *testing.T) {
	t.Parallel()
	s := startKafka(t, "OTTLA_HTTP_READ_TIMEOUT=1s")
	apiVersions := func(version int16) []byte { return frame(18, version, nil) }
	for name, sent := range map[string][]byte{
		"HTTP":                  []byte("GET / HTTP/1.1\r\n\r\n"),
		"a length below zero":   {0xff, 0xff, 0xff, 0xff, 0, 18, 0, 0},
		"a gigabyte":            {0x40, 0, 0, 0, 0, 0, 0, 9},
		"a length of nothing":   {0, 0, 0, 0, 0, 0, 0, 0},
		"cut short":             apiVersions(0)[:9],
		"an unknown request":    frame(999, 0, nil),
		"an unknown version":    frame(3, 99, nil),
		"a version below zero":  frame(3, -1, nil),
		"a body that is none":   frame(3, 9, []byte{0xff, 0xff, 0xff, 0xff, 0xff}),
		"many topics claimed":   frame(3, 8, []byte{0x7f, 0xff, 0xff, 0xff}),
		"a produce of nothing":  frame(0, 9, nil),
		"many claimed to write": frame(0, 9, []byte{0, 0xff, 0xff, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}),
	} {
		nc, err := net.Dial("tcp", s.at)
		require.NoError(t, err)
		_, err = nc.Write(sent)
		require.NoError(t, err)
		require.NoError(t, nc.SetReadDeadline(time.Now().Add(waitTimeout)))
		n, err := nc.Read(make([]byte, 100))
		assert.True(t, n == 0 && err != nil && !isTimeout(err), "%s: %d bytes, %v", name, n, err)
		_ = nc.Close()
	}
	nc, err := net.Dial("tcp", s.at)
	require.NoError(t, err)
	defer nc.Close()
	_, err = nc.Write(append(apiVersions(50), apiVersions(0)...))
	require.NoError(t, err)
	for _, code := range []byte{35, 0} { // UNSUPPORTED_VERSION, then as asked
		var head [10]byte
		_, err = io.ReadFull(nc, head[:])
		require.NoError(t, err)
		assert.EqualValues(t, 7, head[7], "correlation")
		assert.Equal(t, code, head[9])
		_, err = io.CopyN(io.Discard, nc, int64(wire.BigEndian.Uint32(head[:]))-6)
		require.NoError(t, err)
	}
	s.get("/healthz").want(http.StatusOK)
	s.topic("t", 1)
	code, offset := s.produceBatch(s.kafka(), "t", -1, -1, -1, 3)
	assert.Zero(t, code)
	assert.Zero(t, offset)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
