package kafka

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/protocol"
)

var testOptions = Options{
	MaxRequestBytes: 1 << 20, MaxRecordBytes: 1 << 16, MaxRecordHeaders: 4, MaxHeaderName: 16, MaxJSONDepth: 5, MaxNumberDigits: 10,
}

// sentRecord is a record as a client makes it.
type sentRecord struct {
	key, value []byte
	headers    []kmsg.Header
	delta      int64
}

// sentBatch makes a batch with kmsg, which is not the code that is tested.
func sentBatch(records []sentRecord, edit func(*kmsg.RecordBatch)) []byte {
	b := kmsg.NewRecordBatch()
	b.Magic, b.FirstTimestamp, b.ProducerID, b.ProducerEpoch, b.FirstSequence = 2, 1000, -1, -1, -1
	b.NumRecords, b.LastOffsetDelta = int32(len(records)), int32(len(records)-1)
	for i, r := range records {
		k := kmsg.NewRecord()
		k.Key, k.Value, k.Headers, k.OffsetDelta, k.TimestampDelta64 = r.key, r.value, r.headers, int32(i), r.delta
		k.Length = int32(len(k.AppendTo(nil)) - 1) // its own length, 0 until now, takes one byte
		b.Records = k.AppendTo(b.Records)
	}
	if edit != nil {
		edit(&b)
	}
	return sealed(b.AppendTo(nil))
}

// sealed sets the length and the checksum of a batch.
func sealed(b []byte) []byte {
	binary.BigEndian.PutUint32(b[batchLengthAt:], uint32(len(b)-batchPrefix))
	binary.BigEndian.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchAttributesAt:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// encodeAll makes the lines of a batch, with all the memory in the world.
func encodeAll(req *protocol.ProduceRequest, batch []byte) (int16, string) {
	e := encoder{o: &testOptions, room: func(int) bool { return true }, limit: testOptions.MaxRequestBytes}
	defer e.done()
	return e.encode(req, batch)
}

// stored is what a batch becomes in the log, line by line.
func stored(t *testing.T, batch []byte) (lines []string, code int16) {
	t.Helper()
	req := &protocol.ProduceRequest{Topic: &protocol.Topic{Name: "t", Partitions: 1}}
	code, _ = encodeAll(req, batch)
	if code != errNone {
		return nil, code
	}
	text := string(req.Lines.AppendNumbered(nil, 0))
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n"), errNone
}

func TestBatchesBecomeLines(t *testing.T) {
	lines, code := stored(t, sentBatch([]sentRecord{
		{key: []byte("user-42"), value: []byte(`{"a":1}`)},
		{value: []byte("plain \"text\"\n"), delta: 500},
		{key: []byte{0xff}, value: []byte{0xfe, 0}},
		{key: []byte{}, value: nil},
		{value: []byte(`{"a": 1}`), headers: []kmsg.Header{{Key: "h", Value: []byte("x")}, {Key: "i", Value: []byte("")}}},
		{value: []byte("1"), headers: []kmsg.Header{{Key: "h", Value: []byte("x")}, {Key: "h", Value: nil}, {Key: "", Value: []byte{0xff}}}},
		{value: []byte("null")},
		{value: []byte("[[[[[[1]]]]]]")},
		{value: []byte("12345678901")},
		{value: []byte(`"\ud800"`)},
	}, nil))
	require.Equal(t, errNone, code)
	for i, want := range []string{
		`1970-01-01 00:00:01.000 t 0 0 "user-42" {"a":1} PRODUCE`,
		`1970-01-01 00:00:01.500 t 0 1 - t"plain \"text\"\n" PRODUCE`,
		`1970-01-01 00:00:01.000 t 0 2 b"/w==" b"/gA=" PRODUCE`,
		`1970-01-01 00:00:01.000 t 0 3 "" - TOMBSTONE`,
		`1970-01-01 00:00:01.000 t 0 4 - t"{\"a\": 1}" PRODUCE {"h":"x","i":""}`,
		`1970-01-01 00:00:01.000 t 0 5 - 1 PRODUCE [["h","x"],["h",null],["",{"b64":"/w=="}]]`,
		`1970-01-01 00:00:01.000 t 0 6 - t"null" PRODUCE`,
		`1970-01-01 00:00:01.000 t 0 7 - t"[[[[[[1]]]]]]" PRODUCE`,
		`1970-01-01 00:00:01.000 t 0 8 - t"12345678901" PRODUCE`,
		`1970-01-01 00:00:01.000 t 0 9 - t"\"\\ud800\"" PRODUCE`,
	} {
		assert.Equal(t, want, lines[i])
	}
}

func TestBatchesThatAreRefused(t *testing.T) {
	one := []sentRecord{{value: []byte("1")}}
	good := sentBatch(one, nil)
	changed := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	compressed := func(codec int16, records []byte) []byte {
		return sentBatch(one, func(b *kmsg.RecordBatch) { b.Attributes, b.Records = codec, records })
	}
	for name, tt := range map[string]struct {
		batch []byte
		want  int16
	}{
		"good":                   {good, errNone},
		"nothing":                {nil, errCorruptMessage},
		"cut short":              {good[:len(good)-1], errCorruptMessage},
		"two":                    {append(bytes.Clone(good), good...), errInvalidRecord},
		"another checksum":       {changed(batchCRCAt, 0), errCorruptMessage},
		"a byte changed":         {changed(len(good)-1, 9), errCorruptMessage},
		"format 1":               {changed(batchMagicAt, 1), errUnsupportedForMessage},
		"format 3":               {changed(batchMagicAt, 3), errCorruptMessage},
		"a length below zero":    {changed(batchLengthAt, 0xff), errCorruptMessage},
		"no records":             {sentBatch(nil, nil), errInvalidRecord},
		"more than there are":    {sentBatch(one, func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 2, 1 }), errInvalidRecord},
		"fewer than there are":   {sentBatch([]sentRecord{{}, {}}, func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 1, 0 }), errInvalidRecord},
		"a billion claimed":      {sentBatch(one, func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 1<<30, 1<<30-1 }), errInvalidRecord},
		"last offset wrong":      {sentBatch(one, func(b *kmsg.RecordBatch) { b.LastOffsetDelta = 4 }), errInvalidRecord},
		"transactional":          {sentBatch(one, func(b *kmsg.RecordBatch) { b.Attributes = attributeTransactional }), errInvalidRecord},
		"control":                {sentBatch(one, func(b *kmsg.RecordBatch) { b.Attributes = attributeControl }), errInvalidRecord},
		"idempotent, no epoch":   {sentBatch(one, func(b *kmsg.RecordBatch) { b.ProducerID = 7 }), errInvalidRecord},
		"too many headers":       {sentBatch([]sentRecord{{headers: make([]kmsg.Header, 5)}}, nil), errInvalidRecord},
		"a long name":            {sentBatch([]sentRecord{{headers: []kmsg.Header{{Key: strings.Repeat("n", 17)}}}}, nil), errInvalidRecord},
		"a name that is no text": {sentBatch([]sentRecord{{headers: []kmsg.Header{{Key: "\xff"}}}}, nil), errInvalidRecord},
		"a large record":         {sentBatch([]sentRecord{{value: make([]byte, 1<<16+1)}}, nil), errMessageTooLarge},
		"before 1970":            {sentBatch(one, func(b *kmsg.RecordBatch) { b.FirstTimestamp = -2 }), errInvalidTimestamp},
		"after 9999":             {sentBatch(one, func(b *kmsg.RecordBatch) { b.FirstTimestamp = maxTimestamp + 1 }), errInvalidTimestamp},
		"an unknown codec":       {compressed(5, nil), errUnsupportedCompression},
		"gzip that is none":      {compressed(codecGzip, []byte("xx")), errCorruptMessage},
		"snappy that is none":    {compressed(codecSnappy, []byte("\xff\xff\xff\xff\xff\xff")), errCorruptMessage},
		"lz4 that is none":       {compressed(codecLZ4, []byte("xx")), errCorruptMessage},
		"zstd that is none":      {compressed(codecZstd, []byte("xx")), errCorruptMessage},
		"a wide zstd window":     {compressed(codecZstd, wideZstd(t, make([]byte, 200))), errUnsupportedCompression},
		"a zstd bomb":            {compressed(codecZstd, zstdOf(make([]byte, 2<<20))), errMessageTooLarge},
		"an lz4 bomb":            {compressed(codecLZ4, lz4Of(t, make([]byte, 2<<20))), errMessageTooLarge},
	} {
		_, code := stored(t, tt.batch)
		assert.Equal(t, tt.want, code, name)
	}
}

func zstdOf(b []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	return w.EncodeAll(b, nil)
}

func lz4Of(t *testing.T, b []byte) []byte {
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	_, err := w.Write(b)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// read makes a batch of tokens and reads it with kmsg.
func read(t *testing.T, records []protocol.Record) (kmsg.RecordBatch, []kmsg.Record) {
	t.Helper()
	w := &batchWriter{}
	w.Expect(10)
	for i := range records {
		w.Take(&records[i])
	}
	raw := w.bytes()
	var b kmsg.RecordBatch
	require.NoError(t, b.ReadFrom(raw))
	require.EqualValues(t, len(raw)-batchPrefix, b.Length)
	require.Equal(t, crc32.Checksum(raw[batchAttributesAt:], castagnoli), uint32(b.CRC))
	out := make([]kmsg.Record, b.NumRecords)
	rest := b.Records
	for i := range out {
		n, used := binary.Varint(rest)
		require.NoError(t, out[i].ReadFrom(rest[:used+int(n)]))
		rest = rest[used+int(n):]
	}
	require.Empty(t, rest)
	return b, out
}

func TestRecordsBecomeBatches(t *testing.T) {
	b, records := read(t, []protocol.Record{
		{Offset: 7, Timestamp: 2000, Key: []byte(`"a\"b"`), Value: []byte(`{"x":[1]}`)},
		{Offset: 9, Timestamp: 1500, Key: []byte(`42`), Value: []byte(`t"li\nne"`), Headers: []byte(`{"h":"\u0041"}`)},
		{Offset: 10, Timestamp: 3000, Key: []byte(`-`), Value: []byte(`b"/w=="`), Headers: []byte(`[["h",null],["h",{"b64":"/w=="}],["h","x"]]`)},
		{Offset: 11, Timestamp: 3000, Key: []byte(`t"k"`), Value: []byte(`-`)},
		{Offset: 12, Timestamp: 3000, Key: []byte(`""`), Value: []byte(`t""`)},
	})
	assert.EqualValues(t, 7, b.FirstOffset)
	assert.EqualValues(t, 5, b.LastOffsetDelta)
	assert.EqualValues(t, 2000, b.FirstTimestamp)
	assert.EqualValues(t, 3000, b.MaxTimestamp)
	assert.EqualValues(t, -1, b.ProducerID)
	assert.EqualValues(t, -1, b.PartitionLeaderEpoch)
	assert.Equal(t, `a"b`, string(records[0].Key))
	assert.Equal(t, `{"x":[1]}`, string(records[0].Value))
	assert.EqualValues(t, 2, records[1].OffsetDelta)
	assert.EqualValues(t, -500, records[1].TimestampDelta64)
	assert.Equal(t, "42", string(records[1].Key))
	assert.Equal(t, "li\nne", string(records[1].Value))
	assert.Equal(t, []kmsg.Header{{Key: "h", Value: []byte("A")}}, records[1].Headers)
	assert.Nil(t, records[2].Key)
	assert.Equal(t, []byte{0xff}, records[2].Value)
	assert.Equal(t, []kmsg.Header{{Key: "h"}, {Key: "h", Value: []byte{0xff}}, {Key: "h", Value: []byte("x")}}, records[2].Headers)
	assert.Nil(t, records[3].Value)
	assert.NotNil(t, records[4].Key)
	assert.NotNil(t, records[4].Value)
	w := &batchWriter{}
	assert.Empty(t, w.bytes())
	assert.NotNil(t, w.bytes(), "clients cannot read null")
}

func TestEmptyBatchesTakeClientsOn(t *testing.T) {
	var b kmsg.RecordBatch
	require.NoError(t, b.ReadFrom(gapBatch(5, 9)))
	assert.EqualValues(t, 5, b.FirstOffset)
	assert.EqualValues(t, 4, b.LastOffsetDelta)
	assert.Zero(t, b.NumRecords)
}

func gapBatch(from, to protocol.Offset) []byte {
	w := &batchWriter{}
	w.empty(from, to)
	return w.bytes()
}

// FuzzBatch: whatever a producer sends is refused, or comes back byte for byte.
func FuzzBatch(f *testing.F) {
	f.Add(sentBatch([]sentRecord{{key: []byte("k"), value: []byte(`{"a":1}`), headers: []kmsg.Header{{Key: "h", Value: []byte{1}}}}, {}}, nil))
	f.Add(sentBatch([]sentRecord{{value: []byte("\xff\x00")}}, func(b *kmsg.RecordBatch) { b.ProducerID, b.ProducerEpoch, b.FirstSequence = 1, 2, 3 }))
	f.Add(sentBatch([]sentRecord{{value: []byte("z")}}, func(b *kmsg.RecordBatch) { b.Attributes, b.Records = codecZstd, zstdOf(b.Records) }))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > batchHeaderBytes {
			data = sealed(bytes.Clone(data)) // else hardly anything passes the checksum
		}
		b, code := readBatch(data)
		inflater := encoder{limit: 1 << 16, room: func(int) bool { return true }}
		if code != errNone || inflater.inflate(&b) != errNone {
			return
		}
		req := &protocol.ProduceRequest{Topic: &protocol.Topic{Name: "t", Partitions: 1}}
		if code, _ := encodeAll(req, data); code != errNone {
			return
		}
		require.Equal(t, b.count, req.Lines.Len())
		s := scanner{b: b.records}
		for i := range b.count {
			sent := s.record(i)
			key, hasKey := appendKey(nil, appendKeyToken(nil, sent.key))
			value, hasValue := appendValue(nil, testOptions.appendValueToken(nil, sent.value))
			require.Equal(t, sent.key != nil, hasKey)
			require.Equal(t, sent.value != nil, hasValue)
			require.Equal(t, string(sent.key), string(key))
			require.Equal(t, string(sent.value), string(value))
			if sent.nHeaders > 0 {
				token, code := testOptions.appendHeadersToken(nil, &sent)
				require.Equal(t, errNone, code)
				var list headerList
				list.read(token)
				require.Equal(t, sent.nHeaders, list.n, "%s", token)
				again := scanner{b: list.body}
				first := scanner{b: sent.headers}
				for range 2 * list.n {
					was, is := first.bytes(), again.bytes()
					require.Equal(t, string(was), string(is), "%s", token)
					require.Equal(t, was == nil, is == nil, "%s", token)
				}
			}
		}
	})
}

// FuzzProduceRequest: a request is read as kmsg reads it, or refused.
func FuzzProduceRequest(f *testing.F) {
	for _, version := range []int16{3, 8, 9, 11} {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks, req.TimeoutMillis = version, -1, 1000
		req.Topics = []kmsg.ProduceRequestTopic{{Topic: "t", Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 3, Records: []byte("abc")}, {Partition: 4}}}}
		f.Add(req.AppendTo(nil), version)
	}
	f.Fuzz(func(t *testing.T, data []byte, version int16) {
		if version < 0 || version > 11 {
			return
		}
		got, ok := readProduce(data, version)
		if !ok {
			return
		}
		want := kmsg.NewPtrProduceRequest()
		want.Version = version
		if want.ReadFrom(data) != nil {
			return // kmsg refuses null where it is not allowed
		}
		require.Equal(t, want.Acks, got.acks)
		require.Len(t, got.topics, len(want.Topics))
		for i := range want.Topics {
			require.Equal(t, want.Topics[i].Topic, got.topics[i].name)
			require.Len(t, got.topics[i].partitions, len(want.Topics[i].Partitions))
			for j, p := range want.Topics[i].Partitions {
				require.Equal(t, p.Partition, got.topics[i].partitions[j].index)
				require.Equal(t, string(p.Records), string(got.topics[i].partitions[j].records))
			}
		}
	})
}

// wideZstd compresses as the highest levels do: what reads it has to keep more than is allowed.
func wideZstd(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(2*maxZstdWindow), zstd.WithSingleSegment(false))
	require.NoError(t, err)
	_, err = w.Write(b)
	require.NoError(t, err)
	require.NoError(t, w.Flush()) // so that the size is not known when the frame begins
	require.NoError(t, w.Close())
	return out.Bytes()
}
